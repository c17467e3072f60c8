package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// way is one of the four ways to the Dovecot server.
type way struct {
	name   string
	domain string // of the addresses
	relay  string // as logged
	key    string // part of user names
}

func ways(d *dovecot) []way {
	port := fmt.Sprint(d.port)
	return []way{
		{"chroot,unix", "dovecot.lmtp.sock.test", "mx.e2e.test[private/dovecot]", "yu"},
		{"chroot,inet", "p" + port + ".lmtp.port.test", "127.0.0.1[127.0.0.1]:" + port, "yi"},
		{"no-chroot,unix", "dovecot.free.sock.test", "mx.e2e.test[private/dovecot]", "nu"},
		{"no-chroot,inet", "p" + port + ".free.port.test", "127.0.0.1[127.0.0.1]:" + port, "ni"},
	}
}

// real is a Postfix with two services of the agent, "lmtp" with chroot y and
// "free" with n, and a Dovecot.
type real struct {
	*postfix
	dovecot *dovecot
}

func (r real) with(t *testing.T) real { return real{r.postfix.with(t), r.dovecot.with(t)} }

func TestDovecot(t *testing.T) {
	p := startPostfix(t, options{
		services: map[string]string{"free": "n -"},
		main: []string{"message_size_limit = 0", "mailbox_size_limit = 0",
			"smtpd_error_sleep_time = 0"},
	})
	r := real{p, newDovecot(t, p)}
	for _, w := range ways(r.dovecot) {
		r.dovecot.add("", "user-"+w.key, "sender-"+w.key)
		r.dovecot.add(quotaOf("20K"), "full-"+w.key)
		r.dovecot.add(quotaOf("1")+" userdb_quota_full_tempfail=no", "final-"+w.key)
		good, full, _ := fiftyUsers(w)
		r.dovecot.add("", good...)
		r.dovecot.add(quotaOf("1K"), full...)
	}
	r.dovecot.start()
	type test struct {
		name string
		run  func(real, *testing.T, way)
	}
	for _, w := range ways(r.dovecot) {
		t.Run(w.name, func(t *testing.T) {
			for _, c := range []test{
				{"stored", real.stored}, {"8bit", real.eightBit},
				{"unknown user", real.unknownUser}, {"over quota", real.overQuota}, {"no room", real.noRoom},
				{"50 recipients", real.fifty}, {"50 MB", real.big},
				{"utf8", real.utf8}, {"sendmail -bv", real.verify},
				{"success report", real.success},
			} {
				t.Run(c.name, func(t *testing.T) { c.run(r.with(t), t, w) })
			}
		})
	}
	t.Run("server down", func(t *testing.T) { r.with(t).down(t) })
	p.log.noAlarm(t, 0)
}

// stored: what smtpd accepts is in the Maildir, byte for byte.
func (r real) stored(t *testing.T, w way) {
	id, to := newID("stored"), "user-"+w.key+"@"+w.domain
	from := "sender-" + w.key + "@" + w.domain
	msg := message(id, from, to, awkward())
	queueID := r.submit(envelope{from: from, to: []string{to}}, msg)
	got := r.dovecot.stored(to, id)
	same(t, got, msg)
	if want := "Return-Path: <" + from + ">\nDelivered-To: " + to + "\n"; !strings.HasPrefix(string(got), want) {
		t.Errorf("stored message starts with %.200q, want %q", got, want)
	}
	d := r.log.delivered(t, 0, queueID, to, "sent")
	if d.relay != w.relay || d.dsn != "2.0.0" || d.tag != "postfix/lmtp" {
		t.Errorf("status line: %s", d.line)
	}
	if !strings.HasPrefix(d.text, "250 2.0.0 <"+to+"> ") || !strings.HasSuffix(d.text, " Saved") {
		t.Errorf("status text: %q", d.text)
	}
}

// eightBit: 8-bit content passes as it is, because Dovecot offers 8BITMIME.
func (r real) eightBit(t *testing.T, w way) {
	id, to := newID("eight"), "user-"+w.key+"@"+w.domain
	msg := message(id, "sender@"+w.domain, to, "Grüße aus Köln, \xff\xfe\x80 bytes\n",
		"MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit")
	r.submit(envelope{from: "", to: []string{to}, fromArgs: " BODY=8BITMIME"}, msg)
	same(t, r.dovecot.stored(to, id), msg)
}

