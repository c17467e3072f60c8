package master

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// At the bound the next connection stays in the listen queue, and master never
// hears a word.
func TestConcurrentBound(t *testing.T) {
	m := newMaster(t)
	p := m.start("bound=3")
	const clients = 20
	var served, queued []*client
	for range 3 {
		served = append(served, m.connect())
	}
	worker := served[0].pid
	if worker == p.pid() {
		t.Fatal("served by the process that master started, want its worker")
	}
	for range clients - len(served) {
		queued = append(queued, m.dial())
	}
	for len(queued) > 0 {
		if got := served[0].ask("status"); got != "active 3 peak 3" {
			t.Fatalf("agent says %q, want 3 at once", got)
		}
		served[0].done()
		queued[0].greeted() // in order
		if queued[0].pid != worker {
			t.Fatalf("served by process %d, want %d", queued[0].pid, worker)
		}
		served, queued = append(served[1:], queued[0]), queued[1:]
	}
	m.noStatus()
	if _, err := os.Lstat(filepath.Join(m.dir, "pid/unix.lmtp")); err == nil {
		t.Error("an accept lock, which this model does not use")
	}
	gone := watch(t, worker)
	m.reload()
	p.exits(0)
	for _, c := range served {
		c.done()
	}
	gone()
}

// "postfix reload": P leaves at once, W finishes, a new process takes new work.
func TestConcurrentReload(t *testing.T) {
	m := newMaster(t)
	p := m.start("bound=2")
	busy := m.connect()
	waiting := m.connect() // has sent nothing yet
	queued := m.dial()     // not accepted by the old process
	gone := watch(t, busy.pid)
	m.reload()
	p.exits(0)

	m.newGeneration()
	next := m.start("bound=2")
	queued.greeted()
	if queued.pid == busy.pid {
		t.Fatal("the old worker has accepted a connection after the reload")
	}
	if got := busy.ask("status"); got != "active 2 peak 2" {
		t.Errorf("old worker says %q", got)
	}
	m.reload() // again: nothing to the old worker
	next.exits(0)
	busy.done()
	if got := waiting.ask("status"); !strings.HasPrefix(got, "active 1 ") {
		t.Errorf("old worker says %q", got)
	}
	waiting.done()
	gone()
	queued.done()
}

func TestConcurrentMaxUse(t *testing.T) {
	m := newMaster(t)
	p := m.start("bound=2", "max_use=2")
	m.connect().done()
	m.connect().done()
	c := m.connect()
	gone := watch(t, c.pid)
	last := m.connect() // the fourth: 2 for each slot
	p.exits(0)
	queued := m.dial()
	c.done()
	if got := last.ask("status"); got != "active 1 peak 2" {
		t.Errorf("agent says %q", got)
	}
	last.done()
	gone()
	m.start("bound=2")
	queued.greeted()
}

func TestConcurrentMaxIdle(t *testing.T) {
	m := newMaster(t)
	p := m.start("bound=2", "max_idle_ms=200")
	c := m.connect()
	gone := watch(t, c.pid)
	c.done()
	p.exits(0)
	gone()
	m.logHas("idle timeout -- exiting")
}

func TestConcurrentTableChanged(t *testing.T) {
	m := newMaster(t)
	changed := filepath.Join(m.dir, "changed")
	p := m.start("bound=2", "changed="+changed)
	busy := m.connect()
	gone := watch(t, busy.pid)
	m.must(os.WriteFile(changed, nil, 0o600))
	c := m.dial()
	p.exits(0)
	m.logHas("table hash:x has changed -- restarting")
	m.must(os.Remove(changed))
	m.start("bound=2")
	c.greeted()
	busy.done()
	gone()
}

// SIGTERM to the process group, as "postfix stop" does it.
func TestConcurrentStop(t *testing.T) {
	m := newMaster(t)
	p := m.start("bound=2", "grace_ms=20000")
	quick, other := m.connect(), m.connect()
	gone := watch(t, quick.pid)
	m.must(syscall.Kill(quick.pid, syscall.SIGTERM))
	quick.expect("cancelled: the mail system is stopping")
	other.expect("cancelled: the mail system is stopping")
	p.exits(0) // the worker takes no more: master may start another
	quick.done()
	other.done()
	gone()

	p = m.start("bound=2", "grace_ms=50")
	stubborn := m.connect()
	gone = watch(t, stubborn.pid)
	stubborn.say("hang")
	m.must(syscall.Kill(stubborn.pid, syscall.SIGTERM))
	p.exits(0)
	gone()
}

