package lmtp

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// A kind is a shape of reply that any command may get.
type kind struct {
	name, reply string
	code        int
}

func kinds() []kind {
	return []kind{
		{"2xx", "250 2.0.0 fine", 250},
		{"2xx other", "251 2.1.5 forwarded", 251},
		{"4xx", "451 4.3.0 later", 451},
		{"5xx", "550 5.1.1 no", 550},
		{"421", "421 4.3.2 going down", 421},
		{"1xx", "150 hm", 150},
		{"3xx", "334 hm", 334},
		{"6xx", "650 hm", 650},
		{"000", "000 hm", 0},
		{"multi-line", "451-4.3.0 not\r\n451-4.3.0 just\r\n451 4.3.0 now", 451},
		{"bare LF", "451 4.3.0 later\n", 451},
		{"many CR", "451 4.3.0 later\r\r\r\n", 451},
		{"malformed", "garbage\r\n12\r\n\r\n45x no\r\n4511 no\r\n451 4.3.0 later", 451},
		{"code only", "451", 451},
		{"oversized", "451-" + strings.Repeat("x", 3000) + "\r\n451 4.3.0 later", 451},
		{"endless text", strings.Repeat("451-4.3.0 "+strings.Repeat("y", 100)+"\r\n", 100) + "451 4.3.0 later", 451},
		{"8-bit", "451 4.3.0 caf\xc3\xa9 caf\xe9 \x01\x02", 451},
		{"lost", doClose, -1},
		{"lost in reply", "451 4.3" + doClose, -1},
		{"reset", doReset, -1},
		{"silent", doHang, -2},
		{"silent in reply", "451-4.3.0 wait\r\n451-" + doHang, -2},
	}
}

// matrix runs f for every kind of reply, with and without PIPELINING, over
// buffers of all sizes.
func matrix(t *testing.T, f func(t *testing.T, k kind, s *fakeServer, size int)) {
	for _, pipelining := range []bool{true, false} {
		for _, size := range []int{1, 7, 64, 4096} {
			for _, k := range kinds() {
				bubble(t, fmt.Sprintf("pipelining=%v/%d/%s", pipelining, size, k.name), func(t *testing.T) {
					s := &fakeServer{keywords: []string{"8BITMIME", "SIZE", "DSN"}}
					if pipelining {
						s.keywords = append(s.keywords, "PIPELINING")
					}
					f(t, k, s, size)
				})
			}
		}
	}
}

// want says what Deliver returns when the command of a stage gets a reply of
// kind k, which is not the one that lets it go on.
func (k kind) want(stage string, refusal bool) string {
	switch {
	case k.code == -1:
		return "lost " + stage
	case k.code == -2:
		return "timeout " + stage
	case refusal:
		return fmt.Sprintf("reply %s %03d", stage, k.code)
	}
	return "ok"
}

func (res *result) expect(t *testing.T, err, outcomes string) {
	t.Helper()
	if got := describe(res.err); got != err {
		t.Errorf("error %q (%v), want %q", got, res.err, err)
	}
	if got := res.outcomes(); got != outcomes {
		t.Errorf("outcomes %q, want %q", got, outcomes)
	}
}

// silence checks how long a silent server was waited for.
func (k kind) silence(t *testing.T, took, limit time.Duration) {
	t.Helper()
	if k.code == -2 && took != limit {
		t.Errorf("gave up after %v, want %v", took, limit)
	}
}

func TestGreeting(t *testing.T) {
	matrix(t, func(t *testing.T, k kind, s *fakeServer, size int) {
		s.greeting = k.reply
		start := time.Now()
		res := deliver(t, s, size, newTransaction(1), nil)
		k.silence(t, time.Since(start), 300*time.Second)
		want := k.want("greeting", k.code/100 != 2)
		if got := describe(res.openErr); got != want {
			t.Errorf("error %q, want %q", got, want)
		}
		if k.code > 0 && k.code/100 != 2 && s.lines[len(s.lines)-1] != "QUIT" {
			t.Errorf("no QUIT after a refusal: %q", s.lines)
		}
	})
}

