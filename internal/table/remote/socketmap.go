package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// A Socketmap is a table on a server of Sendmail's socketmap protocol: the
// question is "name key", the answer a word and a text, both as netstrings.
type Socketmap struct {
	Name     string // of the table, for the server
	MaxReply int    // bytes
	Link     *Link
}

// The words of answers.
const (
	replyOK       = "OK"
	replyNotFound = "NOTFOUND"
	replyTemp     = "TEMP"
	replyTimeout  = "TIMEOUT"
	replyPerm     = "PERM"
)

// A ReplyError is an answer that says that the server cannot tell.
type ReplyError struct {
	Class string // "temporary", "timeout", "permanent" or "unknown"
	Text  string // what the server says about it, made printable
}

// Error implements error.
func (e *ReplyError) Error() string {
	text := "socketmap server " + e.Class + " error"
	if e.Text != "" {
		text += ": " + e.Text
	}
	return text
}

// NewSocketmapLink returns a Link to the server of a service, which is
// inet:host:port or unix:path. The times are Postfix's.
func NewSocketmapLink(service string) (*Link, error) {
	transport, endpoint, ok := strings.Cut(service, ":")
	if !ok || transport == "" || endpoint == "" {
		return nil, fmt.Errorf("need service transport:endpoint instead of \"%s\"", service)
	}
	l := &Link{Timeout: 100 * time.Second, Idle: 10 * time.Second, TTL: 100 * time.Second}
	switch transport {
	case "inet":
		address, err := hostPort(endpoint)
		if err != nil {
			return nil, err
		}
		l.Dial = dialer("tcp", address)
	case "unix", "local":
		l.Dial = dialer("unix", endpoint)
	default:
		return nil, fmt.Errorf("invalid transport name: %s in service: %s", transport, service)
	}
	return l, nil
}

func dialer(network, address string) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
}

// hostPort returns host:port or port in the form that package net wants.
func hostPort(endpoint string) (string, error) {
	if !strings.Contains(endpoint, ":") {
		return net.JoinHostPort("localhost", endpoint), nil
	}
	host, port, err := net.SplitHostPort(endpoint)
	if err != nil || port == "" {
		return "", fmt.Errorf("host or service %s not found", endpoint)
	}
	if host == "" {
		host = "localhost"
	}
	return net.JoinHostPort(host, port), nil
}

// Lookup asks the server.
func (s *Socketmap) Lookup(ctx context.Context, key string) (value string, found bool, err error) {
	var reply string
	err = s.Link.Do(ctx, func(c *Conn) error {
		if _, err := io.WriteString(c, netstring(s.Name+" "+key)); err != nil {
			return err
		}
		reply, err = readNetstring(c, s.MaxReply)
		return err
	})
	if err != nil {
		return "", false, err
	}
	word, text, _ := strings.Cut(reply, " ")
	switch word {
	case replyOK:
		text, _, _ = strings.Cut(text, "\x00")
		return text, true, nil
	case replyNotFound:
		return "", false, nil
	}
	return "", false, replyError(word, text)
}

func replyError(word, text string) error {
	e := &ReplyError{Class: "unknown", Text: printable(strings.TrimLeft(text, " \t\n\v\f\r"), '?')}
	switch word {
	case replyTemp:
		e.Class = "temporary"
	case replyTimeout:
		e.Class = "timeout"
	case replyPerm:
		e.Class = "permanent"
	}
	if len(e.Text) > 200 {
		e.Text = e.Text[:200]
	}
	return e
}

// printable replaces what is not printable ASCII.
func printable(s string, with byte) string {
	b := []byte(s)
	for i, c := range b {
		if c < ' ' || c > '~' {
			b[i] = with
		}
	}
	return string(b)
}

// The errors of netstrings, in Postfix's words.
var (
	errFormat = errors.New("input format error")
	errSize   = errors.New("input exceeds size limit")
)

func netstring(s string) string { return strconv.Itoa(len(s)) + ":" + s + "," }

// readNetstring reads length, colon, text and comma.
func readNetstring(c *Conn, most int) (string, error) {
	length := 0
	for {
		b, err := c.Reader.ReadByte()
		switch {
		case err != nil:
			return "", err
		case b == ':':
			text := make([]byte, length+1)
			if _, err := io.ReadFull(c.Reader, text); err != nil {
				return "", err
			}
			if text[length] != ',' {
				return "", errFormat
			}
			return string(text[:length]), nil
		case b < '0' || b > '9':
			return "", errFormat
		}
		if length = length*10 + int(b-'0'); length > most {
			return "", errSize
		}
	}
}
