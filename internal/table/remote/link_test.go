package remote

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// fakeServer echoes lines over connections in memory.
type fakeServer struct {
	dials   atomic.Int32
	closed  atomic.Int32
	refuse  atomic.Bool
	silent  atomic.Bool
	dropped atomic.Bool // close a connection after each answer
}

func (s *fakeServer) dial(context.Context) (net.Conn, error) {
	if s.refuse.Load() {
		return nil, errors.New("refused")
	}
	s.dials.Add(1)
	ours, theirs := net.Pipe()
	go func() {
		defer s.closed.Add(1)
		defer theirs.Close()
		for lines := bufio.NewScanner(theirs); lines.Scan() && !s.silent.Load(); {
			if _, err := io.WriteString(theirs, lines.Text()+"\n"); err != nil || s.dropped.Load() {
				return
			}
		}
		if s.silent.Load() {
			io.Copy(io.Discard, theirs)
		}
	}()
	return ours, nil
}

func (s *fakeServer) link() *Link {
	return &Link{Dial: s.dial, Timeout: time.Minute, Idle: 10 * time.Second, TTL: 100 * time.Second}
}

func echo(l *Link, ctx context.Context, text string) error {
	return l.Do(ctx, func(c *Conn) error {
		if _, err := io.WriteString(c, text+"\n"); err != nil {
			return err
		}
		line, err := c.Reader.ReadString('\n')
		if err == nil && line != text+"\n" {
			err = errors.New("wrong answer " + line)
		}
		return err
	})
}

func TestLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := new(fakeServer)
		l := server.link()
		ctx := context.Background()
		ask := func(what string, dials int32) {
			t.Helper()
			if err := echo(l, ctx, what); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			if n := server.dials.Load(); n != dials {
				t.Errorf("%s: %d connections, want %d", what, n, dials)
			}
		}
		ask("first", 1)
		ask("kept", 1)
		time.Sleep(9 * time.Second)
		ask("kept for long", 1)
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if server.closed.Load() != 1 {
			t.Error("idle connection is open")
		}
		ask("after idling", 2)
		for range 25 {
			time.Sleep(5 * time.Second)
			if err := echo(l, ctx, "growing old"); err != nil { // replaced after 100 seconds
				t.Error(err)
			}
		}
		if n := server.dials.Load(); n != 3 {
			t.Errorf("%d connections after a long time", n)
		}
		server.dropped.Store(true)
		ask("closed after this", 3)
		server.dropped.Store(false)
		ask("replaced unseen", 4)

		server.silent.Store(true)
		start := time.Now()
		if err := echo(l, ctx, "no answer"); !TimedOut(err) || time.Since(start) != time.Minute {
			t.Errorf("no answer: %v after %v", err, time.Since(start))
		}
		canceled, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		start = time.Now()
		if err := echo(l, canceled, "canceled"); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("canceled: %v after %v", err, time.Since(start))
		}
		server.refuse.Store(true)
		if err := echo(l, ctx, "refused"); err == nil || err.Error() != "refused" {
			t.Errorf("refused: %v", err)
		}
		l.Close()
		synctest.Wait()
		if server.closed.Load() != server.dials.Load() {
			t.Errorf("%d of %d connections are closed", server.closed.Load(), server.dials.Load())
		}
	})
}

// TestTCPRetries: a server that cannot be reached is tried ten times.
func TestTCPRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := new(fakeServer)
		server.refuse.Store(true)
		var warnings []string
		table := &TCP{Name: "host:1", Link: server.link(), Warn: func(format string, args ...any) { warnings = append(warnings, format) }}
		start := time.Now()
		_, found, err := table.Lookup(context.Background(), "key")
		if found || err == nil || time.Since(start) != 9*time.Second || len(warnings) != 10 {
			t.Errorf("%v, %v after %v, %d warnings", found, err, time.Since(start), len(warnings))
		}
		ctx, cancel := context.WithTimeout(context.Background(), 1500*time.Millisecond)
		defer cancel()
		if _, _, err := table.Lookup(ctx, "key"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("canceled: %v", err)
		}
	})
}

