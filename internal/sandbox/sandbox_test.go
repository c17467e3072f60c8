package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"postlmtp/internal/lab/lacking"
)

// insideVariable makes the test program enter the sandbox and try things.
const insideVariable = "SANDBOX_TEST_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(insideVariable); dir != "" {
		os.Exit(inside(dir))
	}
	os.Exit(m.Run())
}

// A deed is something that the process tries in the sandbox.
type deed struct {
	name    string
	granted bool
	abi     int // the first that can refuse it
	do      func() error
}

// deeds are tried in dir, which was made by prepare.
func deeds(dir string) []deed {
	in := func(names ...string) string { return filepath.Join(append([]string{dir}, names...)...) }
	open := func(path string, flags int) func() error {
		return func() error {
			fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0o600)
			if err == nil {
				unix.Close(fd)
			}
			return err
		}
	}
	bind := func(port int) func() error {
		return func() error {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			return unix.Bind(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
		}
	}
	connect := func(network, address string) func() error {
		return func() error {
			conn, err := net.Dial(network, address)
			if err == nil {
				conn.Close()
			}
			return err
		}
	}
	tcp := os.Getenv("SANDBOX_TEST_TCP")
	return []deed{
		{"open a queue file", true, 0, open(in("active", "A"), unix.O_RDWR)},
		{"open a queue file of a hashed queue", true, 0, open(in("active", "B", "B"), unix.O_RDWR)},
		{"mark a queue file", true, 0, func() error { return unix.Chmod(in("active", "A"), 0o600) }},
		{"read a file that is granted", true, 0, open(in("etc", "hosts"), unix.O_RDONLY)},
		{"look at a file that is not", true, 0, func() error { _, err := os.Stat(in("etc", "passwd")); return err }},
		{"connect by TCP", true, 0, connect("tcp", tcp)},
		{"connect to a socket", true, 0, connect("unix", in("socket"))},
		{"make a socket where it may be", true, 0, func() error {
			l, err := net.Listen("unix", in("run", "status"))
			if err == nil {
				err = l.Close() // this removes it
			}
			return err
		}},

		{"read a file next to one that is granted", false, 1, open(in("etc", "passwd"), unix.O_RDONLY)},
		{"read /etc/passwd", false, 1, open("/etc/passwd", unix.O_RDONLY)},
		{"read its own memory map", false, 1, open("/proc/self/maps", unix.O_RDONLY)},
		{"write a file that is granted for reading", false, 1, open(in("etc", "hosts"), unix.O_WRONLY)},
		{"open a file of another queue", false, 1, open(in("hold", "C"), unix.O_RDWR)},
		{"list the queue", false, 1, open(in("active"), unix.O_RDONLY|unix.O_DIRECTORY)},
		{"make a queue file", false, 1, open(in("active", "N"), unix.O_RDWR|unix.O_CREAT)},
		{"make a file elsewhere", false, 1, open(in("N"), unix.O_RDWR|unix.O_CREAT)},
		{"make a file among the sockets", false, 1, open(in("run", "N"), unix.O_RDWR|unix.O_CREAT)},
		{"remove a queue file", false, 1, func() error { return unix.Unlink(in("active", "A")) }},
		{"rename a queue file", false, 1, func() error { return unix.Rename(in("active", "A"), in("active", "Z")) }},
		{"move a queue file", false, 1, func() error { return unix.Rename(in("active", "A"), in("hold", "A")) }},
		{"link a queue file", false, 1, func() error { return unix.Link(in("active", "A"), in("hold", "A")) }},
		{"make a symbolic link", false, 1, func() error { return unix.Symlink("/", in("active", "L")) }},
		{"make a directory", false, 1, func() error { return unix.Mkdir(in("active", "D"), 0o700) }},
		{"make a pipe", false, 1, func() error { return unix.Mkfifo(in("active", "P"), 0o600) }},
		{"make a socket elsewhere", false, 1, func() error { _, err := net.Listen("unix", in("active", "S")); return err }},
		{"truncate a file by its name", false, 3, func() error { return unix.Truncate(in("active", "A"), 0) }},
		{"run a program", false, 1, func() error { return exec.Command("/bin/true").Run() }},
		{"run itself again", false, 1, func() error { return exec.Command("/proc/self/exe", "-test.run=^$").Run() }},
		{"be a server", false, 4, bind(7777)},
		{"be a server at any port", false, 4, bind(0)},
		{"connect to an abstract socket", false, 6, connect("unix", os.Getenv("SANDBOX_TEST_ABSTRACT"))},
		{"signal its parent", false, 6, func() error { return unix.Kill(os.Getppid(), 0) }},
		{"trace its parent", false, 1, func() error { return unix.PtraceAttach(os.Getppid()) }},
	}
}