func TestLHLO(t *testing.T) {
	matrix(t, func(t *testing.T, k kind, s *fakeServer, size int) {
		s.lhlo = k.reply
		start := time.Now()
		res := deliver(t, s, size, newTransaction(1), nil)
		k.silence(t, time.Since(start), 300*time.Second)
		want := k.want("lhlo", k.code/100 != 2)
		if got := describe(res.openErr); got != want {
			t.Errorf("error %q, want %q", got, want)
		}
	})
}

func TestMail(t *testing.T) {
	matrix(t, func(t *testing.T, k kind, s *fakeServer, size int) {
		s.mail = k.reply
		res := deliver(t, s, size, newTransaction(2), nil)
		k.silence(t, res.elapsed, 300*time.Second)
		if k.code/100 == 2 && k.code > 0 {
			res.expect(t, "ok", "final 250, final 250")
			return
		}
		res.expect(t, k.want("mail", true), ", ")
		if k.code > 0 && s.lines[len(s.lines)-2] != "RSET" {
			t.Errorf("no RSET after a refusal: %q", s.lines)
		}
	})
}

func TestRcpt(t *testing.T) {
	matrix(t, func(t *testing.T, k kind, s *fakeServer, size int) {
		s.rcpt = func(i int) string {
			return []string{"550 5.1.1 first", "", k.reply, ""}[i]
		}
		res := deliver(t, s, size, newTransaction(4), nil)
		k.silence(t, res.elapsed, 300*time.Second)
		switch {
		case k.code < 0:
			res.expect(t, k.want("rcpt", true), "rejected 550, , , ")
		case k.code/100 == 2:
			res.expect(t, "ok", "rejected 550, final 250, final 250, final 250")
		default:
			res.expect(t, "ok", fmt.Sprintf("rejected 550, final 250, rejected %03d, final 250", k.code))
		}
	})
}

func TestAllRejected(t *testing.T) {
	matrix(t, func(t *testing.T, k kind, s *fakeServer, size int) {
		if k.code/100 == 2 || k.code < 0 {
			return
		}
		s.rcpt = func(int) string { return k.reply }
		res := deliver(t, s, size, newTransaction(2), nil)
		res.expect(t, "ok", fmt.Sprintf("rejected %03[1]d, rejected %03[1]d", k.code))
		if s.lines[len(s.lines)-2] != "RSET" || s.body != nil {
			t.Errorf("no RSET: %q, body %q", s.lines, s.body)
		}
	})
}

func TestData(t *testing.T) {
	matrix(t, func(t *testing.T, k kind, s *fakeServer, size int) {
		s.rcpt = func(i int) string { return []string{"", "550 5.1.1 second", ""}[i] }
		s.data = k.reply
		res := deliver(t, s, size, newTransaction(3), nil)
		k.silence(t, res.elapsed, 120*time.Second)
		if k.code/100 == 3 {
			res.expect(t, "ok", "final 250, rejected 550, final 250")
			return
		}
		res.expect(t, k.want("data", true), ", rejected 550, ")
		if k.code > 0 && s.lines[len(s.lines)-2] != "RSET" {
			t.Errorf("no RSET after a refusal: %q", s.lines)
		}
	})
}

func TestFinal(t *testing.T) {
	matrix(t, func(t *testing.T, k kind, s *fakeServer, size int) {
		s.final = func(i int) string { return []string{"", k.reply, ""}[i] }
		res := deliver(t, s, size, newTransaction(3), nil)
		k.silence(t, res.elapsed, 600*time.Second)
		if k.code < 0 {
			res.expect(t, k.want("final", true)+" unconfirmed", "final 250, , ")
		} else {
			res.expect(t, "ok", fmt.Sprintf("final 250, final %03d, final 250", k.code))
		}
		if !s.complete {
			t.Error("the server did not see the final dot")
		}
	})
}

