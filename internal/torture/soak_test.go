package torture

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"postlmtp/internal/lab"
	"postlmtp/internal/request"
)

// countLines counts the lines that end with a text.
func countLines(text, end string) int {
	n := 0
	for line := range strings.Lines(text) {
		if strings.HasSuffix(strings.TrimSpace(line), end) {
			n++
		}
	}
	return n - 1 // the listening socket itself
}

// TestSoak sends mixed traffic through one daemon: several destinations, on
// UNIX-domain and TCP sockets, slow ones, ones that refuse recipients and that
// hang up, messages of all sizes, with sessions kept and not. What the daemon
// takes does not grow between the first fifth and the end.
func TestSoak(t *testing.T) {
	total := int(number(t, "POSTLMTP_SOAK", 5000))
	short := newSoak(t)
	short.traffic(total / 20)
	few := short.goroutines()

	s := newSoak(t)
	begin := time.Now()
	s.traffic(total / 5)
	worker := s.workers()
	early := measure(t, worker[0])
	s.traffic(total - total/5)
	late := measure(t, worker[0])
	took := time.Since(begin)
	if now := s.workers(); len(worker) != 1 || fmt.Sprint(now) != fmt.Sprint(worker) {
		t.Errorf("processes %v early, %v late", worker, now)
	}
	many := s.goroutines()
	t.Logf("%d deliveries in %v, %d recipients sent, %d bounced, %d deferred", total, took.Round(time.Second),
		s.sent.Load(), s.bounced.Load(), s.deferred.Load())
	t.Logf("after %d: %v; after %d: %v", total/5, early, total, late)
	t.Logf("goroutines: %d after %d deliveries, %d after %d", few, total/20, many, total)
	// The room is for what depends on the moment: the garbage collector, and
	// sessions that lie idle.
	if late.memory > early.memory+early.memory/4+4<<20 {
		t.Errorf("memory grows: %v, then %v", early, late)
	}
	if late.descriptors > early.descriptors+soakers {
		t.Errorf("descriptors grow: %v, then %v", early, late)
	}
	if many > few+soakers {
		t.Errorf("goroutines grow: %d, then %d", few, many)
	}
	if t.Failed() {
		for _, line := range s.lab.Log()[:min(40, len(s.lab.Log()))] {
			t.Log(line)
		}
	}
	for _, line := range s.lab.Grep("panic") {
		t.Errorf("panic: %s", line.Text)
	}
}

// soakers is how many requests are under way at once.
const soakers = 30

// soak is a daemon and its destinations.
type soak struct {
	*run
	stderr       string
	destinations []string

	sent, bounced, deferred atomic.Int64
}

func newSoak(t *testing.T) *soak {
	t.Helper()
	s := &soak{stderr: filepath.Join(t.TempDir(), "stderr")}
	stderr, err := os.Create(s.stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stderr.Close() })
	s.run = quiet(t, lab.Options{
		ProcessLimit: soakers - 5, Stderr: stderr, Words: []string{"-d"}, // -d: standard error is the worker's
		MainCF: []string{"max_use = 1000000", "max_idle = 1h", "lmtp_data_done_timeout = 5s"},
	})
	for name, script := range map[string]string{
		"fast":   "forget content\n",
		"tcp":    "listen tcp 127.0.0.1\nforget content\n",
		"slow":   "forget content\non .\nwait 20ms\n250 2.0.0 a\n250 2.0.0 b\n",
		"picky":  "forget content\non RCPT TO:<b@\n550 5.1.1 unknown\n",
		"full":   "forget content\non .\n250 2.0.0 a\n452 4.2.2 full\n",
		"broken": "forget content\non DATA\nclose\n",
	} {
		s.destinations = append(s.destinations, s.serve(name, script).Destination())
	}
	gone, err := net.Listen("tcp", "127.0.0.1:0") // a place where nobody listens
	if err != nil {
		t.Fatal(err)
	}
	s.destinations = append(s.destinations, fmt.Sprintf("[127.0.0.1]:%d", gone.Addr().(*net.TCPAddr).Port))
	gone.Close()
	return s
}

// traffic makes so many deliveries.
func (s *soak) traffic(n int) {
	var left atomic.Int64
	left.Store(int64(n))
	var all sync.WaitGroup
	for i := range soakers {
		rnd := rand.New(rand.NewPCG(uint64(i), 9))
		all.Go(func() {
			for left.Add(-1) >= 0 {
				s.one(rnd)
			}
		})
	}
	all.Wait()
}

// one makes one delivery to two recipients, and removes the message.
func (s *soak) one(rnd *rand.Rand) {
	size := rnd.IntN(4000)
	switch rnd.IntN(100) {
	case 0:
		size = 1 << 20
	case 1, 2, 3:
		size = 100_000
	}
	req, err := s.lab.Queue(lab.Message{
		Sender:     "s@x",
		Recipients: []request.Recipient{{Address: "a@x"}, {Address: "b@x"}},
		Content:    "Subject: soak\n\n" + strings.Repeat("A line of text for the soak.\n", size/29+1),
	})
	if err != nil {
		s.t.Error(err)
		return
	}
	req.Nexthop = s.destinations[rnd.IntN(len(s.destinations))]
	if rnd.IntN(2) == 0 {
		req.Flags |= request.ConnLoad | request.ConnStore
	}
	result, err := s.lab.Deliver(s.t.Context(), req)
	if err != nil {
		s.t.Errorf("delivery: %v", err)
	}
	state, err := s.lab.File(req.QueueID)
	if err != nil {
		s.t.Error(err)
	}
	done := strings.Count(string(state.Marks), "D")
	if (result.Status == 0) != (done == 2) {
		s.t.Errorf("status %d with marks %s", result.Status, state.Marks)
	}
	s.deferred.Add(int64(2 - done))
	if bounces := int64(len(state.Marks) - len(strings.TrimSuffix(string(state.Marks), "D"))); req.Nexthop == "unix:public/picky" {
		s.bounced.Add(bounces)
		done -= int(bounces)
	}
	s.sent.Add(int64(done))
	if err := os.Remove(filepath.Join(s.lab.QueueDirectory(), "active", req.QueueID)); err != nil {
		s.t.Error(err)
	}
}

// goroutines counts those of the worker, which ends by it.
func (s *soak) goroutines() int {
	for _, pid := range s.workers() {
		_ = syscall.Kill(pid, syscall.SIGQUIT)
	}
	n := 0
	eventually(s.t, "the end of the worker", func() bool {
		if len(s.members()) > 0 {
			return false // it may still write
		}
		text, err := os.ReadFile(s.stderr)
		n = strings.Count(string(text), "\ngoroutine ")
		return err == nil && n > 0
	})
	return n
}
