package delivery

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"postlmtp/internal/dsn"
	"postlmtp/internal/nexthop"
	"postlmtp/internal/request"
)

// TestMoodyServers delivers one message after the other over the same kept
// sessions to servers of all moods, stops some deliveries in the middle, and
// compares what was reported and marked with what the servers know.
func TestMoodyServers(t *testing.T) {
	unconfirmed := 0
	for seed := range uint64(80) {
		synctest.Test(t, func(t *testing.T) {
			r := &moodyRun{world: newWorld(t), rnd: rand.New(rand.NewPCG(seed, 1)),
				box: &letterbox{stored: map[string]int{}, bodies: map[string]string{}}}
			r.prepare(seed)
			d := New(r.opt, r)
			for n := 0; n < 6 && !t.Failed(); n++ {
				r.one(d, fmt.Sprintf("%d-%d", seed, n))
				time.Sleep(time.Duration(r.rnd.IntN(3000)) * time.Millisecond)
			}
			d.Close()
			time.Sleep(2 * time.Hour) // for those who fell silent
			synctest.Wait()
			if s := d.pool.Stats(); s.Leased+s.Idle+r.box.open != 0 {
				t.Errorf("seed %d: %+v, %d connections", seed, s, r.box.open)
			}
			unconfirmed += r.again
		})
	}
	if unconfirmed == 0 {
		t.Error("no reply was ever missing")
	}
}

// A moodyRun is a Reporter, too.
type moodyRun struct {
	*world
	rnd    *rand.Rand
	box    *letterbox
	id     string            // of the message that is under way
	ends   map[string]string // of its recipients
	again  int               // copies that nobody was told of
	connNo uint64
}

// prepare makes two servers.
func (r *moodyRun) prepare(seed uint64) {
	odds, caps := map[string]int{}, map[string][]string{}
	for _, host := range []string{"a", "b"} {
		odds[host] = []int{0, 3, 8, 20}[r.rnd.IntN(4)]
		for _, c := range []string{"PIPELINING", "CHUNKING", "8BITMIME", "DSN"} {
			if r.rnd.IntN(4) > 0 {
				caps[host] = append(caps[host], c)
			}
		}
	}
	r.opt.Chunking = r.rnd.IntN(2) == 0
	r.opt.Dial = func(_ context.Context, ep nexthop.Endpoint) (net.Conn, error) {
		r.connNo++
		m := &moody{box: r.box, rnd: rand.New(rand.NewPCG(seed, r.connNo)), odds: odds[ep.Host], caps: caps[ep.Host]}
		if m.errs(3) {
			return nil, &nexthop.DialError{Endpoint: ep, Err: syscall.ECONNREFUSED,
				Diagnosis: dsn.Diagnosis{Status: "4.4.1", Reason: "connect to " + ep.Relay() + ": Connection refused"}}
		}
		ours, theirs := net.Pipe()
		m.conn = theirs
		m.note(func(b *letterbox) { b.open++ })
		go func() {
			defer m.note(func(b *letterbox) { b.open-- })
			m.serve()
		}()
		return ours, nil
	}
}

// Report holds a diagnosis to the recipient that it is for.
func (r *moodyRun) Report(req *request.Request, rcpt request.Recipient, o Outcome, at request.Attempt, d dsn.Diagnosis) Settlement {
	if was, settled := r.ends[rcpt.Address]; settled {
		r.t.Errorf("%s: %s is %v, and was %s", r.id, rcpt.Address, o, was)
	}
	r.ends[rcpt.Address] = o.String()
	own := "<" + rcpt.Address + ">"
	switch {
	case o == Sent && !strings.HasSuffix(d.Reason, own+" "+r.id+" saved"),
		strings.Contains(d.Reason, "<") && !strings.Contains(d.Reason, own),
		strings.Contains(d.Reason, "503 5.5.1"): // what follows from another refusal
		r.t.Errorf("%s: %s is %v: %s", r.id, rcpt.Address, o, d.Reason)
	}
	return Settlement{Final: o != Deferred, Sent: o == Sent}
}

// one delivers one message.
func (r *moodyRun) one(d *Deliverer, id string) {
	r.id, r.ends, r.log = id, map[string]string{}, nil
	var rcpts []string
	for i := range 1 + r.rnd.IntN(4) {
		rcpts = append(rcpts, fmt.Sprintf("r%d", i))
	}
	text := "Subject: " + id + "\n\n" + strings.Repeat("hello\n..dots\n.\n", []int{1, 200, 10_000}[r.rnd.IntN(3)])
	req, file := r.queueText([]string{"ab", "a", "a, b", "ab, none"}[r.rnd.IntN(4)], text, rcpts...)
	if r.rnd.IntN(4) > 0 {
		req.Flags |= onDemand
	}
	ctx, cancel := context.WithCancelCause(r.t.Context())
	if r.rnd.IntN(8) == 0 {
		timer := time.AfterFunc(time.Duration(r.rnd.IntN(3000))*time.Millisecond, func() { cancel(errStopping) })
		defer timer.Stop()
	}
	result := d.Deliver(ctx, req, file)
	marks := marked(r.t, req, file)
	result.Goodbye()
	cancel(nil)

	r.box.mu.Lock()
	defer r.box.mu.Unlock()
	told := strings.Contains(strings.Join(r.log, "\n"), "unconfirmed: ")
	left := false
	for i, rcpt := range rcpts {
		end, copies := r.ends[rcpt], r.box.stored[id+" "+rcpt]
		done := end == "sent" || end == "bounced"
		left = left || !done
		if end == "sent" {
			copies--
		}
		r.again += max(copies, 0)
		if copies < 0 || copies > 0 && !told || end == "" && !result.Abandoned || (marks[i] == 'D') != done {
			r.t.Errorf("%s: %s is %q with mark %c, %d copies besides, told: %v", id, rcpt, end, marks[i], copies, told)
		}
	}
	if left != result.Unfinished {
		r.t.Errorf("%s: %+v for %v", id, result, r.ends)
	}
	if body, stored := r.box.bodies[id]; stored && body != strings.ReplaceAll(text, "\n", "\r\n") {
		r.t.Errorf("%s: %d bytes of content became %d", id, len(text), len(body))
	}
	if r.t.Failed() {
		r.t.Logf("%s", strings.Join(r.log, "\n"))
	}
}
