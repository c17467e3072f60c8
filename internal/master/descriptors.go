package master

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// The descriptors that every child of master(8) inherits.
const (
	flowRead      = 3 // in_flow_delay tokens; not for delivery agents
	flowWrite     = 4
	statusSocket  = 5 // availability messages; end of file means: leave
	firstListener = 6
)

// Process is what the process inherited, checked, and what it opened for later
// use in the jail. Get it from [PreJail].
type Process struct {
	inv  Invocation
	lock *os.File // accept lock, nil for none
}

// CheckDescriptors finds out whether master(8) started the process: a
// *[ByHandError] says that it looks like a person did, any other error that a
// descriptor is not what it must be.
func (inv Invocation) CheckDescriptors() error {
	if inv.OneShot {
		return nil
	}
	if _, err := unix.IoctlGetTermios(0, unix.TCGETS); err == nil && !inv.NoDetach {
		return &ByHandError{Reason: "standard input is a terminal"}
	}
	if !isSocket(statusSocket) {
		return &ByHandError{Reason: fmt.Sprintf("descriptor %d is not a connection to master(8)", statusSocket)}
	}
	for _, fd := range []int{flowRead, flowWrite} {
		if fileType(fd) != unix.S_IFIFO {
			return fmt.Errorf("check descriptor %d: not a pipe", fd)
		}
	}
	for _, fd := range inv.listeners() {
		if err := checkListener(fd); err != nil {
			return err
		}
	}
	if inv.Control != 0 && !isSocket(inv.Control) {
		return fmt.Errorf("check descriptor %d: not a socket, but %s names it", inv.Control, controlVariable)
	}
	return nil
}

func (inv Invocation) listeners() []int {
	fds := make([]int, inv.Sockets)
	for i := range fds {
		fds[i] = firstListener + i
	}
	return fds
}

// fileType returns the S_IFMT bits of an open descriptor, else 0.
func fileType(fd int) uint32 {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return 0
	}
	return st.Mode & unix.S_IFMT
}

func isSocket(fd int) bool { return fileType(fd) == unix.S_IFSOCK }

func checkListener(fd int) error {
	if !isSocket(fd) {
		return fmt.Errorf("check descriptor %d: not a socket", fd)
	}
	listening, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil {
		return fmt.Errorf("check descriptor %d: %w", fd, err)
	}
	if listening == 0 {
		return fmt.Errorf("check descriptor %d: not a listening socket", fd)
	}
	return nil
}

// PreJail does what needs the privileges and the file system that are gone in
// the jail: it goes to queueDirectory, closes the inherited descriptors that are
// not for delivery agents, marks the others close-on-exec, and opens the accept
// lock if a process of this bound uses one.
func PreJail(inv Invocation, queueDirectory string, bound int) (*Process, error) {
	if err := os.Chdir(queueDirectory); err != nil {
		return nil, fmt.Errorf("change to queue directory: %w", err)
	}
	p := &Process{inv: inv}
	if inv.OneShot {
		return p, nil
	}
	if err := inv.CheckDescriptors(); err != nil {
		return nil, err
	}
	unix.CloseOnExec(statusSocket)
	for _, fd := range []int{flowRead, flowWrite} {
		_ = unix.Close(fd) // whoever holds them can slow the mail system down
	}
	for _, fd := range inv.listeners() {
		unix.CloseOnExec(fd)
		// It already is, under master(8): all its children share the flag.
		if err := unix.SetNonblock(fd, true); err != nil {
			return nil, fmt.Errorf("prepare descriptor %d: %w", fd, err)
		}
	}
	if inv.Control != 0 {
		unix.CloseOnExec(inv.Control)
		_ = os.Unsetenv(controlVariable)
		_ = os.Unsetenv(releaseVariable)
		_ = os.Unsetenv(boundVariable)
	}
	if bound > 1 || inv.Alone {
		return p, nil
	}
	var err error
	p.lock, err = openAcceptLock(inv)
	return p, err
}

// acceptLockPath is relative to the queue directory.
func acceptLockPath(inv Invocation) string { return "pid/" + inv.Transport + "." + inv.Service }

// openAcceptLock opens or creates the file whose lock says which of several
// processes waits for a connection. It is opened with privileges: whatever is
// not plainly our own file is refused.
func openAcceptLock(inv Invocation) (*os.File, error) {
	path := acceptLockPath(inv)
	fail := func(err error) (*os.File, error) { return nil, fmt.Errorf("open lock file %s: %w", path, err) }
	for i := range len(inv.Service) {
		if inv.Service[i] == '/' || inv.Service[i] == 0 {
			return fail(errors.New("service name with a slash"))
		}
	}
	const flags = unix.O_RDWR | unix.O_CREAT | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	fd, err := unix.Open(path, flags, 0o600)
	if err != nil {
		return fail(err)
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil {
		err = checkLockFile(&st)
	}
	if err != nil {
		_ = unix.Close(fd)
		return fail(err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

func checkLockFile(st *unix.Stat_t) error {
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return errors.New("not a regular file")
	case st.Nlink != 1:
		return fmt.Errorf("file has %d hard links", st.Nlink)
	case int(st.Uid) != os.Geteuid():
		return fmt.Errorf("file has the wrong owner: user %d", st.Uid)
	}
	return nil
}
