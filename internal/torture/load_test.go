package torture

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postlmtp/internal/lab"
)

// aim changes where a letter goes.
func (l *letter) aim(s *lab.Server) *letter {
	l.req.Nexthop = s.Destination()
	return l
}

// serve starts one of the lab's servers.
func (r *run) serve(name, script string) *lab.Server {
	r.t.Helper()
	parsed, err := lab.ParseScript(script)
	if err != nil {
		r.t.Fatal(err)
	}
	s, err := r.lab.Serve(name, parsed)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { s.Close() })
	return s
}

// eventually waits for something that must come about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(deliveryLimit); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still waiting for %s", what)
		}
	}
}

// TestSilentDestination: a destination that accepts connections and never says a
// word holds its own deliveries and no others.
func TestSilentDestination(t *testing.T) {
	t.Parallel()
	r := quiet(t, lab.Options{ProcessLimit: 20})
	path := filepath.Join(r.lab.QueueDirectory(), "public", "silent")
	silent, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	const stuck, others = 15, 300
	var ended atomic.Int32
	var all sync.WaitGroup
	var held []net.Conn
	for range stuck {
		l := r.queue("text\n", "a@x")
		l.req.Nexthop = "unix:public/silent"
		all.Go(func() {
			if result, err := r.attempt(t.Context(), l, l.req); err != nil || result.Status == 0 {
				t.Errorf("the silent server: status %d, %v", result.Status, err)
			}
			ended.Add(1)
		})
		conn, err := silent.Accept()
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, conn)
	}
	for range others {
		l := r.queue("text\n", "a@x")
		r.deliver(t.Context(), l, l.req)
		if r.left(l, 0) != nil {
			t.Fatal("a delivery to a good server is not done")
		}
	}
	if n := ended.Load(); n != 0 {
		t.Errorf("%d of %d deliveries to the silent server have ended meanwhile", n, stuck)
	}
	for _, conn := range held {
		conn.Close()
	}
	all.Wait()
	if n := len(r.lab.Grep("status=deferred (lost connection with mail.example.com[public/silent] while receiving the initial server greeting)")); n != stuck {
		t.Errorf("%d deferred", n)
	}
}

// TestBackPressure: at the bound further requests wait in the listen queue, where
// they cost the daemon nothing, and it stays AVAIL; none is lost.
func TestBackPressure(t *testing.T) {
	t.Parallel()
	const bound, waiting = 3, 600
	r := quiet(t, lab.Options{ProcessLimit: bound})
	release := make(chan struct{})
	path := filepath.Join(r.lab.QueueDirectory(), "public", "gate")
	gate, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer gate.Close()
	var open atomic.Int32
	go func() { // connections are taken, and served when the gate opens
		for {
			conn, err := gate.Accept()
			if err != nil {
				return
			}
			open.Add(1)
			go func() {
				<-release
				defer conn.Close()
				server, err := net.Dial("unix", filepath.Join(r.lab.QueueDirectory(), "public", "vault"))
				if err != nil {
					return
				}
				defer server.Close()
				go io.Copy(server, conn)
				io.Copy(conn, server)
			}()
		}
	}()
	var all sync.WaitGroup
	start := func() {
		l := r.queue("text\n", "a@x")
		l.req.Nexthop = "unix:public/gate"
		all.Go(func() { r.deliver(t.Context(), l, l.req) })
	}
	for range bound {
		start()
	}
	eventually(t, "the bound", func() bool { return open.Load() == bound })
	worker := r.workers()[0]
	before := measure(t, worker)
	for range waiting - bound {
		start()
	}
	eventually(t, "the listen queue", func() bool {
		return listening(t, filepath.Join(r.lab.QueueDirectory(), "private", "lmtp")) >= waiting-bound
	})
	after := measure(t, worker)
	t.Logf("%d deliveries, %d requests in the listen queue: before %v, after %v", bound, waiting-bound, before, after)
	if n := open.Load(); n != bound {
		t.Errorf("%d deliveries at once, the bound is %d", n, bound)
	}
	if after.descriptors > before.descriptors+1 || after.memory > before.memory+2<<20 {
		t.Errorf("waiting requests cost the daemon: before %v, after %v", before, after)
	}
	for _, e := range r.lab.Processes() {
		if e.What == "taken" {
			t.Error("the process says TAKEN: master(8) would start another one")
		}
	}
	if n := len(r.heads()); n != 1 {
		t.Errorf("%d processes", n)
	}
	close(release)
	all.Wait()
	r.calm()
	if n := int(open.Load()); n > waiting {
		t.Errorf("%d connections for %d messages", n, waiting)
	}
	r.leave()
	r.count()
}

// listening counts the connections that wait at a UNIX-domain socket, by the
// kernel's list: each is there once more with the path, connected and not yet
// accepted.
func listening(t *testing.T, path string) int {
	t.Helper()
	text, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		t.Fatal(err)
	}
	return countLines(string(text), path)
}

// gauge is what a process takes.
type gauge struct {
	memory      int64 // resident, bytes
	descriptors int
	threads     int
}

func (g gauge) String() string {
	return fmt.Sprintf("%.1f MiB, %d descriptors, %d threads", float64(g.memory)/(1<<20), g.descriptors, g.threads)
}

// measure looks at a process.
func measure(t *testing.T, pid int) gauge {
	t.Helper()
	var g gauge
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Fatal(err)
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
		t.Fatal(err)
	}
	g.memory = resident * int64(os.Getpagesize())
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	g.descriptors = len(fds)
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		t.Fatal(err)
	}
	g.threads = len(tasks)
	return g
}

// TestStuckDelivery: a delivery without progress for daemon_timeout is ended
// alone, the log says whose it was, and its mail stays in the queue. The process
// goes on.
func TestStuckDelivery(t *testing.T) {
	t.Parallel()
	r := quiet(t, lab.Options{ProcessLimit: 5, MainCF: []string{"daemon_timeout = 2s"}})
	hang := r.serve("hang", "on .\nhang\n")
	stuck := r.queue("text\n", "a@x", "b@x").aim(hang)
	first := r.queue("text\n", "a@x")
	r.deliver(t.Context(), first, first.req)
	worker := r.workers()
	ctx, cancel := context.WithTimeout(t.Context(), deliveryLimit)
	defer cancel()
	result, err := r.attempt(ctx, stuck, stuck.req)
	if err != nil || result.Status == 0 {
		t.Errorf("status %d, %v", result.Status, err)
	}
	for _, want := range []string{
		stuck.req.QueueID + ": delivery ended: no progress for 2s (daemon_timeout)",
		stuck.req.QueueID + ": unconfirmed: ",
		stuck.req.QueueID + ": to=<b@x>",
	} {
		if len(r.lab.Grep(want)) != 1 {
			t.Errorf("the log does not say %q once", want)
		}
	}
	if state, err := r.lab.File(stuck.req.QueueID); err != nil || string(state.Marks) != "RR" {
		t.Errorf("queue file: %+v, %v", state, err)
	}
	next := r.queue("text\n", "a@x")
	r.deliver(t.Context(), next, next.req)
	if r.left(next, 0) != nil {
		t.Error("the next delivery is not done")
	}
	if now := r.workers(); fmt.Sprint(now) != fmt.Sprint(worker) {
		t.Errorf("processes %v before, %v after", worker, now)
	}
	r.leave()
}
