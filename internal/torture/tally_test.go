package torture

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// tally counts what all runs of a test did, for the table at its end.
type tally struct {
	begin time.Time

	mu     sync.Mutex
	faults map[string]int // injected, by name
	counts map[string]int
}

func newTally() *tally {
	return &tally{begin: time.Now(), faults: make(map[string]int), counts: make(map[string]int)}
}

// injected counts a fault.
func (t *tally) injected(name string) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.faults[name]++
}

// count counts something else.
func (t *tally) count(name string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts[name] += n
}

// What is counted.
const (
	countRuns        = "runs"
	countMessages    = "messages"
	countRecipients  = "recipients"
	countRequests    = "delivery requests"
	countStored      = "copies stored"
	countBounced     = "recipients bounced by the server's word"
	countUnconfirmed = "second copies because the reply was cut off, each logged as unconfirmed"
	countKilled      = "second copies because the daemon was killed between reply and mark"
	countUnmarked    = "second copies because the mark could not be written, each logged"
	countAvoidable   = "avoidable second copies"
	countLost        = "losses"
)

// table is the outcome as it stands in docs/reliability.md.
func (t *tally) table(command string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "`%s`, in %v:\n\n| count | |\n|---|---|\n", command, time.Since(t.begin).Round(time.Second))
	for _, name := range []string{countRuns, countMessages, countRecipients, countRequests, countStored, countBounced,
		countLost, countAvoidable, countUnconfirmed, countKilled, countUnmarked} {
		fmt.Fprintf(&b, "| %s | %d |\n", name, t.counts[name])
	}
	b.WriteString("\n| fault | times |\n|---|---|\n")
	var names []string
	for name := range t.faults {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "| %s | %d |\n", name, t.faults[name])
	}
	return b.String()
}

// publish prints the table at the end of the test, or writes it to the file that
// POSTLMTP_TORTURE_REPORT names.
func (t *tally) publish(tt *testing.T, command string) {
	text := t.table(command)
	if path := os.Getenv("POSTLMTP_TORTURE_REPORT"); path != "" {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			tt.Error(err)
		}
	}
	tt.Logf("\n%s", text)
}

// of is how often a fault was injected.
func (t *tally) of(name string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.faults[name]
}
