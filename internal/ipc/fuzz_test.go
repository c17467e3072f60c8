package ipc

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"time"

	"postlmtp/internal/attr"
)

// canned is a service that says the same whatever it is asked.
type canned struct {
	net.Conn
	in io.Reader
}

func (c canned) Read(p []byte) (int, error) { return c.in.Read(p) }
func (canned) Write(p []byte) (int, error)  { return len(p), nil }
func (canned) Close() error                 { return nil }
func (canned) SetDeadline(time.Time) error  { return nil }

// FuzzAnswer has a client take apart whatever a service answers. A status counts
// only if the answer is complete.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte("protocol\x00delivery_status_protocol\x00\x00status\x000\x00\x00"))
	f.Add([]byte("status\x00-1\x00\x00"))
	f.Add([]byte("status\x000\x00"))
	f.Add([]byte("protocol\x00other\x00\x00status\x000\x00\x00"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		svc := Service{Class: "private", Name: "bounce", Protocol: DeliveryStatus}
		c := &conn{Conn: canned{in: bytes.NewReader(answer)}, svc: svc, in: attr.NewReader(bytes.NewReader(answer), attr.Limits{})}
		var status int
		err := c.exchange(context.Background(), time.Minute, new(Command).String("request", "x"), readStatus(&status))
		if err == nil && !bytes.Contains(answer, []byte("status\x00")) {
			t.Errorf("status %d out of %.60q", status, answer)
		}
		if err == nil && !bytes.Contains(answer, []byte("\x00\x00")) {
			t.Errorf("status %d out of an answer without an end: %.60q", status, answer)
		}
	})
}
