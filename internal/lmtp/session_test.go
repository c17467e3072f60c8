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

// open opens a session against f, inside a bubble.
func open(t *testing.T, f *fakeServer, size int, change func(*Options)) (*Session, *recorder) {
	t.Helper()
	rec := new(recorder)
	opt := testOptions(rec)
	if change != nil {
		change(&opt)
	}
	client, server := memPair(size)
	f.start(server)
	s, err := Open(context.Background(), client, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		<-f.done
	})
	return s, rec
}

func TestReuse(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		ctx := context.Background()
		f := &fakeServer{keywords: []string{"PIPELINING"}}
		s, rec := open(t, f, 64, nil)
		began := time.Now()
		for n := range 3 {
			time.Sleep(time.Second)
			if n > 0 {
				if err := s.Reset(ctx); err != nil {
					t.Fatal(err)
				}
			}
			tr := newTransaction(2)
			if n == 1 {
				tr.Recipients[0].Address = "second@example.org"
			}
			if err := s.Deliver(ctx, tr); err != nil || !s.Reusable() {
				t.Fatal(err, s.Reusable())
			}
			if s.UseCount() != n+1 {
				t.Errorf("use count %d", s.UseCount())
			}
		}
		if !s.ConnectedAt().Equal(began) {
			t.Errorf("connected at %v", s.ConnectedAt())
		}
		if err := s.Quit(ctx, true); err != nil || !s.Closed() {
			t.Error(err)
		}
		var verbs []string
		for _, l := range f.lines {
			verbs = append(verbs, l[:4])
		}
		if got := strings.Join(verbs, " "); got !=
			"LHLO MAIL RCPT RCPT DATA RSET MAIL RCPT RCPT DATA RSET MAIL RCPT RCPT DATA QUIT" {
			t.Error(got)
		}
		want := strings.Join([]string{
			"< 220 fake.example ready", "> LHLO client.example", "< 250-fake.example", "< 250 PIPELINING",
			"> MAIL FROM:<sender@example.com>", "> RCPT TO:<r0@example.org>", "> RCPT TO:<r1@example.org>", "> DATA",
			"< 250 2.1.0 ok", "< 250 2.1.5 r0", "< 250 2.1.5 r1", "< 354 go", "> (69 bytes)", "> .",
			"< 250 2.0.0 <r0> saved", "< 250 2.0.0 <r1> saved", "> RSET", "< 250 2.0.0 reset"}, "\n")
		if got := strings.Join(rec.trace, "\n"); !strings.HasPrefix(got, want) ||
			!strings.HasSuffix(got, "> QUIT\n< 221 2.0.0 bye") {
			t.Errorf("trace:\n%s", got)
		}
		if err := s.Deliver(ctx, newTransaction(1)); !errors.Is(err, ErrClosed) {
			t.Errorf("after QUIT: %v", err)
		}
		if err := s.Reset(ctx); !errors.Is(err, ErrClosed) {
			t.Errorf("after QUIT: %v", err)
		}
	})
}

func TestUse(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		f := &fakeServer{mail: "oops\r\n250 ok"}
		s, rec := open(t, f, 64, nil)
		if err := s.Deliver(context.Background(), newTransaction(1)); err != nil {
			t.Fatal(err)
		}
		if !s.ProtocolError() || s.Reusable() {
			t.Error("a malformed line went unnoticed")
		}
		second := new(recorder)
		s.Use(Hooks{Log: second, QueueID: "XYZ", Trace: second.event})
		if s.ProtocolError() || s.Reusable() {
			t.Error("protocol error of another delivery, or reusable after one")
		}
		rec.trace = nil
		s.Quit(context.Background(), false)
		if rec.trace != nil || strings.Join(second.trace, "") != "> QUIT" {
			t.Errorf("trace %q, %q", rec.trace, second.trace)
		}
	})
}

