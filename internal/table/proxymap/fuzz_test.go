package proxymap

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"time"

	"postlmtp/internal/table/remote"
)

// canned is a server that says the same whatever it is asked.
type canned struct {
	net.Conn
	in io.Reader
}

func (c canned) Read(p []byte) (int, error)     { return c.in.Read(p) }
func (canned) Write(p []byte) (int, error)      { return len(p), nil }
func (canned) Close() error                     { return nil }
func (canned) SetDeadline(time.Time) error      { return nil }
func (canned) SetReadDeadline(time.Time) error  { return nil }
func (canned) SetWriteDeadline(time.Time) error { return nil }

// FuzzReply has a client take apart whatever a server answers.
func FuzzReply(f *testing.F) {
	f.Add([]byte("protocol\x00proxymap_protocol\x00\x00status\x000\x00value\x00x\x00\x00"), false)
	f.Add([]byte("status\x000\x00flags\x004160\x00\x00"), false)
	f.Add([]byte("status\x000\x00flags\x004160\x00value\x00x\x00\x00"), true)
	f.Add([]byte("status\x005\x00value\x00\x00\x00status\x004\x00\x00"), true)
	f.Add([]byte("protocol\x00other\x00\x00"), true)
	f.Fuzz(func(t *testing.T, answer []byte, instance bool) {
		c := New(Options{Service: "proxymap", InstanceFlags: instance, Timeout: time.Minute})
		c.link = &remote.Link{Timeout: time.Minute, Dial: func(context.Context) (net.Conn, error) {
			return canned{in: bytes.NewReader(answer)}, nil
		}}
		ctx := context.Background()
		_, _ = c.Open(ctx, "hash:x", 64, 64)
		value, found, err := c.Lookup(ctx, "hash:x", 64, 64, "key")
		if err != nil && (found || value != "") || !found && value != "" || len(value) > len(answer) {
			t.Errorf("%.40q, %v, %v", value, found, err)
		}
		_ = c.Update(ctx, "hash:x", 64, 64, "key", "value")
		_ = c.Delete(ctx, "hash:x", 64, 64, "key")
	})
}
