package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"postlmtp/internal/lab/program"
)

// tool runs the tool of this tree on the instance, and returns what it prints.
func (p *postfix) tool(path string, good bool, args ...string) string {
	p.t.Helper()
	cmd := p.command(path, args...)
	out, err := cmd.CombinedOutput()
	if (err == nil) != good {
		p.t.Fatalf("postlmtp %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// buildTool compiles the tool beside a copy of the daemon. With
// POSTLMTP_E2E_BINARY set, it is the file postlmtp beside that.
func buildTool(t *testing.T) string {
	t.Helper()
	daemon, err := os.ReadFile(ourAgent(t).path)
	if err != nil {
		t.Fatal(err)
	}
	dir := tempDir(t)
	if err := os.WriteFile(filepath.Join(dir, "lmtp"), daemon, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "postlmtp")
	if daemon := os.Getenv("POSTLMTP_E2E_BINARY"); daemon != "" {
		tool, err := os.ReadFile(filepath.Join(filepath.Dir(daemon), "postlmtp"))
		if err == nil {
			err = os.WriteFile(path, tool, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	if _, err := program.Build(dir, "postlmtp"); err != nil {
		t.Fatal(err)
	}
	return path
}

// read returns the files of the configuration.
func (p *postfix) read() map[string]string {
	p.t.Helper()
	files := make(map[string]string)
	entries, err := os.ReadDir(p.conf())
	p.must(err)
	for _, e := range entries {
		if e.Type().IsRegular() {
			data, err := os.ReadFile(filepath.Join(p.conf(), e.Name()))
			p.must(err)
			files[e.Name()] = string(data)
		}
	}
	return files
}

// TestInstall: a Postfix with its own lmtp gets our daemon beside it, then in its
// place; mail flows at every step; and the way back ends at the same bytes.
func TestInstall(t *testing.T) {
	t.Parallel()
	p := startPostfix(t, options{agent: postfixAgent(), args: []string{"-o", "syslog_name=first"},
		main: []string{"lmtp_destination_recipient_limit = 7"}})
	s := unixSink(t, p, "sink").run()
	tool := buildTool(t)
	original := p.read()
	program := filepath.Join(p.dir, "daemon", "postlmtp-lmtp")

	send := func(service, tag string) {
		t.Helper()
		mark := p.log.mark()
		id, queueID := p.sendSmall(t, "", "rcpt@sink."+service+".sock.test")
		p.log.wait(t, mark, tag+`/lmtp\[\d+\]: `+queueID+`: .*status=sent`)
		if got := s.received(id); len(got) != 1 {
			t.Errorf("received %d times by service %s", len(got), service)
		}
	}
	unchanged := func(when string) {
		t.Helper()
		now := p.read()
		for name, text := range original {
			if now[name] != text {
				t.Errorf("%s: %s differs:\n%s", when, name, now[name])
			}
		}
		if len(now) != len(original) {
			t.Errorf("%s: %d files, not %d", when, len(now), len(original))
		}
		if _, err := os.Lstat(program); err == nil {
			t.Errorf("%s: %s is still there", when, program)
		}
	}

	if out := p.tool(tool, true, "install", "--dry-run"); !strings.Contains(out, "+postlmtp") {
		t.Errorf("the difference is not shown:\n%s", out)
	}
	unchanged("after --dry-run")
	p.tool(tool, false, "install", "--yes", "--name=lmtp")
	p.tool(tool, false, "install") // there is nobody to ask
	unchanged("after refusals")

	p.tool(tool, true, "install", "--yes", "--reload")
	send("postlmtp", "first")
	// The limit came with it: seven recipients, and three. (postconf calls the
	// parameter unused, because it does not know the program; qmgr reads it.)
	var many []string
	for i := range 10 {
		many = append(many, fmt.Sprintf("rcpt%d@sink.postlmtp.sock.test", i))
	}
	id, _ := p.sendSmall(t, "", many...)
	p.empty()
	if got := s.received(id); len(got) != 2 {
		t.Errorf("10 recipients came in %d transactions", len(got))
	}
	send("lmtp", "first")
	p.tool(tool, false, "install", "--yes")

	p.tool(tool, true, "install", "--yes", "--replace", "--reload")
	send("lmtp", "first")
	p.tool(tool, true, "uninstall", "--yes", "--service=postlmtp", "--reload") // not the last that was installed
	send("lmtp", "first")
	if out := p.run("postconf", "-M", "lmtp/unix"); !strings.Contains(out, "postlmtp-lmtp -o syslog_name=first") && !strings.Contains(out, "postlmtp-lmtp\n") {
		t.Errorf("service lmtp is %q", out)
	}
	p.tool(tool, true, "uninstall", "--yes", "--reload")
	unchanged("after uninstall")
	send("lmtp", "first")

	// Mail that still goes to the service stands in the way.
	p.tool(tool, true, "install", "--yes", "--service=other")
	p.set("virtual_transport = other:unix:private/sink")
	if out := p.tool(tool, false, "uninstall", "--yes"); !strings.Contains(out, "virtual_transport = other:") {
		t.Errorf("the user of the service is not named:\n%s", out)
	}
	p.run("postconf", "-c", p.conf(), "-X", "virtual_transport")
	p.tool(tool, true, "uninstall", "--yes", "--reload")
	unchanged("after a change in between")
}

// TestUninstallBeforeReload: until Postfix is reloaded it runs the program that
// was uninstalled, and so has it.
func TestUninstallBeforeReload(t *testing.T) {
	t.Parallel()
	p := startPostfix(t, options{agent: postfixAgent(), main: []string{"max_idle = 1s"}})
	s := unixSink(t, p, "sink").run()
	tool := buildTool(t)
	program := filepath.Join(p.dir, "daemon", "postlmtp-lmtp")
	send := func(when string) {
		t.Helper()
		to := "rcpt@sink.lmtp.sock.test"
		id, queueID := p.sendSmall(t, "", to)
		p.log.delivered(t, 0, queueID, to, "sent")
		if n := s.times(id, to); n != 1 {
			t.Errorf("%s: received %d times", when, n)
		}
	}
	p.tool(tool, true, "install", "--yes", "--replace", "--reload")
	send("installed")
	// Who is not root sees as much as there is to see without the record.
	cmd := p.command(tool, "status", "--service")
	uid, gid := account(t, "nobody")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "only root can see") {
		t.Errorf("status --service for nobody: %v\n%s", err, out)
	}
	if out := p.tool(tool, true, "uninstall", "--yes"); !strings.Contains(out, "Then: rm "+program) {
		t.Errorf("not said that the program is left:\n%s", out)
	}
	eventually(t, later, "the daemon to leave", func() bool {
		return !slices.ContainsFunc(processes(p.dir), func(proc process) bool { return strings.Contains(proc.program, "postlmtp-lmtp") })
	})
	send("uninstalled")
	p.reload()
	p.must(os.Remove(program))
	send("reloaded")
	p.log.noAlarm(t, 0)
}

// TestProbeAndReplay: the tool sees what the daemon sees, as its user and in its
// jail, and a copy of a waiting message goes where it is told.
func TestProbeAndReplay(t *testing.T) {
	t.Parallel()
	p := startPostfix(t, options{})
	s := unixSink(t, p, "sink").run()
	tool := buildTool(t)
	for _, args := range [][]string{{"probe"}, {"probe", "--as-daemon"}} {
		out := p.tool(tool, true, append(args, "unix:private/sink", "rcpt@example.com")...)
		for _, part := range []string{"private/sink", "LHLO mx.e2e.test", "RCPT TO:<rcpt@example.com>", "Mail would go through"} {
			if !strings.Contains(out, part) {
				t.Errorf("%v: no %q in\n%s", args, part, out)
			}
		}
	}
	// Root could connect to this one; the daemon cannot.
	p.must(os.Chmod(p.queue("private", "sink"), 0o600))
	p.must(os.Chown(p.queue("private", "sink"), 0, 0))
	for _, args := range [][]string{{"probe"}, {"probe", "--as-daemon"}} {
		if out := p.tool(tool, false, append(args, "unix:private/sink")...); !strings.Contains(out, "is closed to postfix") {
			t.Errorf("%v: the closed socket is not seen:\n%s", args, out)
		}
	}
	if out := p.tool(tool, false, "probe", "--as-daemon", "unix:private/sink"); !strings.Contains(out, "EACCES") {
		t.Errorf("no EACCES:\n%s", out)
	}
	uid, _ := account(t, "postfix")
	p.must(os.Chown(p.queue("private", "sink"), uid, 0))

	id, queueID := p.sendSmall(t, "", "rcpt@none.lmtp.sock.test")
	p.log.wait(t, 0, queueID+`: .*status=deferred`)
	p.run("postsuper", "-c", p.conf(), "-h", queueID) // so that nobody else touches it
	file := p.file(queueID)
	before, err := os.ReadFile(file)
	p.must(err)
	out := p.tool(tool, true, "replay", "--as-daemon", queueID, "--to=unix:private/sink")
	if !strings.Contains(out, "rcpt@none.lmtp.sock.test: delivered") {
		t.Errorf("replay:\n%s", out)
	}
	if got := s.received(id); len(got) != 1 {
		t.Errorf("the copy was received %d times", len(got))
	}
	if after, err := os.ReadFile(file); err != nil || string(after) != string(before) {
		t.Errorf("the queue file has changed (%v)", err)
	}
}
