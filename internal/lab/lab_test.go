package lab_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"postlmtp/internal/lab"
	"postlmtp/internal/request"

	"golang.org/x/sys/unix"
)

// deliverOne queues a small message and delivers it.
func deliverOne(t *testing.T, l *lab.Lab) (*request.Request, lab.Result, error) {
	t.Helper()
	req, err := l.Queue(lab.Message{
		Sender:     "s@example.com",
		Recipients: []request.Recipient{{Address: "a@example.net"}, {Address: "b@example.net"}},
		Content:    "Subject: x\n\nx\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	req.Nexthop = "unix:public/none"
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	res, err := l.Deliver(ctx, req)
	return req, res, err
}

// processes returns the events of the agent's processes in one line.
func processes(l *lab.Lab) string {
	var all []string
	for _, e := range l.Processes() {
		all = append(all, e.What)
	}
	return strings.Join(all, ", ")
}

func retire(t *testing.T, l *lab.Lab) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := l.Retire(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestDeliver(t *testing.T) {
	l := newLab(t, "deliver", lab.Options{})
	req, res, err := deliverOne(t, l)
	if err != nil || res.Status != 0 {
		t.Fatalf("status %d, error %v", res.Status, err)
	}
	file, err := l.File(req.QueueID)
	if err != nil || !file.Exists || string(file.Marks) != "DD" || file.Changed || file.Mode != 0o700 {
		t.Errorf("queue file %+v, error %v", file, err)
	}
	if log := l.Grep(req.QueueID, "b@example.net"); len(log) != 1 || log[0].Tag != "postfix/lmtp" || log[0].Host != "mail" {
		t.Errorf("log %+v", log)
	}
	retire(t, l)
	if got, want := processes(l), "start, taken, avail, exit 0"; got != want {
		t.Errorf("processes: %s, want %s", got, want)
	}
}

// The agent must find everything as master(8) would leave it.
func TestSpawn(t *testing.T) {
	l := newLab(t, "tell", lab.Options{Service: "lmtp2", ProcessLimit: lab.Unlimited, Verbose: 1, Words: []string{"-o", "a = b", "flags=X"}})
	if _, _, err := deliverOne(t, l); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, line := range l.Log() {
		if line.Tag == "postfix/tell" {
			got = append(got, line.Text)
		}
	}
	want := []string{
		"argv lmtp -z -n lmtp2 -t unix -v -o a = b flags=X",
		"cwd " + l.QueueDirectory(),
		"env MAIL_CONFIG=" + l.ConfigDirectory(), "env MAIL_LOGTAG=postfix", "env LANG=C", "env GENERATION=1",
		"env POSTLOG_HOSTNAME=mail.example.com",
		"fd 0 /dev/null nonblock=false", "fd 1 /dev/null nonblock=false", "",
		"fd 3 pipe nonblock=true", "fd 4 pipe nonblock=true", "fd 5 socket nonblock=false", "fd 6 socket nonblock=true",
	}
	for i, line := range want {
		if i >= len(got) || line != "" && got[i] != line {
			t.Fatalf("line %d: want %q in\n%s", i, line, strings.Join(got, "\n"))
		}
	}
}

func TestProcessLimit(t *testing.T) {
	l := newLab(t, "slow", lab.Options{ProcessLimit: 2})
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			if _, _, err := deliverOne(t, l); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	retire(t, l)
	running, most, starts, cycles := 0, 0, 0, 0
	for _, e := range l.Processes() {
		switch e.What {
		case "start":
			running++
			starts++
		case "avail":
			cycles++
		case "exit 0":
			running--
		}
		most = max(most, running)
	}
	if most != 2 || starts != 2 || cycles != 6 {
		t.Errorf("%d processes at once, %d in all, %d cycles: %s", most, starts, cycles, processes(l))
	}
}

func TestBadAgents(t *testing.T) {
	tests := []struct {
		mode  string
		match func(error) bool
	}{
		{"crash", func(err error) bool { return errors.Is(err, lab.ErrThrottled) }},
		{"old hello", func(err error) bool { return strings.Contains(fmt.Sprint(err), "greeting is not that of") }},
		{"dies", func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
	}
	for _, tt := range tests {
		t.Run(tt.mode, func(t *testing.T) {
			l := newLab(t, tt.mode, lab.Options{})
			if _, _, err := deliverOne(t, l); !tt.match(err) {
				t.Errorf("error %v", err)
			}
		})
	}
	t.Run("not there", func(t *testing.T) {
		l, err := lab.New("", lab.Options{Agent: "/nonexistent/agent"})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if _, _, err := deliverOne(t, l); err == nil || !strings.Contains(err.Error(), "start /nonexistent/agent") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("release 3.5", func(t *testing.T) {
		l := newLab(t, "old hello", lab.Options{Release: "3.5"})
		if _, _, err := deliverOne(t, l); err != nil {
			t.Error(err)
		}
	})
}

// A program that could not be started is tried again after a while.
func TestSpawnAgain(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	agent := filepath.Join(t.TempDir(), "agent")
	l, err := lab.New("", lab.Options{Agent: agent, Env: []string{agentMode + "=deliver"}, ThrottleTime: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, _, err := deliverOne(t, l); err == nil || !strings.Contains(err.Error(), "start "+agent) {
		t.Fatalf("error %v", err)
	}
	if err := os.Symlink(self, agent); err != nil {
		t.Fatal(err)
	}
	for limit := time.Now().Add(20 * time.Second); time.Now().Before(limit); {
		if _, _, err := deliverOne(t, l); err == nil {
			return
		}
	}
	t.Error("not started again")
}

// A throttled service is started again after a while.
func TestThrottle(t *testing.T) {
	l := newLab(t, "dies", lab.Options{ThrottleTime: 50 * time.Millisecond})
	for range 2 {
		var err error
		for err = lab.ErrThrottled; errors.Is(err, lab.ErrThrottled); {
			_, _, err = deliverOne(t, l)
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("error %v", err)
		}
	}
	if got := processes(l); !strings.HasPrefix(got, "start, taken, exit 4, throttled, start, taken") {
		t.Errorf("processes: %s", got)
	}
}

func TestReload(t *testing.T) {
	l := newLab(t, "deliver", lab.Options{ProcessLimit: 2})
	for i := range 2 {
		if _, _, err := deliverOne(t, l); err != nil {
			t.Fatalf("delivery %d: %v", i+1, err)
		}
		if err := l.Reload(); err != nil {
			t.Fatal(err)
		}
	}
	retire(t, l)
	generations := make(map[uint32]int)
	for _, e := range l.Processes() {
		if e.What == "start" {
			generations[e.Generation]++
		}
	}
	if generations[1] != 1 || generations[2] > 1 {
		t.Errorf("processes of each generation: %v", generations)
	}
}

func TestStop(t *testing.T) {
	tests := []struct{ mode, end string }{
		{"deliver", "signal SIGTERM"},
		{"stubborn", "signal SIGKILL"},
	}
	for _, tt := range tests {
		t.Run(tt.mode, func(t *testing.T) {
			l := newLab(t, tt.mode, lab.Options{StopTime: 100 * time.Millisecond})
			if _, _, err := deliverOne(t, l); err != nil {
				t.Fatal(err)
			}
			l.Stop(t.Context())
			if got := processes(l); !strings.HasSuffix(got, tt.end) {
				t.Errorf("processes: %s", got)
			}
		})
	}
}

// Retire waits for a process that is taken no longer than it may.
func TestRetireIsBounded(t *testing.T) {
	l := newLab(t, "deliver", lab.Options{})
	c, err := l.Connect(t.Context()) // the process waits for the end of this connection
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	start := time.Now()
	if err := l.Retire(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	if d := time.Since(start); d > 4*time.Second {
		t.Errorf("took %v", d)
	}
}

// The processor time of a process that outlives its parent is not lost when it
// ends, and it is waited for.
func TestProcessorTime(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	defer unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
	l := newLab(t, "leaves", lab.Options{})
	for round := range time.Duration(2) {
		if _, _, err := deliverOne(t, l); err != nil {
			t.Fatal(err)
		}
		last := time.Duration(0)
		for limit := time.Now().Add(20 * time.Second); last < (round+1)*burned; {
			now := l.ProcessorTime()
			if now < last-time.Millisecond || time.Now().After(limit) {
				t.Fatalf("%v after %v", now, last)
			}
			last = now
		}
	}
	retire(t, l)
	if total := l.ProcessorTime(); total < 2*burned {
		t.Errorf("%v, want %v", total, 2*burned)
	}
	if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
		t.Errorf("a process is left: %d, error %v", pid, err)
	}
}

func TestDeliverIsBounded(t *testing.T) {
	l := newLab(t, "slow", lab.Options{})
	req, err := l.Queue(lab.Message{Content: "x\n", Recipients: []request.Recipient{{Address: "a@example.net"}}})
	if err != nil {
		t.Fatal(err)
	}
	req.Nexthop = "x"
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := l.Deliver(ctx, req); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}
