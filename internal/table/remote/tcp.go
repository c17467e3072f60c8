package remote

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// A TCP is a server of the protocol of tcp_table(5): the question is "get key",
// the answer a code of three digits and a text, in lines, where bytes that would
// be in the way are %XX.
type TCP struct {
	Name string // host:port
	Link *Link
	Warn func(format string, args ...any)
}

// Postfix's numbers.
const (
	tcpTimeout  = 100 * time.Second
	tcpMaxReply = 4096
	tcpAttempts = 10
	tcpPause    = time.Second
)

// ErrTCP is the error for an answer that says that the server cannot tell, and
// for one that is none.
var ErrTCP = errors.New("lookup error")

// NewTCP returns the table of a server. It connects when it is asked first, and
// keeps the connection as long as the server does.
func NewTCP(name string, warn func(string, ...any)) (*TCP, error) {
	address, err := hostPort(name)
	if err != nil {
		return nil, err
	}
	const forever = 1000 * time.Hour
	link := &Link{Dial: dialer("tcp", address), Timeout: tcpTimeout, Idle: forever, TTL: forever}
	return &TCP{Name: name, Link: link, Warn: warn}, nil
}

// Lookup asks the server. If there is no answer it tries again, a second later.
func (t *TCP) Lookup(ctx context.Context, key string) (value string, found bool, err error) {
	for attempt := 1; ; attempt++ {
		var reply string
		err := t.Link.Do(ctx, func(c *Conn) error {
			var err error
			reply, err = ask(c, key)
			if !strings.HasPrefix(reply, "2") && !strings.HasPrefix(reply, "5") {
				c.Drop()
			}
			return err
		})
		if err == nil {
			return t.parse(reply)
		}
		t.Warn("%v", t.word(err))
		if attempt == tcpAttempts {
			return "", false, err
		}
		select {
		case <-ctx.Done():
			return "", false, ctx.Err()
		case <-time.After(tcpPause):
		}
	}
}

// word says what Postfix would.
func (t *TCP) word(err error) error {
	switch {
	case errors.Is(err, bufio.ErrTooLong):
		return fmt.Errorf("read TCP map reply from %s: text longer than %d", t.Name, tcpMaxReply)
	case Disconnected(err) || TimedOut(err):
		return fmt.Errorf("read TCP map reply from %s: unexpected EOF (%w)", t.Name, err)
	}
	return fmt.Errorf("connect to TCP map %s: %w", t.Name, err)
}

// ask sends a question and reads a line.
func ask(c *Conn, key string) (string, error) {
	if _, err := io.WriteString(c, "get "+quote(key)+"\n"); err != nil {
		return "", err
	}
	var line []byte
	for len(line) <= tcpMaxReply {
		b, err := c.Reader.ReadByte()
		switch {
		case err != nil:
			return "", err
		case b == '\n':
			return string(line), nil
		}
		line = append(line, b)
	}
	return "", bufio.ErrTooLong
}

// parse reads an answer.
func (t *TCP) parse(reply string) (string, bool, error) {
	text, ok := "", false
	if len(reply) >= 4 && digits(reply[:3]) && strings.IndexByte(" \t\v\f\r", reply[3]) >= 0 {
		text, ok = unquote(reply[4:])
	}
	shown := printable(reply, '_')
	if len(shown) > 100 {
		shown = shown[:100]
	}
	switch {
	case !ok:
		t.Warn("read TCP map reply from %s: malformed reply: %s", t.Name, shown)
	case reply[0] == '2':
		text, _, _ = strings.Cut(text, "\x00")
		return text, true, nil
	case reply[0] == '5':
		return "", false, nil
	case reply[0] != '4':
		t.Warn("read TCP map reply from %s: bad status code: %s", t.Name, shown)
	}
	return "", false, ErrTCP
}

func digits(s string) bool { return strings.Trim(s, "0123456789") == "" }

const upperHex = "0123456789ABCDEF"

// quote makes a key fit for a line.
func quote(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c == '%' || c > '~' {
			b.Write([]byte{'%', upperHex[c>>4], upperHex[c&15]})
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// unquote is the opposite of quote; false if there is a % without two digits.
func unquote(s string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' {
			if i+2 >= len(s) {
				return "", false
			}
			high := strings.IndexByte(upperHex, upper(s[i+1]))
			low := strings.IndexByte(upperHex, upper(s[i+2]))
			if high < 0 || low < 0 {
				return "", false
			}
			c = byte(high<<4 | low)
			i += 2
		}
		b.WriteByte(c)
	}
	return b.String(), true
}

func upper(c byte) byte {
	if c >= 'a' && c <= 'f' {
		return c - 'a' + 'A'
	}
	return c
}
