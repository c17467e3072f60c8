package queuefile

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const message = "Subject: hello\nTo: you\n\nHi\n"

func create(t *testing.T, e Envelope) (string, Layout) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ABCDE1")
	layout, err := Create(path, e, strings.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	return path, layout
}

func open(t *testing.T, path string) *File {
	t.Helper()
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestOpenAndRead(t *testing.T) {
	path, layout := create(t, Envelope{Sender: "a@b", Recipients: []Recipient{{Address: "c@d"}}})
	f := open(t, path)
	got, _ := collect(f.Records(layout.DataOffset))
	if want := "N:Subject: hello N:To: you N: N:Hi X: E: "; got != want {
		t.Errorf("content %q, want %q", got, want)
	}
	info := f.Info()
	if f.Path() != path || info.Size != layout.Size || info.Links != 1 || info.Changed.IsZero() {
		t.Errorf("info %+v", info)
	}
	other := open(t, path) // the lock is a shared one
	if err := other.Close(); err != nil {
		t.Error(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(file("ready", 0o700), link); err != nil {
		t.Fatal(err)
	}
	locked := file("locked", 0o700)
	holder, err := os.Open(locked)
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	if err := unix.Flock(int(holder.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}

	var notReady *NotReadyError
	var notRegular *NotRegularError
	for path, ok := range map[string]func(error) bool{
		filepath.Join(dir, "none"): func(err error) bool { return errors.Is(err, ErrNotExist) },
		file("incomplete", 0o600):  func(err error) bool { return errors.As(err, &notReady) && notReady.Mode == 0o600 },
		file("corrupt", 0o400):     func(err error) bool { return errors.As(err, &notReady) && notReady.Mode == 0o400 },
		dir:                        func(err error) bool { return errors.As(err, &notRegular) },
		link:                       func(err error) bool { return errors.As(err, &notRegular) },
		locked:                     func(err error) bool { return errors.Is(err, ErrLocked) },
	} {
		f, err := Open(path)
		if err == nil {
			f.Close()
		}
		if !ok(err) {
			t.Errorf("Open(%s): %v", filepath.Base(path), err)
		}
	}
	open(t, file("hints", 0o750)) // group bits are hints to the queue manager
}

func TestMarkDone(t *testing.T) {
	path, layout := create(t, Envelope{Recipients: []Recipient{{Address: "c@d"}, {Address: "e@f", Extracted: true}}})
	before, _ := os.ReadFile(path)
	f := open(t, path)
	for _, offset := range append(layout.Recipients, NoOffset, layout.Recipients[0]) {
		if err := f.MarkDone(offset); err != nil {
			t.Errorf("MarkDone(%d): %v", offset, err)
		}
	}
	for _, offset := range []int64{0, -2, 1, layout.DataOffset, layout.Size, 1 << 40} {
		if err := f.MarkDone(offset); err == nil {
			t.Errorf("MarkDone(%d) did something", offset)
		}
	}
	after, _ := os.ReadFile(path)
	want := bytes.Clone(before)
	for _, offset := range layout.Recipients {
		want[offset] = TypeDone
	}
	if !bytes.Equal(after, want) {
		t.Error("MarkDone changed other bytes")
	}
}

func TestMarkCorrupt(t *testing.T) {
	path, _ := create(t, Envelope{Recipients: []Recipient{{Address: "c@d"}}})
	if err := open(t, path).MarkCorrupt(); err != nil {
		t.Fatal(err)
	}
	var notReady *NotReadyError
	if _, err := Open(path); !errors.As(err, &notReady) {
		t.Errorf("a corrupt file opens: %v", err)
	}
}

func TestMarkErrorsAreReported(t *testing.T) {
	path, layout := create(t, Envelope{Recipients: []Recipient{{Address: "c@d"}}})
	f := open(t, path)
	f.Close()
	if f.MarkDone(layout.Recipients[0]) == nil || f.MarkCorrupt() == nil {
		t.Error("no error from a closed file")
	}
}
