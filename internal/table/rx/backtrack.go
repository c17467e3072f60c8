package rx

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/dlclark/regexp2"
	"golang.org/x/sys/unix"
)

// MatchTime bounds the processor time of one match by the engine that
// backtracks. PCRE2 gives up after ten million steps, which take this engine
// some 0.6 s: it answers wherever PCRE2 does.
const MatchTime = 2 * time.Second

// ErrTime is the error for a match that takes longer than MatchTime. PCRE2 would
// have given up, too.
var ErrTime = errors.New("match limit exceeded")

// ErrBusy is the error for a match that had less than MatchTime in a minute,
// because the machine has too much other work. What the rule says is not known.
var ErrBusy = errors.New("no time for a match: the machine is too busy")

// The engine has a limit for the time by the clock only. A match that runs into
// it with little processor time is tried again, with twice the limit.
const attempts = 5

// longKey is the length from which a key has an engine of its own. The engine
// keeps the memory that a match needed, up to a hundred times the key, for as
// many matches as were under way at once. Lines of a body are shorter.
const longKey = 8 << 10

// A backtracker is an expression for the engine that backtracks, compiled when
// it is needed.
type backtracker struct {
	limit time.Duration // of processor time
	usual func() (*regexp2.Regexp, error)

	// engine returns what to use for a number of attempt and a length of key.
	engine func(attempt, length int) (*regexp2.Regexp, error)
}

func newBacktracker(expr string) *backtracker {
	b := &backtracker{limit: MatchTime}
	b.usual = sync.OnceValues(func() (*regexp2.Regexp, error) { return compileFull(expr, b.limit) })
	b.engine = func(attempt, length int) (*regexp2.Regexp, error) {
		if attempt == 0 && length < longKey {
			return b.usual()
		}
		return compileFull(expr, b.limit<<attempt)
	}
	return b
}

func compileFull(expr string, limit time.Duration) (re *regexp2.Regexp, err error) {
	defer func() {
		if p := recover(); p != nil {
			re, err = nil, fmt.Errorf("compile expression: %v", p)
		}
	}()
	re, err = regexp2.Compile(expr, regexp2.None)
	if err != nil {
		return nil, err
	}
	re.MatchTimeout = limit
	return re, nil
}

// compile reports what is wrong with the expression.
func (b *backtracker) compile() error {
	_, err := b.usual()
	return err
}

// match returns the first match, nil if there is none.
func (b *backtracker) match(text []rune) (*regexp2.Match, error) {
	// The kernel counts the time of a thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for attempt := range attempts {
		re, err := b.engine(attempt, len(text))
		if err != nil {
			return nil, err
		}
		before := processorTime()
		m, err := re.FindRunesMatch(text)
		switch {
		case err == nil || !strings.HasPrefix(err.Error(), "match timeout"):
			return m, err
		case processorTime()-before >= b.limit*9/10:
			return nil, ErrTime
		}
	}
	return nil, ErrBusy
}

// processorTime returns how long the thread has run.
func processorTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		return time.Duration(time.Now().UnixNano()) // then the clock counts
	}
	return time.Duration(t.Nano())
}
