package e2e

import (
	"bytes"
	"fmt"
	"net"
	"net/textproto"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// envelope is what a client tells smtpd of a message.
type envelope struct {
	from     string
	to       []string
	fromArgs string // after MAIL FROM:<…>, such as " SMTPUTF8"
	toArgs   string // after each RCPT TO:<…>
}

// client is a raw SMTP client: one connection to smtpd.
type client struct {
	conn net.Conn
	text *textproto.Conn
}

// dial connects to a listener of the instance ("smtp" or of options.smtpd).
func (p *postfix) dial(listener string) (*client, error) {
	conn, err := net.Dial("tcp", net.JoinHostPort(p.host, strconv.Itoa(p.ports[listener])))
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(5 * time.Minute))
	c := &client{conn, textproto.NewConn(conn)}
	if _, _, err = c.text.ReadResponse(220); err == nil {
		_, err = c.cmd(250, "EHLO client.e2e.test")
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// cmd sends a command and expects a reply code (or its first digit).
func (c *client) cmd(want int, format string, args ...any) (string, error) {
	if err := c.text.PrintfLine(format, args...); err != nil {
		return "", err
	}
	_, text, err := c.text.ReadResponse(want)
	return text, err
}

var queuedAs = regexp.MustCompile(`queued as ([0-9A-Za-z]+)`)

// send submits one message and returns its queue ID. The message has CRLF line
// ends.
func (c *client) send(e envelope, message []byte) (queueID string, err error) {
	if _, err := c.cmd(250, "MAIL FROM:<%s>%s", e.from, e.fromArgs); err != nil {
		return "", err
	}
	for _, to := range e.to {
		if _, err := c.cmd(250, "RCPT TO:<%s>%s", to, e.toArgs); err != nil {
			return "", err
		}
	}
	if _, err := c.cmd(354, "DATA"); err != nil {
		return "", err
	}
	stuffed := bytes.ReplaceAll(message, []byte("\r\n."), []byte("\r\n.."))
	if _, err := c.text.W.Write(stuffed); err != nil {
		return "", err
	}
	text, err := c.cmd(250, ".")
	if err != nil {
		return "", err
	}
	m := queuedAs.FindStringSubmatch(text)
	if m == nil {
		return "", fmt.Errorf("no queue ID in reply %q", text)
	}
	return m[1], nil
}

// close ends the session.
func (c *client) close() {
	c.cmd(221, "QUIT")
	c.conn.Close()
}

// submit sends one message on a connection of its own.
func (p *postfix) submit(e envelope, message []byte) string {
	p.t.Helper()
	c, err := p.dial("smtp")
	p.must(err)
	defer c.close()
	id, err := c.send(e, message)
	p.must(err)
	return id
}

var serial atomic.Int64

// newID makes an identity for a test message: the value of its X-E2E-Id field.
func newID(what string) string { return fmt.Sprintf("%s-%d", what, serial.Add(1)) }

// message builds a message with CRLF line ends. X-E2E-Id is its first field,
// and by it the sinks and the Maildirs are searched. Extra are header lines.
func message(id, from, to, body string, extra ...string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "X-E2E-Id: %s\n", id)
	fmt.Fprintf(&b, "From: Test Sender <%s>\nTo: <%s>\nSubject: test %s\n", from, to, id)
	fmt.Fprintf(&b, "Date: Mon, 02 Jan 2006 15:04:05 +0000\nMessage-ID: <%s@client.e2e.test>\n", id)
	for _, line := range extra {
		b.WriteString(line + "\n")
	}
	b.WriteString("\n" + body)
	return []byte(strings.ReplaceAll(b.String(), "\n", "\r\n"))
}

// awkward is a body with what tends to be damaged on the way.
func awkward() string {
	return "plain\n\n.\n..\n. leading dot\n.\tdot and tab\n" +
		"trailing blanks  \t \n\tleading tab\n \n" +
		"From the start of a line\n>From quoted\n" +
		"percent %s backslash \\ quote \" angle <> semicolon ;\n" +
		"control \x01\x02\x1b[0m\x7f\n" +
		strings.Repeat("long ", 190) + "line\n" +
		"\n\n\nlast line after empty lines\n"
}

// small is a message of no special interest.
func small(id string) []byte {
	return message(id, "sender@none.lmtp.sock.test", "rcpt@none.lmtp.sock.test", "test\n")
}

// sendSmall submits a small message and returns its identity and queue ID.
func (p *postfix) sendSmall(t *testing.T, from string, to ...string) (id, queueID string) {
	t.Helper()
	id = newID("small")
	return id, p.submit(envelope{from: from, to: to}, small(id))
}