// SIGTERM to P alone is what master sends when the service is gone from
// master.cf; it then waits for P in a tight loop.
func TestConcurrentRemoved(t *testing.T) {
	m := newMaster(t)
	p := m.start("bound=2")
	c := m.connect()
	gone := watch(t, c.pid)
	p.signal(syscall.SIGTERM)
	p.exits(0)
	if got := c.ask("status"); got != "active 1 peak 1" {
		t.Errorf("agent says %q", got)
	}
	c.done()
	gone()
}

func TestConcurrentIgnoredSignals(t *testing.T) {
	m := newMaster(t)
	p := m.start("bound=2")
	c := m.connect()
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGPIPE} {
		p.signal(sig)
		m.must(syscall.Kill(c.pid, sig))
	}
	if got := c.ask("status"); got != "active 1 peak 1" {
		t.Errorf("agent says %q", got)
	}
	c.done()
	m.reload()
	p.exits(0)
}

func TestConcurrentParentKilled(t *testing.T) {
	m := newMaster(t)
	p := m.start("bound=2")
	c := m.connect()
	gone := watch(t, c.pid)
	p.signal(syscall.SIGKILL)
	p.exits(-1)
	queued := m.dial()
	m.start("bound=2")
	queued.greeted()
	if queued.pid == c.pid {
		t.Error("the orphan still accepts")
	}
	c.done()
	gone()
}

// How the worker ends decides whether master throttles the service.
func TestConcurrentCrash(t *testing.T) {
	for _, c := range []struct {
		name, command string
		served        bool
		status        int
		log           string
	}{
		{"exit at once", "exit 7", false, 7, "warning: worker process pid %d exit status 7"},
		{"exit later", "exit 7", true, 0, "warning: worker process pid %d exit status 7"},
		{"signal at once", "die", false, 128 + 9, "warning: worker process pid %d killed by signal 9"},
		{"signal later", "die", true, 0, "warning: worker process pid %d killed by signal 9"},
		{"panic", "panic out of luck", false, 2, "warning: worker process pid %d: panic: out of luck"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMaster(t)
			p := m.start("bound=2")
			if c.served {
				// The third connection is accepted only when a slot is free, so
				// when P has been told of the first end.
				m.connect().done()
				m.connect().done()
			}
			victim := m.connect()
			victim.say(c.command)
			victim.closed()
			p.exits(c.status)
			m.logHas(fmt.Sprintf(c.log, victim.pid))
		})
	}
}

// A worker that cannot start gives P its status, so that master throttles.
func TestConcurrentBrokenStart(t *testing.T) {
	m := newMaster(t)
	broken := filepath.Join(m.dir, "broken")
	m.must(os.WriteFile(broken, nil, 0o600))
	m.start("bound=2", "break="+broken).exits(3)
	m.logHas("fatal: broken by the test")
}

func TestConcurrentWatchdog(t *testing.T) {
	m := newMaster(t)
	p := m.start("bound=2", "watchdog_ms=100", "grace_ms=50")
	lost := m.connect()
	gone := watch(t, lost.pid)
	lost.say("hang")
	lost.expect("cancelled: watchdog timeout")
	p.exits(0) // given up: the worker drains
	gone()
	m.logHas("warning: watchdog timeout: a delivery made no progress for daemon_timeout (100ms)")
}

// A worker drains also while all its slots are taken.
func TestConcurrentReloadAtBound(t *testing.T) {
	m := newMaster(t)
	p := m.start("bound=2")
	a, b := m.connect(), m.connect()
	gone := watch(t, a.pid)
	m.reload()
	p.exits(0)
	a.done()
	b.done()
	gone()
}

// Many connections at once, up to max_use: all are served, by one worker.
func TestConcurrentManyTurns(t *testing.T) {
	m := newMaster(t)
	p := m.start("bound=8", "max_use=25")
	serve := func() {
		for range 25 {
			m.connect().done()
		}
	}
	finished := make(chan struct{})
	for range 8 {
		go func() {
			defer func() { finished <- struct{}{} }()
			serve()
		}()
	}
	for range 8 {
		<-finished
	}
	p.exits(0)
	if lines := strings.Count(m.log(), "no more requests"); lines != 1 {
		t.Errorf("%d drains, want 1", lines)
	}
}
