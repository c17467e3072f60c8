package e2e

import (
	"math/rand/v2"
	"syscall"
	"testing"
	"time"
)

// TestReloadOfStutteringWorker: the queue manager of a reload finds requests of the
// one before it at every stage, because the workers stop again and again for a
// moment. Nobody gets a message twice, because a request counts only if its queue
// manager is there when the message is locked.
func TestReloadOfStutteringWorker(t *testing.T) {
	const messages = 1500
	p := startPostfix(t, options{syslog: true, main: []string{"enable_long_queue_ids = yes"}})
	s := unixSink(t, p, "sink").run()
	l := p.inject(messages, 8, "sink.lmtp.sock.test")
	over := make(chan struct{})
	stutter := make(chan struct{})
	go func() {
		defer close(stutter)
		for {
			workers := p.workers()
			for _, w := range workers {
				syscall.Kill(w.pid, syscall.SIGSTOP)
			}
			time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond)
			for _, w := range workers {
				syscall.Kill(w.pid, syscall.SIGCONT)
			}
			select {
			case <-over:
				return
			case <-time.After(time.Duration(rand.IntN(5)) * time.Millisecond):
			}
		}
	}()
	for busy := true; busy; {
		p.reload()
		select {
		case <-l.done:
			busy = false
		case <-time.After(200 * time.Millisecond):
		}
	}
	close(over)
	<-stutter
	p.drain()
	for _, id := range l.ids {
		switch n := s.times(id, "load@sink.lmtp.sock.test"); {
		case n == 0:
			t.Errorf("%s is lost", id)
		case n > 1 && p.agent.ours():
			t.Errorf("%s is delivered %d times", id, n)
		}
	}
	if !p.agent.ours() {
		t.Logf("as expected of Postfix's own: %d messages doubled", len(s.doubled()))
	}
}
