package queuefile

import (
	"fmt"
	"io"
	"io/fs"

	"golang.org/x/sys/unix"
)

// descriptor is an open regular file. An os.File would cost five more system
// calls for each delivery, to find out that nobody can wait for a regular file.
type descriptor int

// openDescriptor opens a file for reading and writing, but no symbolic link. It
// does not wait for whatever a file may be that is no regular one.
func openDescriptor(path string) (descriptor, error) {
	fd := -1
	err := ignoringEINTR(func() (err error) {
		fd, err = unix.Open(path, unix.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return descriptor(fd), nil
}

// ReadAt is that of io.ReaderAt.
func (d descriptor) ReadAt(p []byte, offset int64) (done int, err error) {
	for done < len(p) {
		n := 0
		err := ignoringEINTR(func() (err error) {
			n, err = unix.Pread(int(d), p[done:], offset+int64(done))
			return err
		})
		if err != nil {
			return done, fmt.Errorf("read: %w", err)
		}
		if n == 0 {
			return done, io.EOF
		}
		done += n
	}
	return done, nil
}

// writeByte writes one byte at an offset.
func (d descriptor) writeByte(b byte, offset int64) error {
	return ignoringEINTR(func() error {
		n, err := unix.Pwrite(int(d), []byte{b}, offset)
		if err == nil && n == 0 {
			err = io.ErrShortWrite
		}
		return err
	})
}

func (d descriptor) chmod(mode fs.FileMode) error {
	return ignoringEINTR(func() error { return unix.Fchmod(int(d), uint32(mode)) })
}

func (d descriptor) close() error { return unix.Close(int(d)) }
