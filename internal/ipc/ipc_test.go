package ipc

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"postlmtp/internal/attr"
)

// A script is what a fake server does on one connection.
type script struct {
	greeting string      // protocol to greet with; empty: none
	answers  []string    // one for each command, as it goes over the wire; then the server closes
	unasked  chan string // what to say after the answers; then it says so itself
	stall    bool        // after the answers wait for the client to close
}

func nul(s string) string { return strings.ReplaceAll(s, "␀", "\x00") }

const ok = "status␀0␀␀"

// server runs one script after the other, one for each connection; the last
// one over and over again.
type server struct {
	svc Service

	mu       sync.Mutex
	conns    int
	commands []string
}

func serve(t *testing.T, scripts ...script) *server {
	t.Helper()
	dir, err := os.MkdirTemp("", "q")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &server{svc: Service{Dir: dir, Class: "private", Name: "bounce", Protocol: DeliveryStatus}}
	if err := os.Mkdir(filepath.Join(dir, "private"), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", s.svc.path())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			n := min(s.conns, len(scripts)-1)
			s.conns++
			s.mu.Unlock()
			go s.play(c, scripts[n])
		}
	}()
	return s
}

func (s *server) play(c net.Conn, sc script) {
	defer c.Close()
	if sc.greeting != "" {
		new(attr.List).String(attr.Protocol, sc.greeting).Send(c)
	}
	in := attr.NewReader(c, attr.Limits{})
	for _, answer := range sc.answers {
		pairs, err := in.All()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.commands = append(s.commands, pairs[0].Value)
		s.mu.Unlock()
		c.Write([]byte(nul(answer)))
	}
	if sc.unasked != nil {
		c.Write([]byte(nul(<-sc.unasked)))
		sc.unasked <- ""
	}
	if sc.stall {
		in.All() // a command that gets no answer, or the end
		in.All()
	}
}

func (s *server) seen() (conns int, commands string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns, strings.Join(s.commands, " ")
}

func command(value string) *Command { return new(Command).String("request", value) }

func TestCall(t *testing.T) {
	for _, tt := range []struct {
		name   string
		script script
		status int
		err    string
	}{
		{"3.5", script{answers: []string{ok}}, 0, ""},
		{"3.6", script{greeting: DeliveryStatus, answers: []string{ok}}, 0, ""},
		{"negative status", script{answers: []string{"status␀4294967295␀␀"}}, -1, ""},
		{"other protocol", script{greeting: "cleanup_protocol", answers: []string{ok}}, 0,
			`write/read private/bounce socket: unexpected protocol "cleanup_protocol" (expected: delivery_status_protocol)`},
		{"no answer", script{answers: []string{""}}, 0,
			"write/read private/bounce socket: unexpected end-of-input"},
		{"half an answer", script{answers: []string{"status␀0␀"}}, 0,
			"write/read private/bounce socket: unexpected end-of-input"},
		{"greeting only", script{greeting: DeliveryStatus, answers: []string{""}}, 0,
			"write/read private/bounce socket: unexpected end-of-input"},
		{"nonsense", script{answers: []string{"color␀red␀␀"}}, 0,
			`write/read private/bounce socket: read attribute status: unexpected attribute "color" in its place`},
		{"more than a status", script{answers: []string{"status␀0␀color␀red␀␀"}}, 0,
			`write/read private/bounce socket: read attributes: unexpected attribute "color" at the end of the list`},
	} {
		s := serve(t, tt.script)
		status, err := Call(t.Context(), s.svc, time.Minute, command("x"))
		got := ""
		if err != nil {
			got = err.Error()
		}
		if status != tt.status || got != tt.err {
			t.Errorf("%s: %d, %q, want %d, %q", tt.name, status, got, tt.status, tt.err)
		}
		if _, commands := s.seen(); tt.err == "" && commands != "x" {
			t.Errorf("%s: the server saw %q", tt.name, commands)
		}
	}
}

func TestCallConnect(t *testing.T) {
	dir := t.TempDir()
	svc := Service{Dir: dir, Class: "public", Name: "flush"}
	_, err := Call(t.Context(), svc, time.Minute, command("x"))
	if err == nil || err.Error() != "connect to public/flush: No such file or directory" || !errors.Is(err, syscall.ENOENT) {
		t.Errorf("nothing there: %v", err)
	}

	if err := os.Mkdir(filepath.Join(dir, "public"), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: svc.path(), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	_, err = Call(t.Context(), svc, time.Minute, command("x"))
	if err == nil || err.Error() != "connect to public/flush: Connection refused" {
		t.Errorf("nobody listens: %v", err)
	}
}

// TestCallTimeout: the time limit and the context both end a call that gets no
// answer.
func TestCallTimeout(t *testing.T) {
	s := serve(t, script{stall: true})
	_, err := Call(t.Context(), s.svc, 10*time.Millisecond, command("x"))
	if err == nil || err.Error() != "write/read private/bounce socket: Connection timed out" || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("timeout: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err = Call(ctx, s.svc, time.Minute, command("x")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("context: %v", err)
	}
}

// TestFullQueue: where the queue of connections of a socket is full, a call
// waits until there is room.
func TestFullQueue(t *testing.T) {
	dir := t.TempDir()
	svc := Service{Dir: dir, Class: "private", Name: "bounce"}
	if err := os.Mkdir(filepath.Join(dir, "private"), 0o700); err != nil {
		t.Fatal(err)
	}
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrUnix{Name: svc.path()}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	listener := os.NewFile(uintptr(fd), "listener")
	defer listener.Close()
	l, err := net.FileListener(listener)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()

	filler, err := net.Dial("unix", svc.path()) // the one connection that fits
	if err != nil {
		t.Fatal(err)
	}
	defer filler.Close()
	if _, err := net.Dial("unix", svc.path()); !errors.Is(err, syscall.EAGAIN) {
		t.Fatalf("the queue of connections is not full: %v", err)
	}
	if _, err := Call(t.Context(), svc, 20*time.Millisecond, command("x")); err == nil || err.Error() != "connect to private/bounce: Connection timed out" {
		t.Errorf("full for ever: %v", err)
	}
	// A time limit that was reached is not waited for again.
	c := newTestClient(t, svc, 20*time.Millisecond)
	c.pause = time.Hour
	if _, err := c.Call(t.Context(), command("x")); err == nil || err.Error() != "connect to private/bounce: Connection timed out" {
		t.Errorf("full for ever: %v", err)
	}

	done := make(chan error, 1)
	go func() {
		_, err := Call(t.Context(), svc, time.Minute, command("x"))
		done <- err
	}()
	for range 2 { // the filler, then the call
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		new(attr.List).Int(attr.Status, 0).Send(c)
	}
	if err := <-done; err != nil {
		t.Errorf("call: %v", err)
	}
}

func newTestClient(t *testing.T, svc Service, timeout time.Duration) *Client {
	c := NewClient(svc, Settings{Timeout: timeout, Idle: time.Hour, TTL: time.Hour})
	c.pause = time.Millisecond
	t.Cleanup(c.Close)
	return c
}

// TestClientKeeps: one connection serves several commands, and only the first
// answer has a greeting.
func TestClientKeeps(t *testing.T) {
	s := serve(t, script{greeting: DeliveryStatus, answers: []string{ok, "status␀3␀␀", ok}, stall: true})
	c := newTestClient(t, s.svc, time.Minute)
	for i, want := range []int{0, 3, 0} {
		if got, err := c.Call(t.Context(), command("x")); got != want || err != nil {
			t.Errorf("call %d: %d, %v", i, got, err)
		}
	}
	if conns, commands := s.seen(); conns != 1 || commands != "x x x" {
		t.Errorf("%d connections, commands %q", conns, commands)
	}
}

// TestClientStale: a connection that the server closed is replaced at once,
// and the command goes out again.
func TestClientStale(t *testing.T) {
	s := serve(t, script{answers: []string{ok}})
	c := newTestClient(t, s.svc, time.Minute)
	c.pause = time.Hour // a stale connection takes no pause
	for i := range 5 {
		if _, err := c.Call(t.Context(), command("x")); err != nil {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if conns, _ := s.seen(); conns != 5 {
		t.Errorf("%d connections", conns)
	}
}

// TestClientUnasked: an answer that nobody asked for is not the answer to the
// next command, whether it came with the one before or later.
func TestClientUnasked(t *testing.T) {
	refused := script{answers: []string{"status␀3␀␀"}, stall: true}
	for name, first := range map[string]script{
		"at once":      {answers: []string{ok + ok}, stall: true},
		"half of one":  {answers: []string{ok + "sta"}, stall: true},
		"some time on": {answers: []string{ok}, unasked: make(chan string), stall: true},
	} {
		s := serve(t, first, refused)
		c := newTestClient(t, s.svc, time.Minute)
		if status, err := c.Call(t.Context(), command("x")); status != 0 || err != nil {
			t.Errorf("%s: %d, %v", name, status, err)
		}
		if first.unasked != nil {
			first.unasked <- ok
			<-first.unasked
		}
		if status, err := c.Call(t.Context(), command("y")); status != 3 || err != nil {
			t.Errorf("%s: the second command has the answer %d, %v", name, status, err)
		}
		if conns, commands := s.seen(); conns != 2 || commands != "x y" {
			t.Errorf("%s: %d connections, commands %q", name, conns, commands)
		}
	}
}

// TestClientRepeats: a server that does not answer gets a bounded number of
// attempts, and one that comes back within them is enough.
func TestClientRepeats(t *testing.T) {
	dead := script{answers: []string{""}}
	s := serve(t, dead)
	c := newTestClient(t, s.svc, time.Minute)
	if _, err := c.Call(t.Context(), command("x")); err == nil {
		t.Error("no error from a dead server")
	}
	if conns, _ := s.seen(); conns != Attempts {
		t.Errorf("%d connections, want %d", conns, Attempts)
	}

	s = serve(t, dead, dead, script{answers: []string{ok}})
	c = newTestClient(t, s.svc, time.Minute)
	if status, err := c.Call(t.Context(), command("x")); status != 0 || err != nil {
		t.Errorf("server came back: %d, %v", status, err)
	}

	c = newTestClient(t, Service{Dir: t.TempDir(), Class: "private", Name: "verify"}, time.Minute)
	if _, err := c.Call(t.Context(), command("x")); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("nothing there: %v", err)
	}
}

// TestClientTimeout: a command that ran into the time limit is not repeated.
func TestClientTimeout(t *testing.T) {
	s := serve(t, script{stall: true})
	c := newTestClient(t, s.svc, 10*time.Millisecond)
	if _, err := c.Call(t.Context(), command("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	if conns, _ := s.seen(); conns != 1 {
		t.Errorf("%d connections", conns)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Call(ctx, command("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

// TestClientIdle: an idle connection is closed after ipc_idle, and one that is
// older than ipc_ttl is not kept.
func TestClientIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewClient(Service{}, Settings{Timeout: time.Minute, Idle: 5 * time.Second, TTL: 12 * time.Second})
		end, far := net.Pipe()
		k := &kept{conn: newConn(end, Service{}), born: time.Now()}
		for range 2 { // used every 4 s it stays
			c.keep(k)
			time.Sleep(4 * time.Second)
			if c.take() != k {
				t.Fatal("the connection is gone before its time")
			}
		}
		c.keep(k)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if c.take() != nil {
			t.Error("the connection is still there after ipc_idle")
		}
		if _, err := far.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the connection is not closed: %v", err)
		}

		end, far = net.Pipe()
		c.keep(&kept{conn: newConn(end, Service{}), born: time.Now().Add(-12 * time.Second)})
		if _, err := far.Read(make([]byte, 1)); err != io.EOF || c.take() != nil {
			t.Errorf("a connection older than ipc_ttl is kept: %v", err)
		}
	})
}

func (c *Client) idling() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.idle)
}

// TestClientParallel: commands at the same time have connections of their own,
// of which few are kept.
func TestClientParallel(t *testing.T) {
	many := make([]string, 100)
	for i := range many {
		many[i] = ok
	}
	s := serve(t, script{greeting: DeliveryStatus, answers: many, stall: true})
	c := newTestClient(t, s.svc, time.Minute)
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			for range 10 {
				if _, err := c.Call(t.Context(), command("x")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := c.idling(); n < 1 || n > maxIdle {
		t.Errorf("%d idle connections", n)
	}
	c.Close()
	if n := c.idling(); n != 0 {
		t.Errorf("%d idle connections after Close", n)
	}
	if _, err := c.Call(t.Context(), command("x")); err != nil || c.idling() != 0 {
		t.Errorf("after Close: %v, %d idle connections", err, c.idling())
	}
}