func TestReset(t *testing.T) {
	matrix(t, func(t *testing.T, k kind, s *fakeServer, size int) {
		s.rset = k.reply
		s.rcpt = func(int) string { return "550 5.1.1 no" }
		res := deliver(t, s, size, newTransaction(1), nil)
		k.silence(t, res.elapsed, 20*time.Second)
		res.expect(t, "ok", "rejected 550")
		if res.reusable != (k.code/100 == 2 && k.code > 0) {
			t.Errorf("reusable %v after %s", res.reusable, k.name)
		}
	})
}

func TestXForward(t *testing.T) {
	matrix(t, func(t *testing.T, k kind, s *fakeServer, size int) {
		s.keywords = append(s.keywords, "XFORWARD NAME ADDR PROTO HELO SOURCE PORT IDENT")
		s.xforward = k.reply
		tr := newTransaction(1)
		tr.XForward = &XForward{Name: "c=d.example", Addr: "192.0.2.1", Port: "unknown",
			Proto: "ESMTP", Helo: "h +1", Ident: "Q1", RewriteContext: "remote"}
		res := deliver(t, s, size, tr, nil)
		k.silence(t, res.elapsed, 300*time.Second)
		if k.code < 0 {
			res.expect(t, k.want("xforward1", true), "")
			return
		}
		res.expect(t, "ok", "final 250")
		if got := strings.Join(s.lines[1:3], "\n"); got !=
			"XFORWARD NAME=c=d.example ADDR=192.0.2.1\nXFORWARD PROTO=ESMTP HELO=h+20+2B1 IDENT=Q1 SOURCE=REMOTE" {
			t.Errorf("XFORWARD: %s", got)
		}
		want := k.code/100 != 2
		if log := strings.Join(res.log, "\n"); want != strings.Contains(log,
			"(in reply to XFORWARD name/address command)") {
			t.Errorf("log: %s", log)
		}
	})
}

// TestCount delivers to up to 1000 recipients, with mixed outcomes.
func TestCount(t *testing.T) {
	for _, n := range []int{1, 2, 50, 1000} {
		for _, size := range []int{1, 64, 4096} {
			for _, pipelining := range []bool{true, false} {
				bubble(t, fmt.Sprintf("%d/%d/%v", n, size, pipelining), func(t *testing.T) {
					s := &fakeServer{keywords: []string{"DSN"}}
					if pipelining {
						s.keywords = append(s.keywords, "PIPELINING")
					}
					var want []string
					for i := range n {
						want = append(want, []string{"final 250", "rejected 451", "rejected 550", "final 452", "final 552"}[i%5])
					}
					s.rcpt = func(i int) string {
						return []string{"", "451 4.2.0 busy", "550 5.1.1 who?", "", ""}[i%5]
					}
					s.final = func(i int) string {
						return []string{"", "", "", "452 4.2.2 full", "552 5.2.2 full"}[i%5]
					}
					res := deliver(t, s, size, newTransaction(n), nil)
					res.expect(t, "ok", strings.Join(want, ", "))
					if res.elapsed != 0 {
						t.Errorf("took %v", res.elapsed)
					}
					if !res.reusable {
						t.Error("not reusable")
					}
				})
			}
		}
	}
}

// TestSegments cuts replies into odd pieces with pauses between them.
func TestSegments(t *testing.T) {
	for _, seg := range []int{1, 2, 3, 5, 11} {
		bubble(t, fmt.Sprint(seg), func(t *testing.T) {
			s := &fakeServer{keywords: []string{"PIPELINING"}, segment: seg, gap: 100 * time.Second}
			s.rcpt = func(i int) string { return []string{"", "550-5.1.1 no\r\n550 5.1.1 such", ""}[i] }
			res := deliver(t, s, 4096, newTransaction(3), nil)
			res.expect(t, "ok", "final 250, rejected 550, final 250")
		})
	}
}