// unknownUser: the refusal of a recipient goes back to the sender, who is a
// user of the same server.
func (r real) unknownUser(t *testing.T, w way) {
	id, to := newID("unknown"), "nobody-"+w.key+"@"+w.domain
	from := "sender-" + w.key + "@" + w.domain
	queueID := r.submit(envelope{from: from, to: []string{to}}, message(id, from, to, "test\n"))
	rep := r.dovecot.reportAbout(from, id)
	said := "550 5.1.1 <" + to + "> User doesn't exist: " + to
	host, _, _ := strings.Cut(w.relay, ":")
	rep.expect(t, to, "Action: =failed", "Status: =5.1.1", "Original-Recipient: =rfc822;"+to,
		"Diagnostic-Code: =smtp; "+said, "Remote-Mta: =dns; "+w.relay[:strings.IndexByte(w.relay, '[')])
	d := r.log.delivered(t, 0, queueID, to, "bounced")
	want := fmt.Sprintf("host %s said: %s (in reply to RCPT TO command)", host, said)
	if d.text != want || d.dsn != "5.1.1" || d.relay != w.relay {
		t.Errorf("status line: %s\nwant text %q", d.line, want)
	}
	if !strings.Contains(strings.Join(strings.Fields(rep.text), " "), want) {
		t.Errorf("the text for people: %q", rep.text)
	}
}

// overQuota: the mail waits, with its reason in the queue listing, and is
// delivered when there is room.
func (r real) overQuota(t *testing.T, w way) {
	id, user := newID("quota"), "full-"+w.key
	to := user + "@" + w.domain
	msg := message(id, "", to, strings.Repeat("more than there is room for\n", 2000))
	queueID := r.submit(envelope{to: []string{to}}, msg)
	d := r.log.delivered(t, 0, queueID, to, "deferred")
	host, _, _ := strings.Cut(w.relay, ":")
	want := fmt.Sprintf("host %s said: 452 4.2.2 <%s> Quota exceeded (mailbox for user is full) (in reply to end of DATA command)", host, to)
	if d.text != want || d.dsn != "4.2.2" {
		t.Errorf("status line: %s\nwant text %q", d.line, want)
	}
	eventually(t, soon, "the reason in the queue listing", func() bool {
		listing := r.mailq()
		return strings.Contains(listing, queueID) && strings.Contains(listing, "("+want+")") && strings.Contains(listing, to)
	})
	r.dovecot.lift(user)
	r.retry(queueID)
	same(t, r.dovecot.stored(to, id), msg)
	r.log.delivered(t, 0, queueID, to, "sent")
}

// noRoom: the same where the server is told that a full mailbox is for good.
func (r real) noRoom(t *testing.T, w way) {
	id, from, to := newID("room"), "sender-"+w.key+"@"+w.domain, "final-"+w.key+"@"+w.domain
	queueID := r.submit(envelope{from: from, to: []string{to}}, message(id, from, to, "never stored\n"))
	r.log.delivered(t, 0, queueID, to, "bounced")
	r.dovecot.reportAbout(from, id).expect(t, to, "Action: =failed", "Status: =5.2.2",
		"Diagnostic-Code: =smtp; 552 5.2.2 <"+to+"> Quota exceeded (mailbox for user is full)")
}

// fiftyUsers names 50 recipients of three kinds.
func fiftyUsers(w way) (good, full, unknown []string) {
	for i := range 50 {
		user := fmt.Sprintf("many%d-%s", i, w.key)
		switch {
		case i%7 == 3:
			unknown = append(unknown, user)
		case i%10 == 5:
			full = append(full, user)
		default:
			good = append(good, user)
		}
	}
	return good, full, unknown
}

// fifty: one request with 50 recipients of every kind; each has its own end.
func (r real) fifty(t *testing.T, w way) {
	id := newID("fifty")
	from := "sender-" + w.key + "@" + w.domain
	e := envelope{from: from}
	want := map[string]string{}
	good, full, unknown := fiftyUsers(w)
	for status, users := range map[string][]string{"sent": good, "deferred": full, "bounced": unknown} {
		for _, user := range users {
			want[user+"@"+w.domain] = status
			e.to = append(e.to, user+"@"+w.domain)
		}
	}
	msg := message(id, from, from, strings.Repeat("for many\n", 500))
	queueID := r.submit(e, msg)
	for to, status := range want {
		r.log.delivered(t, 0, queueID, to, status)
		if status == "sent" {
			same(t, r.dovecot.stored(to, id), msg)
		}
	}
	rep := r.dovecot.reportAbout(from, id)
	for to, status := range want {
		if status == "bounced" {
			rep.expect(t, to, "Action: =failed", "Status: =5.1.1")
		}
	}
	r.dovecot.lift(full...)
	r.retry(queueID)
	for _, user := range full {
		same(t, r.dovecot.stored(user+"@"+w.domain, id), msg)
		r.log.delivered(t, 0, queueID, user+"@"+w.domain, "sent")
	}
	for to, status := range want {
		if got := len(r.dovecot.mails(to)); status != "bounced" && got != 1 {
			t.Errorf("%s has %d messages", to, got)
		}
		if n := len(r.log.find(0, queueID+": to=<"+to+">.*status=(sent|bounced) ")); n != 1 {
			t.Errorf("%d final status lines for %s", n, to)
		}
	}
}

