package lmtp

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestEmptyContent meets a server that accepts DATA for nobody.
func TestEmptyContent(t *testing.T) {
	for _, final := range []string{"no reply", "one reply"} {
		bubble(t, final, func(t *testing.T) {
			s := &fakeServer{keywords: []string{"PIPELINING"}, data: "354 go", quit: doClose}
			if final == "one reply" {
				s.tail = "554 5.5.1 nobody"
			}
			s.rcpt = func(int) string { return "550 5.1.1 no" }
			res := deliver(t, s, 64, newTransaction(2), nil)
			res.expect(t, "ok", "rejected 550, rejected 550")
			if string(s.body) != ".\r\n" {
				t.Errorf("body %q", s.body)
			}
			if res.reusable {
				t.Error("reusable")
			}
			if want := map[string]time.Duration{"no reply": 20 * time.Second}[final]; res.elapsed != want {
				t.Errorf("took %v, want %v", res.elapsed, want)
			}
		})
	}
}

// TestNoEmptyMessage meets a server that has recipients in spite of a refused MAIL,
// those of an earlier transaction perhaps: it gets nothing that it could store.
func TestNoEmptyMessage(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		s := &fakeServer{keywords: []string{"PIPELINING"}, mail: "503 5.5.1 nested MAIL", lax: true}
		res := deliver(t, s, 64, newTransaction(2), nil)
		res.expect(t, "reply mail 503", ", ")
		if s.complete || res.reusable {
			t.Errorf("stored %v (%q), reusable %v", s.complete, s.body, res.reusable)
		}
	})
}

// TestOutOfStep has servers with a reply too many or too few: nobody's outcome
// may come from a reply to another command.
func TestOutOfStep(t *testing.T) {
	rcpt := func(replies ...string) func(int) string {
		return func(i int) string { return replies[i] }
	}
	for _, tc := range []struct {
		name          string
		s             fakeServer
		err, outcomes string
	}{
		{"stale reply before MAIL", fakeServer{lhlo: "250-fake\r\n250 PIPELINING\r\n250 2.0.0 stale"},
			"desync mail", ", , "},
		{"two replies to MAIL", fakeServer{mail: "250 ok\r\n550 5.1.1 stale", lax: true}, "desync rset", ", , "},
		{"two replies to RCPT, all accepted", fakeServer{rcpt: rcpt("250 ok\r\n250 ok", "", "")},
			"desync rset", ", , "},
		{"two replies to RCPT, first refused", fakeServer{rcpt: rcpt("550 5.1.1 no\r\n550 5.1.1 no", "", "")},
			"desync rset", ", , "},
		{"two replies to RCPT, all refused", fakeServer{rcpt: rcpt("550 5.1.1 no\r\n550 5.1.1 no", "451 4.2.0 no", "451 4.2.0 no")},
			"desync rset", ", , "},
		{"two replies to the last RCPT", fakeServer{rcpt: rcpt("", "", "250 2.1.5 ok\r\n550 5.1.1 no")},
			"desync rset", ", , "},
		{"no reply to a RCPT", fakeServer{rcpt: rcpt("", doSkip, "550 5.1.1 no")}, "desync data", ", , "},
		{"no reply to any RCPT", fakeServer{rcpt: rcpt(doSkip, doSkip, doSkip), data: "354 go"}, "desync rcpt", ", , "},
		{"RCPT and DATA accepted after a refused MAIL", fakeServer{mail: "451 4.3.0 no", lax: true, tail: "x\r\n"}, "reply mail 451", ", , "},
		{"DATA accepted with 2xx", fakeServer{data: "250 ok"}, "reply data 250", ", , "},
		{"final reply before the content", fakeServer{early: "250 2.0.0 <r0> saved"}, "desync body", ", , "},
		{"refusal before the content", fakeServer{early: "552 5.3.4 too big"}, "desync body", "final 552, , "},
		{"refusals before the content", fakeServer{early: "552 5.3.4 big\r\n552 5.3.4 big\r\n452 4.2.2 full\r\n552 5.3.4 big"},
			"ok", "final 552, final 552, final 452"},
		{"one reply for all, then the end", fakeServer{final: func(i int) string { return []string{"", doClose}[i] }},
			"lost final unconfirmed", "final 250, , "},
		{"too few final replies", fakeServer{final: func(i int) string { return []string{"", "", doSkip}[i] }},
			"timeout final unconfirmed", "final 250, final 250, "},
		{"too many final replies", fakeServer{tail: "250 2.0.0 <r3> saved"}, "ok", "final 250, final 250, final 250"},
	} {
		bubble(t, tc.name, func(t *testing.T) {
			s := tc.s
			s.keywords = []string{"PIPELINING"}
			res := deliver(t, &s, 4096, newTransaction(3), nil)
			res.expect(t, tc.err, tc.outcomes)
			if res.reusable && tc.name != "DATA accepted with 2xx" {
				t.Error("reusable")
			}
		})
	}
}

