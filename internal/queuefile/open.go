package queuefile

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNotExist is what [Open] wraps when the file is gone, which is normal: the
// message may have been removed by the operator.
var ErrNotExist = fs.ErrNotExist

// ErrLocked is what [Open] wraps when somebody else holds an exclusive lock.
var ErrLocked = errors.New("queue file is locked")

// readyMode are the permission bits of a queue file that is complete; a file
// still being written has fewer, a corrupt one has corruptMode.
const (
	readyMode   fs.FileMode = 0o700
	corruptMode fs.FileMode = 0o400
)

// NotReadyError reports a queue file without the mode 0700: incomplete, or
// marked as corrupt.
type NotReadyError struct {
	Path string
	Mode fs.FileMode // permission bits found
}

func (e *NotReadyError) Error() string {
	return fmt.Sprintf("%s: mode %04o: not a complete queue file", e.Path, e.Mode)
}

// NotRegularError reports something that is not a regular file.
type NotRegularError struct {
	Path  string
	Owner uint32 // uid
}

func (e *NotRegularError) Error() string {
	return fmt.Sprintf("%s: uid %d: not a regular file", e.Path, e.Owner)
}

// Info is what the file system says about a queue file.
type Info struct {
	Size    int64 // bytes
	Owner   uint32
	Links   uint64    // more than 1 for long is worth a warning
	Changed time.Time // last change of the inode
}

// File is an open, locked queue file.
type File struct {
	f    descriptor
	path string
	info Info
}

// Open opens a queue file for delivery and takes a shared lock on it without
// waiting. The file must be a regular one with mode 07xx (mail_open_ok). The
// caller closes it when all recipients are settled; that drops the lock.
func Open(path string) (*File, error) {
	f, err := openDescriptor(path)
	if err != nil {
		return nil, openError(path, err)
	}
	file, err := lockAndCheck(f, path)
	if err != nil {
		f.close()
		return nil, err
	}
	return file, nil
}

// openError says why a file cannot be opened: what it is matters more than what
// the system says, such as that a corrupt file (mode 0400) is not ours to write.
func openError(path string, err error) error {
	var st unix.Stat_t
	serr := ignoringEINTR(func() error { return unix.Lstat(path, &st) })
	if serr != nil {
		return &fs.PathError{Op: "stat queue file", Path: path, Err: serr}
	}
	if serr = check(path, &st); serr != nil {
		return serr
	}
	return fmt.Errorf("open queue file: %w", err)
}

func lockAndCheck(f descriptor, path string) (*File, error) {
	var st unix.Stat_t
	if err := ignoringEINTR(func() error { return unix.Fstat(int(f), &st) }); err != nil {
		return nil, &fs.PathError{Op: "stat queue file", Path: path, Err: err}
	}
	if err := check(path, &st); err != nil {
		return nil, err
	}
	err := ignoringEINTR(func() error { return unix.Flock(int(f), unix.LOCK_SH|unix.LOCK_NB) })
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fmt.Errorf("lock queue file %s: %w", path, ErrLocked)
	}
	if err != nil {
		return nil, fmt.Errorf("lock queue file %s: %w", path, err)
	}
	return &File{f: f, path: path, info: Info{
		Size:    st.Size,
		Owner:   st.Uid,
		Links:   uint64(st.Nlink),
		Changed: time.Unix(st.Ctim.Unix()),
	}}, nil
}

// check applies the rules of mail_open_ok to what stat reports.
func check(path string, st *unix.Stat_t) error {
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return &NotRegularError{Path: path, Owner: st.Uid}
	}
	if mode := fs.FileMode(st.Mode & 0o777); mode&readyMode != readyMode {
		return &NotReadyError{Path: path, Mode: mode}
	}
	return nil
}

// Path returns the path that the file was opened with.
func (f *File) Path() string { return f.path }

// Info returns what was known about the file when it was opened.
func (f *File) Info() Info { return f.info }

// Close closes the file and drops the lock.
func (f *File) Close() error { return f.f.close() }

func ignoringEINTR(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}
