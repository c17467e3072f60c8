package delivery

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"postlmtp/internal/dsn"
	"postlmtp/internal/lmtp"
	"postlmtp/internal/nexthop"
	"postlmtp/internal/queuefile"
	"postlmtp/internal/request"
)

// world is everything around a Deliverer: servers by their address, a reporter
// that takes notes, and a queue file.
type world struct {
	t   *testing.T
	opt Options

	mu      sync.Mutex
	servers map[string]*server // by host
	dialled []string           // hosts in the order of the connections
	events  []string           // what was reported and marked, in order
	stamps  []request.Stamps   // of what was reported
	log     []string
	final   map[Outcome]bool // outcomes that the reporter calls final
}

func newWorld(t *testing.T) *world {
	w := &world{
		t:       t,
		servers: make(map[string]*server),
		final:   map[Outcome]bool{Sent: true, Bounced: true},
	}
	w.opt = Options{
		Service:         "lmtp",
		MyHostname:      "mail.example.com",
		Skip5xxGreeting: true,
		MXAddressLimit:  5,
		MXSessionLimit:  2,
		CacheOnDemand:   true,
		CacheTimeLimit:  2 * time.Second,
		ReuseTimeLimit:  300 * time.Second,
		Session:         lmtp.Options{LHLOName: "mail.example.com"},
		Parse:           nexthop.Parser{MyHostname: "mail.example.com"}.Parse,
		Resolver:        w,
		Dial:            w.dial,
		ExtraLogging:    true,
		Stopping:        errStopping,
		Log:             w,
	}
	return w
}

var errStopping = errors.New("stopping")

func (w *world) note(list *[]string, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	*list = append(*list, fmt.Sprintf(format, args...))
}

func (w *world) Infof(format string, args ...any)    { w.note(&w.log, format, args...) }
func (w *world) Warningf(format string, args ...any) { w.note(&w.log, "warning: "+format, args...) }

// Report makes World a Reporter.
func (w *world) Report(req *request.Request, rcpt request.Recipient, o Outcome, at request.Attempt, d dsn.Diagnosis) Settlement {
	w.mu.Lock()
	w.stamps = append(w.stamps, at.Stamps)
	w.mu.Unlock()
	w.note(&w.events, "%v %s %s relay=%s reuse=%d", o, rcpt.Address, d.Status, at.Relay, at.Stamps.ReuseCount)
	return Settlement{Final: w.final[o], Sent: o == Sent}
}

// Resolve makes World a Resolver: a host name stands for one endpoint for each
// letter of its first label, and "none" does not exist.
func (w *world) Resolve(_ context.Context, e nexthop.Element, softBefore bool) ([]nexthop.Endpoint, error) {
	if e.Err != nil {
		return nil, &nexthop.LookupError{Diagnosis: e.Err.Diagnosis, Element: e.Text}
	}
	if e.Host == "none" {
		status := "5.4.4"
		if softBefore {
			status = "4.4.4"
		}
		return nil, &nexthop.LookupError{Class: nexthop.NotFound, Element: e.Text,
			Diagnosis: dsn.Diagnosis{Status: status, Reason: "Host not found"}}
	}
	var list []nexthop.Endpoint
	for _, letter := range e.Host {
		list = append(list, nexthop.Endpoint{
			Network: "tcp", Host: string(letter), NexthopText: e.Text, Port: 24,
			Addr: netip.AddrFrom4([4]byte{192, 0, 2, byte(letter)}),
		})
	}
	return list, nil
}

func (w *world) dial(_ context.Context, ep nexthop.Endpoint) (net.Conn, error) {
	w.note(&w.dialled, "%s", ep.Host)
	name := ep.Host
	if ep.Network == "unix" {
		name = ep.Path
	}
	s := w.servers[name]
	if s == nil {
		return nil, &nexthop.DialError{Endpoint: ep, Err: syscall.ECONNREFUSED, Diagnosis: dsn.Diagnosis{
			Status: "4.4.1", Reason: fmt.Sprintf("connect to %s: Connection refused", ep.Relay())}}
	}
	ours, theirs := net.Pipe()
	go s.serve(theirs)
	return ours, nil
}

