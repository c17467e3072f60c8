package queuefile

import (
	"path/filepath"
	"strings"
	"testing"
)

// BenchmarkDelivery opens a queue file of 4 KB, reads its content and marks its
// recipient.
func BenchmarkDelivery(b *testing.B) {
	path := filepath.Join(b.TempDir(), "4ABCDEFGHI")
	line := strings.Repeat("0123456789", 7) + "\n"
	layout, err := Create(path, Envelope{
		Sender: "sender@example.com", Recipients: []Recipient{{Address: "user1@example.net"}},
	}, strings.NewReader("Subject: x\n\n"+strings.Repeat(line, 56)))
	if err != nil {
		b.Fatal(err)
	}
	buffer := make([]byte, BufferSize)
	b.ReportAllocs()
	for b.Loop() {
		f, err := Open(path)
		if err != nil {
			b.Fatal(err)
		}
		records := f.RecordsIn(buffer, layout.DataOffset)
		for {
			rec, err := records.Next()
			if err != nil {
				b.Fatal(err)
			}
			if rec.Type == TypeExtracted {
				break
			}
		}
		if err := f.MarkDone(layout.Recipients[0]); err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
}