func TestResetProbe(t *testing.T) {
	for _, k := range kinds() {
		bubble(t, k.name, func(t *testing.T) {
			f := &fakeServer{rset: k.reply}
			s, _ := open(t, f, 4096, nil)
			start := time.Now()
			err := s.Reset(context.Background())
			k.silence(t, time.Since(start), 20*time.Second)
			want := k.want("probe", k.code/100 != 2)
			if got := describe(err); got != want {
				t.Errorf("%q (%v), want %q", got, err, want)
			}
			if s.Closed() != (err != nil) {
				t.Errorf("closed %v after %v", s.Closed(), err)
			}
		})
	}
	bubble(t, "leftover", func(t *testing.T) {
		f := &fakeServer{tail: "250 2.0.0 extra"}
		s, _ := open(t, f, 4096, nil)
		if err := s.Deliver(context.Background(), newTransaction(1)); err != nil {
			t.Fatal(err)
		}
		if err := s.Reset(context.Background()); !errors.Is(err, ErrDesync) {
			t.Errorf("%v", err)
		}
	})
	bubble(t, "closed by the server", func(t *testing.T) {
		f := &fakeServer{tail: doClose}
		s, _ := open(t, f, 4096, nil)
		if err := s.Deliver(context.Background(), newTransaction(1)); err != nil || !s.Reusable() {
			t.Fatal(err)
		}
		<-f.done
		if got := describe(s.Reset(context.Background())); got != "lost probe" {
			t.Error(got)
		}
	})
}

func TestQuit(t *testing.T) {
	for _, k := range kinds() {
		for _, wait := range []bool{true, false} {
			bubble(t, fmt.Sprint(k.name, wait), func(t *testing.T) {
				f := &fakeServer{quit: k.reply}
				s, _ := open(t, f, 4096, nil)
				start := time.Now()
				err := s.Quit(context.Background(), wait)
				if !wait && (err != nil || time.Since(start) != 0) {
					t.Errorf("%v after %v", err, time.Since(start))
				}
				if wait {
					k.silence(t, time.Since(start), 300*time.Second)
					if (err != nil) != (k.code < 0) {
						t.Errorf("%v", err)
					}
				}
				if !s.Closed() {
					t.Error("not closed")
				}
				<-f.done
				if f.lines[len(f.lines)-1] != "QUIT" {
					t.Errorf("%q", f.lines)
				}
			})
		}
	}
}

var errStop = errors.New("asked to stop")

// TestCancel ends the context while the server is silent at a stage.
func TestCancel(t *testing.T) {
	for _, tc := range []struct {
		stage string
		f     fakeServer
		grace time.Duration
		took  time.Duration
		want  string
		out   string
	}{
		{stage: "greeting", f: fakeServer{greeting: doHang}},
		{stage: "lhlo", f: fakeServer{lhlo: doHang}},
		{stage: "mail", f: fakeServer{mail: doHang}, want: "cancelled mail"},
		{stage: "rcpt", f: fakeServer{rcpt: func(int) string { return doHang }}, want: "cancelled rcpt"},
		{stage: "data", f: fakeServer{data: doHang}, grace: time.Minute, want: "cancelled data"},
		{stage: "final", f: fakeServer{final: func(i int) string { return []string{"", doHang}[i] }}, grace: 4 * time.Second,
			took: 4 * time.Second, want: "cancelled final unconfirmed", out: "final 250, "},
		{stage: "final without grace", f: fakeServer{final: func(int) string { return doHang }},
			want: "cancelled final unconfirmed"},
	} {
		for _, pipelining := range []bool{true, false} {
			bubble(t, fmt.Sprint(tc.stage, pipelining), func(t *testing.T) {
				f := tc.f
				if pipelining {
					f.keywords = []string{"PIPELINING"}
				}
				ctx, cancel := context.WithCancelCause(context.Background())
				time.AfterFunc(10*time.Second, func() { cancel(errStop) })
				start := time.Now()
				res := new(result)
				client, server := memPair(4096)
				f.start(server)
				s, err := Open(ctx, client, testOptions(&res.recorder))
				if tc.want == "" {
					if got := describe(err); got != "cancelled "+tc.stage || !errors.Is(err, errStop) {
						t.Errorf("%q (%v)", got, err)
					}
				} else {
					tr := newTransaction(2)
					tr.FinalGrace = tc.grace
					res.session = s
					res.watch(t, tr)
					res.err = s.Deliver(ctx, tr)
					res.check(t)
					if tc.out == "" {
						tc.out = ", "
					}
					res.expect(t, tc.want, tc.out)
					if !errors.Is(res.err, errStop) {
						t.Errorf("%v", res.err)
					}
				}
				if took := time.Since(start); took != 10*time.Second+tc.took {
					t.Errorf("took %v", took)
				}
				<-f.done
			})
		}
	}
}

