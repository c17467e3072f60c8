package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// Ceiling returns how many messages for each second a sink takes from a client
// that replays prepared bytes over open connections, for the load of a case:
// the envelope in one write, the content with the dot in another.
func Ceiling(ctx context.Context, c Case, d time.Duration) (float64, error) {
	dir, err := os.MkdirTemp("", "sink")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	network, address := "unix", filepath.Join(dir, "sink")
	if c.TCP {
		network, address = "tcp", "127.0.0.1:0"
	}
	sink, err := NewSink(network, address, SinkOptions{RTT: c.RTT})
	if err != nil {
		return 0, err
	}
	defer sink.Close()

	envelope, content := prepared(c)
	var done atomic.Int64
	errs := make([]error, c.Concurrency)
	start := time.Now()
	end := start.Add(d)
	var wg sync.WaitGroup
	for i := range c.Concurrency {
		wg.Go(func() {
			errs[i] = replay(ctx, sink.Addr(), envelope, content, c.Recipients, end, &done)
		})
	}
	wg.Wait()
	return float64(done.Load()) / time.Since(start).Seconds(), errors.Join(errs...)
}

// prepared returns the bytes that deliver the message of a case: the envelope up
// to DATA, and the content with the dot.
func prepared(c Case) (envelope, content []byte) {
	envelope = []byte("MAIL FROM:<sender@example.com>\r\n")
	for i := range c.Recipients {
		envelope = fmt.Appendf(envelope, "RCPT TO:<user%d@example.net>\r\n", i+1)
	}
	envelope = append(envelope, "DATA\r\n"...)
	content = bytes.ReplaceAll([]byte(message(c.Size)), []byte("\n"), []byte("\r\n"))
	return envelope, append(content, ".\r\n"...)
}

// replay sends the same message until the end.
func replay(ctx context.Context, addr net.Addr, envelope, content []byte, recipients int, end time.Time, done *atomic.Int64) error {
	conn, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	buf := make([]byte, 4096)
	lines := func(n int) error {
		for n > 0 {
			m, err := conn.Read(buf)
			if err != nil {
				return err
			}
			n -= bytes.Count(buf[:m], []byte("\n"))
		}
		return nil
	}
	if err := lines(1); err != nil {
		return err
	}
	for time.Now().Before(end) && ctx.Err() == nil {
		if _, err := conn.Write(envelope); err != nil {
			return err
		}
		if err := lines(recipients + 2); err != nil {
			return err
		}
		if _, err := conn.Write(content); err != nil {
			return err
		}
		if err := lines(recipients); err != nil {
			return err
		}
		done.Add(1)
	}
	return nil
}
