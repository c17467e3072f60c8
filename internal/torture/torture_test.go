package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"postlmtp/internal/lab"
	"postlmtp/internal/request"
)

// number reads an environment variable.
func number(t *testing.T, name string, def uint64) uint64 {
	text := os.Getenv(name)
	if text == "" {
		return def
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

func TestTorture(t *testing.T) {
	agent := filepath.Join(t.TempDir(), "lmtp")
	build := exec.Command("go", "build", "-o", agent, "postlmtp/cmd/lmtp")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	runs, first := number(t, "POSTLMTP_TORTURE_RUNS", 60), number(t, "POSTLMTP_TORTURE_SEED", 1)
	for seed := first; seed < first+runs; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			torture(t, agent, seed)
		})
	}
}

// run is one world.
type run struct {
	t     *testing.T
	rnd   *rand.Rand
	lab   *lab.Lab
	vault *vault
	mail  []*letter

	mu    sync.Mutex
	kills []time.Time // when processes were killed
}

// letter is a message in the queue.
type letter struct {
	id  string // Message-ID
	req *request.Request
}

// deliveryLimit bounds one delivery: every time limit of the daemon is 1 s here.
const deliveryLimit = 20 * time.Second

func torture(t *testing.T, agent string, seed uint64) {
	r := &run{t: t, rnd: rand.New(rand.NewPCG(seed, 0))}
	limits := []int{1, 2, 5}
	var settings []string
	for _, stage := range []string{"lhlo", "mail", "rcpt", "data_init", "data_xfer", "data_done", "rset", "quit"} {
		settings = append(settings, "lmtp_"+stage+"_timeout = 1s")
	}
	if r.rnd.IntN(3) == 0 {
		settings = append(settings, "postlmtp_process_concurrency = 1")
	}
	if r.rnd.IntN(4) == 0 {
		settings = append(settings, "max_use = 2")
	}
	var err error
	r.lab, err = lab.New("", lab.Options{
		Agent:        agent,
		MainCF:       settings,
		ProcessLimit: limits[r.rnd.IntN(len(limits))],
		ThrottleTime: 10 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer r.lab.Close()
	r.vault, err = newVault(filepath.Join(r.lab.QueueDirectory(), "public", "vault"), seed)
	if err != nil {
		t.Fatal(err)
	}
	defer r.vault.close()
	r.post()
	r.war()
	r.calm()
	r.count()
	if t.Failed() {
		t.Logf("seed %d: settings %q", seed, settings)
		for _, line := range r.lab.Log() {
			t.Logf("%s [%d] %s", line.At.Format("05.000"), line.PID, line.Text)
		}
	}
}

// post puts mail into the queue.
func (r *run) post() {
	for n := range 2 + r.rnd.IntN(6) {
		l := &letter{id: fmt.Sprintf("<%d@torture>", n)}
		var rcpts []request.Recipient
		for i := range 1 + r.rnd.IntN(4) {
			addr := fmt.Sprintf("r%d@example.net", i)
			if r.rnd.IntN(6) == 0 {
				addr = "no" + addr
			}
			rcpts = append(rcpts, request.Recipient{Address: addr, Original: addr})
		}
		req, err := r.lab.Queue(lab.Message{
			Sender:     "sender@example.com",
			Recipients: rcpts,
			Content:    "Message-ID: " + l.id + "\n\n" + strings.Repeat("A line of text.\n", r.rnd.IntN(60)),
		})
		if err != nil {
			r.t.Fatal(err)
		}
		req.Nexthop = "unix:public/vault"
		l.req = req
		r.mail = append(r.mail, l)
	}
}

// left is a request for the recipients that are not settled, nil if all are.
func (r *run) left(l *letter, flags request.Flags) *request.Request {
	state, err := r.lab.File(l.req.QueueID)
	if err != nil {
		r.t.Fatal(err)
	}
	if state.Changed {
		r.t.Errorf("queue file %s was changed beyond its marks", l.req.QueueID)
	}
	req := *l.req
	req.Flags |= flags
	req.Recipients = nil
	for i, mark := range state.Marks {
		if mark == 'R' {
			req.Recipients = append(req.Recipients, l.req.Recipients[i])
		}
	}
	if len(req.Recipients) == 0 {
		return nil
	}
	return &req
}

// war delivers under fire.
func (r *run) war() {
	ctx, cancel := context.WithCancel(r.t.Context())
	var enemy sync.WaitGroup
	mode := r.rnd.IntN(4)
	seed := r.rnd.Uint64()
	enemy.Go(func() { r.attack(ctx, mode, rand.New(rand.NewPCG(seed, 3))) })
	for range 2 {
		var deliveries sync.WaitGroup
		for _, l := range r.mail {
			flags := request.Flags(r.rnd.IntN(2)) * (request.ConnLoad | request.ConnStore)
			if req := r.left(l, flags); req != nil {
				deliveries.Go(func() {
					limited, cancel := context.WithTimeout(ctx, deliveryLimit)
					defer cancel()
					// A delivery that is killed has no status.
					_, _ = r.lab.Deliver(limited, req)
				})
			}
		}
		deliveries.Wait()
	}
	cancel()
	enemy.Wait()
}

// attack kills or reloads the daemon at random moments, or leaves it alone.
func (r *run) attack(ctx context.Context, mode int, rnd *rand.Rand) {
	for mode < 2 {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(rnd.IntN(400)) * time.Millisecond):
		}
		if mode == 0 {
			if err := r.lab.Reload(); err != nil {
				r.t.Error(err)
			}
			continue
		}
		for _, pid := range r.processes() {
			r.mu.Lock()
			r.kills = append(r.kills, time.Now())
			r.mu.Unlock()
			_ = syscall.Kill(-pid, syscall.SIGKILL) // it may have gone
		}
	}
}

