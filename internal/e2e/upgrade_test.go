package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestPostfixUpgrade: the machine's Postfix is replaced by a later release while
// an instance runs with our daemon and mail flows, as a package manager does
// it; then Postfix is stopped and started. No message is lost or doubled, and
// from then on the log is that of the later release.
//
// POSTLMTP_E2E_UPGRADE is the command that replaces Postfix. It changes the
// machine: .ci/upgrade sets it, in a root that is made for this test.
func TestPostfixUpgrade(t *testing.T) {
	command := os.Getenv("POSTLMTP_E2E_UPGRADE")
	if command == "" {
		t.Skip("POSTLMTP_E2E_UPGRADE is not set")
	}
	p := startPostfix(t, options{})
	s := unixSink(t, p, "sink").run()
	version := func() string { return strings.TrimSpace(p.run("postconf", "-dh", "mail_version")) }
	before := version()

	var loads []*load
	inject := func(n int) {
		l := p.inject(n, 2, "sink.lmtp.sock.test")
		loads = append(loads, l)
		select {
		case <-l.done:
		case <-time.After(later):
			t.Fatalf("%d of %d messages submitted", l.sent.Load(), n)
		}
	}
	inject(200)
	upgraded := make(chan error, 1)
	go func() {
		out, err := exec.Command("/bin/sh", "-c", command).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, out)
		}
		upgraded <- err
	}()
	// Mail that the daemon delivers meanwhile, and that is submitted without
	// smtpd, whose library is being replaced.
	var during []string
	for done := false; !done; {
		select {
		case err := <-upgraded:
			p.must(err)
			done = true
		case <-time.After(200 * time.Millisecond):
			id := newID("during")
			cmd := p.command("sendmail", "-C", p.conf(), "-f", "", "load@sink.lmtp.sock.test")
			cmd.Stdin = strings.NewReader(strings.ReplaceAll(string(small(id)), "\r\n", "\n"))
			if cmd.Run() == nil {
				during = append(during, id)
			}
		}
	}
	after := version()
	if after == before {
		t.Fatalf("Postfix is still %s", after)
	}
	p.reload()
	p.drain()
	mark := p.log.mark()
	p.stop()
	p.start()
	inject(200)
	p.drain()

	for _, l := range loads {
		during = append(during, l.ids...)
	}
	for _, id := range during {
		if n := s.times(id, "load@sink.lmtp.sock.test"); n != 1 {
			t.Errorf("%s is delivered %d times", id, n)
		}
	}
	var minor int
	fmt.Sscanf(after, "3.%d", &minor)
	sent := p.log.find(mark, `postfix/lmtp\[\d+\]: .*status=sent`)
	for _, line := range sent {
		if strings.Contains(line, ", tls=none") != (minor >= 11) {
			t.Errorf("not a line of %s: %s", after, line)
			break
		}
	}
	if len(sent) < 200 {
		t.Errorf("%d deliveries after the restart", len(sent))
	}
	t.Logf("%d messages, of them %d while %s became %s", len(during), len(during)-400, before, after)
}
