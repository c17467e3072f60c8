package agent

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postlmtp/internal/config"
	"postlmtp/internal/delivery"
	"postlmtp/internal/dsn"
	"postlmtp/internal/maillog"
	"postlmtp/internal/nexthop"
	"postlmtp/internal/queuefile"
	"postlmtp/internal/request"
)

// notes is a log that tests can read.
type notes struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (n *notes) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.buf.Write(p)
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.buf.String()
}

// deferring reports every recipient as deferred.
type deferring struct{}

func (deferring) Report(*request.Request, request.Recipient, delivery.Outcome, request.Attempt, dsn.Diagnosis) delivery.Settlement {
	return delivery.Settlement{}
}

// newTestAgent is an agent whose working directory is a queue of its own. parse
// stands for all of delivery.
func newTestAgent(t *testing.T, parse func(string) (nexthop.Nexthop, error)) (*agent, *notes) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("active", 0o700); err != nil {
		t.Fatal(err)
	}
	n := new(notes)
	log := maillog.ToWriter(n, "postfix/lmtp")
	return &agent{
		settings: &settings{Config: &config.Config{IPCTimeout: 5 * time.Second}},
		log:      log,
		hello:    request.HelloProtocol,
		deliverer: delivery.New(delivery.Options{
			Parse: parse, Log: log, Stopping: context.Canceled,
		}, deferring{}),
	}, n
}

// converse serves one connection, on which talk plays the queue manager.
func converse(t *testing.T, a *agent, talk func(conn net.Conn)) {
	t.Helper()
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.serve(t.Context(), ours)
		ours.Close()
	}()
	if hello, err := request.ReadHello(theirs); err != nil || hello != request.HelloProtocol {
		t.Fatalf("hello %v, %v", hello, err)
	}
	talk(theirs)
	theirs.Close()
	<-done
}

func queueRequest(t *testing.T) *request.Request {
	t.Helper()
	layout, err := queuefile.Create(filepath.Join("active", "1ABC"), queuefile.Envelope{
		Recipients: []queuefile.Recipient{{Address: "a@example.net"}},
	}, strings.NewReader("Subject: x\n\n"))
	if err != nil {
		t.Fatal(err)
	}
	return &request.Request{
		QueueName: "active", QueueID: "1ABC", Offset: layout.DataOffset, Nexthop: "unix:x",
		Stamps:     request.Stamps{IncomingArrival: time.Now()},
		Recipients: []request.Recipient{{Offset: layout.Recipients[0], Address: "a@example.net"}},
	}
}

func send(t *testing.T, conn net.Conn, req *request.Request) {
	t.Helper()
	if err := req.Encode(conn, request.Postfix36); err != nil {
		t.Fatal(err)
	}
}

func noDestination(string) (nexthop.Nexthop, error) { return nexthop.Nexthop{}, errors.New("nowhere") }

func TestServeNoRequest(t *testing.T) {
	a, log := newTestAgent(t, noDestination)
	converse(t, a, func(net.Conn) {})
	if log.String() != "" {
		t.Errorf("an unused connection is logged: %s", log)
	}
}

func TestServeGarbage(t *testing.T) {
	a, log := newTestAgent(t, noDestination)
	converse(t, a, func(conn net.Conn) {
		io.WriteString(conn, "what\x00is\x00\x00")
		status, hop, err := request.ReadFinish(conn)
		if status == 0 || hop.Status != "" || err != nil {
			t.Errorf("status %d, %+v, %v", status, hop, err)
		}
	})
	if !strings.Contains(log.String(), "warning: read delivery request: ") {
		t.Errorf("log: %s", log)
	}
}