func TestQuote(t *testing.T) {
	for raw, quoted := range map[string]string{
		"": "", "abc": "abc", "a b": "a%20b", "100%": "100%25", "é\n": "%C3%A9%0A", "~!\x7f": "~!%7F",
	} {
		if got := quote(raw); got != quoted {
			t.Errorf("%q: %s, want %s", raw, got, quoted)
		}
		if got, ok := unquote(strings.ToLower(quoted)); ok && got != strings.ToLower(raw) {
			t.Errorf("%s: %q", quoted, got)
		}
	}
}

// reply makes a connection that has an answer and nothing else.
func reply(data string) *Conn {
	return &Conn{Reader: bufio.NewReader(strings.NewReader(data))}
}

func FuzzNetstring(f *testing.F) {
	for _, s := range []string{"", "0:,", "3:abc,", "3:abc", "03:abc,", "4:abc,", ":,", "99999999999999999999:", "3:abc;"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, data string) {
		text, err := readNetstring(reply(data), 100)
		if err != nil {
			return
		}
		if !strings.Contains(data, ":"+text+",") || len(text) > 100 {
			t.Errorf("%q read as %q", data, text)
		}
		if again, err := readNetstring(reply(netstring(text)), 100); again != text || err != nil {
			t.Errorf("%q: %q, %v", text, again, err)
		}
	})
}

func FuzzTCPReply(f *testing.F) {
	for _, s := range []string{"", "200 x", "500 ", "400 %", "200 %41", "20", "999 x"} {
		f.Add(s)
	}
	table := &TCP{Name: "x", Warn: func(string, ...any) {}}
	f.Fuzz(func(t *testing.T, data string) {
		value, found, err := table.parse(data)
		if found != (err == nil && strings.HasPrefix(data, "2")) || !found && value != "" {
			t.Errorf("%q: %q, %v, %v", data, value, found, err)
		}
	})
}

func TestHostPort(t *testing.T) {
	for endpoint, want := range map[string]string{
		"host:1": "host:1", "25": "localhost:25", ":25": "localhost:25", "[::1]:25": "[::1]:25", "a:b:c": "", "host:": "",
	} {
		if got, err := hostPort(endpoint); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %s, %v", endpoint, got, err)
		}
	}
}

// TestLinkUnasked: what a server says that was not asked anything is not the
// answer to the next question.
func TestLinkUnasked(t *testing.T) {
	dir, err := os.MkdirTemp("", "l") // short: it has a socket in it
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	listener, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	unasked := make(chan string)
	go func() {
		for first := true; ; first = false {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			lines := bufio.NewScanner(c)
			for lines.Scan() {
				io.WriteString(c, lines.Text()+"\n")
				if first {
					io.WriteString(c, <-unasked)
					unasked <- ""
					break
				}
			}
		}
	}()
	l := &Link{Timeout: time.Minute, Idle: time.Minute, TTL: time.Minute, Dial: func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", listener.Addr().String())
	}}
	defer l.Close()
	if err := echo(l, t.Context(), "one"); err != nil {
		t.Error(err)
	}
	unasked <- "one\n"
	<-unasked
	if err := echo(l, t.Context(), "two"); err != nil {
		t.Error(err)
	}
}

// TestLinkFullQueue: where the queue of connections of a socket is full, a
// question waits until there is room.
func TestLinkFullQueue(t *testing.T) {
	dir, err := os.MkdirTemp("", "l") // short: it has a socket in it
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "s")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), path)
	defer file.Close()
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: path}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	listener, err := net.FileListener(file)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dial := func(ctx context.Context) (net.Conn, error) { return new(net.Dialer).DialContext(ctx, "unix", path) }
	filler, err := dial(t.Context()) // the one connection that fits
	if err != nil {
		t.Fatal(err)
	}
	defer filler.Close()

	short := &Link{Dial: dial, Timeout: 20 * time.Millisecond}
	if err := echo(short, t.Context(), "one"); err == nil {
		t.Error("no error from a socket that is full for ever")
	}
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go io.Copy(c, c)
		}
	}()
	l := &Link{Dial: dial, Timeout: time.Minute, Idle: time.Minute, TTL: time.Minute}
	defer l.Close()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if err := echo(l, t.Context(), "two"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}
