package bench

import (
	"context"
	"slices"
	"testing"
	"time"
)

// ours is our agent, which may use sessions again.
func ours(binary string) Agent {
	return Agent{Name: Ours, Binary: binary, Cached: true, Ours: true}
}

func newTestRig(t *testing.T, binary string, c Case) *rig {
	t.Helper()
	c.Name = c.String()
	if c.Chunking {
		c.MainCF = append(c.MainCF, "postlmtp_chunking = yes")
	}
	r, err := newRig(ours(binary), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	return r
}

// TestRoundTrips counts the round trips of a delivery over a session that is used
// again: they are long enough here for all else not to matter.
func TestRoundTrips(t *testing.T) {
	binary := ourBinary(t)
	const rtt = 300 * time.Millisecond
	for _, tc := range []struct {
		chunking bool
		trips    int
	}{{true, 1}, {false, 2}} {
		r := newTestRig(t, binary, Case{Concurrency: 1, Size: 4 << 10, Recipients: 1, TCP: true, RTT: rtt, Chunking: tc.chunking})
		w, err := r.run(t.Context(), 4*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if got := int(w.times[0] / rtt); len(w.times) < 3 || got != tc.trips {
			t.Errorf("chunking %v: %d round trips, want %d: %v", tc.chunking, got, tc.trips, w.times)
		}
		if n := r.sink.Sessions(); n != 1 {
			t.Errorf("chunking %v: %d sessions", tc.chunking, n)
		}
	}
}

// TestTwoThousandSlow has 2,000 deliveries at once to a server that does not
// answer the content: one process holds all of them, in less than 100 MiB.
func TestTwoThousandSlow(t *testing.T) {
	binary := ourBinary(t)
	for _, chunking := range []bool{false, true} {
		r := newTestRig(t, binary, Case{Concurrency: 2000, Size: 4 << 10, Recipients: 1, Chunking: chunking})
		m, err := r.weigh(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("chunking %v: %d deliveries at once: %.1f MiB in %d processes", chunking, 2000, mib(m.PSS), m.Processes)
		if m.PSS > 100<<20 || m.Processes > 2 {
			t.Errorf("chunking %v: %.1f MiB in %d processes", chunking, mib(m.PSS), m.Processes)
		}
		r.close()
	}
}

// TestMemoryOfLargeMessages compares the memory that messages of 1 MB and of 10
// MB take: it does not depend on the size.
func TestMemoryOfLargeMessages(t *testing.T) {
	binary := ourBinary(t)
	for _, chunking := range []bool{false, true} {
		var peaks []int64
		for _, size := range []int{megabyte, 10 * megabyte} {
			r := newTestRig(t, binary, Case{Concurrency: 4, Size: size, Recipients: 1, Chunking: chunking})
			peaks = append(peaks, peakMemory(t, r))
			r.close()
		}
		t.Logf("chunking %v: 1 MB: %.1f MiB, 10 MB: %.1f MiB", chunking, mib(peaks[0]), mib(peaks[1]))
		if peaks[1] > peaks[0]+peaks[0]/4 {
			t.Errorf("chunking %v: 1 MB: %.1f MiB, 10 MB: %.1f MiB", chunking, mib(peaks[0]), mib(peaks[1]))
		}
	}
}

// peakMemory loads an agent and looks at its memory many times meanwhile.
func peakMemory(t *testing.T, r *rig) int64 {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	load := func() {
		_, err := r.run(ctx, 2*time.Second)
		done <- err
	}
	go load()
	var seen []int64
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			switch {
			case err != nil:
				t.Fatal(err)
			case len(seen) >= 10:
				return slices.Max(seen)
			}
			go load() // a look takes long on a busy machine
		case <-tick.C:
			if m := r.family.memory(); m.Processes > 0 {
				seen = append(seen, m.PSS)
			}
		}
	}
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }
