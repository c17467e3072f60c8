package master

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postlmtp/internal/lab/lacking"
)

// startBare starts the agent with these descriptors from 0 on and returns the
// process and what it writes to standard error.
func startBare(t *testing.T, words []string, stdin, stdout *os.File, extra ...*os.File) (*child, *bytes.Buffer) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd := &exec.Cmd{
		Path: self, Args: append([]string{"lmtp"}, words...), Dir: t.TempDir(),
		Env:        agentEnvironment,
		Stdin:      stdin,
		Stdout:     stdout,
		Stderr:     &stderr,
		ExtraFiles: extra,
	}
	return run(t, cmd), &stderr
}

func TestRefusesToBeRunByHand(t *testing.T) {
	m := newMaster(t)
	null, err := os.Open(os.DevNull)
	m.must(err)
	defer null.Close()
	unixWords := []string{"-t", "unix", "-o", "queue_directory=" + m.dir}
	ours, connected := socketpair(t)
	defer ours.Close()
	defer connected.Close()
	for _, c := range []struct {
		name  string
		words []string
		extra []*os.File
		want  string
	}{
		{"nothing", nil, nil, "no transport type specified: do not run this command by hand"},
		{"help", []string{"--help"}, nil, "do not run this command by hand"},
		{"no descriptors", unixWords, nil, "descriptor 5 is not a connection to master(8): do not run this command by hand"},
		{"status is no socket", unixWords, []*os.File{m.flow[0], m.flow[1], null, m.listen}, "descriptor 5 is not a connection to master(8)"},
		{"flow is no pipe", unixWords, []*os.File{null, m.flow[1], m.child, m.listen}, "check descriptor 3: not a pipe"},
		{"listener missing", unixWords, []*os.File{m.flow[0], m.flow[1], m.child}, "check descriptor 6: not a socket"},
		{"listener is no socket", unixWords, []*os.File{m.flow[0], m.flow[1], m.child, null}, "check descriptor 6: not a socket"},
		{"listener does not listen", unixWords, []*os.File{m.flow[0], m.flow[1], m.child, connected}, "check descriptor 6: not a listening socket"},
		{"second listener missing", append([]string{"-s", "2"}, unixWords...), []*os.File{m.flow[0], m.flow[1], m.child, m.listen}, "check descriptor 7: not a socket"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, stderr := startBare(t, c.words, null, null, c.extra...)
			p.exits(1)
			if got := stderr.String(); !strings.Contains(got, c.want) {
				t.Errorf("says %q, want %q", got, c.want)
			}
			if strings.Contains(c.want, "by hand") && !strings.Contains(stderr.String(), "postlmtp demo") {
				t.Errorf("says %q: points nowhere", stderr.String())
			}
		})
	}
}

func TestTerminal(t *testing.T) {
	m := newMaster(t)
	terminal := openTerminal(t)
	words := []string{"-t", "unix", "-o", "queue_directory=" + m.dir, "-o", "max_idle_ms=30"}
	descriptors := []*os.File{m.flow[0], m.flow[1], m.child, m.listen}
	p, stderr := startBare(t, words, terminal, nil, descriptors...)
	p.exits(1)
	if !strings.Contains(stderr.String(), "standard input is a terminal: do not run this command by hand") {
		t.Errorf("says %q", stderr)
	}
	// master -d has a terminal, and passes it on.
	p, _ = startBare(t, append([]string{"-d"}, words...), terminal, nil, descriptors...)
	p.exits(0)
}

// openTerminal opens a pseudo terminal.
func openTerminal(t *testing.T) *os.File {
	t.Helper()
	ptmx, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ptmx.Close() })
	if err := unix.IoctlSetPointerInt(int(ptmx.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(ptmx.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	return terminal
}

func socketpair(t *testing.T) (ours net.Conn, theirs *os.File) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(pair[0]), "ours")
	defer file.Close()
	ours, err = net.FileConn(file)
	if err != nil {
		t.Fatal(err)
	}
	return ours, os.NewFile(uintptr(pair[1]), "theirs")
}

func TestOneShotSocket(t *testing.T) {
	ours, theirs := socketpair(t)
	defer ours.Close()
	p, _ := startBare(t, []string{"-S", "-o", "queue_directory=/", "-o", "bound=5"}, theirs, theirs)
	theirs.Close()
	c := &client{t: t, conn: ours, lines: bufio.NewReader(ours)}
	c.greeted()
	if c.pid != p.pid() {
		t.Errorf("served by process %d, want %d", c.pid, p.pid())
	}
	c.say("done")
	p.exits(0)
	c.closed()
}