// processes lists the processes that run, each the head of its group.
func (r *run) processes() []int {
	running := make(map[int]bool)
	for _, e := range r.lab.Processes() {
		switch {
		case e.What == "start":
			running[e.PID] = true
		case strings.HasPrefix(e.What, "exit"), strings.HasPrefix(e.What, "signal"):
			delete(running, e.PID)
		}
	}
	var pids []int
	for pid := range running {
		pids = append(pids, pid)
	}
	return pids
}

// calm delivers what is left in peace: it must come to an end.
func (r *run) calm() {
	r.vault.mu.Lock()
	r.vault.peace = true
	r.vault.mu.Unlock()
	deadline := time.Now().Add(30 * time.Second)
	for {
		waiting := 0
		for _, l := range r.mail {
			req := r.left(l, 0)
			if req == nil {
				continue
			}
			waiting++
			ctx, cancel := context.WithTimeout(r.t.Context(), deliveryLimit)
			_, _ = r.lab.Deliver(ctx, req)
			cancel()
		}
		if waiting == 0 {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("%d messages are not settled in peace", waiting)
		}
	}
}

// count compares what the server has with what the queue and the log say.
func (r *run) count() {
	r.vault.mu.Lock()
	defer r.vault.mu.Unlock()
	bounced := make(map[string]int)
	for _, record := range r.lab.Records() {
		if record.Service == "bounce" {
			bounced[record.Get("queue_id")+" "+record.Get("recipient")]++
		}
	}
	for _, l := range r.mail {
		for _, rcpt := range l.req.Recipients {
			key := l.id + " " + rcpt.Address
			copies := r.vault.copies[key]
			bounces := bounced[l.req.QueueID+" "+rcpt.Address]
			unknown := strings.HasPrefix(rcpt.Address, "no")
			switch {
			case unknown && (len(copies) > 0 || bounces == 0):
				r.t.Errorf("%s: unknown, but %d copies and %d bounces", key, len(copies), bounces)
			case !unknown && bounces > 0:
				r.t.Errorf("%s: bounced %d times without a word of the server", key, bounces)
			case !unknown && len(copies) == 0:
				r.t.Errorf("%s: lost: settled, and not stored", key)
			}
			for n, c := range copies[:max(len(copies)-1, 0)] {
				if !c.cut && !r.killedBetween(c.at, copies[n+1].at) {
					r.t.Errorf("%s: stored again although the first copy was confirmed", key)
				}
			}
			if lines := r.lab.Grep(l.req.QueueID+": ", "to=<"+rcpt.Address+">", "status=sent"); !unknown && len(r.kills) == 0 && len(lines) != 1 {
				r.t.Errorf("%s: %d lines say that it was sent", key, len(lines))
			}
		}
	}
	for _, line := range r.lab.Grep("panic") {
		r.t.Errorf("panic: %s", line.Text)
	}
}

// killedBetween tells whether a process died between two copies, so that the
// mark of the first may be missing.
func (r *run) killedBetween(from, to time.Time) bool {
	for _, k := range r.kills {
		if k.After(from) && k.Before(to) {
			return true
		}
	}
	return false
}
