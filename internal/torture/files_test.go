package torture

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postlmtp/internal/lab"
	"postlmtp/internal/request"
)

// quiet is a world without faults at the server.
func quiet(t *testing.T, o lab.Options) *run {
	t.Helper()
	r := &run{t: t, rnd: rand.New(rand.NewPCG(1, 0)), tally: newTally()}
	o.Agent = theAgent(t)
	var err error
	if r.lab, err = lab.New("", o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.lab.Close() })
	if r.vault, err = newVault(filepath.Join(r.lab.QueueDirectory(), "public", "vault"), 1, nil, r.tally); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.vault.close)
	return r
}

// queue puts one message into the queue.
func (r *run) queue(content string, rcpts ...string) *letter {
	r.t.Helper()
	l := &letter{name: fmt.Sprint("m", r.queued), id: fmt.Sprintf("<%d@quiet>", r.queued)}
	r.queued++
	l.content = "Message-ID: " + l.id + "\n\n" + content
	var list []request.Recipient
	for _, addr := range rcpts {
		list = append(list, request.Recipient{Address: addr, Original: addr})
	}
	req, err := r.lab.Queue(lab.Message{Sender: "s@x", Recipients: list, Content: l.content})
	if err != nil {
		r.t.Fatal(err)
	}
	req.Nexthop = r.vault.nexthop()
	l.req = req
	r.mail = append(r.mail, l)
	r.vault.expect(l, l.content)
	return l
}

// TestDamagedFile truncates queue files at each byte. What is not whole is not
// delivered: the recipients are told and the file is kept for a person to look
// at, or everything stays as it is; and the next message is delivered.
func TestDamagedFile(t *testing.T) {
	t.Parallel()
	r := quiet(t, lab.Options{ProcessLimit: 4})
	whole := r.queue("text\n", "a@x", "b@x")
	data, err := os.ReadFile(r.path(whole))
	if err != nil {
		t.Fatal(err)
	}
	for size := range len(data) {
		l := r.queue("text\n", "a@x", "b@x")
		if err := os.Truncate(r.path(l), int64(size)); err != nil {
			t.Fatal(err)
		}
		result, err := r.attempt(t.Context(), l, l.req)
		if err != nil {
			t.Fatalf("truncated at %d: %v", size, err)
		}
		copies := len(r.vault.stored(l, "a@x", -1))
		info, err := os.Stat(r.path(l))
		if err != nil {
			t.Fatal(err)
		}
		told := 0
		for _, rcpt := range l.req.Recipients {
			told += r.bounces()[l.req.QueueID+" "+rcpt.Address+" "+label(l.name, 0)]
		}
		// The content ends where the request says that the data are, plus its size,
		// plus the record that ends it: from there on the agent reads nothing.
		complete := int64(size) >= l.req.Offset+l.req.Size+2
		switch {
		case complete && (copies != 1 || result.Status != 0):
			t.Errorf("truncated at %d after the content: %d copies, status %d", size, copies, result.Status)
		case complete && told != 0:
			t.Errorf("truncated at %d after the content: bounced", size)
		case complete:
		case copies != 0 || result.Status == 0:
			t.Errorf("truncated at %d of %d: %d copies, status %d", size, len(data), copies, result.Status)
		case info.Mode().Perm() == 0o400 && told != 2, info.Mode().Perm() != 0o400 && told != 0:
			t.Errorf("truncated at %d: mode %v, and %d of 2 recipients are told", size, info.Mode(), told)
		case info.Mode().Perm() == 0o400:
			if n := len(r.lab.Grep(l.req.QueueID+": to=<", "status=bounced (unreadable mail queue entry)")); n != 2 {
				t.Errorf("truncated at %d: kept as corrupt, and %d of 2 recipients are in the log", size, n)
			}
		case len(r.lab.Grep(l.req.QueueID)) == 0:
			t.Errorf("truncated at %d: it stays in the queue, and the log does not say why", size)
		}
		if err := os.Remove(r.path(l)); err != nil {
			t.Fatal(err)
		}
	}
	r.mail = []*letter{whole}
	r.calm()
	r.leave()
	r.count()
}

// TestUnreadableFile: a queue file that is not there, not to be opened, or not a
// file. Nobody is told anything, and the message stays. What can be opened and is not a
// message can never be one: the recipient is told, and the file is kept for a person
// to look at.
func TestUnreadableFile(t *testing.T) {
	t.Parallel()
	r := quiet(t, lab.Options{ProcessLimit: 2})
	for _, test := range []struct {
		what    string
		damage  func(path string) error
		bounced bool
	}{
		{"gone", os.Remove, false},
		{"directory", func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o700)) }, false},
		{"link", func(p string) error { return errors.Join(os.Rename(p, p+"1"), os.Symlink(p+"1", p)) }, false},
		{"loop", func(p string) error { return errors.Join(os.Remove(p), os.Symlink(p, p)) }, false},
		{"mode", func(p string) error { return os.Chmod(p, 0o600) }, false},
		{"corrupt", func(p string) error { return os.Chmod(p, 0o400) }, false},
		{"empty", func(p string) error { return os.Truncate(p, 0) }, true},
		{"zeros", func(p string) error { return os.WriteFile(p, make([]byte, 4096), 0o700) }, true},
		{"noise", func(p string) error { return os.WriteFile(p, []byte(strings.Repeat("\xff\x80N", 1000)), 0o700) }, true},
	} {
		l := r.queue("text\n", "a@x")
		if err := test.damage(r.path(l)); err != nil {
			t.Fatal(err)
		}
		mode, content := r.look(l)
		result, err := r.attempt(t.Context(), l, l.req)
		if err != nil || result.Status == 0 {
			t.Errorf("%s: status %d, %v", test.what, result.Status, err)
		}
		if len(r.lab.Grep(l.req.QueueID)) == 0 {
			t.Errorf("%s: nothing in the log", test.what)
		}
		told := 0
		if test.bounced {
			told, mode = 1, 0o400
		}
		if n := r.bounces()[l.req.QueueID+" a@x "+label(l.name, 0)]; n != told {
			t.Errorf("%s: bounced %d times", test.what, n)
		}
		if n := len(r.lab.Grep("corrupted queue file: active/" + l.req.QueueID)); n != told {
			t.Errorf("%s: %d lines say that the file is corrupt", test.what, n)
		}
		if now, text := r.look(l); now != mode || text != content {
			t.Errorf("%s: the file has mode %v and %d bytes, others than before, or instead of mode %v and %d bytes",
				test.what, now, len(text), mode, len(content))
		}
	}
	if r.vault.serial > 0 {
		t.Errorf("%d copies are stored", r.vault.serial)
	}
	r.mail = nil
	r.queue("text\n", "a@x")
	r.calm()
	r.leave()
	r.count()
}

// look is what there is at the path of a queue file: the mode, 0 if there is nothing,
// and the bytes of a file.
func (r *run) look(l *letter) (mode os.FileMode, content string) {
	info, err := os.Lstat(r.path(l))
	if err != nil {
		return 0, ""
	}
	if info.Mode().IsRegular() {
		data, err := os.ReadFile(r.path(l))
		if err != nil {
			r.t.Error(err)
		}
		content = string(data)
	}
	return info.Mode(), content
}
