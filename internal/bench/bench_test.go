package bench

import (
	"os"
	"testing"
	"time"

	"postlmtp/internal/lab/program"

	"golang.org/x/sys/unix"
)

// ourBinary builds our daemon, or takes what the environment names.
func ourBinary(t *testing.T) string {
	t.Helper()
	if agent := os.Getenv("POSTLMTP_AGENT"); agent != "" {
		return agent
	}
	path, err := program.Build(t.TempDir(), "lmtp")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestShortLives has workers live and die within a window: their processor time
// counts, and nothing is left of them.
func TestShortLives(t *testing.T) {
	if err := AdoptOrphans(); err != nil {
		t.Fatal(err)
	}
	binary := ourBinary(t)
	before := childTime()
	r := newTestRig(t, binary, Case{Concurrency: 10, Size: 4 << 10, Recipients: 1, MainCF: []string{"max_use = 1"}})
	starts := func() (n int) {
		for _, e := range r.lab.Processes() {
			if e.What == "start" {
				n++
			}
		}
		return n
	}
	var used time.Duration
	for starts() < 5 {
		w, err := r.run(t.Context(), 200*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		used += w.cpu
	}
	r.close()
	t.Logf("%v, %d workers", used, starts())
	// After the last window a worker or two end.
	if all := childTime() - before; used < all*3/4 || used > all {
		t.Errorf("%v in windows, %v in all", used, all)
	}
	if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
		t.Errorf("a process is left: %d, error %v", pid, err)
	}
}

// TestReleases speaks to an agent as each release of Postfix does.
func TestReleases(t *testing.T) {
	binary := ourBinary(t)
	c := Case{Name: "releases", Concurrency: 1, Size: 1 << 10, Recipients: 1}
	for _, release := range []string{"3.5.25", "3.6.19", "", "3.10.13", "3.12-20260821"} {
		agent := ours(binary)
		agent.Release = release
		r, err := newRig(agent, c)
		if err != nil {
			t.Fatal(err)
		}
		if w, err := r.run(t.Context(), 0); err != nil || w.done != 1 {
			t.Errorf("%q: %d deliveries, error %v", release, w.done, err)
		}
		r.close()
	}
}

// TestCompare compares our agent with itself: whatever the numbers are, they
// must be there.
func TestCompare(t *testing.T) {
	binary := ourBinary(t)
	both := []Agent{{Name: "uncached", Binary: binary}, {Name: "ours", Binary: binary, Cached: true, Ours: true}}
	for _, c := range []Case{
		{Concurrency: 3, Size: 4 << 10, Recipients: 1},
		{Concurrency: 2, Size: 200 << 10, Recipients: 50, TCP: true, RTT: time.Millisecond},
	} {
		c.MainCF = []string{"lmtp_connection_cache_time_limit = 1000s"} // whatever time a turn takes
		t.Run(c.String(), func(t *testing.T) {
			agents := both
			if !c.TCP {
				agents = append([]Agent{leastAgent("")}, both...)
			}
			res, err := Compare(t.Context(), agents, c, Plan{Rounds: 2, Warm: time.Millisecond, Window: 20 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			if l := res.Least; (l == nil) != c.TCP || l != nil && (l.PerSecond <= 0 || l.CPU <= 0 || l.Fraction.Min <= 0 || l.CPUFraction.Min <= 0) {
				t.Errorf("the least agent: %+v", l)
			}
			if len(res.Agents) != 2 {
				t.Fatalf("%d agents", len(res.Agents))
			}
			for _, a := range res.Agents {
				if a.PerSecond <= 0 || a.CPU <= 0 || a.P50 <= 0 || a.P99 < a.P50 || a.Memory.PSS <= 0 || a.Memory.Processes < 1 {
					t.Errorf("%s: %+v", a.Name, a.Numbers)
				}
			}
			if got := res.Agents[0].Sessions; got != 1 {
				t.Errorf("%v sessions for each delivery without a cache", got)
			}
			if got := res.Agents[1].Sessions; got > 0.5 {
				t.Errorf("%v sessions for each delivery with a cache", got)
			}
			if r := res.Better[Best].CPU; r.Median <= 0 || r.Min > r.Median || r.Max < r.Median {
				t.Errorf("ratio %+v", r)
			}
		})
	}
}
