package master

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

// agentEnvironment makes this program the agent. A program with the race
// detector sleeps for a second when it exits, unless told not to.
var agentEnvironment = []string{agentVariable + "=1", "GORACE=atexit_sleep_ms=0"}

// fakeMaster plays master(8) for one service.
type fakeMaster struct {
	t      *testing.T
	dir    string
	status *os.File // master's end
	child  *os.File // the children's end, descriptor 5
	flow   [2]*os.File
	socket *net.UnixListener
	listen *os.File // descriptor 6
}

func newMaster(t *testing.T) *fakeMaster {
	t.Helper()
	dir, err := os.MkdirTemp("", "master") // short: socket paths are
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	m := &fakeMaster{t: t, dir: dir}
	for _, sub := range []string{"pid", "private"} {
		m.must(os.Mkdir(filepath.Join(dir, sub), 0o755))
	}
	m.must(os.Chmod(dir, 0o755))
	m.flow[0], m.flow[1], err = os.Pipe()
	m.must(err)
	m.socket, err = net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "private/lmtp"), Net: "unix"})
	m.must(err)
	m.must(os.Chmod(filepath.Join(dir, "private/lmtp"), 0o666))
	m.listen, err = m.socket.File()
	m.must(err)
	m.newGeneration()
	t.Cleanup(func() {
		m.reload()
		for _, f := range []*os.File{m.flow[0], m.flow[1], m.listen} {
			f.Close()
		}
		m.socket.Close()
		if t.Failed() {
			t.Logf("log:\n%s", m.log())
		}
	})
	return m
}

func (m *fakeMaster) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *fakeMaster) newGeneration() {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	m.must(err)
	m.must(unix.SetNonblock(pair[0], true)) // for read deadlines
	m.status = os.NewFile(uintptr(pair[0]), "status")
	m.child = os.NewFile(uintptr(pair[1]), "status of the child")
}

// reload is what a child sees of "postfix reload".
func (m *fakeMaster) reload() {
	m.status.Close()
	m.child.Close()
}

// child is a process that fakeMaster has started.
type child struct {
	t    *testing.T
	cmd  *exec.Cmd
	done chan struct{}
}

// start starts the agent as master(8) does. Words of the form name=value
// become -o options, all others are options themselves.
func (m *fakeMaster) start(words ...string) *child {
	m.t.Helper()
	self, err := os.Executable()
	m.must(err)
	argv := []string{"lmtp", "-t", "unix", "-v", "-o", "queue_directory=" + m.dir, "-o", "log=" + m.logPath()}
	for _, w := range words {
		if strings.Contains(w, "=") {
			argv = append(argv, "-o")
		}
		argv = append(argv, w)
	}
	cmd := &exec.Cmd{
		Path: self, Args: argv, Dir: m.dir,
		Env:        append([]string{"GENERATION=17", "LANG=C"}, agentEnvironment...),
		ExtraFiles: []*os.File{m.flow[0], m.flow[1], m.child, m.listen},
	}
	return run(m.t, cmd)
}

func run(t *testing.T, cmd *exec.Cmd) *child {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, cmd: cmd, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-c.done
	})
	return c
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// exits waits for the end of the process with this status.
func (c *child) exits(status int) {
	c.t.Helper()
	select {
	case <-c.done:
	case <-time.After(patience):
		c.t.Fatalf("process %d does not exit", c.pid())
	}
	if got := c.cmd.ProcessState.ExitCode(); got != status {
		c.t.Fatalf("process exits with %v, want status %d", c.cmd.ProcessState, status)
	}
}

func (c *child) signal(sig os.Signal) {
	c.t.Helper()
	if err := c.cmd.Process.Signal(sig); err != nil {
		c.t.Fatal(err)
	}
}

func (m *fakeMaster) logPath() string { return filepath.Join(m.dir, "log") }

func (m *fakeMaster) log() string {
	text, err := os.ReadFile(m.logPath())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		m.t.Fatal(err)
	}
	return string(text)
}

