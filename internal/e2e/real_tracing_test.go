package e2e

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// further adds lines to the configuration of a Dovecot that was not started.
func (d *dovecot) further(lines string) {
	d.t.Helper()
	text, err := os.ReadFile(d.path("dovecot.conf"))
	d.must(err)
	d.must(os.WriteFile(d.path("dovecot.conf"), append(text, lines...), 0o644))
}

// logged waits for a line of Dovecot's log that has all of the words.
func (d *dovecot) logged(words ...string) {
	d.t.Helper()
	eventually(d.t, soon, fmt.Sprintf("a line with %q in Dovecot's log", words), func() bool {
		log, _ := os.ReadFile(d.path("dovecot.log"))
	lines:
		for line := range strings.Lines(string(log)) {
			for _, word := range words {
				if !strings.Contains(line, word) {
					continue lines
				}
			}
			return true
		}
		return false
	})
}

// TestDovecotTracing: a delivery is found in the logs of both sides by one name,
// with a Dovecot that trusts us (TCP) and with one that does not (socket: it has
// no address to trust).
func TestDovecotTracing(t *testing.T) {
	a := underTest(t)
	if !a.ours() {
		t.Skip("Postfix has none of this")
	}
	p := startPostfix(t, options{
		services: map[string]string{
			"traced": "y - -o postlmtp_xclient=session,timeout -o postlmtp_log_session=yes -o postlmtp_send_trace=yes" +
				" -o postlmtp_orcpt=always -o postlmtp_smtputf8_downgrade=yes -o lmtp_connection_cache_destinations=127.0.0.1" +
				" -o lmtp_connection_cache_time_limit=60s",
			"plain": "y - ",
		},
	})
	d := newDovecot(t, p)
	d.further("login_trusted_networks = 127.0.0.0/8\nlmtp_hdr_delivery_address = original\n")
	d.add("", "user")
	d.start()
	tcp, sock := fmt.Sprintf("user@p%d.traced.port.test", d.port), "user@dovecot.traced.sock.test"
	p.set("virtual_alias_maps = inline:{ alias@alias.test=" + tcp + " }")
	p.reload()
	session := func(t *testing.T, queueID, to string) (name, connection, message string) {
		t.Helper()
		m := p.with(t).log.wait(t, 0, queueID+`: lmtp-session: rcpt=<`+regexp.QuoteMeta(to)+`> relay=(\S+) session=(\S+) connection=(\d+\.\d+) message=(\d+)$`)
		return m[2], m[3], m[4]
	}

	t.Run("trusted", func(t *testing.T) {
		_, first := p.with(t).sendSmall(t, "", tcp)
		said := p.log.delivered(t, 0, first, tcp, "sent")
		name, connection, message := session(t, first, tcp)
		// An old Dovecot names its sessions itself, a new one for each message.
		ours := since2314()
		if (name == first+"-"+connection) != ours || message != "1" || said.text != "250 2.0.0 <"+tcp+"> "+name+" Saved" {
			t.Errorf("session %q, connection %s, message %s, reply %q", name, connection, message, said.text)
		}
		d.with(t).logged("lmtp("+tcp+")", "<"+name+">", "saved mail to INBOX")
		// The next message of the connection has a name that Dovecot makes
		// of this one.
		_, second := p.with(t).sendSmall(t, "", tcp)
		again, same, number := session(t, second, tcp)
		if (again == name+":T2") != ours || again == name || same != connection || number != "2" {
			t.Errorf("session %q, connection %s, message %s", again, same, number)
		}
		d.with(t).logged("lmtp("+tcp+")", "<"+again+">", "saved mail to INBOX")
	})

	t.Run("not trusted", func(t *testing.T) {
		_, queueID := p.with(t).sendSmall(t, "", sock)
		name, connection, message := session(t, queueID, sock)
		if name == "" || strings.Contains(name, queueID) || connection == "" || message != "1" {
			t.Errorf("session %q, connection %s, message %s", name, connection, message)
		}
		d.with(t).logged("lmtp("+sock+")", "<"+name+">", "saved mail to INBOX")
	})

	t.Run("original recipient", func(t *testing.T) {
		id, to := newID("orcpt"), "alias@alias.test"
		p.with(t).submit(envelope{to: []string{to}}, message(id, "a@alias.test", to, "test\n"))
		if stored := string(d.with(t).stored(tcp, id)); !strings.Contains(stored, "Delivered-To: "+to+"\n") {
			t.Errorf("stored:\n%.300s", stored)
		}
	})

	t.Run("utf8 in the header", func(t *testing.T) {
		for _, to := range []string{tcp, sock} {
			id := newID("utf8")
			msg := message(id, "sender@none.test", to, "test\n", "X-Word: Grüße 🎉")
			queueID := p.with(t).submit(envelope{to: []string{to}, fromArgs: " SMTPUTF8 BODY=7BIT"}, msg)
			same(t, d.with(t).stored(to, id), msg)
			p.log.delivered(t, 0, queueID, to, "sent")
			p.log.wait(t, 0, queueID+`: UTF-8 in the header, and \S+ has no SMTPUTF8: sent as it is`)
		}
	})

	t.Run("off", func(t *testing.T) {
		to := "user@dovecot.plain.sock.test"
		_, queueID := p.with(t).sendSmall(t, "", to)
		p.log.delivered(t, 0, queueID, to, "sent")
		if lines := p.log.find(0, queueID+": lmtp-session"); lines != nil {
			t.Errorf("%q", lines)
		}
	})
	p.log.noAlarm(t, 0)
}
