package hostile

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"postlmtp/internal/lab"
)

// A dialog is what a hostile server says: its side of a session, up to the
// moment of the attack a polite one.
type dialog struct {
	net.Conn
	in   *bufio.Reader
	sent int64
}

func (d *dialog) say(text string) bool {
	n, err := d.Write([]byte(text))
	d.sent += int64(n)
	return err == nil
}

// flood says text again and again, up to a total of limit bytes.
func (d *dialog) flood(text string, limit int64) {
	block := strings.Repeat(text, max(1, 65536/len(text)))
	for d.sent < limit && d.say(block) {
	}
}

// until reads lines up to one that begins with verb.
func (d *dialog) until(verb string) bool {
	for {
		line, err := d.in.ReadString('\n')
		if err != nil {
			return false
		}
		if strings.HasPrefix(line, verb) {
			return true
		}
	}
}

// upTo plays a good server until the client has said verb.
func (d *dialog) upTo(verb, keywords string) bool {
	steps := []struct{ verb, reply string }{
		{"LHLO", "250-hostile\r\n" + keywords + "250 8BITMIME\r\n"}, {"MAIL", "250 ok\r\n"}, {"RCPT", "250 ok\r\n"},
		{"DATA", "354 go on\r\n"}, {".\r\n", "250 ok\r\n"}, {"QUIT", "221 bye\r\n"},
	}
	if !d.say("220 hostile\r\n") {
		return false
	}
	for _, s := range steps {
		if !d.until(s.verb) {
			return false
		}
		if s.verb == verb {
			return true
		}
		if !d.say(s.reply) {
			return false
		}
	}
	return false
}

// goOn says yes to whatever the client says.
func (d *dialog) goOn() {
	for d.until("") && d.say("250 ok\r\n") {
	}
}

// pipelining is the offer that makes the client send its commands at once.
const pipelining = "250-PIPELINING\r\n"

// A hostile server: how it behaves, and what becomes of the mail.
type attack struct {
	name     string
	settings []string
	serve    func(d *dialog)
	status   string // of the mail, in the log
	reason   string // in the log line
}

// escapes are what a terminal or a reader of logs could be led astray by: colours,
// the title of a window, cursor movements in their 7-bit and 8-bit forms, a new
// line with a false entry, a NUL, a change of the direction of writing.
const escapes = "\x1b[31m\x1b]0;title\x07 \xc2\x9b2J\xc2\x85 \x00 \r Nov 22 00:00:00 mx postfix/lmtp[1]: false \x7f\x08\x08 \xe2\x80\xae\xe2\x80\xa8 \xff\xfe"