func TestOneShotPipes(t *testing.T) {
	inR, inW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p, _ := startBare(t, []string{"-S", "-o", "queue_directory=/"}, inR, outW)
	inR.Close()
	outW.Close()
	pipes := &pipeConn{outR, inW}
	defer pipes.Close()
	c := &client{t: t, conn: pipes, lines: bufio.NewReader(pipes)}
	c.greeted()
	if got := c.ask("status"); got != "active 1 peak 1" {
		t.Errorf("agent says %q", got)
	}
	c.say("done")
	p.exits(0)
	c.closed()
}

func TestPipeConn(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c := &pipeConn{r, w}
	if err := c.SetDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !os.IsTimeout(err) && !strings.Contains(err.Error(), "i/o timeout") {
		t.Errorf("read after the deadline: %v", err)
	}
	if c.LocalAddr().Network() != "stdio" || c.RemoteAddr().String() == "" {
		t.Error("no addresses")
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	plain, err := os.Create(filepath.Join(t.TempDir(), "plain"))
	if err != nil {
		t.Fatal(err)
	}
	c = &pipeConn{plain, plain}
	defer plain.Close()
	if err := c.SetDeadline(time.Now()); err != nil {
		t.Errorf("a file without deadlines: %v", err)
	}
}

// Several listening sockets, as with an inet service on several addresses: one
// that is silent takes no slot from the others.
func TestSeveralListeners(t *testing.T) {
	for _, bound := range []string{"bound=1", "bound=2"} {
		t.Run(bound, func(t *testing.T) {
			m := newMaster(t)
			second, err := net.Listen("tcp", "127.0.0.1:0")
			m.must(err)
			defer second.Close()
			file, err := second.(*net.TCPListener).File()
			m.must(err)
			defer file.Close()
			null, err := os.Open(os.DevNull)
			m.must(err)
			defer null.Close()
			words := []string{"-t", "inet", "-s", "2", "-o", "queue_directory=" + m.dir, "-o", bound}
			p, _ := startBare(t, words, null, null, m.flow[0], m.flow[1], m.child, m.listen, file)
			for range 3 {
				conn, err := net.Dial("tcp", second.Addr().String())
				m.must(err)
				defer conn.Close()
				c := &client{t: t, conn: conn, lines: bufio.NewReader(conn)}
				c.greeted()
				c.done()
			}
			m.connect().done()
			m.reload()
			p.exits(0)
		})
	}
}

// unjailed reads what /proc says of every thread of a process, and returns what
// is not as it should be.
func unjailed(t *testing.T, pid int, owner *Owner, root string) (wrong []string) {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(tasks) == 0 {
		t.Fatalf("no threads of process %d: %v", pid, err)
	}
	id := func(n int) string { return fmt.Sprintf("%d\t%d\t%d\t%d", n, n, n, n) }
	groups := slices.Clone(owner.Groups)
	slices.Sort(groups)
	want := map[string]string{
		"Uid": id(owner.UID), "Gid": id(owner.GID), "CapEff": "0000000000000000", "CapPrm": "0000000000000000",
		"Groups": strings.Trim(fmt.Sprint(groups), "[]"),
	}
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			continue // the thread has ended
		}
		for line := range strings.Lines(string(text)) {
			name, value, _ := strings.Cut(line, ":")
			if w, ok := want[name]; ok && strings.TrimSpace(value) != w {
				wrong = append(wrong, fmt.Sprintf("%s: %s is %q, want %q", task, name, strings.TrimSpace(value), w))
			}
		}
	}
	got, err := os.Readlink(fmt.Sprintf("/proc/%d/root", pid))
	if err != nil || got != root {
		wrong = append(wrong, fmt.Sprintf("process %d: root directory is %q, %v; want %q", pid, got, err, root))
	}
	if cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); root != "/" && cwd != root {
		wrong = append(wrong, fmt.Sprintf("process %d: working directory is %q, %v; want %q", pid, cwd, err, root))
	}
	return wrong
}

// jailLimit is how long P may take for its jail, which it enters beside the work
// of W, on a busy machine.
const jailLimit = 30 * time.Second

