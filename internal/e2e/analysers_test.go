package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const logwatchScript = "/usr/share/logwatch/scripts/services/postfix"

// TestLogAnalysers: pflogsumm and logwatch count our log as they count that of
// Postfix's own agent. Both agents get the same traffic, and the reports on the
// two logs are compared.
func TestLogAnalysers(t *testing.T) {
	t.Parallel()
	pflogsummProgram := "/usr/sbin/pflogsumm"
	if since(11) { // part of Postfix
		pflogsummProgram = "/usr/bin/pflogsumm"
	}
	need(t, pflogsummProgram, logwatchScript)
	agents := []agent{postfixAgent(), underTest(t)}
	if !agents[1].ours() {
		agents[1].name = "postfix again"
	}
	ports := ports{open: freePort(t), closed: freePort(t)} // the same for both, they are in the reports
	var pflogsumm, logwatch [2]string
	for i, a := range agents {
		t.Run(a.name, func(t *testing.T) {
			p := startPostfix(t, options{agent: a, main: []string{
				"postlmtp_log_session = yes", "queue_run_delay = 300s", "minimal_backoff_time = 300s",
				"virtual_alias_maps = inline:{ alias@sink.lmtp.sock.test=user@sink.lmtp.sock.test }"}})
			mixedTraffic(t, p, ports)
			p.stop()
			pflogsumm[i] = p.run(pflogsummProgram, "--detail=50", p.log.path)
			logwatch[i] = p.run("perl", logwatchScript, "--detail=11", "--nosummary", p.log.path)
		})
	}
	if t.Failed() {
		return
	}
	own, ours := pflogsummCounts(pflogsumm[0]), pflogsummCounts(pflogsumm[1])
	if d := cmp.Diff(own, ours); d != "" {
		t.Errorf("pflogsumm: - of Postfix's own, + of %s:\n%s", agents[1].name, d)
	}
	own, ours = logwatchCounts(logwatch[0]), logwatchCounts(logwatch[1])
	if d := cmp.Diff(own, ours); d != "" {
		t.Errorf("logwatch: - of Postfix's own, + of %s:\n%s", agents[1].name, d)
	}
	// That the reports are not both empty.
	for _, want := range []string{"     31   received", "     17   delivered", "     10   deferred  (10  deferrals)", "     11   bounced"} {
		if !strings.Contains(pflogsumm[1], want+"\n") {
			t.Errorf("pflogsumm has no line %q", want)
		}
	}
	for _, want := range []string{"      17   Sent via LMTP ---", "      10   Deferrals ---"} {
		if !strings.Contains(logwatch[1], want) {
			t.Errorf("logwatch has no line %q", want)
		}
	}
}

var (
	pflogsummHost  = regexp.MustCompile(`(?m)^( +\d+) +\d+( +\d+) .* s +.* s  (\S+)$`)
	pflogsummPart  = regexp.MustCompile(`(?m)^\n`)
	ofTheMoment    = regexp.MustCompile(`^(Per-Hour|Master daemon|Host/Domain Summary: Messages Received)|by message size`)
	pflogsummBytes = regexp.MustCompile(`(?m)^.* bytes (received|delivered)\n`)
)

// pflogsummCounts is a report without times, sizes and names that differ from
// run to run.
func pflogsummCounts(report string) []string {
	report = pflogsummHost.ReplaceAllString(pflogsummBytes.ReplaceAllString(report, ""), "$1$2 $3")
	var keep []string
	for _, part := range pflogsummPart.Split(report, -1) {
		if !ofTheMoment.MatchString(part) {
			lines := strings.Split(part, "\n")
			slices.Sort(lines) // pflogsumm gives equal counts in any order
			keep = append(keep, lines...)
		}
	}
	return keep
}

// logwatchCounts is a report without times.
func logwatchCounts(report string) []string {
	report, _, _ = strings.Cut(report, "=== Delivery Delays")
	return strings.Split(report, "\n")
}

// ports of 127.0.0.1 for mixedTraffic: the one of the sink, and one where
// nobody listens.
type ports struct{ open, closed int }

// mixedTraffic sends mail with every kind of end, one message after the other.
func mixedTraffic(t *testing.T, p *postfix, ports ports) {
	t.Helper()
	s, tcp := unixSink(t, p, "sink"), tcpSink(t, ports.open)
	s.onRcpt = func(_ *transaction, rcpt string) string {
		switch user, _, _ := strings.Cut(rcpt, "@"); user {
		case "unknown":
			return "550 5.1.1 <" + rcpt + "> no such user (really, none)"
		case "greylisted":
			return "451 4.7.1 <" + rcpt + "> come back later; see (http://e2e.test/) for why"
		case "nocode":
			return "550 no enhanced code here"
		case "long":
			return "550-5.7.1 first line\r\n550-5.7.1 " + strings.Repeat("second line ", 20) + "\r\n550 5.7.1 last line"
		}
		return ""
	}
	s.onFinal = func(_ *transaction, rcpt string) string {
		switch user, _, _ := strings.Cut(rcpt, "@"); user {
		case "full":
			return "452 4.2.2 <" + rcpt + "> mailbox full"
		case "virus":
			return "554 5.7.1 <" + rcpt + "> refused: content"
		case "hangup":
			return hangUp
		}
		return ""
	}
	tcp.onRcpt, tcp.onFinal = s.onRcpt, s.onFinal
	s.run()
	tcp.run()
	sock, inet := "@sink.lmtp.sock.test", fmt.Sprintf("@p%d.lmtp.port.test", ports.open)

	send := func(from string, to ...string) {
		t.Helper()
		mark := p.log.mark()
		_, queueID := p.sendSmall(t, from, to...)
		eventually(t, later, "the end of "+queueID, func() bool {
			return len(p.log.find(mark, ` postfix/lmtp\[\d+\]: `+queueID+`: to=`)) == len(to)
		})
	}
	for _, domain := range []string{sock, inet} {
		for i := range 5 {
			send("", fmt.Sprint("user", i, domain))
		}
		for _, user := range []string{"unknown", "greylisted", "nocode", "long", "full", "virus", "hangup"} {
			send("", user+domain)
		}
		send("", "one"+domain, "unknown"+domain, "full"+domain, "two"+domain)
	}
	send("", "alias"+sock)
	send("", "user@absent.lmtp.sock.test")
	send("", fmt.Sprintf("user@p%d.lmtp.port.test", ports.closed))
	send("sender"+sock, "unknown"+sock) // and its report
	p.log.wait(t, 0, `to=<sender@.*status=sent`)
	p.run("sendmail", "-C", p.conf(), "-f", "sender"+sock, "-bv", "user"+sock, "unknown"+sock)
	p.log.wait(t, 0, `status=undeliverable`)
	eventually(t, later, "the report of sendmail -bv", func() bool {
		return len(p.log.find(0, `to=<sender@.*status=sent`)) == 2
	})
}
