package agent

import (
	"os"
	"runtime"
)

// tune adapts Go's run-time system to a small daemon that waits most of the time.
//
// Each delivery is a chain of short waits. With as many threads as processors
// the scheduler wakes another one at every turn of it, which then finds nothing
// to do: on two processors that took a quarter of the processor time. One
// thread at work delivers thousands of messages each second; where there are
// many processors, for TLS above all, a quarter of them may be at work. The
// environment variable GOMAXPROCS, as everywhere, comes first.
func tune() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(max(1, runtime.GOMAXPROCS(0)/4))
	}
}
