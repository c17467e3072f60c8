package torture

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postlmtp/internal/lab"
	"postlmtp/internal/lab/lacking"
)

// disk is a file system of its own below a directory of the queue, which can
// break: from then on every access that the kernel passes on to it fails with EIO.
type disk struct {
	t     *testing.T
	image string
	dir   string
}

// newDisk makes a disk and mounts it. It needs root, and a loop device.
func newDisk(t *testing.T, dir string) *disk {
	t.Helper()
	d := &disk{t: t, image: filepath.Join(t.TempDir(), "disk"), dir: dir}
	if err := os.WriteFile(d.image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(d.image, 16<<20); err != nil {
		t.Fatal(err)
	}
	d.command("mkfs.ext4", "-q", "-O", "^has_journal", d.image)
	d.mount()
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return d
}

func (d *disk) command(name string, args ...string) {
	d.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		d.t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

func (d *disk) mount() { d.t.Helper(); d.command("mount", "-o", "loop", d.image, d.dir) }

// ioctlShutdown is EXT4_IOC_SHUTDOWN of the kernel's fs/ext4/ext4.h, and noLogFlush
// its EXT4_GOING_FLAGS_NOLOGFLUSH.
const ioctlShutdown, noLogFlush = 0x8004587d, 2

// breaks writes what is to be written, and breaks the disk.
func (d *disk) breaks() error {
	f, err := os.Open(d.dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return err
	}
	return unix.IoctlSetPointerInt(int(f.Fd()), ioctlShutdown, noLogFlush)
}

// repair takes the disk away and brings it back in good health, once nobody has
// a file on it open.
func (d *disk) repair() {
	d.t.Helper()
	for end := time.Now().Add(deliveryLimit); ; time.Sleep(5 * time.Millisecond) {
		err := unix.Unmount(d.dir, 0)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EBUSY) || time.Now().After(end) {
			d.t.Fatalf("unmount %s: %v", d.dir, err)
		}
	}
	d.mount()
}

// TestBrokenDisk delivers from a queue on a disk that fails with EIO: before the
// queue file is opened, in the middle of the content, and when everybody has
// the message and is to be marked. Nobody is bounced for it, what the server did not
// get is delivered once the disk is back, and what cannot be marked is said.
func TestBrokenDisk(t *testing.T) {
	lacking.Root(t) // and a loop device, for a disk that breaks
	for _, test := range []struct {
		name   string
		before string // the server's reply before which the disk breaks; "": before the delivery
		copies int    // of the message for each recipient, when the disk breaks
		logged string
	}{
		{"open", "", 0, "input/output error"},
		{"content", "354", 0, "input/output error"},
		{"marks", "250 2.0.0 stored", 1, "cannot be marked as done, and will be tried again"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := quiet(t, lab.Options{ProcessLimit: 1})
			d := newDisk(t, filepath.Join(r.lab.QueueDirectory(), "active"))
			l := r.queue(strings.Repeat("A line of text.\n", 1<<16), "a@x", "b@x")
			begin := time.Now()
			var broken atomic.Bool
			breaks := func() {
				if broken.Swap(true) {
					return
				}
				if err := d.breaks(); err != nil {
					t.Error(err)
				}
			}
			if test.before == "" {
				breaks()
			}
			r.vault.mu.Lock()
			r.vault.before = func(reply string) {
				if strings.HasPrefix(reply, test.before) {
					breaks()
				}
			}
			r.vault.mu.Unlock()
			result, err := r.attempt(t.Context(), l, l.req)
			if err != nil || result.Status == 0 || !broken.Load() {
				t.Errorf("disk broken: %v, status %d, %v", broken.Load(), result.Status, err)
			}
			for _, rcpt := range l.req.Recipients {
				if copies := len(r.vault.stored(l, rcpt.Address, -1)); copies != test.copies {
					t.Errorf("%s: %d copies", rcpt.Address, copies)
				}
			}
			if len(r.lab.Grep(l.req.QueueID+": ", test.logged)) == 0 {
				t.Errorf("the log does not have %q", test.logged)
			}
			if test.copies > 0 {
				r.marks = append(r.marks, span{begin, time.Now()})
			}
			if err := r.lab.Reload(); err != nil { // the jail of a worker is tied to the disk that was there
				t.Error(err)
			}
			d.repair()
			r.calm()
			r.leave()
			r.count() // no bounce, no loss, no second copy that was not announced
			if t.Failed() {
				for _, line := range r.lab.Log() {
					t.Log(line.Text)
				}
			}
		})
	}
}
