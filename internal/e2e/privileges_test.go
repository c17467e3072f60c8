package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"postlmtp/internal/lab/lacking"
	"postlmtp/internal/sandbox"
)

// TestLeastPrivilege looks from outside at what the processes of the agent may
// do, under the master.cf that Debian installs, while a delivery is under way.
func TestLeastPrivilege(t *testing.T) {
	t.Parallel()
	p := startPostfix(t, options{})
	if !p.agent.ours() {
		t.Skip("about the processes of ours")
	}
	s := unixSink(t, p, "sink")
	reached, looked := make(chan struct{}), make(chan struct{})
	s.onData = func(*transaction) {
		close(reached)
		s.wait(looked)
	}
	s.run()
	to := "rcpt@sink.lmtp.sock.test"
	queueID := p.submit(envelope{to: []string{to}}, message(newID("privileges"), "", to, "text\n"))
	<-reached

	uid, gid := account(t, "postfix")
	var worker, parent *process
	for _, a := range p.agents() {
		if slices.ContainsFunc(p.workers(), func(w process) bool { return w.pid == a.pid }) {
			worker = &a
		} else {
			parent = &a
		}
	}
	if worker == nil || parent == nil {
		t.Fatalf("processes: %v, of them workers: %v", p.agents(), p.workers())
	}
	for name, a := range map[string]*process{"worker": worker, "parent": parent} {
		status := procStatus(t, a.pid)
		for field, want := range map[string]string{
			"Uid":    strings.Repeat(fmt.Sprintf(" %d", uid), 4)[1:],
			"Gid":    strings.Repeat(fmt.Sprintf(" %d", gid), 4)[1:],
			"CapPrm": "0000000000000000",
			"CapEff": "0000000000000000",
			"CapInh": "0000000000000000",
			"CapAmb": "0000000000000000",
		} {
			if status[field] != want {
				t.Errorf("%s: %s is %s, want %s", name, field, status[field], want)
			}
		}
		for _, link := range []string{"root", "cwd"} {
			if path, err := os.Readlink(fmt.Sprintf("/proc/%d/%s", a.pid, link)); err != nil || path != p.queue() {
				t.Errorf("%s: %s is %s, %v, want %s", name, link, path, err, p.queue())
			}
		}
	}
	if got := procStatus(t, worker.pid)["NoNewPrivs"]; got != "1" {
		t.Errorf("worker: NoNewPrivs is %s", got)
	}
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", worker.pid))
	p.must(err)
	if !regexp.MustCompile(`(?m)^Max core file size +0 +0 `).Match(limits) {
		t.Errorf("worker: limits are\n%s", limits)
	}
	checkDescriptors(t, "worker", worker.pid, map[string]int{
		"/dev/null":              2, // standard input and output
		"pipe":                   1, // standard error, to the parent
		"socket":                 8, // status, listener, parent, request, server, two for the log, and who asks for the state
		"anon_inode:[eventpoll]": 2, // Go's, and ours
		"anon_inode:[eventfd]":   2,
		p.file(queueID):          1,

		filepath.Join(p.queue(), "postlmtp"):          1, // postlmtp_status_directory
		filepath.Join(p.queue(), "postlmtp", "state"): 1,
	})
	checkDescriptors(t, "parent", parent.pid, map[string]int{
		"/dev/null":              3,
		"pipe":                   3, // of the worker's standard error, and master's of the inflow
		"socket":                 4,
		"anon_inode:[eventpoll]": 1,
		"anon_inode:[eventfd]":   1,
	})
	close(looked)
	p.log.delivered(t, 0, queueID, to, "sent")
}

// procStatus reads /proc/PID/status.
func procStatus(t *testing.T, pid int) map[string]string {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]string{}
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(line, ":")
		fields[name] = strings.Join(strings.Fields(value), " ")
	}
	return fields
}

// checkDescriptors compares a process's open descriptors with what it may have:
// so many of each kind.
func checkDescriptors(t *testing.T, name string, pid int, may map[string]int) {
	t.Helper()
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil || len(links) == 0 {
		t.Fatalf("%s: no descriptors, %v", name, err)
	}
	var all []string
	for _, link := range links {
		path, err := os.Readlink(link)
		if err != nil {
			continue // closed by now
		}
		all = append(all, filepath.Base(link)+" "+path)
		kind := path
		if what, _, ok := strings.Cut(path, ":["); ok && what != "anon_inode" {
			kind = what
		}
		if strings.HasPrefix(path, "/sys/fs/cgroup/") {
			continue // Go's run-time system follows the limits, read only
		}
		if may[kind]--; may[kind] < 0 {
			t.Errorf("%s: descriptor %s is %s", name, filepath.Base(link), path)
		}
	}
	t.Logf("%s: %s", name, strings.Join(all, ", "))
}

// TestSandbox: the daemon is asked for a file of a queue that is not its
// business, which the rights of its user would let it open. In the sandbox the
// kernel refuses it; without, the file is opened.
func TestSandbox(t *testing.T) {
	t.Parallel()
	if sandbox.ABI() == 0 {
		lacking.Stop(t, "a kernel with Landlock")
	}
	for _, c := range []struct{ setting, text string }{
		{"yes", `warning: .*hold/0123456789A: permission denied`},
		{"no", `warning: .*0123456789A.*(record|corrupt|empty|EOF)`},
	} {
		t.Run(c.setting, func(t *testing.T) {
			t.Parallel()
			p := startPostfix(t, options{main: []string{"postlmtp_sandbox = " + c.setting}})
			if !p.agent.ours() {
				t.Skip("about a setting of ours")
			}
			unixSink(t, p, "sink").run()
			to := "rcpt@sink.lmtp.sock.test"
			_, queueID := p.sendSmall(t, "", to)
			p.log.delivered(t, 0, queueID, to, "sent")

			path := p.queue("hold", "0123456789A")
			p.must(os.WriteFile(path, nil, 0o700))
			uid, gid := account(t, "postfix")
			p.must(os.Chown(path, uid, gid))
			mark := p.log.mark()
			conn, err := net.Dial("unix", p.queue("private", "lmtp"))
			p.must(err)
			defer conn.Close()
			p.must(conn.SetDeadline(time.Now().Add(soon)))
			_, err = conn.Read(make([]byte, 512))
			p.must(err)
			_, err = conn.Write(request("hold", "0123456789A"))
			p.must(err)
			p.must(conn.(*net.UnixConn).CloseWrite())
			_, err = io.Copy(io.Discard, conn)
			p.must(err)
			t.Log(p.log.wait(t, mark, c.text)[0])
			_, queueID = p.sendSmall(t, "", to)
			p.log.delivered(t, mark, queueID, to, "sent")
		})
	}
}
