package master

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxComplaints is how many lines of the worker's standard error P logs.
const maxComplaints = 100

// NeedsSupervisor says whether this process is to be P, which starts the worker
// and waits, for the given bound on parallel requests.
func NeedsSupervisor(inv Invocation, bound int) bool {
	return bound > 1 && !inv.OneShot && inv.Control == 0
}

// Supervise is the life of P: it starts the worker, gives up its own
// privileges, and returns the status to exit with as soon as the worker drains
// or has ended. An error is the reason of a start-up failure; the status is
// not 0 then.
//
// inv.Release and inv.Bound are passed on to the worker; the caller sets them.
//
// jail.Owner should be mail_owner whether or not the service runs unprivileged:
// P needs no rights at all. Without an effective user of root the jail is
// passed over.
//
// What the worker writes to standard error (a panic, above all) would be lost
// in /dev/null: P logs it as warnings, unless option -V or -d says that
// somebody looks at standard error.
func Supervise(inv Invocation, jail Jail, log Logger) (status int, err error) {
	if err := inv.CheckDescriptors(); err != nil {
		return 1, err
	}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	defer signal.Stop(term)
	// Caught, not ignored: the worker must get the default.
	deaf := make(chan os.Signal, 1)
	signal.Notify(deaf, syscall.SIGHUP, syscall.SIGINT, syscall.SIGPIPE)
	defer signal.Stop(deaf)

	s := &supervisor{log: log}
	if err := s.start(inv); err != nil {
		return 1, err
	}
	for fd := flowRead; fd < firstListener+inv.Sockets; fd++ {
		_ = unix.Close(fd)
	}
	if os.Geteuid() != 0 {
		jail = Jail{}
	}
	if err := EnterJail(jail); err != nil {
		return 1, err // the worker sees the end of P and leaves
	}
	return s.watch(term), nil
}

// supervisor is what P knows of W.
type supervisor struct {
	log        Logger
	pid        int
	control    int
	complaints *os.File // W's standard error, or nil
	served     bool
}

// start runs this program again, with the same words, environment and
// descriptors, and one more: the socket to P.
func (s *supervisor) start(inv Invocation) error {
	fail := func(err error) error { return fmt.Errorf("start worker process: %w", err) }
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fail(err)
	}
	defer unix.Close(pair[1])
	number := firstListener + inv.Sockets
	files := make([]uintptr, 0, number+1)
	for fd := range number {
		files = append(files, uintptr(fd))
	}
	if !inv.keepsStderr() {
		r, w, err := os.Pipe()
		if err != nil {
			return fail(err)
		}
		defer w.Close()
		s.complaints, files[2] = r, w.Fd()
	}
	s.control = pair[0]
	defer relaxTimers()()
	s.pid, err = syscall.ForkExec(executable(), inv.Argv, &syscall.ProcAttr{
		Env: append(os.Environ(), controlVariable+"="+strconv.Itoa(number),
			releaseVariable+"="+inv.Release, boundVariable+"="+strconv.Itoa(inv.Bound)),
		Files: append(files, uintptr(pair[1])),
	})
	if err != nil {
		return fail(err)
	}
	return nil
}

// timerSlack is how late the timers of the worker may be. No time limit of a
// delivery is finer than that, and Go's run-time system looks after its threads
// every 20 µs while there is work: with Linux's default of 50 µs that took an
// eighth of the processor time of a delivery. What it looks after is a thread
// that waits for the disk; the others then go on a moment later.
const timerSlack = time.Millisecond

// relaxTimers has the next program that this thread starts begin with
// timerSlack, which all its threads take over (prctl(2), PR_SET_TIMERSLACK).
// That it cannot be done matters to nobody.
func relaxTimers() (undo func()) {
	runtime.LockOSThread()
	old, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err == nil {
		err = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(timerSlack), 0, 0, 0)
	}
	return func() {
		if err == nil {
			_ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(old), 0, 0, 0)
		}
		runtime.UnlockOSThread()
	}
}

// keepsStderr says whether somebody looks at standard error.
func (inv Invocation) keepsStderr() bool { return inv.Stderr || inv.NoDetach }

// executable is this very program, even if its file has been replaced since.
func executable() string {
	const self = "/proc/self/exe"
	if _, err := os.Stat(self); err == nil {
		return self
	}
	if path, err := os.Executable(); err == nil {
		return path
	}
	return self
}

// watch returns P's exit status when W drains, when W is gone, or on SIGTERM.
func (s *supervisor) watch(term <-chan os.Signal) int {
	words := make(chan byte)
	go s.listen(words)
	logged := make(chan struct{})
	go func() {
		defer close(logged)
		s.logComplaints()
	}()
	for {
		select {
		case <-term:
			return 0
		case word, ok := <-words:
			switch {
			case !ok:
				status := s.reap()
				select {
				case <-logged:
				case <-time.After(time.Second): // somebody else has it open
				}
				return s.verdict(status)
			case word == sayLeaving:
				return 0
			case word == sayServed:
				s.served = true
			}
		}
	}
}

// listen passes W's words on, until W has closed its end.
func (s *supervisor) listen(words chan<- byte) {
	defer close(words)
	word := make([]byte, 1)
	for {
		n, err := unix.Read(s.control, word)
		switch {
		case err == unix.EINTR:
		case n <= 0:
			return
		default:
			words <- word[0]
		}
	}
}

func (s *supervisor) logComplaints() {
	if s.complaints == nil {
		return
	}
	lines := bufio.NewReader(s.complaints)
	for range maxComplaints {
		line, prefix, err := lines.ReadLine()
		if err != nil {
			return
		}
		if len(line) > 0 {
			s.log.Warningf("worker process pid %d: %s", s.pid, line)
		}
		for prefix && err == nil {
			_, prefix, err = lines.ReadLine()
		}
	}
	_, _ = io.Copy(io.Discard, lines)
}

// reap waits for the end of W, which has closed its end of the socket.
func (s *supervisor) reap() syscall.WaitStatus {
	var status syscall.WaitStatus
	for {
		pid, err := syscall.Wait4(s.pid, &status, 0, nil)
		if pid == s.pid || (err != nil && err != syscall.EINTR) {
			return status
		}
	}
}

// verdict turns W's end into P's. Before the first request has been served a
// failure is a broken set-up, and master(8) is to throttle the service; later
// it is not.
func (s *supervisor) verdict(status syscall.WaitStatus) int {
	code, what := status.ExitStatus(), fmt.Sprintf("exit status %d", status.ExitStatus())
	if status.Signaled() {
		code = 128 + int(status.Signal())
		what = fmt.Sprintf("killed by signal %d", status.Signal())
	}
	if code == 0 {
		return 0
	}
	s.log.Warningf("worker process pid %d %s", s.pid, what)
	if s.served {
		return 0
	}
	return code
}
