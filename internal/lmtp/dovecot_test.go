package lmtp

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postlmtp/internal/lab/lacking"
)

const dovecotConf = `
base_dir = DIR/run
state_dir = DIR/state
log_path = DIR/dovecot.log
instance_name = engine
protocols = lmtp
ssl = no
first_valid_uid = 1
mail_uid = 5000
mail_gid = 5000
mail_location = maildir:DIR/mail/%u
mail_fsync = never
mail_plugins = quota
quota_full_tempfail = yes
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
  unix_listener DIR/lmtp {
    mode = 0666
  }
}
`

// startDovecot runs a private Dovecot and returns the path of its socket.
func startDovecot(t *testing.T) (dir string) {
	t.Helper()
	const program = "/usr/sbin/dovecot"
	if _, err := os.Stat(program); err != nil || os.Geteuid() != 0 {
		lacking.Stop(t, "root and "+program)
	}
	dir, err := os.MkdirTemp("", "eng")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Chmod(dir, 0o755))
	for _, d := range []string{"run", "state", "mail"} {
		must(os.Mkdir(filepath.Join(dir, d), 0o755))
	}
	must(os.Chown(filepath.Join(dir, "mail"), 5000, 5000))
	home := filepath.Join(dir, "mail")
	var users strings.Builder
	for _, u := range []string{"one:secret:5000:5000::" + home + "::", "two:secret:5000:5000::" + home + "::",
		"full:secret:5000:5000::" + home + "::userdb_quota_rule=*:bytes=10"} {
		users.WriteString(u + "\n")
	}
	must(os.WriteFile(filepath.Join(dir, "users"), []byte(users.String()), 0o644))
	conf := filepath.Join(dir, "dovecot.conf")
	must(os.WriteFile(conf, []byte(strings.ReplaceAll(dovecotConf, "DIR", dir)), 0o644))
	cmd := exec.Command(program, "-F", "-c", conf)
	cmd.Dir = filepath.Join(dir, "run")
	must(cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
		if log, err := os.ReadFile(filepath.Join(dir, "dovecot.log")); err == nil && t.Failed() {
			t.Logf("%s", log)
		}
	})
	return dir
}

// dialDovecot starts one and connects to it.
func dialDovecot(t *testing.T) (dir string, conn net.Conn) {
	t.Helper()
	dir = startDovecot(t)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); conn == nil; <-tick.C {
		var err error
		if conn, err = net.Dial("unix", filepath.Join(dir, "lmtp")); err != nil && time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	return dir, conn
}

func TestDovecot(t *testing.T) {
	dir, conn := dialDovecot(t)
	ctx := context.Background()
	res := new(result)
	s, err := Open(ctx, conn, testOptions(&res.recorder))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if c := s.Caps(); !c.Pipelining || !c.EightBitMIME {
		t.Errorf("capabilities %+v", c)
	}
	const rounds = 3
	for range rounds {
		tr := newTransaction(0)
		for _, name := range []string{"one", "unknown", "two", "full", "one", "unknown2"} {
			tr.Recipients = append(tr.Recipients, Recipient{Address: name + "@x.example"})
		}
		res.session = s
		res.watch(t, tr)
		res.err = s.Deliver(ctx, tr)
		res.check(t)
		res.expect(t, "ok", "final 250, rejected 550, final 250, final 452, final 250, rejected 550")
		none := newTransaction(1)
		none.Recipients[0].Address = "unknown@x.example"
		res.watch(t, none)
		res.err = s.Deliver(ctx, none)
		res.check(t)
		res.expect(t, "ok", "rejected 550")
		if !s.Reusable() {
			t.Fatal("not reusable")
		}
	}
	probe := newTransaction(1)
	probe.Recipients[0].Address, probe.Probe, probe.Idle = "two@x.example", ProbeRcpt, true
	res.watch(t, probe)
	if res.err = s.Deliver(ctx, probe); res.err != nil || res.outcomes() != "final 250" {
		t.Error(res.err, res.outcomes())
	}
	if err := s.Quit(ctx, true); err != nil {
		t.Error(err)
	}
	for user, want := range map[string]int{"one": rounds, "two": rounds, "full": 0} { // "one" twice in a message is one mail
		names, _ := filepath.Glob(filepath.Join(dir, "mail", user+"@x.example", "new", "*"))
		if len(names) != want {
			t.Errorf("%s has %d messages, want %d", user, len(names), want)
		}
	}
	if t.Failed() {
		t.Logf("dialog:\n%s", strings.Join(res.trace, "\n"))
	}
}
