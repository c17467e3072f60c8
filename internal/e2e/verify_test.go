package e2e

import (
	"errors"
	"fmt"
	"io"
	"net/textproto"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-smtp"
)

// TestRecipientVerification: smtpd's reject_unverified_recipient asks the
// destination through the agent, which delivers nothing.
func TestRecipientVerification(t *testing.T) {
	t.Parallel()
	p := startPostfix(t, options{
		smtpd: map[string]string{"strict": "-o smtpd_recipient_restrictions=reject_unverified_recipient"},
		main: []string{"unverified_recipient_reject_code = 550", "address_verify_map =",
			"address_verify_poll_delay = 1s", "address_verify_poll_count = 10"},
	})
	s := unixSink(t, p, "sink")
	s.onRcpt = func(_ *transaction, rcpt string) string {
		if strings.HasPrefix(rcpt, "unknown") {
			return "550 5.1.1 no such user"
		}
		return ""
	}
	s.run()
	ask := func(rcpt string) string {
		c, err := p.dial("strict")
		p.must(err)
		defer c.close()
		if _, err := c.cmd(250, "MAIL FROM:<>"); err != nil {
			t.Fatal(err)
		}
		_, err = c.cmd(250, "RCPT TO:<%s>", rcpt)
		if e, ok := errors.AsType[*textproto.Error](err); ok {
			return fmt.Sprint(e.Code, " ", e.Msg)
		}
		p.must(err)
		return ""
	}
	known, unknown, down := "known@sink.lmtp.sock.test", "unknown@sink.lmtp.sock.test", "rcpt@absent.lmtp.sock.test"

	if said := ask(known); said != "" {
		t.Errorf("a known recipient: %s", said)
	}
	p.log.wait(t, 0, `: to=<`+known+`>.*dsn=2\.1\.5, status=deliverable \(250 2\.1\.5 ok\)`)
	want := "550 5.1.1 <" + unknown + ">: Recipient address rejected: undeliverable address: " +
		"host mx.e2e.test[private/sink] said: 550 5.1.1 no such user (in reply to RCPT TO command)"
	if said := ask(unknown); said != want {
		t.Errorf("an unknown recipient: %s\nwant %s", said, want)
	}
	p.log.wait(t, 0, `: to=<`+unknown+`>.*dsn=5\.1\.1, status=undeliverable \(`)
	want = "450 4.1.1 <" + down + ">: Recipient address rejected: unverified address: " +
		"connect to mx.e2e.test[private/absent]: No such file or directory"
	if said := ask(down); said != want {
		t.Errorf("a server that is down: %s\nwant %s", said, want)
	}
	p.log.wait(t, 0, `: to=<`+down+`>.*dsn=4\.4\.1, status=undeliverable \(connect to `)

	if n := s.count(); n != 0 {
		t.Errorf("probes delivered %d messages", n)
	}
	p.empty()
	p.log.noAlarm(t, 0)
}

// utf8Server is go-smtp's LMTP server, which offers SMTPUTF8, as a second
// opinion on our dialog.
type utf8Server struct {
	mu       sync.Mutex
	received []utf8Message
}

type utf8Message struct {
	from string
	utf8 bool
	to   []string
	data string
}

// serveUTF8 listens at private/NAME.
func serveUTF8(t *testing.T, p *postfix, name string) *utf8Server {
	t.Helper()
	b := new(utf8Server)
	l := newUnixListener(t, p, name)
	s := smtp.NewServer(b)
	s.LMTP, s.Domain, s.EnableSMTPUTF8 = true, "utf8.e2e.test", true
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return b
}

func (b *utf8Server) NewSession(*smtp.Conn) (smtp.Session, error) {
	return &utf8Session{server: b}, nil
}

// find returns the message that holds a text.
func (b *utf8Server) find(text string) (utf8Message, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.received {
		if strings.Contains(m.data, text) {
			return m, true
		}
	}
	return utf8Message{}, false
}

type utf8Session struct {
	server *utf8Server
	m      utf8Message
}

func (s *utf8Session) Reset()        { s.m = utf8Message{} }
func (s *utf8Session) Logout() error { return nil }

func (s *utf8Session) Mail(from string, o *smtp.MailOptions) error {
	s.m = utf8Message{from: from, utf8: o.UTF8}
	return nil
}

func (s *utf8Session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.m.to = append(s.m.to, to)
	return nil
}

func (s *utf8Session) Data(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.m.data = string(data)
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.server.received = append(s.server.received, s.m)
	return nil
}

// utf8Refusal is what is said of a server that lacks SMTPUTF8.
func utf8Refusal(host string) string {
	if since(11) {
		return "message requires SMTPUTF8, but no server was found that supports SMTPUTF8. The last attempted server was " + host
	}
	return "SMTPUTF8 is required, but was not offered by host " + host
}

// TestSMTPUTF8: internationalized mail to a server that takes it, and the
// report about mail to one that does not.
func TestSMTPUTF8(t *testing.T) {
	t.Parallel()
	p := startPostfix(t, options{})
	server := serveUTF8(t, p, "utf8")
	unixSink(t, p, "ascii").run()
	from, to := "grüße@utf8.lmtp.sock.test", "josé@utf8.lmtp.sock.test"

	id := newID("utf8")
	msg := message(id, from, to, "Grüße\n", "X-Word: Größe")
	queueID := p.submit(envelope{from: from, to: []string{to, "ascii@utf8.lmtp.sock.test"}, fromArgs: " SMTPUTF8 BODY=8BITMIME"}, msg)
	p.log.delivered(t, 0, queueID, to, "sent")
	p.log.delivered(t, 0, queueID, "ascii@utf8.lmtp.sock.test", "sent")
	m, ok := server.find(id)
	if !ok || !m.utf8 || m.from != from || len(m.to) != 2 || !strings.HasSuffix(m.data, string(msg)) {
		t.Errorf("received: %+v", m)
	}

	id = newID("ascii")
	to = "rcpt@ascii.lmtp.sock.test"
	queueID = p.submit(envelope{from: from, to: []string{to}, fromArgs: " SMTPUTF8 BODY=8BITMIME"}, message(id, from, to, "Grüße\n", "X-Word: Größe"))
	d := p.log.delivered(t, 0, queueID, to, "bounced")
	want := utf8Refusal("mx.e2e.test[private/ascii]")
	if d.dsn != "5.6.7" || d.text != want {
		t.Errorf("status line: %s", d.line)
	}
	eventually(t, later, "the report", func() bool { _, ok := server.find(id); return ok })
	m, _ = server.find(id)
	rep, err := parseReport([]byte(m.data))
	if err != nil {
		t.Fatal(err)
	}
	rep.expect(t, to, "Action: =failed", "Status: =5.6.7", "Diagnostic-Code: =X-Postfix; "+want)

	// Plain mail of a session that asked for SMTPUTF8 needs no such server.
	id = newID("plain")
	p.submit(envelope{to: []string{to}, fromArgs: " SMTPUTF8"}, small(id))
	p.empty()
	p.log.noAlarm(t, 0)
}
