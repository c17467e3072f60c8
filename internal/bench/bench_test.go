package bench

import (
	"os"
	"testing"
	"time"

	"postlmtp/internal/lab/program"
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

// TestCompare compares our agent with itself: whatever the numbers are, they
// must be there.
func TestCompare(t *testing.T) {
	binary := ourBinary(t)
	agents := []Agent{{Name: "uncached", Binary: binary}, {Name: "ours", Binary: binary, Cached: true, Ours: true}}
	for _, c := range []Case{
		{Concurrency: 3, Size: 4 << 10, Recipients: 1},
		{Concurrency: 2, Size: 200 << 10, Recipients: 50, TCP: true, RTT: time.Millisecond},
	} {
		c.MainCF = []string{"lmtp_connection_cache_time_limit = 1000s"} // whatever time a turn takes
		t.Run(c.String(), func(t *testing.T) {
			res, err := Compare(t.Context(), agents, c, Plan{Rounds: 2, Warm: time.Millisecond, Window: 20 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
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