func TestServeMissingFile(t *testing.T) {
	a, log := newTestAgent(t, noDestination)
	req := queueRequest(t)
	os.Remove(filepath.Join("active", "1ABC"))
	converse(t, a, func(conn net.Conn) {
		send(t, conn, req)
		if status, _, err := request.ReadFinish(conn); status == 0 || err != nil {
			t.Errorf("status %d, %v", status, err)
		}
	})
	if !strings.Contains(log.String(), "warning: open active 1ABC: No such file or directory") {
		t.Errorf("log: %s", log)
	}
}

func TestServeFinishes(t *testing.T) {
	a, _ := newTestAgent(t, noDestination)
	req := queueRequest(t)
	converse(t, a, func(conn net.Conn) {
		send(t, conn, req)
		if status, hop, err := request.ReadFinish(conn); status == 0 || hop.Reason != "nowhere" || err != nil {
			t.Errorf("status %d, %+v, %v", status, hop, err)
		}
	})
}

// A panic ends its own delivery: no status, a line in the log, and the next
// request is served.
func TestServePanic(t *testing.T) {
	broken := true
	a, log := newTestAgent(t, func(s string) (nexthop.Nexthop, error) {
		if broken {
			panic("a bug")
		}
		return noDestination(s)
	})
	req := queueRequest(t)
	converse(t, a, func(conn net.Conn) {
		send(t, conn, req)
		if _, _, err := request.ReadFinish(conn); err == nil {
			t.Error("a status after a panic")
		}
	})
	for _, want := range []string{"panic: 1ABC: delivery failed by an error in this program, and will be tried again: a bug", "panic: goroutine"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("log lacks %q: %s", want, log)
		}
	}
	broken = false
	converse(t, a, func(conn net.Conn) {
		send(t, conn, req)
		if _, _, err := request.ReadFinish(conn); err != nil {
			t.Errorf("the request after a panic: %v", err)
		}
	})
}

// A process that stops does not wait for requests that may never come.
func TestServeStops(t *testing.T) {
	a, log := newTestAgent(t, noDestination)
	ours, theirs := net.Pipe()
	defer theirs.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.serve(ctx, ours)
	}()
	if _, err := request.ReadHello(theirs); err != nil {
		t.Fatal(err)
	}
	cancel()
	<-done
	if log.String() != "" {
		t.Errorf("log: %s", log)
	}
}

// late is a connection on which nothing can be read until it may.
type late struct {
	*net.UnixConn
	may chan struct{}
}

func (l late) Read(p []byte) (int, error) {
	<-l.may
	return l.UnixConn.Read(p)
}

// A queue manager that goes before the message is locked leaves it to its
// successor, who cannot know that somebody was asked already.
func TestServeSuccessor(t *testing.T) {
	for name, tc := range map[string]struct {
		leave     func(*net.UnixConn)
		delivered bool
	}{
		"stays":               {func(*net.UnixConn) {}, true},
		"has nothing to add":  {func(c *net.UnixConn) { c.CloseWrite() }, true},
		"goes":                {func(c *net.UnixConn) { c.Close() }, false},
		"goes after the lock": {nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := pair(t)
			delivered := false
			a, log := newTestAgent(t, func(s string) (nexthop.Nexthop, error) {
				if tc.leave == nil {
					theirs.Close()
				}
				delivered = true
				return noDestination(s)
			})
			req := queueRequest(t)
			conn := late{ours, make(chan struct{})}
			done := make(chan struct{})
			go func() {
				defer close(done)
				a.serve(t.Context(), conn)
			}()
			if _, err := request.ReadHello(theirs); err != nil {
				t.Fatal(err)
			}
			send(t, theirs, req)
			if tc.leave != nil {
				tc.leave(theirs)
			}
			close(conn.may)
			<-done
			if delivered != tc.delivered || log.String() != "" {
				t.Errorf("delivered: %v; log: %s", delivered, log)
			}
		})
	}
}

// pair returns the two ends of a connection.
func pair(t *testing.T) (ours, theirs *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "end")
		c, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		ends[i] = c.(*net.UnixConn)
	}
	return ends[0], ends[1]
}
