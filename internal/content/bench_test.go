package content

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"postlmtp/internal/queuefile"
)

// benchmark copies a message of about the given size, with lines of 72 bytes
// and a dot now and then.
func benchmark(b *testing.B, size int, o Options) {
	text := "From: a@example.com\nContent-Transfer-Encoding: 8bit\n\n"
	paragraph := strings.Repeat(strings.Repeat("text \u00e4 ", 9)+"\n", 20) + ".dot\n\n"
	text += strings.Repeat(paragraph, size/len(paragraph)+1)
	file, layout, err := queuefile.Build(queuefile.Envelope{}, strings.NewReader(text[:size]))
	if err != nil {
		b.Fatal(err)
	}
	src := queuefile.NewRecords(bytes.NewReader(file), layout.DataOffset)
	o.Buffer = make([]byte, 0, largeBuffer)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		src.Reset(layout.DataOffset)
		if _, err := Copy(io.Discard, src, o); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCopy4K(b *testing.B)  { benchmark(b, 4<<10, Options{LineLimit: 998}) }
func BenchmarkCopy10M(b *testing.B) { benchmark(b, 10<<20, Options{LineLimit: 998}) }
func BenchmarkDowngrade4K(b *testing.B) {
	benchmark(b, 4<<10, Options{LineLimit: 998, Downgrade: true})
}
func BenchmarkDowngrade10M(b *testing.B) {
	benchmark(b, 10<<20, Options{LineLimit: 998, Downgrade: true})
}
