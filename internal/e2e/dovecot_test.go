package e2e

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// dovecot is one private Dovecot with an LMTP listener at private/dovecot of a
// Postfix instance and one at a free port. Users are found by the local part
// of an address; each full address has a Maildir of its own.
type dovecot struct {
	*dovecotState
	t *testing.T
}

type dovecotState struct {
	dir  string
	port int
	cmd  *exec.Cmd

	mu      sync.Mutex
	users   map[string]string // local part to extra userdb fields
	written time.Time         // the time that the file of users got last
}

// with is the same server for a sub-test.
func (d *dovecot) with(t *testing.T) *dovecot { return &dovecot{d.dovecotState, t} }

const (
	dovecotProgram = "/usr/sbin/dovecot"
	mailUID        = 5000 // of no account: Dovecot takes numbers
)

// newDovecot prepares a server; start runs it.
func newDovecot(t *testing.T, p *postfix) *dovecot {
	t.Helper()
	need(t, dovecotProgram, "/usr/lib/dovecot/lmtp")
	d := &dovecot{&dovecotState{dir: tempDir(t), port: freePort(t), users: map[string]string{}, written: time.Now()}, t}
	for _, name := range []string{"run", "state", "mail"} {
		d.must(os.Mkdir(d.path(name), 0o755))
	}
	d.must(os.Chown(d.path("mail"), mailUID, mailUID))
	conf := strings.NewReplacer("DIR", d.dir, "SOCKET", p.queue("private", "dovecot"),
		"PORT", fmt.Sprint(d.port), "UID", fmt.Sprint(mailUID)).Replace(d.config())
	d.must(os.WriteFile(d.path("dovecot.conf"), []byte(conf), 0o644))
	d.writeUsers()
	t.Cleanup(d.shutdown)
	reaper(t, d.dir)
	return d
}

// since24 tells whether the installed Dovecot is 2.4 or later, whose
// configuration has another language.
var since24 = sync.OnceValue(func() bool {
	out, err := exec.Command(dovecotProgram, "--version").Output()
	var minor int
	n, _ := fmt.Sscanf(string(out), "2.%d.", &minor)
	return err == nil && n == 1 && minor >= 4
})

// since2314 tells whether the installed Dovecot is later than 2.3.13 (Debian 11):
// it takes the name of a session from who it trusts.
var since2314 = sync.OnceValue(func() bool {
	out, err := exec.Command(dovecotProgram, "--version").Output()
	var minor, patch int
	n, _ := fmt.Sscanf(string(out), "2.%d.%d", &minor, &patch)
	return err == nil && n == 2 && (minor > 3 || patch > 13)
})

func (d *dovecot) config() string {
	if since24() {
		return dovecotConf24
	}
	return dovecotConf
}

const dovecotConf24 = `
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
base_dir = DIR/run
state_dir = DIR/state
log_path = DIR/dovecot.log
instance_name = e2e
protocols = lmtp
ssl = no
first_valid_uid = 1
mail_uid = UID
mail_gid = UID
mail_driver = maildir
mail_path = DIR/mail/%{user}
mail_fsync = never
mail_plugins = quota
lmtp_user_concurrency_limit = unlimited
quota_full_tempfail = yes
quota_storage_grace = 0
auth_username_chars =
passdb passwd-file {
  default_password_scheme = PLAIN
  auth_username_format = %{user | username}
  passwd_file_path = DIR/users
}
userdb passwd-file {
  auth_username_format = %{user | username}
  passwd_file_path = DIR/users
}
quota "User quota" {
  driver = maildir
}
service lmtp {
  unix_listener SOCKET {
    mode = 0600
    user = postfix
  }
  inet_listener lmtp {
    listen = 127.0.0.1
    port = PORT
  }
}
`

const dovecotConf = `
base_dir = DIR/run
state_dir = DIR/state
log_path = DIR/dovecot.log
instance_name = e2e
protocols = lmtp
ssl = no
first_valid_uid = 1
mail_uid = UID
mail_gid = UID
mail_location = maildir:DIR/mail/%u
mail_fsync = never
mail_plugins = quota
lmtp_user_concurrency_limit = 0
quota_full_tempfail = yes
auth_username_chars =
passdb {
  driver = passwd-file
  args = scheme=PLAIN username_format=%n DIR/users
}
userdb {
  driver = passwd-file
  args = username_format=%n DIR/users
}
plugin {
  quota = maildir:User quota
}
service lmtp {
  unix_listener SOCKET {
    mode = 0600
    user = postfix
  }
  inet_listener lmtp {
    address = 127.0.0.1
    port = PORT
  }
}
`

func (d *dovecot) path(names ...string) string {
	return filepath.Join(append([]string{d.dir}, names...)...)
}

func (d *dovecot) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

// quotaOf is the userdb field for a mailbox of at most that size.
func quotaOf(size string) string {
	if since24() {
		return "userdb_quota_storage_size=" + size
	}
	return "userdb_quota_rule=*:bytes=" + size
}

