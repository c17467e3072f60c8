package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// master is the stand-in for master(8): it owns the service's listening
// socket, starts a process of the agent when a client waits and none is
// available, and keeps the books of TAKEN and AVAIL as master(8) does.
type master struct {
	lab      *Lab
	listener *os.File // non-blocking, shared with the children
	flow     [2]int
	loopDone chan struct{}

	mu         sync.Mutex
	changed    *sync.Cond // any change below
	generation uint32
	ours       *os.File // our end of the status connection
	theirs     int      // the children's end
	children   map[int]*child
	groups     map[int]bool // process groups that may still have members
	avail      int
	throttled  time.Time     // no new process before this moment
	cause      error         // why not
	spent      time.Duration // processor time of all that have been waited for
	events     []ProcessEvent
	stopping   bool // no further process is started
	stopped    bool // stop was called
}

// newMaster makes the service's socket and starts to watch it.
func newMaster(l *Lab) (*master, error) {
	m := &master{
		lab:      l,
		flow:     [2]int{-1, -1},
		theirs:   -1,
		loopDone: make(chan struct{}),
		children: make(map[int]*child),
		groups:   make(map[int]bool),
	}
	m.changed = sync.NewCond(&m.mu)
	fd, err := listenUnix(l.servicePath(), 1024)
	if err != nil {
		return nil, err
	}
	m.listener = os.NewFile(uintptr(fd), "listener")
	if err := unix.Pipe2(m.flow[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		m.listener.Close()
		return nil, fmt.Errorf("make flow control pipe: %w", err)
	}
	if err := m.newGeneration(); err != nil {
		m.listener.Close()
		return nil, err
	}
	go m.watch()
	return m, nil
}

// listenUnix makes a non-blocking listening socket that everybody may connect
// to, as master(8) does.
func listenUnix(path string, backlog int) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("make socket %s: %w", path, err)
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("bind %s: %w", path, err)
	}
	if err := errors.Join(os.Chmod(path, 0o666), unix.Listen(fd, backlog)); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("listen on %s: %w", path, err)
	}
	return fd, nil
}

// newGeneration replaces the status connection, as `postfix reload` does.
// Children of the old generation see end of file on theirs.
func (m *master) newGeneration() error {
	ours, theirs, err := statusPair()
	if err != nil {
		return err
	}
	m.mu.Lock()
	oldOurs, oldTheirs := m.ours, m.theirs
	m.ours, m.theirs = ours, theirs
	m.generation++
	m.mu.Unlock()
	if oldOurs != nil {
		oldOurs.Close()
		unix.Close(oldTheirs)
	}
	go m.readStatus(ours)
	return nil
}

// readStatus keeps the books from the status messages of one generation. A
// message leaves the socket with the lock held, so that whoever has the lock
// and sees an empty socket has seen all messages.
func (m *master) readStatus(from *os.File) {
	conn, err := from.SyscallConn()
	for err == nil {
		ended := false
		err = conn.Read(func(fd uintptr) bool {
			m.mu.Lock()
			defer m.mu.Unlock()
			var msg [statusSize]byte
			n, err := unix.Read(int(fd), msg[:])
			if err == unix.EAGAIN || err == unix.EINTR {
				return false
			}
			if ended = err != nil || n < statusSize; !ended {
				m.noteStatus(parseStatus(msg[:]))
				m.changed.Broadcast()
			}
			return true
		})
		if ended {
			return
		}
	}
}

