package e2e

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// load is a stream of messages into an instance, each to a recipient of its
// own, over several SMTP sessions.
type load struct {
	ids  []string
	done chan struct{}
	sent atomic.Int64
}

// inject starts a load of n messages to a domain.
func (p *postfix) inject(n, sessions int, domain string) *load {
	l := &load{done: make(chan struct{})}
	for i := range n {
		l.ids = append(l.ids, newID(fmt.Sprint("load-", i)))
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range sessions {
		wg.Go(func() {
			// A session lasts through a reload: smtpd finishes its client.
			c, err := p.dial("smtp")
			if err != nil {
				p.t.Errorf("inject: %v", err)
				return
			}
			defer c.close()
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				id := l.ids[i]
				if _, err := c.send(envelope{to: []string{"load@" + domain}}, small(id)); err != nil {
					p.t.Errorf("inject %s: %v", id, err)
					return
				}
				l.sent.Add(1)
			}
		})
	}
	go func() { wg.Wait(); close(l.done) }()
	return l
}

// TestReloadStopUnderLoad: "postfix reload" and "postfix stop" and "start" in
// the middle of 5,000 messages: none lost, none doubled.
//
// It logs by syslog: a master(8) that writes to the full socket of postlogd(8)
// waits for a reader that nobody but itself can start. With maillog_file, once
// in a while, such a reload leaves master(8) and qmgr(8) standing for ever, with
// any agent (seen with 3.7.11).
func TestReloadStopUnderLoad(t *testing.T) {
	const messages = 5000
	// A short queue ID may come again, with another message.
	p := startPostfix(t, options{syslog: true, main: []string{"enable_long_queue_ids = yes"}})
	s := unixSink(t, p, "sink")
	// From the first stop on there shall be mail to deliver: the sink holds
	// half of it back until all is submitted.
	submitted := make(chan struct{})
	s.onFinal = func(*transaction, string) string {
		if s.count() >= messages/2 {
			s.wait(submitted)
		}
		return ""
	}
	s.run()
	l := p.inject(messages, 8, "sink.lmtp.sock.test")
	reached := func(n int) {
		eventually(t, later, fmt.Sprintf("%d deliveries", n), func() bool { return s.count() >= n })
	}
	var at []int
	step := func(n int, action func()) {
		t.Helper()
		reached(n)
		at = append(at, s.count())
		action()
	}
	start := time.Now()
	step(500, p.reload)
	step(1000, p.reload)
	step(1500, p.reload)
	select {
	case <-l.done:
	case <-time.After(later):
		t.Fatalf("%d messages submitted", l.sent.Load())
	}
	if n := l.sent.Load(); n != messages {
		t.Fatalf("%d messages submitted", n)
	}
	close(submitted)
	step(2600, func() { p.stop(); p.start() })
	p.flush()
	step(3400, p.reload)
	step(4000, func() { p.stop(); p.start() })
	p.drain()
	t.Logf("%d messages in %v; interrupted after %v deliveries", messages, time.Since(start).Round(time.Second), at)

	for _, id := range l.ids {
		if s.times(id, "load@sink.lmtp.sock.test") == 0 {
			t.Errorf("%s is lost", id)
		}
	}
	if d := s.doubled(); len(d) > 0 {
		if p.agent.ours() {
			t.Errorf("%d doubled: %v", len(d), d[:min(10, len(d))])
		} else {
			t.Logf("as expected of Postfix's own: a stop doubled %d messages", len(d))
		}
	}
	// Nothing is logged twice.
	logged := map[string]bool{}
	for _, d := range p.log.deliveries(0) {
		if d.status == "sent" && p.agent.ours() {
			if logged[d.queueID] {
				t.Errorf("logged twice: %s", d.line)
			}
			logged[d.queueID] = true
		}
	}
	if n := len(logged); p.agent.ours() && n < messages-2*20 {
		t.Errorf("%d of %d messages are logged as sent", n, messages)
	}
}