// inside enters the sandbox, with threads that ran before, tries the deeds on
// each of them, and prints what went wrong.
func inside(dir string) int {
	const threads = 3
	enter, done := make(chan bool), make(chan []string)
	for range threads {
		go func() {
			runtime.LockOSThread() // a thread that is there before
			<-enter
			done <- try(dir)
		}()
	}
	if err := Harden(); err != nil {
		fmt.Println(err)
		return 1
	}
	if err := Enter(Rules{
		Queue:   []string{filepath.Join(dir, "active")},
		Read:    []string{filepath.Join(dir, "etc", "hosts"), filepath.Join(dir, "etc", "none")},
		Sockets: []string{filepath.Join(dir, "run")},
	}); err != nil {
		fmt.Println(err)
		return 1
	}
	status := 0
	for range threads {
		enter <- true
		for _, line := range <-done {
			fmt.Println(line)
			status = 1
		}
	}
	return status
}

// try returns what is refused and should not be, and the other way.
func try(dir string) (wrong []string) {
	complain := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	for _, d := range deeds(dir) {
		err := d.do()
		switch {
		case d.granted && err != nil:
			complain("%s: %v", d.name, err)
		case !d.granted && err == nil && ABI() >= d.abi:
			complain("%s: is not refused", d.name)
		case !d.granted && err != nil && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, syscall.EXDEV):
			complain("%s: fails for another reason: %v", d.name, err)
		}
	}
	if n, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); err != nil || n != 1 {
		complain("no_new_privs is %d, %v", n, err)
	}
	if n, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || n != 0 {
		complain("dumpable is %d, %v", n, err)
	}
	var core unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &core); err != nil || core.Max != 0 {
		complain("core limit %v, %v", core, err)
	}
	return wrong
}

// prepare makes what the deeds need and returns the directory.
func prepare(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"active/A": "", "active/B/B": "", "hold/C": "", "etc/hosts": "", "etc/passwd": "", "run/x": "",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// listen is a server outside of the sandbox.
func listen(t *testing.T, network, address string) string {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// TestInside proves from inside that what is granted can be done, and that the
// rest is refused, on threads that were there before.
func TestInside(t *testing.T) {
	if ABI() == 0 {
		// Harden and the first jail are tested elsewhere: this is all that a
		// kernel without Landlock leaves to be seen here.
		if err := Enter(Rules{}); !errors.Is(err, ErrUnsupported) {
			t.Fatalf("no Landlock: %v", err)
		}
		lacking.Stop(t, "a kernel with Landlock")
	}
	dir := prepare(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), insideVariable+"="+dir,
		"SANDBOX_TEST_TCP="+listen(t, "tcp", "127.0.0.1:0"),
		"SANDBOX_TEST_ABSTRACT="+listen(t, "unix", "@"+filepath.Base(dir)+t.Name()))
	listen(t, "unix", filepath.Join(dir, "socket"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, strings.TrimSpace(string(out)))
	}
	t.Logf("Landlock ABI %d", ABI())
}

// TestOutside: the deeds succeed without the sandbox, so that TestInside can
// fail.
func TestOutside(t *testing.T) {
	dir := prepare(t)
	listen(t, "unix", filepath.Join(dir, "socket"))
	t.Setenv("SANDBOX_TEST_TCP", listen(t, "tcp", "127.0.0.1:0"))
	t.Setenv("SANDBOX_TEST_ABSTRACT", listen(t, "unix", "@"+filepath.Base(dir)+t.Name()))
	for _, d := range deeds(dir) {
		switch d.name {
		case "run itself again", "trace its parent", "signal its parent", "be a server", // cannot be undone, or depend on who runs us
			"move a queue file", "link a queue file", "truncate a file by its name": // the file is renamed by now
			continue
		}
		if err := d.do(); err != nil {
			t.Errorf("%s: %v", d.name, err)
		}
		os.WriteFile(filepath.Join(dir, "active", "A"), nil, 0o600)
	}
}

// TestMissingQueue: what must exist and does not is an error, and the process
// is as before.
func TestMissingQueue(t *testing.T) {
	if ABI() == 0 {
		lacking.Stop(t, "a kernel with Landlock")
	}
	if err := Enter(Rules{Queue: []string{filepath.Join(t.TempDir(), "none")}}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Enter: %v", err)
	}
	if _, err := os.ReadFile("/proc/self/maps"); err != nil {
		t.Errorf("after a failure: %v", err)
	}
}
