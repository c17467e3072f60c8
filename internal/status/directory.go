package status

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// bootIDFile changes with each start of the machine.
const bootIDFile = "/proc/sys/kernel/random/boot_id"

// stateFile has what processes counted that have ended.
const stateFile = "state"

// listenerLock is the file whose lock says who answers Prometheus.
const listenerLock = "listener"

// socketSuffix is what the names of the processes' sockets end in.
const socketSuffix = ".run"

// A Directory is the status directory, opened by a process of its owner.
type Directory struct {
	path string // for sockets: relative to the working directory, or absolute
	boot string
	dir  *os.File // to list it, also in the sandbox

	mu    sync.Mutex // the lock of the file does not keep us from ourselves
	state *os.File
}

// bootID returns the name of this run of the machine. Where there is none, all
// runs are one, and a crash of the machine may make counters go back.
func bootID() string {
	text, err := os.ReadFile(bootIDFile)
	if err != nil || len(text) > 100 {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// MakeDirectory makes the directory, if it is not there, and gives it to uid.
// It must be a directory that nobody else can get into.
func MakeDirectory(path string, uid, gid int) error {
	err := openOwn(path, uid)
	if !errors.Is(err, unix.ENOENT) {
		return err
	}
	if err := makeDirectory(path, uid, gid); err != nil {
		return fmt.Errorf("make status directory %s: %w", path, err)
	}
	return openOwn(path, uid)
}

// makeDirectory makes it under another name, so that nobody sees it, and no crash
// leaves it, before it belongs to uid. That somebody else was faster is no error.
func makeDirectory(path string, uid, gid int) error {
	fresh, err := os.MkdirTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	err = give(fresh, uid, gid)
	if err == nil {
		err = unix.Renameat2(unix.AT_FDCWD, fresh, unix.AT_FDCWD, path, unix.RENAME_NOREPLACE)
	}
	if err == nil {
		return nil
	}
	_ = os.Remove(fresh)
	switch err {
	case unix.EEXIST:
		return nil
	case unix.EINVAL, unix.ENOSYS: // a file system that cannot do that
		return makeInPlace(path, uid, gid)
	}
	return err
}

func makeInPlace(path string, uid, gid int) error {
	switch err := unix.Mkdir(path, 0o700); err {
	case nil:
		return give(path, uid, gid)
	case unix.EEXIST:
		return nil
	default:
		return err
	}
}

// give gives a directory away: a directory, whatever takes its place meanwhile.
func give(path string, uid, gid int) error {
	if uid == os.Geteuid() {
		return nil
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Fchown(fd, uid, gid)
}

// openOwn checks a directory that is there.
func openOwn(path string, uid int) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open status directory %s: %w", path, err)
	}
	defer unix.Close(fd)
	return checkDirectory(fd, path, uid)
}

func checkDirectory(fd int, path string, uid int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("check status directory %s: %w", path, err)
	}
	switch {
	case int(st.Uid) != uid:
		return fmt.Errorf("check status directory %s: it belongs to user %d, not to user %d", path, st.Uid, uid)
	case st.Mode&0o077 != 0:
		return fmt.Errorf("check status directory %s: mode %04o lets others in, it must be 0700", path, st.Mode&0o7777)
	}
	return nil
}

// OpenDirectory opens a status directory that exists and belongs to the user
// that we are.
func OpenDirectory(path string) (*Directory, error) { return openDirectory(path, bootID()) }

func openDirectory(path, boot string) (*Directory, error) {
	d := &Directory{path: path, boot: boot}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open status directory %s: %w", path, err)
	}
	d.dir = os.NewFile(uintptr(fd), path)
	if err = checkDirectory(fd, path, os.Geteuid()); err == nil {
		d.state, err = d.openFile(stateFile)
	}
	if err != nil {
		_ = d.dir.Close()
		return nil, err
	}
	return d, nil
}

// openFile opens or makes a file of the directory.
func (d *Directory) openFile(name string) (*os.File, error) {
	const flags = unix.O_RDWR | unix.O_CREAT | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	fd, err := unix.Openat(int(d.dir.Fd()), name, flags, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open status file %s: %w", d.file(name), err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink != 1 {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("open status file %s: not a regular file of its own: %w", d.file(name), errors.Join(err, unix.EINVAL))
	}
	return os.NewFile(uintptr(fd), d.file(name)), nil
}

func (d *Directory) file(name string) string { return filepath.Join(d.path, name) }

// Close closes the directory.
func (d *Directory) Close() error { return errors.Join(d.state.Close(), d.dir.Close()) }

// sockets lists the names of processes that have, or had, a socket.
func (d *Directory) sockets() ([]string, error) {
	if _, err := d.dir.Seek(0, 0); err != nil {
		return nil, err
	}
	names, err := d.dir.Readdirnames(maxFiles)
	if err != nil && err != io.EOF && len(names) == 0 {
		return nil, fmt.Errorf("list status directory %s: %w", d.path, err)
	}
	var ids []string
	for _, name := range names {
		if id, ok := strings.CutSuffix(name, socketSuffix); ok {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// maxFiles bounds how much of the directory is looked at: there are at most as
// many processes as the process limits of master.cf allow.
const maxFiles = 10_000