// server is an LMTP server whose answers depend on the command.
type server struct {
	greeting string            // empty: 220
	caps     []string          // LHLO keywords
	rcpt     map[string]string // replies to RCPT TO, by address
	final    map[string]string // replies to the end of data, by address
	replies  map[string]string // replies by command; "-" hangs up
	hangUp   int               // hang up after so many final replies, if positive
	pause    func(n int)       // called before the final reply with this number, if not nil

	mu     sync.Mutex
	stored []string // addresses that got a 2xx at the end of data
	lines  []string // commands
	conns  int
}

func (s *server) serve(conn net.Conn) {
	defer conn.Close()
	s.mu.Lock()
	s.conns++
	s.mu.Unlock()
	in := bufio.NewReader(conn)
	say := func(text string) bool {
		_, err := conn.Write([]byte(text + "\r\n"))
		return err == nil
	}
	if !say(either(s.greeting, "220 ready")) {
		return
	}
	var accepted []string
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		s.mu.Lock()
		s.lines = append(s.lines, line)
		s.mu.Unlock()
		verb, _, _ := strings.Cut(line, " ")
		reply := either(s.replies[verb], "250 2.0.0 ok")
		switch {
		case reply == "-":
			return
		case verb == "LHLO" && s.replies[verb] == "":
			say("250-server")
			for _, c := range s.caps {
				say("250-" + c)
			}
			reply = "250 HELP"
		case verb == "MAIL":
			accepted = nil
		case verb == "RCPT":
			addr := line[strings.IndexByte(line, '<')+1 : strings.IndexByte(line, '>')]
			if reply = either(s.rcpt[addr], "250 2.1.5 ok"); reply[0] == '2' {
				accepted = append(accepted, addr)
			}
		case verb == "DATA" && (s.replies[verb] == "" || s.replies[verb][0] == '3'):
			if len(accepted) == 0 {
				reply = "503 5.5.1 no recipients"
				break
			}
			if !say("354 go ahead") || !s.data(in, say, accepted) {
				return
			}
			continue
		case verb == "QUIT":
			say("221 2.0.0 bye")
			return
		}
		if !say(reply) {
			return
		}
	}
}

// data reads the content and gives one reply for each accepted recipient.
func (s *server) data(in *bufio.Reader, say func(string) bool, accepted []string) bool {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return false
		}
		if line == ".\r\n" {
			break
		}
	}
	for n, addr := range accepted {
		if s.pause != nil {
			s.pause(n)
		}
		if s.hangUp > 0 && n == s.hangUp {
			return false
		}
		reply := either(s.final[addr], "250 2.0.0 stored")
		if reply == "-" {
			return false
		}
		if reply[0] == '2' {
			s.mu.Lock()
			s.stored = append(s.stored, addr)
			s.mu.Unlock()
		}
		if !say(reply) {
			return false
		}
	}
	return true
}

func either(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// queue builds a queue file and its request.
func (w *world) queue(nexthopText string, recipients ...string) (*request.Request, *queuefile.File) {
	w.t.Helper()
	return w.queueText(nexthopText, "Subject: hello\n\nHello.\n", recipients...)
}

func (w *world) queueText(nexthopText, text string, recipients ...string) (*request.Request, *queuefile.File) {
	w.t.Helper()
	env := queuefile.Envelope{Sender: "sender@example.com"}
	for _, r := range recipients {
		env.Recipients = append(env.Recipients, queuefile.Recipient{Address: r, Original: r})
	}
	path := filepath.Join(w.t.TempDir(), "1ABC")
	layout, err := queuefile.Create(path, env, strings.NewReader(text))
	if err != nil {
		w.t.Fatal(err)
	}
	file, err := queuefile.Open(path)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { file.Close() })
	req := &request.Request{
		Flags: request.MarkDone, QueueName: "active", QueueID: "1ABC", Nexthop: nexthopText,
		Offset: layout.DataOffset, Size: layout.ContentSize, Sender: env.Sender,
	}
	for i, r := range recipients {
		req.Recipients = append(req.Recipients, request.Recipient{Offset: layout.Recipients[i], Address: r, Original: r})
	}
	return req, file
}

// deliver delivers one message to recipients and returns the result.
func (w *world) deliver(d *Deliverer, nexthopText string, flags request.Flags, recipients ...string) Result {
	w.t.Helper()
	req, file := w.queue(nexthopText, recipients...)
	req.Flags |= flags
	result := d.Deliver(w.t.Context(), req, file)
	result.Goodbye()
	return result
}
