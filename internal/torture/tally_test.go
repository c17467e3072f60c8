package torture

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// tally counts what all runs of a test did, for the table at its end.
type tally struct {
	begin time.Time

	mu     sync.Mutex
	faults map[string]*fault
	counts map[string]int
}

// fault is how often something was done to the daemon, and how often that is known
// to have hit it. What was never counted is below 0.
type fault struct{ arranged, met int }

// Faults that more than one place counts.
const (
	faultMarks  = "marks cannot be written (RLIMIT_FSIZE)"
	faultMemory = "ENOMEM (RLIMIT_AS)"
	faultFiles  = "EMFILE (RLIMIT_NOFILE)"
	faultDesert = "queue manager gone in mid-request"
)

func newTally() *tally {
	return &tally{begin: time.Now(), faults: make(map[string]*fault), counts: make(map[string]int)}
}

// of is the count of a fault. Caller holds mu.
func (t *tally) of(name string) *fault {
	if t.faults[name] == nil {
		t.faults[name] = &fault{-1, -1}
	}
	return t.faults[name]
}

// arranged counts that something was done that may hit the daemon.
func (t *tally) arranged(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.of(name)
	f.arranged = max(f.arranged, 0) + 1
}

// met counts how often it did, which may be 0.
func (t *tally) met(name string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.of(name)
	f.met = max(f.met, 0) + n
}

// count counts something else.
func (t *tally) count(name string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts[name] += n
}

// What is counted.
const (
	countRuns         = "runs"
	countMessages     = "messages"
	countRecipients   = "recipients"
	countRequests     = "delivery requests"
	countUnanswered   = "of them without an answer: the process was made to end, or the queue manager went away"
	countStored       = "copies stored"
	countBounced      = "recipients bounced by the server's word"
	countUnconfirmed  = "second copies because the reply was cut off, each logged as unconfirmed"
	countKilled       = "second copies because the daemon was killed between reply and mark"
	countUnlogged     = "second copies because the reply was cut off while the log daemon was away"
	countUnmarked     = "second copies because the mark could not be written, each logged"
	countBouncedAgain = "second records for bounce(8): the daemon was killed before the mark, could not write it, or had no answer in time"
	countAvoidable    = "avoidable second copies"
	countLost         = "losses"
)

// table is the outcome as it stands in docs/reliability.md.
func (t *tally) table(command string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "`%s`, in %v:\n\n| count | |\n|---|---|\n", command, time.Since(t.begin).Round(time.Second))
	for _, name := range []string{countRuns, countMessages, countRecipients, countRequests, countUnanswered, countStored, countBounced,
		countLost, countAvoidable, countUnconfirmed, countUnlogged, countKilled, countUnmarked, countBouncedAgain} {
		fmt.Fprintf(&b, "| %s | %d |\n", name, t.counts[name])
	}
	b.WriteString("\n| fault | arranged | met |\n|---|---|---|\n")
	number := func(n int) string {
		if n < 0 {
			return "-"
		}
		return strconv.Itoa(n)
	}
	for _, name := range slices.Sorted(maps.Keys(t.faults)) {
		f := t.faults[name]
		fmt.Fprintf(&b, "| %s | %s | %s |\n", name, number(f.arranged), number(f.met))
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