func attacks() []attack {
	endless := func(line string) func(d *dialog) { return func(d *dialog) { d.flood(line, 1<<30) } }
	after := func(verb, keywords string, then func(d *dialog)) func(d *dialog) {
		return func(d *dialog) {
			if d.upTo(verb, keywords) {
				then(d)
			}
		}
	}
	quick := []string{"lmtp_lhlo_timeout = 2s", "lmtp_per_request_deadline = yes"}
	return []attack{
		{name: "a greeting without end", serve: endless("220-wait\r\n"), status: "deferred", reason: "while receiving the initial server greeting"},
		{name: "a line without end as greeting", serve: endless("220 waiting "), status: "deferred", reason: "lost connection"},
		{name: "a gigabyte of garbage as greeting", serve: endless("\x00\xff\n"), status: "deferred", reason: "while receiving the initial server greeting"},
		{name: "a reply to LHLO without end", serve: after("LHLO", "", endless("250-X\r\n")), status: "deferred", reason: "while performing the LHLO handshake"},
		{name: "100,000 keywords", serve: after("MAIL", strings.Repeat("250-A\r\n", 100000), func(d *dialog) { d.say("550 5.7.1 no\r\n") }),
			status: "bounced", reason: "550 5.7.1 no"},
		{name: "10,000 long keywords", serve: after("MAIL", strings.Repeat("250-"+strings.Repeat("A", 996)+"\r\n", 10000), endless("550-\r\n")),
			status: "deferred", reason: "while performing the LHLO handshake"},
		{name: "30,000 mechanisms", settings: login(),
			serve: after("LHLO", "", func(d *dialog) {
				d.say("250-hostile\r\n" + strings.Repeat("250-AUTH"+strings.Repeat(" EVIL", 300)+"\r\n", 100) + "250 8BITMIME\r\n")
				d.goOn()
			}),
			status: "deferred", reason: "no mechanism available"},
		{name: "challenges without end", settings: login(),
			serve: after("LHLO", "", func(d *dialog) {
				d.say("250-hostile\r\n250 AUTH LOGIN\r\n")
				for d.until("") && d.say("334 "+strings.Repeat("VXNlcm5hbWU6", 40)+"\r\n") {
				}
			}),
			status: "deferred", reason: "SASL authentication failed"},
		{name: "replies before the commands", serve: func(d *dialog) { d.say("220 hostile\r\n"); d.flood("250 ok\r\n", 1<<30) },
			status: "deferred", reason: "before the command|out of step|lost connection|LHLO"},
		{name: "replies before the commands, pipelined", serve: after("LHLO", "", func(d *dialog) {
			d.say("250-hostile\r\n250 PIPELINING\r\n")
			d.flood("250 ok\r\n", 1<<30)
		}), status: "deferred", reason: ""},
		{name: "a million replies to one command", serve: after("RCPT", pipelining, func(d *dialog) { d.flood("250 ok\r\n", 8<<20); d.goOn() }),
			status: "deferred", reason: ""},
		{name: "a gigabyte in the reply to RCPT", serve: after("RCPT", "", endless("550 no ")), status: "bounced|deferred", reason: ""},
		{name: "a gigabyte as final reply", serve: after(".\r\n", "", endless("250-ok\r\n")), status: "deferred", reason: "while sending end of data"},
		{name: "a final reply before the content", serve: after("DATA", pipelining, func(d *dialog) {
			d.say("354 go on\r\n250 2.0.0 stored\r\n")
			d.until("\x00") // to the end
		}), status: "deferred", reason: ""},
		{name: "one final reply too many", serve: after(".\r\n", "", func(d *dialog) {
			d.say("550 5.7.1 no\r\n250 2.0.0 stored\r\n250 2.0.0 stored\r\n")
			d.goOn()
		}), status: "bounced", reason: "550 5.7.1 no"},
		{name: "escape sequences in a refusal", serve: after("RCPT", "", func(d *dialog) { d.say("550 5.1.1 " + escapes + "\r\n"); d.goOn() }),
			status: "bounced", reason: "550 5.1.1 "},
		{name: "escape sequences in a deferral", serve: after("MAIL", "", func(d *dialog) { d.say("451-" + escapes + "\r\n451 4.3.0 " + escapes + "\r\n"); d.goOn() }),
			status: "deferred", reason: "451-"},
		{name: "escape sequences in garbage", serve: after("RCPT", pipelining, func(d *dialog) { d.say(escapes + "\r\n450 4.2.0 " + escapes + "\r\n"); d.goOn() }),
			status: "deferred", reason: ""},
		{name: "escape sequences in a challenge", settings: login(),
			serve: after("LHLO", "", func(d *dialog) {
				d.say("250-hostile\r\n250 AUTH LOGIN\r\n")
				if d.until("AUTH") {
					d.say("334 " + escapes + "\r\n")
					d.goOn()
				}
			}),
			status: "deferred", reason: "SASL authentication failed"},
		{name: "escape sequences in the final reply", serve: after(".\r\n", "", func(d *dialog) { d.say("250 2.0.0 " + escapes + "\r\n"); d.goOn() }),
			status: "sent", reason: "250 2.0.0 "},
		{name: "escape sequences in keywords", serve: after("MAIL", "250-"+escapes+"\r\n", func(d *dialog) { d.say("550 5.7.1 no\r\n"); d.goOn() }),
			status: "bounced", reason: "550 5.7.1 no"},
		{name: "a byte now and then, with a deadline for each reply", settings: quick, serve: drip, status: "deferred", reason: "timed out while receiving the initial server greeting"},
		{name: "a byte now and then, up to daemon_timeout", settings: []string{"daemon_timeout = 3s"}, serve: drip, status: "", reason: ""},
		{name: "nothing is read", settings: []string{"lmtp_data_xfer_timeout = 2s"},
			serve:  after("DATA", "", func(d *dialog) { d.say("354 go on\r\n"); time.Sleep(5 * time.Second) }),
			status: "deferred", reason: "timed out while sending message body"},
		{name: "the connection is closed at once, again and again", serve: func(*dialog) {}, status: "deferred", reason: "lost connection"},
	}
}

// login are the settings for a login.
func login() []string {
	return []string{"lmtp_sasl_auth_enable = yes", "lmtp_sasl_password_maps = static:user:secret", "lmtp_sasl_security_options ="}
}

// drip says one byte every 50 ms.
func drip(d *dialog) {
	for d.say("2") {
		time.Sleep(50 * time.Millisecond)
	}
}

// The bounds of an attack. The memory is that of both processes of the daemon,
// program text included; at rest it is some 10 MB.
const (
	maxMemory = 48 << 10 // KB
	maxTime   = 20 * time.Second
	maxTaken  = 4 << 20
)