// TestPerRequestDeadline gives a slow reply one limit as a whole.
func TestPerRequestDeadline(t *testing.T) {
	for _, perReq := range []bool{true, false} {
		bubble(t, fmt.Sprint(perReq), func(t *testing.T) {
			s := &fakeServer{segment: 10, gap: 100 * time.Second}
			s.greeting = "220 x"
			s.lhlo = "250 y"
			s.mail = "250 " + strings.Repeat("x", 60)
			res := deliver(t, s, 4096, newTransaction(1), func(o *Options) {
				o.Timeouts.PerRequestDeadline = perReq
			})
			if !perReq {
				res.expect(t, "ok", "final 250")
				return
			}
			res.expect(t, "timeout mail", "")
			if res.elapsed != 300*time.Second {
				t.Errorf("took %v", res.elapsed)
			}
		})
	}
}

// TestSlowGroup has a server that reads slowly through small buffers: a group
// may take longer than any limit as long as it makes progress.
func TestSlowGroup(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		s := &fakeServer{keywords: []string{"PIPELINING"}, slow: 110 * time.Second}
		res := deliver(t, s, 7, newTransaction(20), nil)
		if res.err != nil {
			t.Error(res.err)
		}
	})
}

func TestProbes(t *testing.T) {
	for _, pipelining := range []bool{true, false} {
		for _, p := range []Probe{ProbeRcpt, ProbeData} {
			bubble(t, fmt.Sprint(pipelining, p), func(t *testing.T) {
				s := &fakeServer{}
				if pipelining {
					s.keywords = []string{"PIPELINING"}
				}
				s.rcpt = func(i int) string { return []string{"", "550 5.1.1 no"}[i] }
				tr := newTransaction(2)
				tr.Probe, tr.Body = p, nil
				res := deliver(t, s, 64, tr, nil)
				if p == ProbeRcpt {
					res.expect(t, "ok", "final 250, rejected 550")
					if got := strings.Join(s.lines[len(s.lines)-2:], " "); got != "RSET QUIT" || !res.reusable {
						t.Errorf("end %q, reusable %v", got, res.reusable)
					}
					return
				}
				res.expect(t, "ok", "final 354, rejected 550")
				if got := s.lines[len(s.lines)-1]; got != "DATA" || res.reusable {
					t.Errorf("end %q, reusable %v", got, res.reusable)
				}
			})
		}
	}
}

// A probe whose dialog breaks off: who was answered before has that answer.
func TestProbeBrokenOff(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		s := &fakeServer{keywords: []string{"PIPELINING"}}
		s.rcpt = func(i int) string { return []string{"", "550 5.1.1 no", doClose}[i] }
		tr := newTransaction(3)
		tr.Probe, tr.Body = ProbeRcpt, nil
		res := deliver(t, s, 64, tr, nil)
		var conn *ConnError
		if !errors.As(res.err, &conn) || conn.Stage != StageRcpt || len(conn.Unsettled) != 1 || conn.Unsettled[0] != 2 {
			t.Errorf("error %v, unsettled %v", res.err, conn)
		}
	})
}

func TestErrorText(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want string
	}{
		{&ConnError{Stage: StageMail, Timeout: true}, "timed out while sending MAIL FROM"},
		{&ConnError{Stage: StageFinal}, "lost connection while sending end of data -- message may be sent more than once"},
		{&ConnError{Stage: StageRcpt, Err: ErrDesync}, "broken off while sending RCPT TO: reply without a command"},
		{&ReplyError{Stage: StageData, Reply: Reply{Lines: []string{"554-a", "554 b"}}}, "DATA: server said: 554-a 554 b"},
		{&ReplyError{Stage: StageGreeting, Reply: Reply{Lines: []string{"554 b"}}}, "greeting: server said: 554 b"},
		{&LocalError{Stage: StageBody, Err: errors.New("read queue file: gone")}, "local error while sending message body: read queue file: gone"},
	} {
		if got := tc.err.Error(); got != tc.want {
			t.Errorf("got  %s\nwant %s", got, tc.want)
		}
	}
}
