package e2e

import (
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// slowTime is how long the slow delivery takes in the reload test.
func slowTime(t *testing.T) time.Duration {
	text := os.Getenv("POSTLMTP_E2E_SLOW")
	if text == "" {
		return 20 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("POSTLMTP_E2E_SLOW: %v", err)
	}
	return d
}

// reloaded runs "postfix reload" and waits until master has done its part.
func (p *postfix) reloaded() {
	p.t.Helper()
	mark := p.log.mark()
	p.reload()
	p.log.wait(p.t, mark, `/master\[\d+\]: reload -- version `)
}

// TestReloadWithSlowDelivery: while a delivery is in flight for a long time,
// mail that arrives after "postfix reload" is delivered at once, with the new
// settings; the slow one ends as sent, once.
func TestReloadWithSlowDelivery(t *testing.T) {
	t.Parallel()
	p := startPostfix(t, options{main: []string{"lmtp_lhlo_name = old.e2e.test"}})
	s := unixSink(t, p, "sink")
	slow := newID("slow")
	begun, took := make(chan struct{}), slowTime(t)
	s.onFinal = func(tx *transaction, _ string) string {
		if tx.id == slow {
			close(begun)
			select {
			case <-time.After(took):
			case <-s.done:
			}
		}
		return ""
	}
	s.run()
	to := "rcpt@sink.lmtp.sock.test"
	slowID := p.submit(envelope{to: []string{to}}, small(slow))
	<-begun

	for _, name := range []string{"new.e2e.test", "newer.e2e.test"} {
		p.set("lmtp_lhlo_name = " + name)
		p.reloaded()
		for range 3 {
			var id, queueID string
			took := elapsed(func() {
				id, queueID = p.sendSmall(t, "", to)
				p.log.delivered(t, 0, queueID, to, "sent")
			})
			if took > 5*time.Second {
				t.Errorf("a message after the reload takes %v", took)
			}
			if got := s.received(id); len(got) != 1 || got[0].lhlo != name {
				t.Errorf("received after the reload: %d times, LHLO %v, want %s", len(got), got, name)
			}
		}
		if s.times(slow, to) != 0 {
			t.Fatal("the slow delivery is over: the test shows nothing")
		}
	}

	p.log.delivered(t, 0, slowID, to, "sent")
	p.drain()
	if n := len(s.received(slow)); n != 1 {
		t.Errorf("the slow message was transferred %d times", n)
	}
	if d := s.doubled(); len(d) > 0 {
		t.Errorf("doubled: %v", d)
	}
	p.log.noAlarm(t, 0)
}

// TestStopAwaitsFinalReply: "postfix stop" while a transaction waits for its
// final replies. Those that come within 2 s count: after the next start the
// recipients are not tried again.
func TestStopAwaitsFinalReply(t *testing.T) {
	t.Parallel()
	p := startPostfix(t, options{})
	s := unixSink(t, p, "sink")
	first, second := "first@sink.lmtp.sock.test", "second@sink.lmtp.sock.test"
	waiting, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s.onFinal = func(_ *transaction, rcpt string) string {
		if rcpt == second {
			once.Do(func() { close(waiting) })
			s.wait(release)
		}
		return ""
	}
	s.run()
	id := newID("stop")
	queueID := p.submit(envelope{to: []string{first, second}}, small(id))
	<-waiting
	go func() {
		time.Sleep(1500 * time.Millisecond)
		close(release)
	}()
	p.stop()
	p.start()
	started := s.times(id, second) == 0
	p.drain()
	for _, rcpt := range []string{first, second} {
		switch n := s.times(id, rcpt); {
		case n == 1:
		case !p.agent.ours() && rcpt == second && n == 2:
			t.Logf("as expected of Postfix's own: delivered to %s twice, because a signal ends it in the middle", rcpt)
		default:
			t.Errorf("delivered to %s %d times", rcpt, n)
		}
	}
	// Between the end of one postlogd and the start of the next nobody logs.
	if p.agent.ours() && started {
		p.log.delivered(t, 0, queueID, second, "sent")
	}
	if p.agent.ours() {
		p.log.noAlarm(t, 0)
	}
}

// TestStopAbandons: a transaction that has not sent its final dot is abandoned
// by "postfix stop" at once, and done again after the next start.
func TestStopAbandons(t *testing.T) {
	t.Parallel()
	p := startPostfix(t, options{})
	s := unixSink(t, p, "sink")
	waiting, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s.onData = func(*transaction) {
		once.Do(func() { close(waiting) })
		s.wait(release)
	}
	s.run()
	to := "rcpt@sink.lmtp.sock.test"
	id, queueID := p.sendSmall(t, "", to)
	<-waiting
	took := elapsed(func() {
		p.stop()
		eventually(t, soon, "the agents to leave", func() bool { return len(p.agents()) == 0 })
	})
	if took > 4*time.Second {
		t.Errorf("the agents take %v to leave", took)
	}
	close(release)
	p.start()
	p.drain()
	p.log.delivered(t, 0, queueID, to, "sent")
	if n := s.times(id, to); n != 1 {
		t.Errorf("delivered %d times", n)
	}
}

// TestKill: the agent's processes die in the middle of a delivery. The mail
// stays in the queue and is delivered later.
func TestKill(t *testing.T) {
	t.Parallel()
	t.Run("the one that delivers", func(t *testing.T) {
		testKill(t, (*postfix).workers, `postfix/lmtp\[\d+\]: warning: worker process pid \d+ killed by signal 9`)
	})
	t.Run("all", func(t *testing.T) {
		// The parent of our worker does not serve requests: master(8) thinks that it never worked.
		testKill(t, (*postfix).agents, `/master\[\d+\]: warning: .*: bad command startup -- throttling`)
	})
}

func testKill(t *testing.T, which func(*postfix) []process, expected string) {
	p := startPostfix(t, options{})
	s := unixSink(t, p, "sink")
	victim := newID("victim")
	waiting, killed := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s.onFinal = func(tx *transaction, _ string) string {
		select {
		case <-killed:
			return ""
		default:
		}
		if tx.id != victim {
			return ""
		}
		once.Do(func() { close(waiting) })
		s.wait(killed)
		return hangUp
	}
	s.run()
	to := "rcpt@sink.lmtp.sock.test"
	// A process that dies on its first client is taken for a bad installation.
	_, queueID := p.sendSmall(t, "", to)
	p.log.delivered(t, 0, queueID, to, "sent")

	queueID = p.submit(envelope{to: []string{to}}, small(victim))
	<-waiting
	list := which(p)
	if len(list) == 0 {
		t.Fatal("no process of the agent")
	}
	for _, a := range list {
		a.kill()
	}
	close(killed)
	if p.file(queueID) == "" {
		t.Fatal("the message is gone")
	}
	// Other mail goes on meanwhile.
	_, otherID := p.sendSmall(t, "", "other@sink.lmtp.sock.test")
	p.drain()
	p.log.delivered(t, 0, otherID, "other@sink.lmtp.sock.test", "sent")
	p.log.delivered(t, 0, queueID, to, "sent")
	if n := s.times(victim, to); n != 1 {
		t.Errorf("delivered %d times", n)
	}
	p.log.noAlarm(t, 0, `/master\[\d+\]: warning: process .* killed by signal 9`, expected,
		`qmgr\[\d+\]: warning: (private/lmtp socket|transport lmtp failure|premature end-of-input)`)
}

// TestProcessLimit: the process limit of master.cf bounds the deliveries that
// run at once, however many processes there are.
func TestProcessLimit(t *testing.T) {
	t.Parallel()
	cases := map[string][]string{"as installed": nil}
	if underTest(t).ours() {
		cases["one delivery in a process"] = []string{"postlmtp_process_concurrency = 1"}
	}
	for name, settings := range cases {
		t.Run(name, func(t *testing.T) {
			const limit = 5
			p := startPostfix(t, options{maxproc: "5",
				main: append([]string{"lmtp_connection_cache_on_demand = no"}, settings...)})
			s := unixSink(t, p, "sink")
			gate := make(chan struct{})
			s.onFinal = func(*transaction, string) string { s.wait(gate); return "" }
			s.run()
			for range 30 {
				p.sendSmall(t, "", "rcpt@sink.lmtp.sock.test")
			}
			eventually(t, later, "as many deliveries as the limit allows", func() bool {
				_, busy := s.peaks()
				return busy >= limit
			})
			// All the others are waiting: time enough to exceed the limit.
			if within(time.Second, func() bool { sessions, _ := s.peaks(); return sessions > limit }) {
				t.Error("more sessions than the limit")
			}
			n := len(p.agents())
			if settings != nil && n < limit {
				t.Errorf("%d processes for %d deliveries, want one for each", n, limit)
			}
			close(gate)
			p.empty()
			if n := s.count(); n != 30 {
				t.Errorf("%d of 30 delivered", n)
			}
			if sessions, busy := s.peaks(); sessions > limit || busy > limit {
				t.Errorf("%d sessions and %d transactions at one time", sessions, busy)
			}
			t.Logf("%d processes of %s", n, strings.Join(append([]string{p.agent.name}, settings...), ", "))
			p.log.noAlarm(t, 0)
		})
	}
}
