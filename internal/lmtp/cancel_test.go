package lmtp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"
)

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
