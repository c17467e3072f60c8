package lab

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Server is an LMTP server that follows a Script.
type Server struct {
	name     string
	script   *Script
	certs    *Certificates
	path     string // of a UNIX-domain socket, relative to the queue directory
	address  *net.TCPAddr
	ln       net.Listener
	reserved *os.File // a bound TCP socket that does not listen
	wg       sync.WaitGroup

	mu      sync.Mutex
	dialogs []*Dialog
	conns   map[net.Conn]bool // false: nobody waits for its end
	closed  bool
	closing chan struct{} // closed by Close
	changed chan struct{} // closed and replaced when a dialog ends
}

// A Dialog is what happened on one connection to a Server.
type Dialog struct {
	Server string
	Number int // of the connection, from 1
	Start  time.Time
	Events []Event
	Ended  bool // the connection is closed
}

// An Event is a part of a dialog.
type Event struct {
	After time.Duration // since the connection was accepted
	Kind  EventKind
	Data  []byte // the bytes; for End: who ended it, in words
}

// EventKind says what an Event is.
type EventKind byte

// The kinds of events.
const (
	Got  EventKind = '<' // bytes from the agent: a line, or a piece of content
	Sent EventKind = '>' // bytes to the agent
	End  EventKind = '!' // the end of the connection
)

// Received returns the bytes that came from the agent and that the server
// looked at.
func (d *Dialog) Received() []byte {
	var all []byte
	for _, e := range d.Events {
		if e.Kind == Got {
			all = append(all, e.Data...)
		}
	}
	return all
}

// Serve starts an LMTP server in the lab. The name must be new and fit into a
// file name: a UNIX-domain server listens on public/NAME in the queue
// directory.
func (l *Lab) Serve(name string, script *Script) (*Server, error) {
	s := &Server{name: name, script: script, conns: make(map[net.Conn]bool), changed: make(chan struct{}), closing: make(chan struct{})}
	if script.usesTLS() {
		var err error
		if s.certs, err = l.Certificates(); err != nil {
			return nil, fmt.Errorf("serve %s: %w", name, err)
		}
	}
	if err := s.listen(l); err != nil {
		return nil, fmt.Errorf("serve %s: %w", name, err)
	}
	l.ports.Store(name, s.Port())
	if s.ln != nil {
		s.wg.Go(s.accept)
	}
	return s, nil
}

// listen makes the socket, or whatever the script wants instead of one.
func (s *Server) listen(l *Lab) (err error) {
	switch s.script.Listen {
	case "refused":
		return s.reserve(l.portLike(s.script.Like))
	case "tcp":
		s.ln, err = net.Listen("tcp", net.JoinHostPort(s.script.Address, strconv.Itoa(l.portLike(s.script.Like))))
		if err != nil {
			return err
		}
		s.address = s.ln.Addr().(*net.TCPAddr)
	default:
		s.path = filepath.Join("public", s.name)
		if s.script.Listen == "missing" {
			return nil
		}
		full := filepath.Join(l.queue, s.path)
		ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: full, Net: "unix"})
		if err != nil {
			return err
		}
		ln.SetUnlinkOnClose(s.script.Listen != "stale")
		s.ln = ln
		if err := os.Chmod(full, 0o666); err != nil {
			return errors.Join(err, ln.Close())
		}
	}
	if s.script.Listen == "stale" {
		err = s.ln.Close()
		s.ln = nil
	}
	return err
}

// reserve takes a TCP port without listening on it: connections to it are
// refused, and nobody else can get it.
func (s *Server) reserve(port int) error {
	ip := net.ParseIP(s.script.Address).To4()
	if ip == nil {
		return fmt.Errorf("%q is no IPv4 address", s.script.Address)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	s.reserved = os.NewFile(uintptr(fd), "reserved")
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte(ip), Port: port}); err != nil {
		return err
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return err
	}
	s.address = &net.TCPAddr{IP: ip, Port: sa.(*unix.SockaddrInet4).Port}
	return nil
}

// portLike returns the port of the server of that name, 0 for none.
func (l *Lab) portLike(name string) int {
	port, _ := l.ports.Load(name)
	n, _ := port.(int)
	return n
}

// Destination returns the server's place as a delivery request names it:
// "unix:public/NAME" or "[ADDRESS]:PORT".
func (s *Server) Destination() string {
	if s.address == nil {
		return "unix:" + s.path
	}
	return "[" + s.address.IP.String() + "]:" + strconv.Itoa(s.address.Port)
}

// Port returns the TCP port, 0 for a UNIX-domain server.
func (s *Server) Port() int {
	if s.address == nil {
		return 0
	}
	return s.address.Port
}

// Name returns the name that the server was started with.
func (s *Server) Name() string { return s.name }

// accept serves connections until the listener is closed.
func (s *Server) accept() {
	for {
		c, err := s.ln.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			c.Close()
			return
		}
		d := &Dialog{Server: s.name, Number: len(s.dialogs) + 1, Start: time.Now()}
		s.dialogs = append(s.dialogs, d)
		s.conns[c] = true
		s.mu.Unlock()
		s.setBuffers(c)
		s.wg.Go(func() {
			newSession(s, c, d).run()
			c.Close()
			s.mu.Lock()
			delete(s.conns, c)
			d.Ended = true
			close(s.changed)
			s.changed = make(chan struct{})
			s.mu.Unlock()
		})
	}
}

// setBuffers sets the sizes of the socket's buffers where the script says so.
func (s *Server) setBuffers(c net.Conn) {
	raw, err := rawConn(c)
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		if n := s.script.ReceiveBuffer; n > 0 {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, n)
		}
		if n := s.script.SendBuffer; n > 0 {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, n)
		}
	})
}

// rawConn gives access to the descriptor of a connection.
func rawConn(c net.Conn) (syscall.RawConn, error) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return nil, errors.New("connection without a descriptor")
	}
	return sc.SyscallConn()
}

// note adds an event to a dialog.
func (s *Server) note(d *Dialog, kind EventKind, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d.Events = append(d.Events, Event{After: time.Since(d.Start), Kind: kind, Data: append([]byte(nil), data...)})
}

// Dialogs returns a copy of all dialogs so far, in the order of the
// connections.
func (s *Server) Dialogs() []Dialog {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Dialog, len(s.dialogs))
	for i, d := range s.dialogs {
		all[i] = *d
		all[i].Events = append([]Event(nil), d.Events...)
	}
	return all
}

// WaitIdle waits until every connection that was accepted has ended, or until
// done is closed; it tells which.
func (s *Server) WaitIdle(done <-chan struct{}) bool {
	for {
		s.mu.Lock()
		open, changed := 0, s.changed
		for _, awaited := range s.conns {
			if awaited {
				open++
			}
		}
		s.mu.Unlock()
		if open == 0 {
			return true
		}
		select {
		case <-changed:
		case <-done:
			return false
		}
	}
}

// Close closes the listener and all connections and waits for their end.
func (s *Server) Close() error {
	s.mu.Lock()
	if !s.closed {
		close(s.closing)
	}
	s.closed = true
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	var err error
	if s.ln != nil {
		err = s.ln.Close()
	}
	if s.reserved != nil {
		err = errors.Join(err, s.reserved.Close())
	}
	s.wg.Wait()
	return err
}
