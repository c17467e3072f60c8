package maillog

import (
	"errors"
	"net"
	"path/filepath"
	"time"
)

// socket is a connection to a log daemon that is made again when it breaks.
// It is not safe for concurrent use.
type socket struct {
	paths    []string // tried in order
	networks []string // "unixgram", "unix"
	timeout  time.Duration
	conn     net.Conn
	stream   bool
	deaf     bool // the last attempt ran into its time limit
	closed   bool
}

func syslogSocket(path string, timeout time.Duration) *socket {
	return &socket{paths: []string{path}, networks: []string{"unixgram", "unix"}, timeout: timeout}
}

// postlogSocket has a second path, by which the socket is known in the jail.
func postlogSocket(path string, timeout time.Duration) *socket {
	inside := filepath.Join("/", filepath.Base(filepath.Dir(path)), filepath.Base(path))
	return &socket{paths: []string{path, inside}, networks: []string{"unixgram"}, timeout: timeout}
}

func (s *socket) connect() error {
	if s.closed {
		return net.ErrClosed
	}
	var errs []error
	defer func() { s.deaf = s.deaf || timedOut(errors.Join(errs...)) }()
	for _, path := range s.paths {
		for _, network := range s.networks {
			dialer := net.Dialer{Timeout: s.patience()}
			conn, err := dialer.Dial(network, path)
			if err == nil {
				s.conn, s.stream = conn, network == "unix"
				return nil
			}
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// send writes one entry. A broken connection is made anew once.
func (s *socket) send(entry []byte) error {
	fresh := s.conn == nil
	if fresh {
		if err := s.connect(); err != nil {
			return err
		}
	}
	err := s.write(entry)
	if err == nil || fresh || s.deaf {
		return err
	}
	s.drop()
	if err := s.connect(); err != nil {
		return err
	}
	if err = s.write(entry); err != nil && !s.deaf {
		s.drop()
	}
	return err
}

// patience is how long to wait for a daemon that does not read: the whole time
// limit for the first entry, hardly at all for those after it until one gets
// through.
func (s *socket) patience() time.Duration {
	if s.deaf {
		return time.Millisecond
	}
	return s.timeout
}

func (s *socket) write(entry []byte) error {
	if s.stream {
		entry = append(entry, 0) // as syslog(3) ends an entry on a stream
	}
	_ = s.conn.SetWriteDeadline(time.Now().Add(s.patience()))
	n, err := s.conn.Write(entry)
	s.deaf = timedOut(err)
	if s.deaf && s.stream && n > 0 {
		s.drop() // half an entry is on the stream: only a new one is in step
	}
	return err
}

func timedOut(err error) bool {
	if err == nil {
		return false
	}
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func (s *socket) drop() {
	if s.conn != nil {
		_ = s.conn.Close()
		s.conn = nil
	}
}

func (s *socket) close() error {
	s.closed = true
	if s.conn == nil {
		return nil
	}
	err := s.conn.Close()
	s.conn = nil
	return err
}
