package master

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"postlmtp/internal/lab/lacking"
)

func TestClassicSequence(t *testing.T) {
	m := newMaster(t)
	p := m.start()
	for range 3 {
		c := m.connect()
		if c.pid != p.pid() {
			t.Fatalf("served by process %d, want %d", c.pid, p.pid())
		}
		m.expectStatus(p.pid(), taken)
		c.done()
		m.expectStatus(p.pid(), avail)
	}
	m.reload()
	p.exits(0)
	info, err := os.Lstat(filepath.Join(m.dir, "pid/unix.lmtp"))
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("lock file: %v, %v; want mode 0600", info, err)
	}
}

// A busy process finishes its client after "postfix reload", and takes no more.
func TestClassicReloadWhileBusy(t *testing.T) {
	m := newMaster(t)
	p := m.start()
	busy := m.connect()
	queued := m.dial()
	m.reload()
	if got := busy.ask("status"); got != "active 1 peak 1" {
		t.Errorf("agent says %q", got)
	}
	busy.done()
	p.exits(0)
	m.newGeneration()
	m.start()
	queued.greeted()
}

func TestClassicMaxUse(t *testing.T) {
	m := newMaster(t)
	p := m.start("max_use=2")
	m.connect().done()
	m.connect().done()
	p.exits(0)
}

func TestClassicMaxIdle(t *testing.T) {
	m := newMaster(t)
	p := m.start("max_idle_ms=30")
	p.exits(0)
	m.logHas("idle timeout -- exiting")
}

func TestClassicTableChanged(t *testing.T) {
	m := newMaster(t)
	changed := filepath.Join(m.dir, "changed")
	p := m.start("changed=" + changed)
	m.connect().done()
	m.must(os.WriteFile(changed, nil, 0o600))
	c := m.dial()
	p.exits(0)
	m.logHas("table hash:x has changed -- restarting")
	m.must(os.Remove(changed))
	m.start()
	c.greeted()
}

// Several processes share the socket: each connection is served once, by one of
// them, and the one that waits holds the lock.
func TestClassicProcesses(t *testing.T) {
	m := newMaster(t)
	const n = 4
	var children []*child
	pids := map[int]bool{}
	for range n {
		c := m.start()
		children = append(children, c)
		pids[c.pid()] = true
	}
	var clients []*client
	for range n {
		c := m.connect()
		if !pids[c.pid] {
			t.Fatalf("served by process %d: not ours, or twice", c.pid)
		}
		delete(pids, c.pid)
		m.expectStatus(c.pid, taken)
		clients = append(clients, c)
	}
	fd, err := unix.Open(filepath.Join(m.dir, "pid/unix.lmtp"), unix.O_RDWR|unix.O_CLOEXEC, 0)
	m.must(err)
	defer unix.Close(fd)
	// All are busy: the lock is free. With it we are the one that waits, and
	// nobody accepts.
	m.must(unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB))
	for _, c := range clients {
		c.done()
		m.expectStatus(c.pid, avail)
	}
	late := m.dial()
	m.noStatus()
	m.must(unix.Flock(fd, unix.LOCK_UN))
	late.greeted()
	m.expectStatus(late.pid, taken)
	late.done()
	m.expectStatus(late.pid, avail)
	// Those that wait for the lock see the end as well.
	m.reload()
	for _, c := range children {
		c.exits(0)
	}
}

func TestClassicAlone(t *testing.T) {
	m := newMaster(t)
	p := m.start("-l")
	m.connect().done()
	m.reload()
	p.exits(0)
	if _, err := os.Lstat(filepath.Join(m.dir, "pid/unix.lmtp")); err == nil {
		t.Error("a lock file with a process limit of 1")
	}
}

func TestClassicLockFileParanoia(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(path string) error
		want    string
	}{
		"symbolic link": {func(path string) error { return os.Symlink("/dev/null", path) }, "too many levels of symbolic links"},
		"hard link": {func(path string) error {
			if err := os.WriteFile(path+".1", nil, 0o600); err != nil {
				return err
			}
			return os.Link(path+".1", path)
		}, "file has 2 hard links"},
		"fifo":      {func(path string) error { return unix.Mkfifo(path, 0o600) }, "not a regular file"},
		"directory": {func(path string) error { return os.Mkdir(path, 0o700) }, "is a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMaster(t)
			m.must(c.prepare(filepath.Join(m.dir, "pid/unix.lmtp")))
			m.start().exits(1)
			m.logHas("fatal: open lock file pid/unix.lmtp: ")
			m.logHas(c.want)
		})
	}
	t.Run("owner", func(t *testing.T) {
		lacking.Root(t) // to make a file of another owner
		m := newMaster(t)
		path := filepath.Join(m.dir, "pid/unix.lmtp")
		m.must(os.WriteFile(path, nil, 0o600))
		m.must(os.Chown(path, 12345, 12345))
		m.start().exits(1)
		m.logHas("file has the wrong owner: user 12345")
	})
}

func TestClassicStop(t *testing.T) {
	m := newMaster(t)
	p := m.start("grace_ms=20000")
	c := m.connect()
	p.signal(syscall.SIGTERM)
	c.expect("cancelled: the mail system is stopping")
	c.done() // within the grace period
	p.exits(0)

	idle := m.start()
	m.connect().done()
	idle.signal(syscall.SIGTERM)
	idle.exits(0)

	stubborn := m.start("grace_ms=50")
	c = m.connect()
	c.say("hang")
	stubborn.signal(syscall.SIGTERM)
	stubborn.exits(0)
}

func TestClassicIgnoredSignals(t *testing.T) {
	m := newMaster(t)
	p := m.start()
	c := m.connect()
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGPIPE, syscall.SIGXFSZ} {
		p.signal(sig)
	}
	if got := c.ask("status"); !strings.HasPrefix(got, "active 1") {
		t.Errorf("agent says %q", got)
	}
	c.done()
	m.reload()
	p.exits(0)
}

func TestClassicWatchdog(t *testing.T) {
	m := newMaster(t)
	p := m.start("watchdog_ms=300", "grace_ms=20000")
	c := m.connect()
	c.expect("cancelled: watchdog timeout")
	c.done()
	m.connect().done()
	m.reload()
	p.exits(0)

	m.newGeneration()
	p = m.start("watchdog_ms=300", "grace_ms=300")
	m.connect().say("hang")
	p.exits(1)
	m.logHas("fatal: watchdog timeout")
}

func TestClassicCrash(t *testing.T) {
	m := newMaster(t)
	p := m.start()
	m.connect().say("exit 7")
	p.exits(7)
}
