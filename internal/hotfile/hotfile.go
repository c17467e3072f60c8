// Package hotfile reads files of text that somebody may be writing meanwhile, such
// as main.cf or a texthash: table, which nobody locks. As Postfix does, whoever
// reads such a file waits until it was left alone for a second, but not for ever.
package hotfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// A file that is being written is read again after a pause, at most so often.
const (
	pauses = 30
	pause  = 300 * time.Millisecond
)

// ErrChanging is the error for a file that changed whenever it was read.
var ErrChanging = errors.New("file changes while it is read")

// A Text is a file that was read to its end, and is still open.
type Text struct {
	Data []byte
	File *os.File
	Stat os.FileInfo // of the file when it was read
}

// Read reads a file of at most limit bytes. If it changes while it is read, it is
// read again; if settled is set, so is one that was changed since the second
// before. One that stays hot is taken as it is in the end, and Hot tells when
// its text is out of date. The error is one of package os, ErrChanging, or says that
// the file is too large.
func Read(path string, limit int, settled bool) (*Text, error) {
	return read(path, settled, func(f *os.File) ([]byte, error) { return readAll(f, limit) })
}

func read(path string, settled bool, all func(*os.File) ([]byte, error)) (*Text, error) {
	before := time.Now()
	for try := 0; ; try++ {
		t, err := readOnce(path, all)
		switch {
		case errors.Is(err, ErrChanging) && try < pauses:
		case err != nil:
			return nil, err
		case settled && Hot(t.Stat.ModTime(), before) && try < pauses:
			t.File.Close()
		default:
			return t, nil
		}
		before = time.Now()
		time.Sleep(pause)
	}
}

// readOnce reads a file, which all returns the bytes of.
func readOnce(path string, all func(*os.File) ([]byte, error)) (*Text, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	t := &Text{File: f}
	before, err := f.Stat()
	if err == nil {
		t.Data, err = all(f)
	}
	if err == nil {
		t.Stat, err = f.Stat()
	}
	if err == nil && (t.Stat.Size() != before.Size() || !t.Stat.ModTime().Equal(before.ModTime())) {
		err = ErrChanging
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return t, nil
}

func readAll(f *os.File, limit int) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err == nil && len(data) > limit {
		err = fmt.Errorf("file is larger than %d bytes", limit)
	}
	return data, err
}

// Hot reports whether a file with this time of change was changed since the second
// before the given time. A time of change in the future says nothing.
func Hot(changed, since time.Time) bool {
	return changed.Unix() >= since.Unix()-1 && changed.Unix() <= time.Now().Unix()
}
