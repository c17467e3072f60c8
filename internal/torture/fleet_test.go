package torture

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postlmtp/internal/lab"
	"postlmtp/internal/lab/lacking"
	"postlmtp/internal/request"
)

// fleetAtOnce is how many deliveries of TestFleet run at once.
const fleetAtOnce = 20

// TestFleet delivers to a name with three addresses: three backends, of which one
// becomes slow, and one dies. Nothing is deferred, and the fast ones take over.
// The table that it logs is in docs/scaling.md. POSTLMTP_FLEET is how many
// deliveries each part makes.
func TestFleet(t *testing.T) {
	lacking.Root(t) // for a file of hosts of the daemon's own
	t.Parallel()
	size := int(number(t, "POSTLMTP_FLEET", 60))
	var table strings.Builder
	table.WriteString("| sessions | backends | deliveries/s | median | p99 | share of each backend | deferred |\n|---|---|---|---|---|---|---|\n")
	for _, kept := range []bool{true, false} {
		f := newFleet(t, kept)
		f.size = size
		for _, part := range []struct {
			name string
			do   func()
		}{
			{"three good ones", func() {}},
			{"the second is slow (100 ms a message)", func() {
				f.restart("b", "listen tcp 127.0.0.3\nport a\nforget content\non .\nwait 100ms\n250 2.0.0 stored\n")
			}},
			{"the second is slow, the third is dead", func() { f.servers["c"].Close() }},
			{"the second is slow, the third accepts and is silent", func() { f.restart("c", "listen tcp 127.0.0.4\nport a\non connect\nhang\n") }},
		} {
			part.do()
			f.part(&table, part.name)
		}
		if f.deferred > 0 {
			t.Errorf("%d deliveries were deferred", f.deferred)
		}
	}
	t.Logf("\n%s", table.String())
}

// fleet is three backends under one name.
type fleet struct {
	*run
	kept     bool
	size     int // of a part
	servers  map[string]*lab.Server
	nexthop  string
	logged   int // lines of the log that were looked at
	deferred int
}

func newFleet(t *testing.T, kept bool) *fleet {
	t.Helper()
	f := &fleet{kept: kept, servers: make(map[string]*lab.Server)}
	f.run = quiet(t, lab.Options{
		ProcessLimit: fleetAtOnce,
		Hosts:        "127.0.0.1 localhost\n127.0.0.2 fleet.test\n127.0.0.3 fleet.test\n127.0.0.4 fleet.test\n",
		MainCF:       []string{"lmtp_connect_timeout = 1s", "lmtp_lhlo_timeout = 1s"},
	})
	f.servers["a"] = f.serve("a", "listen tcp 127.0.0.2\nforget content\n")
	f.servers["b"] = f.serve("b", "listen tcp 127.0.0.3\nport a\nforget content\n")
	f.servers["c"] = f.serve("c", "listen tcp 127.0.0.4\nport a\nforget content\n")
	f.nexthop = fmt.Sprintf("[fleet.test]:%d", f.servers["a"].Port())
	return f
}

// restart replaces a backend.
func (f *fleet) restart(name, script string) {
	f.servers[name].Close()
	f.servers[name] = f.serve(name, script)
}

// part makes deliveries and adds a line to the table.
func (f *fleet) part(table *strings.Builder, name string) {
	var took []time.Duration
	var mu sync.Mutex
	var all sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(f.size))
	begin := time.Now()
	for range fleetAtOnce {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				mu.Lock()
				l := f.queue("text\n", "a@x")
				mu.Unlock()
				l.req.Nexthop = f.nexthop
				if f.kept {
					l.req.Flags |= request.ConnLoad | request.ConnStore
				}
				start := time.Now()
				f.deliver(f.t.Context(), l, l.req)
				mu.Lock()
				took = append(took, time.Since(start))
				mu.Unlock()
			}
		})
	}
	all.Wait()
	whole := time.Since(begin)
	log := f.lab.Log()
	share, deferred := [3]int{}, 0
	for _, line := range log[f.logged:] {
		for i := range share {
			if strings.Contains(line.Text, fmt.Sprintf("relay=fleet.test[127.0.0.%d]", i+2)) && strings.Contains(line.Text, "status=sent") {
				share[i]++
			}
		}
		if strings.Contains(line.Text, "status=deferred") {
			deferred++
		}
	}
	f.logged = len(log)
	f.deferred += deferred
	if sent := share[0] + share[1] + share[2]; sent != f.size-deferred {
		f.t.Errorf("%s: %d of %d sent", name, sent, f.size)
	}
	slices.Sort(took)
	sessions := "kept"
	if !f.kept {
		sessions = "new"
	}
	percent := func(n int) int { return 100 * n / f.size }
	fmt.Fprintf(table, "| %s | %s | %.0f | %v | %v | %d / %d / %d %% | %d |\n", sessions, name,
		float64(f.size)/whole.Seconds(), took[len(took)/2].Round(time.Millisecond/10), took[len(took)*99/100].Round(time.Millisecond),
		percent(share[0]), percent(share[1]), percent(share[2]), deferred)
}
