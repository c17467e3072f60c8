package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"postlmtp/internal/lab"
	"postlmtp/internal/lab/program"
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

// buildAgent builds the daemon once for all tests. TestMain removes it.
var buildAgent = sync.OnceValues(func() (string, error) {
	return program.Build(buildDir(), "lmtp")
})

var buildDir = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "torture")
	if err != nil {
		panic(err)
	}
	return dir
})

func TestMain(m *testing.M) {
	code := m.Run()
	os.RemoveAll(buildDir())
	os.Exit(code)
}

func theAgent(t *testing.T) string {
	t.Helper()
	path, err := buildAgent()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTorture(t *testing.T) {
	agent := theAgent(t)
	runs, first := number(t, "POSTLMTP_TORTURE_RUNS", 60), number(t, "POSTLMTP_TORTURE_SEED", 1)
	sum := newTally()
	t.Cleanup(func() {
		sum.publish(t, fmt.Sprintf("make torture TORTURE=%d SEED=%d", runs, first))
	})
	for seed := first; seed < first+runs; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			torture(t, agent, seed, sum)
		})
	}
}

// run is one world.
type run struct {
	t       *testing.T
	rnd     *rand.Rand
	lab     *lab.Lab
	vault   *vault
	mail    []*letter
	queued  int // letters so far, by queue
	enemies []enemy
	tally   *tally

	dying   bool // processes are made to end, so that a request may have no answer
	choking bool // or before they serve, so that master(8) waits with the next one
	blind   bool // the log does not have everything

	mu     sync.Mutex
	deaths []span // when a process may have died
	marks  []span // when marks could not be written
	struck []int  // processes that were told to end
}

// span is a time, from its first moment to its last.
type span struct{ from, to time.Time }

// deliveryLimit bounds one delivery: every time limit of the daemon is 1 s here, and
// the machine may be busy.
const deliveryLimit = time.Minute

func torture(t *testing.T, agent string, seed uint64, sum *tally) {
	r := &run{t: t, rnd: rand.New(rand.NewPCG(seed, 0)), tally: sum}
	r.enemies = chooseEnemies(r.rnd)
	options := r.options(agent)
	var err error
	if r.lab, err = lab.New("", options); err != nil {
		t.Fatal(err)
	}
	defer r.lab.Close()
	path := ""
	if r.rnd.IntN(3) > 0 {
		path = filepath.Join(r.lab.QueueDirectory(), "public", "vault")
	}
	if r.vault, err = newVault(path, seed, planned, sum); err != nil {
		t.Fatal(err)
	}
	defer r.vault.close()
	r.post()
	r.war()
	r.calm()
	r.leave()
	r.count()
	if t.Failed() {
		t.Logf("seed %d: enemies %v, settings %q", seed, r.enemies, options.MainCF)
		for _, line := range r.lab.Log() {
			t.Logf("%s [%d] %s", line.At.Format("05.000"), line.PID, line.Text)
		}
	}
}

// options draws the settings.
func (r *run) options(agent string) lab.Options {
	var settings []string
	for _, stage := range []string{"lhlo", "mail", "rcpt", "data_init", "data_xfer", "data_done", "rset", "quit"} {
		settings = append(settings, "lmtp_"+stage+"_timeout = 1s")
	}
	settings = append(settings, "ipc_timeout = 2s")
	if r.rnd.IntN(3) == 0 {
		settings = append(settings, "postlmtp_process_concurrency = 1")
	}
	if r.rnd.IntN(4) == 0 {
		settings = append(settings, "max_use = 2")
	}
	if r.rnd.IntN(2) == 0 {
		settings = append(settings, "postlmtp_chunking = yes")
	}
	o := lab.Options{
		Agent:        agent,
		ProcessLimit: []int{1, 2, 5}[r.rnd.IntN(3)],
		ThrottleTime: 10 * time.Millisecond,
	}
	for _, e := range r.enemies {
		settings = append(settings, e.settings...)
		o.Env = append(o.Env, e.env...)
		r.blind = r.blind || e.blinds
	}
	o.MainCF = settings
	return o
}

// planned draws the faults of a connection.
func planned(rnd *rand.Rand) faults {
	f := noFaults()
	switch rnd.IntN(8) {
	case 0, 1:
		f.cutOut = rnd.IntN(900)
	case 2, 3:
		f.cutIn = rnd.IntN(1500)
	case 4:
		f.stall = rnd.IntN(12)
	case 5:
		f.drip = time.Duration(rnd.IntN(200)) * time.Microsecond
	}
	f.how = ending(rnd.IntN(endings))
	if rnd.IntN(2) == 0 {
		f.refuse = 0.2
	}
	return f
}