// unread tells whether status messages wait to be noted. Caller holds mu.
func (m *master) unread() bool {
	pending := 0
	conn, err := m.ours.SyscallConn()
	if err == nil {
		err = conn.Control(func(fd uintptr) { pending, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	}
	return err == nil && pending > 0
}

// noteStatus applies one status message. Caller holds mu.
func (m *master) noteStatus(pid int, generation uint32, status int32) {
	word := "taken"
	if status == statusAvail {
		word = "avail"
	}
	c := m.children[pid]
	if c == nil {
		m.note(pid, generation, "ignored "+word)
		return
	}
	if c.generation != generation || c.avail == (status == statusAvail) {
		m.note(pid, generation, "ignored "+word)
		return
	}
	c.avail = status == statusAvail
	if c.avail {
		m.avail++
		c.uses++
	} else {
		m.avail--
	}
	m.note(pid, generation, word)
}

// note records an event. Caller holds mu.
func (m *master) note(pid int, generation uint32, what string) {
	m.events = append(m.events, ProcessEvent{At: time.Now(), PID: pid, Generation: generation, What: what})
}

// wanted tells whether master(8) would watch the socket now: nobody is
// available, the limit is not reached, and the service is not throttled.
// Caller holds mu.
func (m *master) wanted() bool {
	limit := m.lab.opts.ProcessLimit
	return !m.stopping && m.avail <= 0 &&
		(limit == Unlimited || len(m.children) < limit) &&
		!m.isThrottled()
}

// watch starts a process whenever a client waits and one is wanted.
func (m *master) watch() {
	defer close(m.loopDone)
	for {
		m.mu.Lock()
		for !m.wanted() && !m.stopping {
			m.changed.Wait()
		}
		stopping := m.stopping
		m.mu.Unlock()
		if stopping {
			return
		}
		if err := m.waitClient(); err != nil {
			return // the listener was closed
		}
		m.mu.Lock()
		if m.wanted() {
			m.spawn()
		}
		m.mu.Unlock()
	}
}

// waitClient returns when a client waits in the listen queue.
func (m *master) waitClient() error {
	conn, err := m.listener.SyscallConn()
	if err != nil {
		return err
	}
	return conn.Read(func(fd uintptr) bool {
		ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(ready, 0)
		return err == nil && n > 0
	})
}

// spawn starts one process. Caller holds mu.
func (m *master) spawn() {
	var fd int
	conn, err := m.listener.SyscallConn()
	if err == nil {
		err = conn.Control(func(l uintptr) { fd = int(l) })
	}
	var pid int
	if err == nil {
		pid, err = m.lab.forkExec(m.generation, m.flow, m.theirs, fd)
	}
	if err != nil {
		m.throttle(err)
		return
	}
	c := &child{pid: pid, generation: m.generation, avail: true, done: make(chan struct{})}
	m.children[pid] = c
	m.groups[pid] = true
	m.avail++
	m.note(pid, c.generation, "start")
	go m.reap(c)
}

// reap waits for a process and strikes it from the books.
func (m *master) reap(c *child) {
	awaitEnd(c.pid)
	m.drainStatus()
	m.mu.Lock()
	defer m.mu.Unlock()
	what, good := m.bury(c.pid)
	delete(m.children, c.pid)
	if unix.Kill(-c.pid, 0) != nil {
		delete(m.groups, c.pid)
	}
	if c.avail {
		m.avail--
	}
	m.note(c.pid, c.generation, what)
	if !good && c.uses == 0 && !m.stopped {
		m.throttle(ErrThrottled)
	}
	close(c.done)
	m.changed.Broadcast()
}

// drainStatus lets readStatus finish what the dead process may have written.
func (m *master) drainStatus() {
	for range 5000 {
		m.mu.Lock()
		unread := m.unread()
		m.mu.Unlock()
		if !unread {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// throttle stops the start of processes for a time, as master(8) does after a
// bad command startup. Caller holds mu.
func (m *master) throttle(cause error) {
	m.throttled, m.cause = time.Now().Add(m.lab.opts.ThrottleTime), cause
	m.note(0, m.generation, "throttled")
	time.AfterFunc(m.lab.opts.ThrottleTime, m.ring)
	m.changed.Broadcast()
}

// isThrottled tells whether no process may be started yet. Caller holds mu.
func (m *master) isThrottled() bool { return time.Now().Before(m.throttled) }

// ring tells those who wait for a change that a time is over. It takes the lock,
// since somebody may have looked already and not wait yet.
func (m *master) ring() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.changed.Broadcast()
}

// health reports why no process can be started, if that is so.
func (m *master) health() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.isThrottled() {
		return m.cause
	}
	return nil
}

// stop ends the service: SIGTERM to every process group, SIGKILL to those
// that have not gone when ctx ends.
func (m *master) stop(ctx context.Context) {
	m.mu.Lock()
	if m.stopped {
		m.mu.Unlock()
		return
	}
	m.stopped, m.stopping = true, true
	m.changed.Broadcast()
	m.mu.Unlock()
	m.signal(unix.SIGTERM)
	if !m.waitGone(ctx) {
		m.signal(unix.SIGKILL)
		m.waitGone(context.Background())
	}
	m.release()
}

// settle ends the starting of processes and waits until all are available or
// ctx ends.
func (m *master) settle(ctx context.Context) {
	defer context.AfterFunc(ctx, m.ring)()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stopping = true
	m.changed.Broadcast()
	for (m.unread() || m.avail < len(m.children)) && ctx.Err() == nil {
		m.changed.Wait()
	}
}

// signal sends a signal to every process group that still has members.
func (m *master) signal(sig unix.Signal) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for pgid := range m.groups {
		if err := unix.Kill(-pgid, sig); err != nil {
			delete(m.groups, pgid)
		}
	}
}

// waitGone waits until no process is left, descendants included, and tells
// whether that came about before ctx ended.
func (m *master) waitGone(ctx context.Context) bool {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		m.mu.Lock()
		for pgid := range m.groups {
			if m.children[pgid] == nil && !m.buryOrphans(pgid) && !groupAlive(pgid) {
				delete(m.groups, pgid)
			}
		}
		gone := len(m.groups) == 0 && len(m.children) == 0
		m.mu.Unlock()
		if gone {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}

// release gives the descriptors back.
func (m *master) release() {
	m.listener.Close()
	<-m.loopDone
	m.mu.Lock()
	ours, others := m.ours, []int{m.theirs, m.flow[0], m.flow[1]}
	m.mu.Unlock()
	// Without the lock: Close waits for readStatus, which may wait for it.
	ours.Close()
	for _, fd := range others {
		unix.Close(fd)
	}
}

// servicePath returns the path of the agent's socket.
func (l *Lab) servicePath() string {
	return filepath.Join(l.queue, "private", l.opts.Service)
}
