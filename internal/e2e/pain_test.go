package e2e

import (
	"flag"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// With -update TestPain writes what is shown in docs/troubleshooting.md anew.
var update = flag.Bool("update", false, "write the documents that tests compare with anew")

// painPage is the page that shows what TestPain sees.
const painPage = "../../docs/troubleshooting.md"

// pain reproduces what hurts people (docs/troubleshooting.md) on real parts, and
// keeps what they would see: outputs of the tool, and lines of logs.
type pain struct {
	*machine
	shown map[string]string // name, such as "2 probe", to a block of text
	page  string            // where the page is, seen from the inner run
}

// A scene is one of the things that hurt: what is in main.cf besides the sample
// for Dovecot, and in the table of transports.
type painScene struct {
	name       string
	main       []string
	transports string
	play       func(*pain)
}

func painScenes() []painScene {
	return []painScene{
		{"1", nil, "slow.example lmtp:unix:private/dying\n", (*pain).unconfirmed},
		{"2", nil, "", (*pain).noSocket},
		{"3", nil, "", (*pain).closedSocket},
		{"4", nil, "port.example lmtp:inet:[127.0.0.1]:2424\n", (*pain).wrongPort},
		{"5", nil, "name.example lmtp:inet:imap:24\n", (*pain).noName},
		{"6", []string{"smtputf8_enable = yes"}, "", (*pain).utf8},
		{"7", nil, "", (*pain).quota},
		{"8", nil, "", (*pain).internalError},
		{"9", nil, "", (*pain).limits},
		{"10", nil, "", (*pain).original},
		{"11", nil, "typo.example lmtp:lmtp:imap:24\n", (*pain).typo},
		{"12", nil, "", (*pain).unknownUser},
		{"13", []string{"initial_destination_concurrency = 1"}, "", (*pain).suspended},
		{"14", []string{"postlmtp_metrics_listen = 127.0.0.1:9154"}, "", (*pain).blind},
		{"15", []string{"postlmtp_log_session = yes", "postlmtp_xclient = session", "virtual_transport = lmtp:inet:[127.0.0.1]:24"}, "", (*pain).correlation},
	}
}

// TestPain reproduces each of them, and compares what is seen with what
// docs/troubleshooting.md shows, on the releases that it was made with.
func TestPain(t *testing.T) {
	var further []string
	if *update {
		further = append(further, "-update")
	}
	onMachine(t, func(m *machine) {
		p := &pain{machine: m, shown: map[string]string{}, page: painPage}
		main := p.sample("dovecot/main.cf")
		p.configure("")
		p.install("dovecot/master.cf", "--replace")
		lines := strings.ReplaceAll(main, "smtputf8_enable = no\n", "")
		p.write("/tmp/test.eml", "Subject: test\n\ntest\n")
		for _, s := range painScenes() {
			p.prepare(lines, s)
			s.play(p)
			p.end()
			t.Logf("scene %s", s.name)
		}
		p.compare()
	}, further...)
}

// prepare starts Postfix for one scene, with an empty queue.
func (p *pain) prepare(main string, s painScene) {
	p.t.Helper()
	text := mainText() + main
	for _, line := range s.main { // what a scene sets comes in the place of the sample's
		name, _, _ := strings.Cut(line, " ")
		text = regexp.MustCompile(`(?m)^`+name+` = .*\n`).ReplaceAllString(text, "")
	}
	if !strings.Contains(strings.Join(s.main, "\n"), "smtputf8_enable") {
		text += "smtputf8_enable = no\n"
	}
	for _, line := range s.main {
		text += line + "\n"
	}
	if s.transports != "" {
		domain, _, _ := strings.Cut(s.transports, " ")
		text += "relay_domains = " + domain + "\ntransport_maps = texthash:/etc/postfix/transport\n"
	}
	p.must(os.RemoveAll("/var/spool/postfix/postlmtp")) // counters of the scene before
	p.write("/etc/postfix/transport", s.transports)
	p.write("/etc/postfix/main.cf", text)
	p.startPostfix()
	p.startMailServer("")
}

// end stops what the scene has started.
func (p *pain) end() {
	p.t.Helper()
	p.stopMailServer()
	p.command("postsuper", "-d", "ALL") // which logs by way of a Postfix that runs
	p.command("postfix", "stop")
}

const dovecotPain = `
mail_plugins = quota
plugin {
  quota = maildir:User quota
  quota_rule = *:storage=20K
}
`

const dovecotPain24 = `
mail_plugins = quota
quota_storage_grace = 0
quota "User quota" {
  driver = maildir
  storage_size = 20K
}
`

// startMailServer starts Dovecot: as the sample has it, but for small limits, and
// further settings.
func (p *pain) startMailServer(further string) {
	p.t.Helper()
	conf, limits := p.sample("dovecot/dovecot-2.3.conf"), dovecotPain
	if since24() {
		conf, limits = p.sample("dovecot/dovecot-2.4.conf"), dovecotPain24
	}
	p.dovecot(conf+limits+further, users("jim", "full", "broken"))
}

func (p *pain) stopMailServer() {
	p.t.Helper()
	if p.imap != nil {
		p.stopDovecot()
		p.imap = nil
	}
}

// show keeps what a command of the tool prints; it has to have these parts.
func (p *pain) show(name string, status int, args []string, parts ...string) string {
	p.t.Helper()
	out, got := p.tool(args...)
	if got != status {
		p.t.Errorf("%s: postlmtp %s: status %d\n%s", name, strings.Join(args, " "), got, out)
	}
	p.keep(name, "postlmtp "+strings.Join(args, " "), out, parts...)
	return out
}

// keep keeps what is shown under a name.
func (p *pain) keep(name, command, out string, parts ...string) {
	p.t.Helper()
	for _, part := range parts {
		if !strings.Contains(strings.Join(strings.Fields(out), " "), part) {
			p.t.Errorf("%s: no %q in\n%s", name, part, out)
		}
	}
	text := ""
	if command != "" {
		text = "# " + command + "\n"
	}
	p.shown[name] = normal(text + out)
}

// logged waits for a line of the mail log, and keeps the lines of delivery agents
// and of bounce since a mark, up to that.
func (p *pain) logged(name string, mark int, pattern string) {
	p.t.Helper()
	p.post.log.wait(p.t, mark, pattern)
	var list []string
	for _, line := range p.post.log.find(mark, `postfix/(lmtp|error|bounce|virtual)\[`) {
		list = append(list, line)
		if regexp.MustCompile(pattern).MatchString(line) {
			break
		}
	}
	p.keep(name, "", strings.Join(list, "\n")+"\n")
}

// counted waits until the metrics have these parts, and keeps the counters of what
// became of mail and sessions, as far as they are not zero.
func (p *pain) counted(name string, parts ...string) {
	p.t.Helper()
	const pattern = `^postlmtp_(deliveries|unconfirmed|sessions_opened|session_failures)_total.* [1-9]`
	text := ""
	within(soon, func() bool {
		out, _ := p.tool("metrics")
		var list []string
		for line := range strings.Lines(out) {
			if regexp.MustCompile(pattern).MatchString(line) {
				list = append(list, line)
			}
		}
		text = strings.Join(list, "")
		for _, part := range parts {
			if !strings.Contains(text, part) {
				return false
			}
		}
		return true
	})
	p.keep(name+" metrics", "postlmtp metrics | grep -E '"+pattern+"'", text, parts...)
}

// send sends a message and returns the position of the log before it.
func (p *pain) send(to ...string) (mark int, id string) {
	p.t.Helper()
	mark = p.post.log.mark()
	id, _ = p.post.sendSmall(p.t, "", to...)
	return mark, id
}

// sink starts Postfix's test server at a socket of the queue directory.
func (p *pain) sink(name string, args ...string) {
	p.t.Helper()
	path := "/var/spool/postfix/private/" + name
	cmd := exec.Command("smtp-sink", append(args, "-L", "-u", "postfix", "unix:"+path, "10")...)
	p.must(cmd.Start())
	p.t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	eventually(p.t, soon, "the test server to listen", func() bool { _, err := os.Stat(path); return err == nil })
	uid, gid := account(p.t, "postfix")
	p.must(os.Chown(path, uid, gid))
}

// 1: the server dies when it has the whole message.
func (p *pain) unconfirmed() {
	p.sink("dying", "-q", ".")
	mark, _ := p.send("jim@slow.example")
	p.logged("1 log", mark, `to=<jim@slow.example>, .*may be sent more than once`)
	p.counted("1", `postlmtp_unconfirmed_total`, `result="deferred",status="4.4"} 1`)
	p.show("1 probe", 1, []string{"probe", "-q", "--send=/tmp/test.eml", "unix:private/dying", "jim@slow.example"}, "may be sent more than once", "cause:")
}

// 2: no socket, and one that nobody listens on.
func (p *pain) noSocket() {
	p.stopMailServer()
	os.Remove(dovecotSocket)
	mark, _ := p.send("jim@example.com")
	p.logged("2 log", mark, `to=<jim@example.com>, .*No such file or directory`)
	p.counted("2", `postlmtp_session_failures_total`, `result="deferred",status="4.4"} 1`)
	p.show("2 probe", 1, []string{"probe", "unix:private/dovecot-lmtp"}, "does not exist", "ENOENT")
	p.show("2 check", 1, []string{"check"}, "PL031")
	l, err := net.Listen("unix", dovecotSocket)
	p.must(err)
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	p.must(os.Chmod(dovecotSocket, 0o666))
	p.show("2 refused", 1, []string{"probe", "-q", "unix:private/dovecot-lmtp"}, "ECONNREFUSED")
	p.must(os.Remove(dovecotSocket))
}

// 3: a socket that is not for Postfix.
func (p *pain) closedSocket() {
	p.must(os.Chown(dovecotSocket, 0, 0))
	mark, _ := p.send("jim@example.com")
	p.logged("3 log", mark, `to=<jim@example.com>, .*Permission denied`)
	p.counted("3", `postlmtp_session_failures_total`, `result="deferred",status="4.4"} 1`)
	p.show("3 probe", 1, []string{"probe", "--as-daemon", "unix:private/dovecot-lmtp"}, "is closed to postfix", "EACCES")
	p.show("3 check", 1, []string{"check"}, "PL032")
}

// 4: a wrong port, and the port of another protocol.
func (p *pain) wrongPort() {
	mark, _ := p.send("jim@port.example")
	p.logged("4 log", mark, `to=<jim@port.example>, .*Connection refused`)
	p.counted("4", `postlmtp_session_failures_total`, `result="deferred",status="4.4"} 1`)
	p.show("4 probe", 1, []string{"probe", "inet:[127.0.0.1]:2424"}, "ECONNREFUSED", "cure:")
	p.show("4 smtp", 1, []string{"probe", "inet:[127.0.0.1]:25"}, "does not know LHLO")
}

// 5: a name that only the hosts file has.
func (p *pain) noName() {
	mark, _ := p.send("jim@name.example")
	p.logged("5 log", mark, `to=<jim@name.example>, .*Host or domain name not found`)
	p.counted("5", `result="bounced",status="5.4"} 1`)
	p.show("5 probe", 1, []string{"probe", "inet:imap:24"}, "hosts file (not used): 127.0.0.1")
	p.show("5 check", 3, []string{"check"}, "PL034")
}

// 6: a subject with an emoji, by a client that says SMTPUTF8.
func (p *pain) utf8() {
	mail := func(from string) int {
		mark := p.post.log.mark()
		id := newID("utf8")
		p.post.submit(envelope{from: from, to: []string{"jim@example.com"}, fromArgs: " SMTPUTF8"},
			message(id, "a@example.com", "jim@example.com", "test\n", "X-Subject: \U0001F600"))
		return mark
	}
	mark := mail("")
	p.logged("6 log", mark, `to=<jim@example.com>, .*dsn=5.6.7, status=bounced`)
	p.counted("6", `result="bounced",status="5.6"} 1`)
	p.show("6 probe", 0, []string{"probe", "-q", "unix:private/dovecot-lmtp"}, "no SMTPUTF8")
	p.command("postconf", "-e", "postlmtp_smtputf8_downgrade = yes")
	p.restart()
	mark = mail("")
	p.logged("6 cured", mark, `to=<jim@example.com>, .*status=sent`)
}

// restart has Postfix take new settings at once.
func (p *pain) restart() {
	p.t.Helper()
	p.command("postfix", "stop")
	p.startPostfix()
}

// 7: a mailbox that is full.
func (p *pain) quota() {
	p.write("/tmp/big.eml", "Subject: big\n\n"+strings.Repeat(strings.Repeat("x", 70)+"\n", 500))
	mark := p.post.log.mark()
	p.post.submit(envelope{to: []string{"full@example.com"}}, message(newID("big"), "a@example.com", "full@example.com",
		strings.Repeat(strings.Repeat("x", 70)+"\n", 500)))
	p.logged("7 log", mark, `to=<full@example.com>, .*dsn=5.2.2, status=bounced`)
	p.counted("7", `result="bounced",status="5.2"} 1`)
	p.show("7 probe", 1, []string{"probe", "-q", "--send=/tmp/big.eml", "unix:private/dovecot-lmtp", "full@example.com"}, "the mailbox is full")
}

// 8: a problem of the server, which it keeps to itself.
func (p *pain) internalError() {
	p.must(os.MkdirAll("/var/vmail/example.com/broken", 0o700)) // root's
	p.must(os.Chmod("/var/vmail/example.com", 0o755))
	mark, _ := p.send("broken@example.com")
	p.logged("8 log", mark, `to=<broken@example.com>, .*status=deferred`)
	p.counted("8", `result="deferred",status="4.2"} 1`)
	p.show("8 probe", 1, []string{"probe", "-q", "--send=/tmp/test.eml", "unix:private/dovecot-lmtp", "broken@example.com"}, "why is in its own log")
	text := "rcpt broken@example.com"
	if since24() {
		text = "lmtp(broken@example.com)"
	}
	p.serverLog("8 dovecot", text, 1)
}

// serverLog keeps the last lines of Dovecot's log that have a text.
func (p *pain) serverLog(name, text string, n int) {
	p.t.Helper()
	var list []string
	eventually(p.t, soon, "Dovecot's log to have "+text, func() bool {
		data, err := os.ReadFile("/var/log/dovecot.log")
		p.must(err)
		list = nil
		for line := range strings.Lines(string(data)) {
			if strings.Contains(line, text) {
				list = append(list, line)
			}
		}
		return len(list) >= n
	})
	p.keep(name, "", strings.Join(list[len(list)-n:], ""))
}

// 9: the limits of both sides do not fit.
func (p *pain) limits() {
	p.stopMailServer()
	p.startMailServer("lmtp_user_concurrency_limit = 1\nservice lmtp {\n  process_limit = 10\n}\n")
	p.show("9 check", 3, []string{"check"}, "PL070", "PL071")
	conn, err := net.Dial("unix", dovecotSocket)
	p.must(err)
	defer conn.Close()
	text := textproto.NewConn(conn)
	for _, line := range []string{"", "LHLO busy", "MAIL FROM:<>", "RCPT TO:<jim@example.com>"} {
		if line != "" {
			p.must(text.PrintfLine("%s", line))
		}
		_, _, err := text.ReadResponse(2)
		p.must(err)
	}
	mark, _ := p.send("jim@example.com")
	p.logged("9 log", mark, `to=<jim@example.com>, .*Too many concurrent`)
	p.counted("9", `result="deferred",status="4.3"} 1`)
	p.show("9 probe", 1, []string{"probe", "-q", "unix:private/dovecot-lmtp", "jim@example.com"}, "the server limits deliveries to one user")
}

// 10: the original recipient: flags without the limit, and with it.
func (p *pain) original() {
	p.command("postconf", "-F", "lmtp/unix/command=postlmtp-lmtp flags=DO")
	p.restart()
	mark, _ := p.send("jim@example.com", "full@example.com")
	p.logged("10 log", mark, `to=<\w+@example.com>, .*status=deferred`)
	p.counted("10", `result="deferred",status="4.3"} 2`)
	p.show("10 check", 1, []string{"check"}, "PL021")
	p.command("postconf", "-e", "lmtp_destination_recipient_limit = 1")
	p.restart()
	_, id := p.send("jim@example.com")
	stored := p.stored("jim", id)
	head, _, _ := strings.Cut(stored, "X-E2E-Id:")
	var list []string
	for line := range strings.Lines(head) {
		if strings.HasPrefix(line, "X-Original-To:") || strings.HasPrefix(line, "Delivered-To:") {
			list = append(list, line)
		}
	}
	p.keep("10 header", "", strings.Join(list, ""), "X-Original-To: jim@example.com", "Delivered-To: jim@example.com")
	p.command("postconf", "-F", "lmtp/unix/command=postlmtp-lmtp")
}

// 11: a destination with a typing error, and mail to others.
func (p *pain) typo() {
	mark, _ := p.send("jim@typo.example")
	p.logged("11 log", mark, `to=<jim@typo.example>, .*status=deferred`)
	mark, id := p.send("jim@example.com")
	p.stored("jim", id)
	p.logged("11 other", mark, `to=<jim@example.com>, .*status=sent`)
	p.counted("11", `result="deferred",status="4.3"} 1`, `result="sent",status="2.0"} 1`)
	p.show("11 probe", 1, []string{"probe", "lmtp:imap:24"}, "cure:")
	p.show("11 check", 1, []string{"check"}, "PL040")
}

// 12: an address that the server does not know in this form.
func (p *pain) unknownUser() {
	mark, _ := p.send("jimmy@example.com")
	p.logged("12 log", mark, `to=<jimmy@example.com>, .*dsn=5.1.1, status=bounced`)
	p.counted("12", `result="bounced",status="5.1"} 1`)
	p.show("12 probe", 1, []string{"probe", "-q", "unix:private/dovecot-lmtp", "jim@example.com", "Jim+news@example.com", "jimmy@example.com", "jim@mx.example.com"}, "no such mailbox")
}

// 13: a destination that failed, and mail that follows.
func (p *pain) suspended() {
	p.stopMailServer()
	os.Remove(dovecotSocket)
	mark, _ := p.send("jim@example.com") // one failure is enough, with a concurrency of 1
	p.post.log.wait(p.t, mark, `to=<jim@example.com>, .*No such file or directory`)
	p.send("jim@example.com")
	found := p.post.log.wait(p.t, mark, `.*delivery temporarily suspended.*`)
	p.keep("13 log", "", found[0]+"\n")
	p.counted("13", `postlmtp_session_failures_total`)
	p.startMailServer("")
	mark = p.post.log.mark()
	p.command("postqueue", "-f")
	p.post.log.wait(p.t, mark, `to=<jim@example.com>, .*status=sent`)
}

// 14: what is going on.
func (p *pain) blind() {
	for range 3 {
		_, id := p.send("jim@example.com")
		p.stored("jim", id)
	}
	p.send("nobody@example.com")
	p.post.log.wait(p.t, 0, `to=<nobody@example.com>, .*status=bounced`)
	p.counted("14", `result="sent",status="2.0"} 3`, `result="bounced",status="5.1"} 1`, `postlmtp_sessions_opened_total`)
}

// 15: one delivery in both logs.
func (p *pain) correlation() {
	p.stopMailServer()
	listen := "address"
	if since24() {
		listen = "listen"
	}
	p.startMailServer("login_trusted_networks = 127.0.0.1\nservice lmtp {\n  inet_listener lmtp {\n    " + listen + " = 127.0.0.1\n    port = 24\n  }\n}\n")
	mark, _ := p.send("jim@example.com")
	p.logged("15 log", mark, `lmtp-session: `)
	p.serverLog("15 dovecot", "saved mail to INBOX", 1)
	p.counted("15", `result="sent",status="2.0"} 1`)
}

// normal makes what differs from run to run the same.
func normal(text string) string {
	for _, r := range []struct{ pattern, with string }{
		{`(?m)^[ \d]{5}\d\.\d ms`, "     0.4 ms"},
		{`(?m)^( {32})[ \d]{5}\d\.\d ms`, "$1     0.4 ms"},
		{`(?m)^\w{3} [ \d]\d \d\d:\d\d:\d\d `, "Nov 22 12:00:00 "},
		{`\[\d+\]: `, "[1234]: "},
		{`\(\d+\)(:|<)`, "(1234)$1"},
		{`<\d+><`, "<1234><"},
		{`(\]: |warning: )[0-9A-F]{6,12}: `, "${1}4F2A41A0B2C: "},
		{`pid=\d+`, "pid=1234"},
		{`\b[0-9A-F]{6,12}-\d+\.\d+\b`, "4F2A41A0B2C-1234.1"},
		{`delay=[\d.]+, delays=[\d./]+`, "delay=0.1, delays=0.05/0.01/0.02/0.02"},
		{`conn_use=\d+, `, ""},
		{`([ <(=])[A-Za-z0-9+/]{22}( Saved| connection|>)`, "${1}4O9HFbhMA2svdQAAg+zDdQ$2"},
		{`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`, "2026-11-22 12:00:00"},
		{`uid[ =]\d+, gid[ =]\d+`, "uid 102, gid 105"},
		{`(?m)(^| )([-dsS][-rwxsStT]{9}) \d+:`, "$1$2 102:"},
		{`msgid=<small-\d+@`, "msgid=<small-1@"},
		{`connection=\d+\.\d+ message=\d+`, "connection=1234.1 message=1"},
		{`[ \t]+\n`, "\n"},
	} {
		text = regexp.MustCompile(r.pattern).ReplaceAllString(text, r.with)
	}
	return text
}

// painBlock is a block of the page that the test fills: its name is in a comment
// before it.
var painBlock = regexp.MustCompile("(?s)<!-- shown: ([0-9]+ [a-z]+) -->\n```\n(.*?)```\n")

// compare compares the page with what was seen, or writes it.
func (p *pain) compare() {
	t := p.t
	data, err := os.ReadFile(p.page)
	if err != nil || postfixMinor() != 7 || since24() {
		t.Logf("the page was made on Postfix 3.7 and Dovecot 2.3, and is not compared with %d scenes of this machine (%v)", len(painScenes()), err)
		return
	}
	seen := map[string]bool{}
	page := painBlock.ReplaceAllStringFunc(string(data), func(block string) string {
		m := painBlock.FindStringSubmatch(block)
		name, has := m[1], m[2]
		seen[name] = true
		want, ok := p.shown[name]
		switch {
		case !ok:
			t.Errorf("%s shows %q, which the test does not make", p.page, name)
			return block
		case want != has && !*update:
			t.Errorf("%s: %q is not what is seen (-update writes it):\n%s", p.page, name, want)
		}
		return fmt.Sprintf("<!-- shown: %s -->\n```\n%s```\n", name, want)
	})
	for name := range p.shown {
		if !seen[name] {
			t.Errorf("%s does not show %q:\n%s", p.page, name, p.shown[name])
		}
	}
	if *update && !t.Failed() || *update && os.Getenv("E2E_KEEP") != "" {
		p.must(os.WriteFile(p.page, []byte(page), 0o644))
	}
}