// TestServers attacks with each server, four connections at once, and delivers
// other mail through the same process meanwhile.
func TestServers(t *testing.T) {
	for _, a := range attacks() {
		t.Run(a.name, func(t *testing.T) {
			w := newWorld(t, a.settings...)
			if _, err := w.Serve("good", &lab.Script{}); err != nil {
				t.Fatal(err)
			}
			var mu sync.Mutex
			var taken int64
			served := w.listen("evil", func(conn net.Conn) {
				d := &dialog{Conn: conn, in: bufio.NewReader(conn)}
				a.serve(d)
				mu.Lock()
				defer mu.Unlock()
				taken = max(taken, d.sent)
			})
			w.send("good", lab.Message{Content: "hello\n"}, 1) // starts the process
			content := "Subject: x\n\n" + strings.Repeat(strings.Repeat("x", 99)+"\n", 20000)

			start := time.Now()
			ids := make([]string, 4)
			var others time.Duration
			memory := w.memory(func() {
				var all sync.WaitGroup
				for i := range ids {
					all.Go(func() {
						req, _ := w.send("evil", lab.Message{Content: content}, 1)
						ids[i] = req.QueueID
					})
				}
				all.Go(func() { others = w.others(t) })
				all.Wait()
			})
			elapsed := time.Since(start)
			served()
			for _, id := range ids {
				a.judge(t, w, id)
			}
			w.checkText(t)
			t.Logf("%v, the slowest of the others %v, %d KB of memory, %d bytes taken", elapsed.Round(time.Millisecond), others.Round(time.Millisecond), memory, taken)
			if memory > maxMemory || memory == 0 {
				t.Errorf("%d KB of memory", memory)
			}
			if elapsed > maxTime {
				t.Errorf("it takes %v", elapsed)
			}
			if taken > maxTaken {
				t.Errorf("%d bytes are taken from the server", taken)
			}
		})
	}
}

// others delivers mail to a good server, one message after the other, and
// returns how long the slowest took.
func (w *world) others(t *testing.T) (slowest time.Duration) {
	for range 20 {
		req, res := w.send("good", lab.Message{Content: "hello\n"}, 1)
		slowest = max(slowest, res.Elapsed)
		if res.Status != 0 || len(w.Grep(req.QueueID+": to=", "status=sent")) != 1 {
			t.Errorf("another message is not delivered: %+v", res)
		}
	}
	if slowest > 5*time.Second {
		t.Errorf("another message takes %v", slowest)
	}
	return slowest
}

// judge looks at what became of the message.
func (a attack) judge(t *testing.T, w *world, id string) {
	t.Helper()
	file, err := w.File(id)
	if err != nil {
		t.Error(err)
	}
	lines := w.Grep(id + ": to=")
	if a.status == "" {
		if marks := string(file.Marks); marks != "R" {
			t.Errorf("the recipient is marked %s", marks)
		}
		for _, line := range lines {
			if strings.Contains(line.Text, "status=sent") {
				t.Errorf("log: %.200s", line.Text)
			}
		}
		return
	}
	if len(lines) != 1 {
		t.Errorf("%s: %d log lines: %q", id, len(lines), lines)
		return
	}
	text := lines[0].Text
	if !anyOf(text, a.status, "status=") || !anyOf(text, a.reason, "") {
		t.Errorf("log: %.300s, want %s, %s", text, a.status, a.reason)
	}
	done := strings.Contains(text, "status=sent") || strings.Contains(text, "status=bounced")
	if marks := string(file.Marks); (marks == "D") != done {
		t.Errorf("the recipient is marked %s; log: %.200s", marks, text)
	}
}

// anyOf finds one of the alternatives in text, behind prefix.
func anyOf(text, alternatives, prefix string) bool {
	for alternative := range strings.SplitSeq(alternatives, "|") {
		if strings.Contains(text, prefix+alternative) {
			return true
		}
	}
	return false
}

// checkText holds the mail log and the words to bounce, defer and trace free of
// everything that is not to be shown, and bounded.
func (w *world) checkText(t *testing.T) {
	t.Helper()
	for _, line := range w.Log() {
		checkString(t, "log", strings.TrimSuffix(string(line.Raw), "\n"))
	}
	for _, r := range w.Records() {
		for _, pair := range r.Attrs {
			checkString(t, r.Service+" "+pair.Name, fmt.Sprint(pair.Value))
		}
	}
}

func checkString(t *testing.T, where, text string) {
	t.Helper()
	if len(text) > 4<<10 {
		t.Errorf("%s: %d bytes", where, len(text))
	}
	if i := bytes.IndexFunc([]byte(text), func(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) }); i >= 0 {
		t.Errorf("%s: %q", where, cut(text[max(0, i-10):], 40))
	}
}

func cut(s string, n int) string { return s[:min(n, len(s))] }