// big: 50 MB.
func (r real) big(t *testing.T, w way) {
	id, to := newID("big"), "user-"+w.key+"@"+w.domain
	line := strings.Repeat("0123456789abcdef", 4) + "\n"
	msg := message(id, "", to, strings.Repeat(line+"."+line, (50<<20)/(2*len(line)+1)))
	queueID := r.submit(envelope{to: []string{to}}, msg)
	r.log.delivered(t, 0, queueID, to, "sent")
	same(t, r.dovecot.stored(to, id), msg)
}

// utf8: Dovecot offers no SMTPUTF8, so that an internationalized message
// comes back. Its report is internationalized, too, and has no better fate:
// the log tells.
func (r real) utf8(t *testing.T, w way) {
	id, to := newID("utf8"), "user-"+w.key+"@"+w.domain
	msg := message(id, "sender@"+w.domain, to, "test\n", "X-Word: Grüße")
	queueID := r.submit(envelope{to: []string{to}, fromArgs: " SMTPUTF8 BODY=8BITMIME"}, msg)
	d := r.log.delivered(t, 0, queueID, to, "bounced")
	host, _, _ := strings.Cut(w.relay, ":")
	want := utf8Refusal(host)
	if d.dsn != "5.6.7" || d.text != want {
		t.Errorf("status line: %s\nwant text %q", d.line, want)
	}
}

// verify: "sendmail -bv" delivers nothing and mails what would have happened.
func (r real) verify(t *testing.T, w way) {
	from := "sender-" + w.key + "@" + w.domain
	known, unknown := "user-"+w.key+"@"+w.domain, "nobody-"+w.key+"@"+w.domain
	before := len(r.dovecot.mails(known))
	mark := r.log.mark()
	r.run("sendmail", "-C", r.conf(), "-f", from, "-bv", known, unknown)
	m := r.log.wait(t, mark, `: ([0-9A-Z]+): to=<`+known+`>.*status=deliverable `)
	d := r.log.delivered(t, mark, m[1], known, "deliverable")
	if !strings.HasPrefix(d.text, "250 2.1.5 ") {
		t.Errorf("status line: %s", d.line)
	}
	r.log.delivered(t, mark, m[1], unknown, "undeliverable")
	var rep *report
	eventually(t, later, "the report", func() bool {
		for _, m := range r.dovecot.mails(from) {
			if strings.Contains(string(m), "Subject: Mail Delivery Status Report") {
				var err error
				rep, err = parseReport(m)
				return err == nil
			}
		}
		return false
	})
	rep.expect(t, known, "Action: =deliverable", "Status: =2.1.5")
	rep.expect(t, unknown, "Action: =undeliverable", "Status: =5.1.1", "Diagnostic-Code: User doesn't exist")
	if n := len(r.dovecot.mails(known)); n != before {
		t.Errorf("the probe was delivered")
	}
}

// success: the sender asks for a report of success. Dovecot offers no DSN, so
// that the report is Postfix's, and says no more than that it passed the mail on.
func (r real) success(t *testing.T, w way) {
	id, from, to := newID("success"), "sender-"+w.key+"@"+w.domain, "user-"+w.key+"@"+w.domain
	r.submit(envelope{from: from, to: []string{to}, fromArgs: " RET=HDRS ENVID=e2e+2B1",
		toArgs: " NOTIFY=SUCCESS ORCPT=rfc822;original@elsewhere.test"}, message(id, from, to, "text\n"))
	rep := r.dovecot.reportAbout(from, id)
	rep.expect(t, to, "Action: =relayed", "Status: =2.0.0", "Original-Recipient: =rfc822;original@elsewhere.test",
		"Diagnostic-Code: smtp; 250 2.0.0 <"+to+">", "Remote-Mta: =dns; "+w.relay[:strings.IndexByte(w.relay, '[')])
	if got := rep.message.Get("Original-Envelope-Id"); got != "e2e+1" {
		t.Errorf("envelope ID %q", got)
	}
	if strings.Contains(string(rep.returned), "\n\ntext") {
		t.Error("the body is returned, too")
	}
}

// down: mail waits while the server is down, and recovers.
func (r real) down(t *testing.T) {
	type sent struct{ id, queueID, to string }
	var all []sent
	r.dovecot.stop()
	for _, w := range ways(r.dovecot) {
		to := "user-" + w.key + "@" + w.domain
		id, queueID := r.sendSmall(t, "", to)
		all = append(all, sent{id, queueID, to})
		d := r.log.delivered(t, 0, queueID, to, "deferred")
		// Dovecot leaves its socket in the file system.
		want := "connect to " + w.relay + ": Connection refused"
		if d.relay != "none" || d.dsn != "4.4.1" || d.text != want {
			t.Errorf("status line: %s\nwant text %q", d.line, want)
		}
	}
	eventually(t, soon, "the reasons in the queue listing", func() bool {
		return strings.Count(r.mailq(), "connect to ") == 4
	})
	r.dovecot.start()
	r.flush()
	for _, s := range all {
		r.dovecot.stored(s.to, s.id)
		r.log.delivered(t, 0, s.queueID, s.to, "sent")
	}
	r.empty()
}
