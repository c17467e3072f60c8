package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// A mailServer is the embedded LMTP server: go-smtp's, with a few users of
// different fortunes, on a UNIX-domain socket. All its connections are taped.
type mailServer struct {
	smtp *smtp.Server
	done chan struct{}

	mu       sync.Mutex
	tapes    []*tape
	open     int
	attempts map[string]int // messages for a user so far
}

// newMailServer starts the server on a socket.
func newMailServer(path string) (*mailServer, error) {
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("start mail server: %w", err)
	}
	m := &mailServer{done: make(chan struct{}), attempts: make(map[string]int)}
	m.smtp = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &mailSession{server: m, conn: c}, nil
	}))
	m.smtp.LMTP = true
	m.smtp.Domain = "mailbox.example.net"
	m.smtp.EnableDSN = true
	m.smtp.EnableSMTPUTF8 = true
	m.smtp.MaxMessageBytes = 10 << 20
	m.smtp.ReadTimeout = demoTime
	m.smtp.WriteTimeout = demoTime
	m.smtp.ErrorLog = log.New(io.Discard, "", 0)
	go func() {
		defer close(m.done)
		_ = m.smtp.Serve(&tapListener{Listener: ln, server: m})
	}()
	return m, nil
}

// close ends the server and its connections.
func (m *mailServer) close() {
	m.smtp.Close()
	<-m.done
}

// settle waits until no connection is open. A daemon that keeps one for later
// is not waited for long.
func (m *mailServer) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		m.mu.Lock()
		open := m.open
		m.mu.Unlock()
		if open == 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// takeTapes returns the tapes of the connections since the last call.
func (m *mailServer) takeTapes() []*tape {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.tapes
	m.tapes = nil
	return all
}

// A mailSession is one LMTP session.
type mailSession struct {
	server *mailServer
	conn   *smtp.Conn
	to     []string
}

func (s *mailSession) Reset()                               { s.to = nil }
func (s *mailSession) Logout() error                        { return nil }
func (s *mailSession) Mail(string, *smtp.MailOptions) error { return nil }
func (s *mailSession) Data(io.Reader) error                 { return errLMTPOnly }
func (s *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if strings.HasPrefix(to, "nobody@") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "No such user here"}
	}
	s.to = append(s.to, to)
	return nil
}

var errLMTPOnly = &smtp.SMTPError{Code: 503, EnhancedCode: smtp.EnhancedCode{5, 5, 1}, Message: "LMTP only"}

// LMTPData takes the message and answers for each recipient.
func (s *mailSession) LMTPData(r io.Reader, status smtp.StatusCollector) error {
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	for _, to := range s.to {
		user, _, _ := strings.Cut(to, "@")
		switch user {
		case "carla":
			status.SetStatus(to, &smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 2, 2}, Message: "Mailbox is full"})
		case "dora":
			status.SetStatus(to, &smtp.SMTPError{Code: 552, EnhancedCode: smtp.EnhancedCode{5, 2, 2}, Message: "Mailbox is full, and nobody empties it"})
		case "ops":
			if s.server.first(user) {
				return s.conn.Conn().Close()
			}
			status.SetStatus(to, nil)
		default:
			status.SetStatus(to, nil)
		}
	}
	return nil
}

// first tells whether this is the first message for a user.
func (m *mailServer) first(user string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.attempts[user]++
	return m.attempts[user] == 1
}