// post puts mail into the queue.
func (r *run) post() {
	jump := time.Duration(0)
	if r.rnd.IntN(4) == 0 { // a clock that jumped between arrival and delivery
		jump = time.Duration(r.rnd.IntN(48)-24) * time.Hour
		r.tally.met("clock jump", 1)
	}
	for n := range 2 + r.rnd.IntN(6) {
		l := &letter{name: fmt.Sprintf("m%d", n), id: fmt.Sprintf("<%d@torture>", n)}
		var rcpts []request.Recipient
		for i := range 1 + r.rnd.IntN(4) {
			addr := fmt.Sprintf("r%d-%d@example.net", n, i) // nobody gets two messages
			if r.rnd.IntN(6) == 0 {
				addr = "no" + addr
			}
			rcpt := request.Recipient{Address: addr, Original: addr}
			if r.rnd.IntN(4) == 0 { // the sender wants to know, by trace(8)
				rcpt.Notify = request.NotifySuccess | request.NotifyFailure
			}
			rcpts = append(rcpts, rcpt)
		}
		l.content = "Message-ID: " + l.id + "\n\n" + strings.Repeat("A line of text.\n", r.rnd.IntN(60))
		req, err := r.lab.Queue(lab.Message{Sender: "sender@example.com", Recipients: rcpts, Content: l.content})
		if err != nil {
			r.t.Fatal(err)
		}
		req.Nexthop = r.vault.nexthop()
		req.Stamps.IncomingArrival = req.Stamps.IncomingArrival.Add(jump)
		if r.rnd.IntN(4) == 0 { // sendmail -v
			req.Flags |= request.Record
		}
		l.req = req
		r.vault.expect(l, l.content)
		r.mail = append(r.mail, l)
		r.tally.count(countMessages, 1)
		r.tally.count(countRecipients, len(rcpts))
	}
	r.tally.count(countRuns, 1)
}

// warLimit ends the attacks where they let nothing happen at all, such as a
// reload before the daemon has even started on a busy machine.
const warLimit = 10 * time.Second

// war delivers under fire.
func (r *run) war() {
	ctx, cancel := context.WithTimeout(r.t.Context(), warLimit)
	var fighting sync.WaitGroup
	for _, e := range r.enemies {
		r.dying, r.choking = r.dying || e.kills, r.choking || e.chokes
		if e.attack == nil {
			continue
		}
		rnd := rand.New(rand.NewPCG(r.rnd.Uint64(), 3))
		fighting.Go(func() { e.attack(r, ctx, rnd) })
	}
	for range 2 {
		var deliveries sync.WaitGroup
		for _, l := range r.mail {
			flags := request.Flags(r.rnd.IntN(2)) * (request.ConnLoad | request.ConnStore)
			rnd := rand.New(rand.NewPCG(r.rnd.Uint64(), 4))
			deliveries.Go(func() {
				req := r.left(l, flags)
				switch {
				case req == nil:
				case r.has("queue manager gone") && rnd.IntN(2) == 0:
					r.desert(l, req, rnd)
				default:
					r.deliver(r.t.Context(), l, req)
				}
			})
		}
		deliveries.Wait()
	}
	cancel()
	fighting.Wait()
	r.aftermath()
}

// aftermath waits until who was told to end is gone, and the daemon can be reached:
// in peace every request is answered.
func (r *run) aftermath() {
	if r.has("memory") { // who gets none goes
		r.struck = append(r.struck, r.members()...)
		if err := r.lab.Reload(); err != nil {
			r.t.Error(err)
		}
	}
	eventually(r.t, "the end of the processes that were told to", func() bool {
		alive := append(r.members(), r.heads()...) // master(8) knows of the end, too
		return !slices.ContainsFunc(r.struck, func(pid int) bool { return slices.Contains(alive, pid) })
	})
	r.reachable()
	r.dying, r.choking = false, false
}

// reachable waits until the daemon takes a connection: whoever came before has been
// accepted then.
func (r *run) reachable() {
	ctx, cancel := context.WithTimeout(r.t.Context(), deliveryLimit)
	defer cancel()
	for {
		client, err := r.lab.Connect(ctx)
		if err == nil {
			client.Close()
			return
		}
		if ctx.Err() != nil {
			r.t.Error(err)
			return
		}
	}
}

// calm delivers what is left in peace: it must come to an end.
func (r *run) calm() {
	r.vault.peace()
	deadline := time.Now().Add(2 * deliveryLimit)
	for {
		waiting := 0
		for _, l := range r.mail {
			if req := r.left(l, 0); req != nil {
				waiting++
				r.deliver(r.t.Context(), l, req)
			}
		}
		if waiting == 0 {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("%d messages are not settled in peace", waiting)
		}
	}
}

// maxDescriptors is what a daemon without work may have open: its own, and idle
// sessions.
const maxDescriptors = 40

// leave looks for descriptors that are left open, and ends the daemon: nothing of
// it may stay.
func (r *run) leave() {
	for _, pid := range r.members() {
		if open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid)); err == nil && len(open) > maxDescriptors {
			r.t.Errorf("process %d has %d descriptors open", pid, len(open))
		}
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), deliveryLimit)
	defer cancel()
	if err := r.lab.Retire(ctx); err != nil {
		r.t.Errorf("the daemon does not end: %v", err)
	}
}
