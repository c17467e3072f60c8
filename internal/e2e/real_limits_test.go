package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// limited is a Dovecot with further settings, and a Postfix.
func limited(t *testing.T, o options, further string, users ...string) real {
	t.Helper()
	p := startPostfix(t, o)
	d := newDovecot(t, p)
	f, err := os.OpenFile(d.path("dovecot.conf"), os.O_APPEND|os.O_WRONLY, 0)
	d.must(err)
	_, err = f.WriteString(further)
	d.must(err)
	d.must(f.Close())
	d.add("", users...)
	d.start()
	return real{p, d}
}

// hold opens a session of somebody else and starts a transaction in it for one
// recipient. It lasts until the returned function is called.
//
// Dovecot drops connections that have waited for a process for 10 s, and from
// then on any new one at once, until a process is free: that is for somebody
// else to come back, too.
func (d *dovecot) hold(to string) (end func()) {
	d.t.Helper()
	var conn net.Conn
	var text *textproto.Conn
	eventually(d.t, later, "a process of Dovecot's", func() bool {
		var err error
		conn, err = net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", d.port))
		d.must(err)
		d.must(conn.SetDeadline(time.Now().Add(5 * time.Minute)))
		text = textproto.NewConn(conn)
		_, _, err = text.ReadResponse(220)
		if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
			conn.Close()
			return false
		}
		d.must(err)
		return true
	})
	d.t.Cleanup(func() { conn.Close() })
	for _, command := range []string{"LHLO other.e2e.test", "MAIL FROM:<other@e2e.test>", "RCPT TO:<" + to + ">"} {
		d.must(text.PrintfLine("%s", command))
		_, _, err := text.ReadResponse(250)
		d.must(err)
	}
	return func() {
		d.must(text.PrintfLine("QUIT"))
		_, _, err := text.ReadResponse(221)
		d.must(err)
		conn.Close()
	}
}

// TestDovecotUserLimit: while as many deliveries to a user run as Dovecot allows
// (10 by default since 2.4), it refuses the next one for now. That recipient
// waits, with Dovecot's words as the reason; another one of the same message
// does not.
func TestDovecotUserLimit(t *testing.T) {
	t.Parallel()
	r := limited(t, options{}, "lmtp_user_concurrency_limit = 1\n", "busy", "idle")
	busy, idle := "busy@dovecot.lmtp.sock.test", "idle@dovecot.lmtp.sock.test"
	end := r.dovecot.hold(busy)
	id := newID("busy")
	queueID := r.submit(envelope{to: []string{busy, idle}}, small(id))
	r.log.delivered(t, 0, queueID, idle, "sent")
	d := r.log.delivered(t, 0, queueID, busy, "deferred")
	want := "host mx.e2e.test[private/dovecot] said: 451 4.3.0 <" + busy + "> Too many concurrent deliveries for user (in reply to RCPT TO command)"
	if d.text != want || d.dsn != "4.3.0" {
		t.Errorf("status line: %s\nwant text %q", d.line, want)
	}
	end()
	r.retry(queueID)
	r.log.delivered(t, 0, queueID, busy, "sent")
	for _, to := range []string{busy, idle} {
		r.dovecot.stored(to, id)
		if n := len(r.dovecot.mails(to)); n != 1 {
			t.Errorf("%s has %d messages", to, n)
		}
	}
	r.empty()
	r.log.noAlarm(t, 0)
}

// TestDovecotUserLimitUnderLoad: many messages to one user at once, with the
// limit that Dovecot 2.4 has by default: each arrives, once.
func TestDovecotUserLimitUnderLoad(t *testing.T) {
	t.Parallel()
	r := limited(t, options{}, "lmtp_user_concurrency_limit = 10\n", "load")
	const messages = 200
	l := r.inject(messages, 4, "dovecot.lmtp.sock.test")
	<-l.done
	r.drain()
	if n := len(r.dovecot.mails("load@dovecot.lmtp.sock.test")); n != messages {
		t.Errorf("%d of %d messages stored", n, messages)
	}
	refused := r.log.find(0, `status=deferred .*Too many concurrent deliveries`)
	other := r.log.find(0, `/lmtp\[\d+\]: .*status=deferred `)
	if len(other) != len(refused) {
		t.Errorf("deferred for other reasons: %s", strings.Join(other, "\n"))
	}
	t.Logf("%d messages, %d attempts refused", messages, len(refused))
	r.log.noAlarm(t, 0)
}

// TestDovecotProcessLimit: Dovecot's process for LMTP serves one connection
// (client_limit = 1, what 2.4 has by default), and there is one process. A
// session that is kept for the next message would hold it: it ends soon enough
// for mail from elsewhere, and while somebody else holds it our mail waits.
func TestDovecotProcessLimit(t *testing.T) {
	t.Parallel()
	// The connections are served one after the other, and each is kept for 2 s.
	three := options{main: []string{"initial_destination_concurrency = 3", "default_destination_concurrency_limit = 3"}}
	r := limited(t, three, "service lmtp {\n  client_limit = 1\n  process_limit = 1\n  process_min_avail = 0\n}\n", "one", "load")
	to := "one@dovecot.lmtp.sock.test"
	end := r.dovecot.hold("load@dovecot.lmtp.sock.test")
	id, queueID := r.sendSmall(t, "", to)
	// No greeting comes: the connection waits or is dropped, as Dovecot likes.
	if within(2*time.Second, func() bool { return len(r.log.find(0, queueID+`: to=.*status=sent`)) > 0 }) {
		t.Fatal("delivered while there is no process: the test shows nothing")
	}
	end()
	r.drain()
	r.log.delivered(t, 0, queueID, to, "sent")
	for _, line := range r.log.find(0, queueID+`: to=.*status=deferred`) {
		t.Log(line)
	}
	r.dovecot.stored(to, id)
	const messages = 100
	l := r.inject(messages, 4, "dovecot.lmtp.sock.test")
	<-l.done
	r.drain()
	if n := len(r.dovecot.mails("load@dovecot.lmtp.sock.test")); n != messages {
		t.Errorf("%d of %d messages stored", n, messages)
	}
	// Our kept session is gone in time for others (lmtp_connection_cache_time_limit, 2 s).
	end = r.dovecot.hold(to)
	end()
	t.Logf("%d attempts in vain", len(r.log.find(0, `/lmtp\[\d+\]: .*status=deferred `)))
	r.log.noAlarm(t, 0)
}