// TestGraceSuffices has final replies that come late, but within the grace.
func TestGraceSuffices(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		f := &fakeServer{keywords: []string{"PIPELINING"}, segment: 100, gap: 2 * time.Second}
		s, _ := open(t, f, 4096, nil)
		ctx, cancel := context.WithCancelCause(context.Background())
		res := &result{session: s}
		tr := newTransaction(2)
		tr.FinalGrace = 5 * time.Second
		res.watch(t, tr)
		final := tr.OnFinal
		tr.OnFinal = func(i int, r Reply) { cancel(errStop); final(i, r) }
		res.err = s.Deliver(ctx, tr)
		res.check(t)
		res.expect(t, "ok", "final 250, final 250")
		if err := s.Quit(context.Background(), true); err != nil {
			t.Error(err)
		}
	})
}

// TestCancelInBody ends the context while content is being sent, and before
// anything is.
func TestCancelInBody(t *testing.T) {
	for _, lines := range []int{1, 100_000} {
		bubble(t, fmt.Sprint(lines), func(t *testing.T) {
			f := &fakeServer{keywords: []string{"PIPELINING"}}
			s, _ := open(t, f, 4096, nil)
			ctx, cancel := context.WithCancelCause(context.Background())
			res := &result{session: s}
			tr := newTransaction(1)
			tr.FinalGrace = time.Hour
			res.watch(t, tr)
			tr.Body = func(w io.Writer) error {
				cancel(errStop)
				return content(lines)(w)
			}
			res.err = s.Deliver(ctx, tr)
			res.check(t)
			res.expect(t, "cancelled body", "")
			<-f.done
			if f.complete {
				t.Error("the final dot was sent")
			}
		})
	}
	bubble(t, "before", func(t *testing.T) {
		f := new(fakeServer)
		s, _ := open(t, f, 4096, nil)
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(errStop)
		if got := describe(s.Deliver(ctx, newTransaction(1))); got != "cancelled mail" {
			t.Error(got)
		}
		<-f.done
		if len(f.lines) > 1 {
			t.Errorf("%q", f.lines)
		}
	})
}

// TestLateCancel ends the context after a call: the session is none the wiser.
func TestLateCancel(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		s, _ := open(t, &fakeServer{}, 4096, nil)
		for range 3 {
			ctx, cancel := context.WithCancel(context.Background())
			if err := s.Deliver(ctx, newTransaction(1)); err != nil {
				t.Fatal(err)
			}
			cancel()
		}
	})
}

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

// TestCancelInPause ends the context in the pause before the final dot.
func TestCancelInPause(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		f := new(fakeServer)
		s, _ := open(t, f, 4096, nil)
		ctx, cancel := context.WithCancelCause(context.Background())
		time.AfterFunc(time.Second, func() { cancel(errStop) })
		tr := newTransaction(1)
		tr.PauseBeforeDot, tr.FinalGrace = 10*time.Second, time.Hour
		start := time.Now()
		if got := describe(s.Deliver(ctx, tr)); got != "cancelled body" || time.Since(start) != time.Second {
			t.Errorf("%s after %v", got, time.Since(start))
		}
		<-f.done
		if f.complete {
			t.Error("the final dot was sent")
		}
	})
}

func TestOnMail(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		f := &fakeServer{keywords: []string{"XFORWARD NAME"}}
		tr := newTransaction(1)
		tr.XForward = &XForward{Name: "n"}
		calls := 0
		tr.OnMail = func() { calls++ }
		deliver(t, f, 4096, tr, nil)
		if calls != 1 {
			t.Errorf("%d calls", calls)
		}
	})
}

func TestNobody(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		f := new(fakeServer)
		res := deliver(t, f, 64, newTransaction(0), nil)
		if res.err != nil || len(f.lines) != 2 {
			t.Errorf("%v %q", res.err, f.lines)
		}
	})
}

func TestNoHooks(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		f := &fakeServer{keywords: []string{"PIPELINING", "SMTPUTF8"}, mail: "x\r\n250 ok"}
		tr := newTransaction(1)
		res := deliver(t, f, 64, tr, func(o *Options) { o.Hooks = Hooks{} })
		res.expect(t, "ok", "final 250")
		s, _ := open(t, &fakeServer{}, 64, nil)
		if err := s.Deliver(context.Background(), newTransaction(1)); err != nil {
			t.Error(err)
		}
	})
}
