package request

import (
	"bytes"
	"testing"
	"time"
)

// BenchmarkRead reads a request as the queue manager sends it.
func BenchmarkRead(b *testing.B) {
	req := &Request{
		QueueName: "active", QueueID: "4ABCDEFGHI", Offset: 600, Size: 4096, Nexthop: "unix:public/sink", Encoding: "7bit",
		Sender: "sender@example.com", Stamps: Stamps{IncomingArrival: time.Unix(1, 0)},
		Client:     Client{Name: "client.example.com", Address: "192.0.2.1", Port: "1234", Protocol: "ESMTP", Helo: "client.example.com"},
		Recipients: []Recipient{{Address: "user1@example.net", Original: "user1@example.net", Offset: 500}},
	}
	var encoded bytes.Buffer
	if err := req.Encode(&encoded, Postfix36); err != nil {
		b.Fatal(err)
	}
	data := encoded.Bytes()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Read(bytes.NewReader(data), DefaultLimits()); err != nil {
			b.Fatal(err)
		}
	}
}
