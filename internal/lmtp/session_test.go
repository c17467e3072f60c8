package lmtp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
	"weak"
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
			tr := newTransaction(2)
			tr.Idle = n > 0
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
			"< 250 2.0.0 <r0> saved", "< 250 2.0.0 <r1> saved", "> RSET", "> MAIL FROM:<sender@example.com>"}, "\n")
		if got := strings.Join(rec.trace, "\n"); !strings.HasPrefix(got, want) ||
			!strings.HasSuffix(got, "> QUIT\n< 221 2.0.0 bye") {
			t.Errorf("trace:\n%s", got)
		}
		if err := s.Deliver(ctx, newTransaction(1)); !errors.Is(err, ErrClosed) {
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

// idle delivers one message over a session that lay idle.
func idle(s *Session) error {
	tr := newTransaction(1)
	tr.Idle = true
	return s.Deliver(context.Background(), tr)
}

func TestResetProbe(t *testing.T) {
	for _, k := range kinds() {
		bubble(t, k.name, func(t *testing.T) {
			f := &fakeServer{rset: k.reply}
			s, _ := open(t, f, 4096, nil)
			start := time.Now()
			err := idle(s)
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
		if err := idle(s); !errors.Is(err, ErrDesync) {
			t.Errorf("%v", err)
		}
	})
	bubble(t, "closed by the server", func(t *testing.T) {
		f := &fakeServer{tail: doClose}
		s, _ := open(t, f, 4096, nil)
		if err := s.Deliver(context.Background(), newTransaction(1)); err != nil {
			t.Fatal(err)
		}
		<-f.done
		if got := describe(idle(s)); got != "lost probe" {
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

// A server that has sent a line without end is not heard any more. Its reply
// stands, and the session is over: the next message, in a flight, would reach the
// server without an answer.
func TestEndlessLineEndsReuse(t *testing.T) {
	for _, where := range []string{"MAIL", "RCPT", "final"} {
		bubble(t, where, func(t *testing.T) {
			long := "250 2.0.0 " + strings.Repeat("x", 5000)
			f := &fakeServer{keywords: []string{"PIPELINING"}}
			want := "final 250"
			switch where {
			case "MAIL":
				f.mail, want = long, ""
			case "RCPT":
				f.rcpt, want = func(int) string { return long }, ""
			case "final":
				f.final = func(int) string { return long }
			}
			res := deliver(t, f, 1<<16, newTransaction(1), nil)
			if res.outcomes() != want || res.reusable {
				t.Errorf("%v, outcomes %q, reusable %v", res.err, res.outcomes(), res.reusable)
			}
		})
	}
}

// An idle session does not hold what belongs to the delivery that opened it.
func TestUseLetsGo(t *testing.T) {
	type delivery struct{ transcript [1 << 16]byte }
	bubble(t, "", func(t *testing.T) {
		f := &fakeServer{}
		client, server := memPair(1 << 16)
		f.start(server)
		var gone weak.Pointer[delivery]
		open := func() *Session {
			d, opt := new(delivery), testOptions(new(recorder))
			gone = weak.Make(d)
			opt.AcceptTLS = func(*tls.ConnectionState) error { d.transcript[0]++; return nil }
			opt.Hooks.Stage = func(Stage) { d.transcript[1]++ }
			s, err := Open(context.Background(), client, opt)
			if err != nil {
				t.Fatal(err)
			}
			s.Use(Hooks{})
			return s
		}
		s := open()
		runtime.GC()
		if gone.Value() != nil {
			t.Error("the delivery is still in memory")
		}
		s.Quit(context.Background(), true)
		<-f.done
	})
}