func (m *fakeMaster) logHas(text string) {
	m.t.Helper()
	if !strings.Contains(m.log(), text) {
		m.t.Errorf("log has no %q", text)
	}
}

// expectStatus reads one status message.
func (m *fakeMaster) expectStatus(pid int, want availability) {
	m.t.Helper()
	gotPID, got := m.readStatus()
	if gotPID != pid || got != want {
		m.t.Fatalf("status message: process %d, state %d; want process %d, state %d", gotPID, got, pid, want)
	}
}

func (m *fakeMaster) readStatus() (pid int, state availability) {
	m.t.Helper()
	m.must(m.status.SetReadDeadline(time.Now().Add(patience)))
	message := make([]byte, 13)
	n, err := m.status.Read(message)
	m.must(err)
	if n != 12 {
		m.t.Fatalf("status message has %d bytes, want 12", n)
	}
	if generation := binary.NativeEndian.Uint32(message[4:]); generation != 0o17 {
		m.t.Fatalf("status message of generation %d, want 15", generation)
	}
	return int(binary.NativeEndian.Uint32(message)), availability(binary.NativeEndian.Uint32(message[8:]))
}

// noStatus makes sure that no status message has come.
func (m *fakeMaster) noStatus() {
	m.t.Helper()
	m.must(m.status.SetReadDeadline(time.Now().Add(time.Millisecond)))
	if n, err := m.status.Read(make([]byte, 12)); !errors.Is(err, os.ErrDeadlineExceeded) {
		m.t.Errorf("status message: %d bytes, %v; want none", n, err)
	}
}

// client is a connection to the service.
type client struct {
	t     *testing.T
	conn  net.Conn
	lines *bufio.Reader
	pid   int // who serves it
}

// dial connects; the connection may then be in the listen queue.
func (m *fakeMaster) dial() *client {
	m.t.Helper()
	conn, err := net.Dial("unix", m.socket.Addr().String())
	m.must(err)
	m.t.Cleanup(func() { conn.Close() })
	return &client{t: m.t, conn: conn, lines: bufio.NewReader(conn)}
}

// connect waits until it is served.
func (m *fakeMaster) connect() *client {
	m.t.Helper()
	c := m.dial()
	c.greeted()
	return c
}

func (c *client) greeted() {
	c.t.Helper()
	if _, err := fmt.Sscanf(c.read(), "hello %d", &c.pid); err != nil {
		c.t.Fatalf("read greeting: %v", err)
	}
}

func (c *client) read() string {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(patience))
	line, err := c.lines.ReadString('\n')
	if err != nil {
		c.t.Fatalf("read from agent: %v", err)
	}
	return strings.TrimSuffix(line, "\n")
}

func (c *client) say(line string) {
	c.t.Helper()
	if _, err := fmt.Fprintln(c.conn, line); err != nil {
		c.t.Fatalf("write to agent: %v", err)
	}
}

func (c *client) ask(line string) string {
	c.t.Helper()
	c.say(line)
	return c.read()
}

func (c *client) expect(want string) {
	c.t.Helper()
	if got := c.read(); got != want {
		c.t.Fatalf("agent says %q, want %q", got, want)
	}
}

// closed waits for the agent to close the connection.
func (c *client) closed() {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(patience))
	if b, err := c.lines.ReadByte(); err == nil {
		c.t.Fatalf("agent says %q, want the end", b)
	} else if errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatal("agent does not close the connection")
	}
}

func (c *client) done() {
	c.t.Helper()
	c.say("done")
	c.closed()
}

// watch returns a function that waits for the end of any process.
func watch(t *testing.T, pid int) (gone func()) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		defer unix.Close(fd)
		set := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		for end := time.Now().Add(patience); ; {
			n, err := unix.Poll(set, int(time.Until(end).Milliseconds()))
			if n == 1 {
				return
			}
			if err != unix.EINTR || time.Now().After(end) {
				t.Fatalf("process %d does not exit: %v", pid, err)
			}
		}
	}
}