// TestHalfClosed has servers that close their side of the connection, and go on to
// listen: since they cannot confirm the message they do not get the end of it.
func TestHalfClosed(t *testing.T) {
	for _, tc := range []struct {
		name   string
		f      fakeServer
		chunks bool
		lines  int
		err    string
	}{
		{"DATA", fakeServer{data: "354 go\r\n" + doEnd}, false, 3, "lost final"},
		{"DATA, large", fakeServer{data: "354 go\r\n" + doEnd}, false, 12_000, "lost body"},
		{"BDAT", fakeServer{rcpt: func(int) string { return "250 2.1.5 ok\r\n" + doEnd }}, true, 3, "lost chunk"},
		{"BDAT, large", fakeServer{chunk: func(i int) string { return []string{"", "", "", "250 2.0.0 taken\r\n" + doEnd}[i] }},
			true, 12_000, "lost chunk"},
	} {
		for _, size := range []int{64, 1 << 20} {
			bubble(t, fmt.Sprint(tc.name, "/", size), func(t *testing.T) {
				f := tc.f
				f.keywords = []string{"PIPELINING", "CHUNKING"}
				tr := newTransaction(1)
				tr.Body = func(w io.Writer) error {
					synctest.Wait() // until the server waits for content
					err := content(tc.lines)(w)
					synctest.Wait() // until it has said all that it has to say of it
					return err
				}
				if tc.chunks {
					tr.Chunks = new(ChunkPool)
				}
				res := deliver(t, &f, size, tr, nil)
				if got := describe(res.err); got != tc.err && size != 64 || f.complete || strings.Contains(got, "unconfirmed") {
					t.Errorf("%s, stored %v", got, f.complete)
				}
			})
		}
	}
	bubble(t, "flight", func(t *testing.T) {
		f := &fakeServer{keywords: []string{"PIPELINING", "CHUNKING"}, tail: doEnd}
		s, _ := open(t, f, 4096, nil)
		if err := s.Deliver(context.Background(), newTransaction(1)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		f.complete = false
		tr := newTransaction(1)
		tr.Idle, tr.Chunks = true, new(ChunkPool)
		if err := s.Deliver(context.Background(), tr); describe(err) != "lost probe" || f.complete {
			t.Errorf("%s, stored %v", describe(err), f.complete)
		}
	})
}

// TestLostBody has servers that hang up in the middle of the content.
func TestLostBody(t *testing.T) {
	for _, tc := range []struct{ name, say, err, outcomes string }{
		{"nothing said", "", "lost body", ", , "},
		{"refusal", "552 5.3.4 too big\r\n" + doClose, "lost body", "final 552, , "},
		{"refusals", strings.Repeat("552 5.3.4 too big\r\n", 3) + doClose, "ok", "final 552, final 552, final 552"},
		{"more refusals than recipients", strings.Repeat("552 5.3.4 too big\r\n", 5) + doClose, "ok", "final 552, final 552, final 552"},
		{"success is none", "250 2.0.0 <r0> saved\r\n" + doClose, "lost body", ", , "},
		{"refusal, then success", "552 5.3.4 big\r\n250 2.0.0 saved\r\n" + doClose, "lost body", "final 552, , "},
		{"half a reply", "552 5.3" + doClose, "lost body", ", , "},
		{"odd reply", "354 go on\r\n" + doClose, "lost body", ", , "},
	} {
		for _, size := range []int{256, 4096} {
			bubble(t, fmt.Sprintf("%s/%d", tc.name, size), func(t *testing.T) {
				s := &fakeServer{keywords: []string{"PIPELINING"}, bodyMax: 100_000, bodySay: tc.say}
				tr := newTransaction(3)
				tr.Body = content(20_000)
				res := deliver(t, s, size, tr, nil)
				res.expect(t, tc.err, tc.outcomes)
			})
		}
	}
	for _, size := range []int{64, 4096} {
		bubble(t, fmt.Sprintf("stall/%d", size), func(t *testing.T) {
			s := &fakeServer{keywords: []string{"PIPELINING"}, bodyMax: 100_000, bodySay: bodyStop}
			tr := newTransaction(1)
			tr.Body = content(20_000)
			res := deliver(t, s, size, tr, nil)
			res.expect(t, "timeout body", "")
			// The limit is for each time that the server takes something;
			// when it was within a write is not known.
			if res.elapsed != 180*time.Second && res.elapsed != 360*time.Second {
				t.Errorf("took %v", res.elapsed)
			}
		})
	}
}
