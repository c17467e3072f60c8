package hostile

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"postlmtp/internal/lab"
	"postlmtp/internal/lab/program"
	"postlmtp/internal/request"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// built is the daemon as it is shipped, made once.
var built struct {
	once sync.Once
	dir  string
	path string
	err  error
}

func daemon(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		dir, err := os.MkdirTemp("", "hostile")
		if err != nil {
			built.err = err
			return
		}
		built.dir = dir
		built.path, built.err = program.Build(dir, "lmtp")
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

// patience is how long a test waits for what must happen.
const patience = time.Minute

// world is a lab with one process of the daemon that serves 20 requests at once.
type world struct {
	*lab.Lab
	t *testing.T
}

func newWorld(t *testing.T, settings ...string) *world {
	t.Helper()
	l, err := lab.New("", lab.Options{Agent: daemon(t), MainCF: settings, ProcessLimit: 20, Stderr: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			lines := l.Log()
			for _, line := range lines[max(0, len(lines)-40):] {
				t.Logf("%s [%d] %.200q", line.At.Format("05.000"), line.PID, line.Text)
			}
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return &world{l, t}
}

// listen serves each connection to public/NAME with serve. The returned function
// takes no further ones and waits until those are served that there were: before
// it has returned, nothing can be said about what a server has seen or said.
func (w *world) listen(name string, serve func(net.Conn)) (served func()) {
	w.t.Helper()
	ln, err := net.Listen("unix", filepath.Join(w.QueueDirectory(), "public", name))
	if err != nil {
		w.t.Fatal(err)
	}
	var accepting, serving, closing sync.WaitGroup
	over := make(chan struct{})
	accepting.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			closing.Go(func() { <-over; conn.Close() })
			serving.Go(func() {
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(patience))
				serve(conn)
			})
		}
	})
	served = func() {
		ln.Close()
		accepting.Wait()
		serving.Wait()
	}
	w.t.Cleanup(func() { close(over); served(); closing.Wait() })
	return served
}

// send delivers a message for some recipients to the server called name.
func (w *world) send(name string, msg lab.Message, recipients int) (*request.Request, lab.Result) {
	w.t.Helper()
	msg.Sender = "sender@example.com"
	for i := range recipients {
		msg.Recipients = append(msg.Recipients, request.Recipient{Address: fmt.Sprintf("user%d@example.net", i)})
	}
	req, err := w.Queue(msg)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Nexthop = "unix:public/" + name
	if strings.ContainsFunc(msg.Content, func(c rune) bool { return c > unicode.MaxASCII }) {
		req.Encoding = "8bit"
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	res, err := w.Deliver(ctx, req)
	if err != nil {
		w.t.Errorf("%s: %v", req.QueueID, err)
	}
	return req, res
}

// memory is the largest proportional set size of the processes of the daemon
// while f runs, in KB.
func (w *world) memory(f func()) (peak int) {
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return max(peak, w.pss())
		case <-tick.C:
			peak = max(peak, w.pss())
		}
	}
}

// pss sums up the processes whose working directory is the lab's queue.
func (w *world) pss() (sum int) {
	links, _ := filepath.Glob("/proc/[0-9]*/cwd")
	for _, link := range links {
		if dir, err := os.Readlink(link); err != nil || dir != w.QueueDirectory() {
			continue
		}
		text, err := os.ReadFile(filepath.Join(filepath.Dir(link), "smaps_rollup"))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
				n, _ := strconv.Atoi(strings.Fields(rest)[0])
				sum += n
			}
		}
	}
	return sum
}
