package maillog

import (
	"io"
	"testing"
	"time"
)

// BenchmarkDelivery writes the line of one recipient.
func BenchmarkDelivery(b *testing.B) {
	l := ToWriter(io.Discard, "postfix/lmtp")
	line := DeliveryLine{
		QueueID: "4ABCDEFGHI", To: "user1@example.net", Relay: "mail.example.com[public/sink]", ReuseCount: 7,
		Delay: 1234 * time.Millisecond, A: time.Second, B: time.Millisecond, C: time.Microsecond, D: 20 * time.Millisecond,
		DSN: "2.0.0", Status: "sent", Text: "250 2.0.0 Saved",
	}
	b.ReportAllocs()
	for b.Loop() {
		l.Delivery(line)
	}
}