func TestJail(t *testing.T) {
	lacking.Root(t) // to give it up
	account := "nobody"
	if _, err := LookupOwner("postfix"); err == nil {
		account = "postfix"
	}
	owner, err := LookupOwner(account)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name     string
		options  []string
		chrooted bool
	}{
		{"chroot and user, classic", []string{"-c", "-u"}, true},
		{"chroot and user, concurrent", []string{"-c", "-u", "bound=4"}, true},
		{"user only", []string{"-u", "bound=4"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMaster(t)
			root := "/"
			if c.chrooted {
				root = m.dir
			}
			p := m.start(append(c.options, "mail_owner="+account)...)
			clients := []*client{m.connect()}
			if slices.Contains(c.options, "bound=4") {
				clients = append(clients, m.connect(), m.connect())
			}
			if wrong := unjailed(t, clients[0].pid, owner, root); wrong != nil {
				t.Errorf("while it works:\n%s", strings.Join(wrong, "\n"))
			}
			for end := time.Now().Add(jailLimit); ; time.Sleep(time.Millisecond) {
				wrong := unjailed(t, p.pid(), owner, root)
				if wrong == nil {
					break
				}
				if time.Now().After(end) {
					t.Fatalf("its parent:\n%s", strings.Join(wrong, "\n"))
				}
			}
			gone := watch(t, clients[0].pid)
			m.reload()
			for _, c := range clients {
				c.done()
			}
			p.exits(0)
			gone()
		})
	}
}

func TestJailErrors(t *testing.T) {
	if _, err := LookupOwner("no-such-user-here"); err == nil || !strings.HasPrefix(err.Error(), "look up user no-such-user-here: ") {
		t.Errorf("got %v", err)
	}
	if owner, err := LookupMailOwner("root"); err == nil || !strings.Contains(err.Error(), "privileged user ID") {
		t.Errorf("root as mail_owner: %+v, %v", owner, err)
	}
	for _, c := range []struct {
		owner Owner
		first string // account of that number in /etc/passwd
		want  string
	}{
		{Owner{Name: "a", UID: 7, GID: 8}, "a", ""},
		{Owner{Name: "a", UID: 0, GID: 8}, "a", "privileged user ID"},
		{Owner{Name: "a", UID: 7, GID: 0}, "a", "privileged group ID"},
		{Owner{Name: "a", UID: 7, GID: 8}, "b", "same user ID as user b"},
	} {
		if err := c.owner.check(c.first); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v, %s: %v", c.owner, c.first, err)
		}
	}
	if err := EnterJail(Jail{}); err != nil {
		t.Errorf("an empty jail: %v", err)
	}
	if err := EnterJail(Jail{Root: "/no/such/directory"}); err == nil {
		t.Error("a missing root directory: no error")
	}
	m := newMaster(t)
	p := m.start("-c", "-u", "mail_owner=no-such-user-here")
	p.exits(1)
	m.logHas("fatal: look up user no-such-user-here: ")
}

// The descriptors of master(8) must not leak into programs, and P must not keep
// the sockets of the service open.
func TestDescriptors(t *testing.T) {
	m := newMaster(t)
	p := m.start("bound=2")
	c := m.connect()
	for fd := flowRead; fd <= firstListener; fd++ {
		if target, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", p.pid(), fd)); err == nil && strings.HasPrefix(target, "socket:") {
			t.Errorf("P has descriptor %d: %s", fd, target)
		}
		info, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", c.pid, fd))
		if err != nil {
			t.Errorf("worker: %v", err)
			continue
		}
		var flags int
		_, text, _ := strings.Cut(string(info), "flags:\t")
		fmt.Sscanf(text, "%o", &flags)
		if flags&syscall.O_CLOEXEC == 0 {
			t.Errorf("worker: descriptor %d is not close-on-exec: %o", fd, flags)
		}
	}
	c.done()
}

// Where no processes can be had, P says so and exits with a failure.
func TestWorkerCannotStart(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("linux only")
	}
	s := &supervisor{log: &recorder{}}
	err := s.start(Invocation{Argv: []string{"lmtp\x00"}, Sockets: 1})
	if err == nil || !strings.HasPrefix(err.Error(), "start worker process: ") {
		t.Errorf("got %v", err)
	}
}

type recorder struct{ lines []string }

func (r *recorder) Infof(format string, args ...any) {
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
}
func (r *recorder) Warningf(format string, args ...any) { r.Infof("warning: "+format, args...) }

// A panic's many lines do not become as many log lines.
func TestComplaintsAreBounded(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	log := &recorder{}
	s := &supervisor{log: log, complaints: r, pid: 1}
	go func() {
		defer w.Close()
		fmt.Fprintf(w, "%s\n", strings.Repeat("x", 100000))
		for i := range 1000 {
			fmt.Fprintf(w, "line %d\n", i)
		}
	}()
	s.logComplaints()
	if len(log.lines) != maxComplaints {
		t.Errorf("%d lines, want %d", len(log.lines), maxComplaints)
	}
	if want := "warning: worker process pid 1: line 0"; log.lines[1] != want {
		t.Errorf("second line %q, want %q", log.lines[1], want)
	}
}
