package torture

import (
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
	if r.vault, err = newVault(filepath.Join(r.lab.QueueDirectory(), "public", "vault"), 1, nil, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.vault.close)
	return r
}

// queue puts one message into the queue.
func (r *run) queue(content string, rcpts ...string) *letter {
	r.t.Helper()
	l := &letter{id: fmt.Sprintf("<%d@quiet>", len(r.mail))}
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
	r.vault.mu.Lock()
	r.vault.messages[l.id] = l.content
	r.vault.mu.Unlock()
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
		result, err := r.lab.Deliver(t.Context(), l.req)
		if err != nil {
			t.Fatalf("truncated at %d: %v", size, err)
		}
		r.vault.mu.Lock()
		copies := len(r.vault.copies[l.id+" a@x"])
		r.vault.mu.Unlock()
		info, err := os.Stat(r.path(l))
		if err != nil {
			t.Fatal(err)
		}
		// The content ends where the request says that the data are, plus its size,
		// plus the record that ends it: from there on the agent reads nothing.
		complete := int64(size) >= l.req.Offset+l.req.Size+2
		switch {
		case complete && (copies != 1 || result.Status != 0):
			t.Errorf("truncated at %d after the content: %d copies, status %d", size, copies, result.Status)
		case complete:
		case copies != 0 || result.Status == 0:
			t.Errorf("truncated at %d of %d: %d copies, status %d", size, len(data), copies, result.Status)
		case info.Mode().Perm() == 0o400:
			if n := len(r.lab.Grep(l.req.QueueID+": to=<", "status=bounced (unreadable mail queue entry)")); n != 2 {
				t.Errorf("truncated at %d: kept as corrupt, and %d of 2 recipients are told", size, n)
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
// file. Nobody is told anything, and the message stays.
func TestUnreadableFile(t *testing.T) {
	t.Parallel()
	r := quiet(t, lab.Options{ProcessLimit: 2})
	for what, damage := range map[string]func(path string) error{
		"gone":      os.Remove,
		"directory": func(p string) error { os.Remove(p); return os.Mkdir(p, 0o700) },
		"link":      func(p string) error { os.Rename(p, p+"1"); return os.Symlink(p+"1", p) },
		"loop":      func(p string) error { os.Remove(p); return os.Symlink(p, p) },
		"mode":      func(p string) error { return os.Chmod(p, 0o600) },
		"corrupt":   func(p string) error { return os.Chmod(p, 0o400) },
		"empty":     func(p string) error { return os.Truncate(p, 0) },
		"zeros":     func(p string) error { return os.WriteFile(p, make([]byte, 4096), 0o700) },
		"noise":     func(p string) error { return os.WriteFile(p, []byte(strings.Repeat("\xff\x80N", 1000)), 0o700) },
	} {
		l := r.queue("text\n", "a@x")
		if err := damage(r.path(l)); err != nil {
			t.Fatal(err)
		}
		result, err := r.lab.Deliver(t.Context(), l.req)
		if err != nil || result.Status == 0 {
			t.Errorf("%s: status %d, %v", what, result.Status, err)
		}
		if len(r.lab.Grep(l.req.QueueID)) == 0 {
			t.Errorf("%s: nothing in the log", what)
		}
	}
	r.vault.mu.Lock()
	if len(r.vault.copies) > 0 {
		t.Errorf("stored: %v", r.vault.copies)
	}
	r.vault.mu.Unlock()
	r.mail = nil
	r.queue("text\n", "a@x")
	r.calm()
	r.leave()
	r.count()
}
