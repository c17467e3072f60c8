package rx

import (
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/dlclark/regexp2"
)

func all() string {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return string(b)
}

// TestSets: both engines take a set for what it is.
func TestSets(t *testing.T) {
	alpha, _ := Class("alpha")
	for _, s := range []Set{{}, Set{}.Not(), Of("a"), Of("\x00\x7f\x80\xff"), Range('a', 'z'), Range(100, 200), alpha, alpha.Not(), Of("]^-\\[").Union(Range(0, 31)),
		Of("\n").Not(), Of("kK").Fold(), Of("\xe9").Fold(), Range(0, 127), Range(128, 255)} {
		for _, p := range []Program{{Linear: `\A` + s.String() + `\z`, Full: "x"}, {Full: `\A` + s.String() + `\z`}} {
			e, err := Compile(p)
			if err != nil {
				t.Fatalf("%s: %v", s, err)
			}
			for _, c := range []byte(all()) {
				if _, matched, err := e.Match(string([]byte{c}), 0); err != nil || matched != s.Has(c) {
					t.Errorf("%s: %q: %v, %v", s, c, matched, err)
				}
			}
		}
	}
}

func TestClasses(t *testing.T) {
	for name, size := range map[string]int{"alpha": 52, "lower": 26, "upper": 26, "digit": 10, "alnum": 62, "xdigit": 22, "space": 6, "blank": 2, "cntrl": 33, "print": 95, "graph": 94, "punct": 32} {
		s, ok := Class(name)
		n := 0
		for _, c := range []byte(all()) {
			if s.Has(c) {
				n++
			}
		}
		if !ok || n != size {
			t.Errorf("%s: %d characters", name, n)
		}
	}
	if _, ok := Class("word"); ok {
		t.Error("unknown class")
	}
}

// TestGroups: bytes come out as they went in.
func TestGroups(t *testing.T) {
	const key = "a\xc3\xa9\xff-b"
	for _, p := range []Program{
		{Linear: `\A(a)(?s:(..)(.))(x)?(-)`, Full: "x"},
		{Full: `\A(a)(?s:(..)(.))(x)?(-)`},
		{Linear: `\A(a)(?s:(..)(.))(x)?(-)`, Full: `\A(a)(?s:(..)(.))(x)?(-)`, Uncertain: true},
	} {
		e, err := Compile(p)
		if err != nil {
			t.Fatal(err)
		}
		groups, matched, err := e.Match(key, 6)
		want := []string{"a\xc3\xa9\xff-", "a", "\xc3\xa9", "\xff", "", "-", ""}
		if err != nil || !matched || strings.Join(groups, "|") != strings.Join(want, "|") {
			t.Errorf("%q, %v, %v", groups, matched, err)
		}
	}
}

// hard is a match that takes the engine that backtracks some tenths of a second.
func hard(t *testing.T, limit time.Duration) (*Expression, string) {
	t.Helper()
	e, err := Compile(Program{Full: `\A(?!(?:a|aa)+b)`})
	if err != nil {
		t.Fatal(err)
	}
	if limit != 0 {
		e.full = newBacktracker(e.program.Full)
		e.full.limit = limit
	}
	return e, strings.Repeat("a", 28)
}

// TestTime: a match that takes too long ends.
func TestTime(t *testing.T) {
	e, key := hard(t, 100*time.Millisecond)
	for range 2 {
		if _, _, err := e.Match(strings.Repeat(key, 9), 0); !errors.Is(err, ErrTime) {
			t.Errorf("error %v", err)
		}
	}
}

// TestWork: an expression that would keep Go's engine busy for a minute, with a
// long key, is bounded as well.
func TestWork(t *testing.T) {
	expr := strings.Repeat(`(?s:.){1,999}`, 8) + "q"
	e, err := Compile(Program{Linear: expr, Full: expr})
	if err != nil || e.linear == nil {
		t.Fatal(err)
	}
	e.full.limit = 100 * time.Millisecond
	if _, _, err := e.Match(strings.Repeat("a", 100_000), 0); !errors.Is(err, ErrTime) {
		t.Errorf("error %v", err)
	}
	if _, matched, err := e.Match(strings.Repeat("a", 9)+"q", 0); !matched || err != nil {
		t.Errorf("%v, %v", matched, err)
	}
}

// TestBusy: what a rule says does not depend on what else the machine does. The
// limit of the engine is up long before that of the processor time, as it is
// where a thread does not get the processor.
func TestBusy(t *testing.T) {
	e, key := hard(t, 0)
	limits := make([]time.Duration, attempts)
	e.full.engine = func(attempt, _ int) (*regexp2.Regexp, error) {
		return compileFull(e.program.Full, max(limits[attempt], time.Millisecond))
	}
	if _, _, err := e.Match(strings.Repeat(key, 9), 0); !errors.Is(err, ErrBusy) {
		t.Errorf("error %v", err)
	}
	limits[attempts-1] = time.Minute
	if _, matched, err := e.Match(key, 0); !matched || err != nil {
		t.Errorf("%v, %v", matched, err)
	}
}

// TestMemory: what the match of a long key needs is not kept.
func TestMemory(t *testing.T) {
	e, err := Compile(Program{Full: `\A(?:(?:(?s:.))*\b(?:x|y))?(?!q)`})
	if err != nil {
		t.Fatal(err)
	}
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	if _, matched, err := e.Match(strings.Repeat("abc ", 25_600), 0); !matched || err != nil {
		t.Errorf("%v, %v", matched, err)
	}
	if kept := heap() - before; kept > 1<<20 {
		t.Errorf("%d bytes are kept", kept)
	}
	runtime.KeepAlive(e)
}

func TestCompile(t *testing.T) {
	if _, err := Compile(Program{Full: "("}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("bad expression: %v", err)
	}
	if _, err := Compile(Program{Full: strings.Repeat("a", maxExpression+1)}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("huge expression: %v", err)
	}
	// Too large for the one engine, not for the other.
	e, err := Compile(Program{Linear: "a{2000}", Full: "a{2000}"})
	if err != nil || e.linear != nil {
		t.Fatalf("%v", err)
	}
	if _, matched, err := e.Match(strings.Repeat("a", 2000), 0); !matched || err != nil {
		t.Errorf("%v, %v", matched, err)
	}
}
