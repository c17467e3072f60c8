package lmtp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

func TestLocalError(t *testing.T) {
	gone := errors.New("read queue file: gone")
	for _, after := range []int{0, 1, 50_000} {
		bubble(t, fmt.Sprint(after), func(t *testing.T) {
			f := &fakeServer{keywords: []string{"PIPELINING"}, rcpt: func(i int) string { return []string{"", "550 5.1.1 no"}[i] }}
			tr := newTransaction(2)
			tr.Body = func(w io.Writer) error {
				if err := content(after)(w); err != nil {
					return err
				}
				return gone
			}
			res := deliver(t, f, 64, tr, nil)
			res.expect(t, "local body", ", rejected 550")
			if !errors.Is(res.err, gone) || f.complete || !res.session.Closed() {
				t.Errorf("%v, dot %v", res.err, f.complete)
			}
		})
	}
}

func TestContentEnd(t *testing.T) {
	for in, want := range map[string]string{
		"":               ".\r\n",
		"a\r\n":          "a\r\n.\r\n",
		"a":              "a\r\n.\r\n",
		"a\r":            "a\r\r\n.\r\n",
		"a\n":            "a\n\r\n.\r\n",
		"\r\n":           "\r\n.\r\n",
		"..\r\nb\r\n":    "..\r\nb\r\n.\r\n",
		"a\r\n|\r\n|b|c": "a\r\n\r\nbc\r\n.\r\n",
		"a\r|\n":         "a\r\n.\r\n",
	} {
		bubble(t, "", func(t *testing.T) {
			f := new(fakeServer)
			tr := newTransaction(1)
			tr.Body = func(w io.Writer) error {
				for part := range strings.SplitSeq(in, "|") {
					if _, err := io.WriteString(w, part); err != nil {
						return err
					}
				}
				return nil
			}
			res := deliver(t, f, 4096, tr, nil)
			if res.err != nil || string(f.body) != want {
				t.Errorf("%q: %q %v", in, f.body, res.err)
			}
		})
	}
}

func TestLargeBody(t *testing.T) {
	for _, chunk := range []int{1000, 32 << 10, 100_000} {
		bubble(t, fmt.Sprint(chunk), func(t *testing.T) {
			f := new(fakeServer)
			line := strings.Repeat("x", 98) + "\r\n"
			text := strings.Repeat(line, 10_000)
			tr := newTransaction(1)
			tr.Body = func(w io.Writer) error {
				for rest := text; rest != ""; {
					n := min(chunk, len(rest))
					if k, err := io.WriteString(w, rest[:n]); err != nil || k != n {
						return fmt.Errorf("wrote %d of %d: %w", k, n, err)
					}
					rest = rest[n:]
				}
				return nil
			}
			res := deliver(t, f, 4096, tr, nil)
			if res.err != nil || string(f.body) != text+".\r\n" {
				t.Errorf("%d bytes, %v", len(f.body), res.err)
			}
		})
	}
}

func TestPauseBeforeDot(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		f := new(fakeServer)
		tr := newTransaction(1)
		tr.PauseBeforeDot = 10 * time.Second
		res := deliver(t, f, 4096, tr, nil)
		res.expect(t, "ok", "final 250")
		if res.elapsed != 10*time.Second {
			t.Errorf("took %v", res.elapsed)
		}
	})
}

// TestDataRate has a server that takes content slowly.
func TestDataRate(t *testing.T) {
	for _, tc := range []struct {
		rate int // bytes in a second that the server takes
		ok   bool
	}{{1000, true}, {100, false}} {
		bubble(t, fmt.Sprint(tc.rate), func(t *testing.T) {
			f := &slowReader{rate: tc.rate}
			client, server := memPair(100)
			done := make(chan struct{})
			go func() {
				defer close(done)
				f.serve(server)
			}()
			rec := new(recorder)
			opt := testOptions(rec)
			opt.Timeouts.PerRequestDeadline = true
			opt.Timeouts.DataXfer = 100 * time.Second
			opt.Timeouts.DataDone = time.Hour
			s, err := Open(context.Background(), client, opt)
			if err != nil {
				t.Fatal(err)
			}
			tr := newTransaction(1)
			tr.Body = content(10_000) // 270 KB
			err = s.Deliver(context.Background(), tr)
			if want := map[bool]string{true: "ok", false: "timeout body"}[tc.ok]; describe(err) != want {
				t.Errorf("%v, want %s", err, want)
			}
			s.Close()
			<-done
		})
	}
}

// slowReader is a server that takes everything at a steady rate.
type slowReader struct{ rate int }

func (f *slowReader) serve(c *memConn) {
	defer c.Close()
	io.WriteString(c, "220 slow\r\n")
	var line, last string
	buf := make([]byte, 100)
	data := false
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		if data {
			time.Sleep(time.Duration(n) * time.Second / time.Duration(f.rate))
		}
		line += string(buf[:n])
		for {
			l, rest, ok := strings.Cut(line, "\r\n")
			if !ok {
				break
			}
			last, line = l, rest
			switch {
			case data && last == ".":
				data = false
				io.WriteString(c, "250 ok\r\n")
			case data:
			case last == "DATA":
				data = true
				io.WriteString(c, "354 go\r\n")
			default:
				io.WriteString(c, "250 ok\r\n")
			}
		}
	}
}