// add adds or replaces users before the server starts, each with the given
// extra fields, such as quotaOf("10K").
func (d *dovecot) add(extra string, users ...string) {
	d.t.Helper()
	d.mu.Lock()
	for _, u := range users {
		d.users[u] = extra
	}
	d.mu.Unlock()
	d.writeUsers()
}

// lift gives users of the running server room, and waits until it knows: it
// looks at the file once a second.
func (d *dovecot) lift(users ...string) {
	d.t.Helper()
	field := quotaOf("1G")
	d.add(field, users...)
	name, value, _ := strings.Cut(strings.TrimPrefix(field, "userdb_"), "=")
	for _, u := range users {
		eventually(d.t, soon, "Dovecot to know the new quota", func() bool {
			out, err := exec.Command("doveadm", "-c", d.path("dovecot.conf"), "user", "-f", name, u).Output()
			return err == nil && strings.TrimSpace(string(out)) == value
		})
	}
}

func (d *dovecot) writeUsers() {
	d.t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	var lines []string
	for u, extra := range d.users {
		lines = append(lines, fmt.Sprintf("%s:secret:%d:%d::%s::%s\n", u, mailUID, mailUID, d.path("mail"), extra))
	}
	sort.Strings(lines)
	// Dovecot reads the file again when its size changes or its time, in seconds.
	d.must(os.WriteFile(d.path("users.new"), []byte(strings.Join(lines, "")), 0o644))
	d.written = d.written.Add(time.Second)
	d.must(os.Chtimes(d.path("users.new"), time.Time{}, d.written))
	d.must(os.Rename(d.path("users.new"), d.path("users")))
}

// start runs the server and waits until it listens.
func (d *dovecot) start() {
	d.t.Helper()
	d.cmd = exec.Command(dovecotProgram, "-F", "-c", d.path("dovecot.conf"))
	d.cmd.Dir = d.path("run")
	d.cmd.Stdout, d.cmd.Stderr = os.Stderr, os.Stderr
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	d.must(d.cmd.Start())
	eventually(d.t, soon, "Dovecot to listen", func() bool {
		c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", d.port), time.Second)
		if err != nil {
			return false
		}
		c.Close()
		return true
	})
}

// stop ends the server and all its processes.
func (d *dovecot) stop() {
	d.t.Helper()
	if d.cmd == nil {
		return
	}
	d.cmd.Process.Signal(syscall.SIGTERM)
	d.cmd.Wait()
	d.cmd = nil
	killAll(d.t, d.dir)
}

func (d *dovecot) shutdown() {
	if d.t.Failed() {
		if log, err := os.ReadFile(d.path("dovecot.log")); err == nil {
			d.t.Logf("the end of Dovecot's log:\n%s", log[max(0, len(log)-4000):])
		}
	}
	d.stop()
}

// mails returns the messages in the mailbox of an address.
func (d *dovecot) mails(address string) [][]byte {
	names, _ := filepath.Glob(d.path("mail", address, "new", "*"))
	kept, _ := filepath.Glob(d.path("mail", address, "cur", "*")) // 2.4 gives some a keyword at once
	names = append(names, kept...)
	sort.Strings(names)
	var list [][]byte
	for _, name := range names {
		if data, err := os.ReadFile(name); err == nil {
			list = append(list, data)
		}
	}
	return list
}

// stored waits for the message with an identity and returns it as stored.
func (d *dovecot) stored(address, id string) []byte {
	t := d.t
	t.Helper()
	var found []byte
	ok := within(later, func() bool {
		for _, m := range d.mails(address) {
			if bytes.Contains(m, []byte("X-E2E-Id: "+id+"\n")) {
				found = m
				return true
			}
		}
		return false
	})
	if !ok {
		t.Fatalf("no message %s in the mailbox of %s", id, address)
	}
	return found
}

// same compares a stored message with the one that was sent, apart from the
// header fields that Postfix and Dovecot put before it and from its line ends.
func same(t *testing.T, stored, sent []byte) {
	t.Helper()
	at := bytes.Index(stored, []byte("X-E2E-Id: "))
	if at < 0 {
		t.Fatal("no X-E2E-Id in the stored message")
	}
	got, want := stored[at:], bytes.ReplaceAll(sent, []byte("\r\n"), []byte("\n"))
	if bytes.Equal(got, want) {
		return
	}
	i := 0
	for i < len(got) && i < len(want) && got[i] == want[i] {
		i++
	}
	t.Errorf("stored %d bytes, sent %d; they differ from byte %d: stored %.60q, sent %.60q",
		len(got), len(want), i, got[i:], want[i:])
	for _, field := range bytes.Split(stored[:at], []byte("\n")) {
		if len(field) > 0 && field[0] != ' ' && field[0] != '\t' &&
			!bytes.HasPrefix(field, []byte("Return-Path:")) && !bytes.HasPrefix(field, []byte("Delivered-To:")) &&
			!bytes.HasPrefix(field, []byte("Received:")) {
			t.Errorf("unexpected field before the message: %q", field)
		}
	}
}
