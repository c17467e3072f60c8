package pool

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A session counts how often it was closed and used at the same time.
type session struct {
	name   string
	closed atomic.Int32
	users  atomic.Int32
}

func (s *session) Close() error {
	s.closed.Add(1)
	return nil
}

type world struct {
	t    *testing.T
	pool *Pool[string, *session]
	all  map[string]*session
}

func newWorld(t *testing.T, o Options) *world {
	return &world{t: t, pool: New[string, *session](o), all: make(map[string]*session)}
}

// put gives the pool a session that was connected now.
func (w *world) put(name string, keys ...string) bool {
	w.t.Helper()
	s := &session{name: name}
	w.all[name] = s
	return w.pool.Put(s, time.Now(), keys...)
}

// lease expects a session by its name, "" for none.
func (w *world) lease(key, name string) *Lease[string, *session] {
	w.t.Helper()
	l := w.pool.Lease(key)
	got := ""
	if l != nil {
		got = l.Session().name
	}
	if got != name {
		w.t.Errorf("leased %q under %q, want %q", got, key, name)
	}
	return l
}

// closed expects exactly these sessions to be closed, each once.
func (w *world) closed(names ...string) {
	w.t.Helper()
	synctest.Wait()
	for name, s := range w.all {
		want := int32(0)
		for _, n := range names {
			if n == name {
				want = 1
			}
		}
		if got := s.closed.Load(); got != want {
			w.t.Errorf("%s was closed %d times, want %d", name, got, want)
		}
	}
}

func (w *world) stats(want Stats) {
	w.t.Helper()
	if got := w.pool.Stats(); got != want {
		w.t.Errorf("stats %+v\n want %+v", got, want)
	}
}

// virtual runs a test in virtual time.
func virtual(t *testing.T, o Options, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(newWorld(t, o)) })
}

func TestLeaseNewestFirst(t *testing.T) {
	virtual(t, Options{}, func(w *world) {
		w.put("a", "k")
		w.put("b", "k")
		w.put("other", "x")
		b := w.lease("k", "b")
		w.lease("k", "a")
		w.lease("k", "")
		if !b.Return() {
			t.Error("not taken back")
		}
		w.lease("k", "b")
		w.closed()
		w.stats(Stats{Idle: 1, Leased: 2, Hits: 3, Misses: 1, Kept: 4})
	})
}

func TestSeveralKeys(t *testing.T) {
	virtual(t, Options{}, func(w *world) {
		w.put("a", "nexthop", "endpoint")
		a := w.lease("nexthop", "a")
		w.lease("endpoint", "")
		a.Return("endpoint", "third")
		w.lease("nexthop", "")
		w.lease("third", "a").Return()
		w.lease("endpoint", "a").Discard()
		w.lease("third", "")
		w.closed("a")
		if p := w.pool; len(p.byKey) != 0 || len(p.idle) != 0 {
			t.Errorf("left over: %v %v", p.byKey, p.idle)
		}
	})
}

func TestSameKeyTwice(t *testing.T) {
	virtual(t, Options{}, func(w *world) {
		w.put("a", "k", "k")
		w.lease("k", "a")
		w.lease("k", "")
	})
}

func TestIdleLimit(t *testing.T) {
	virtual(t, Options{IdleLimit: 2 * time.Second}, func(w *world) {
		w.put("a", "k")
		time.Sleep(time.Second)
		w.put("b", "k")
		time.Sleep(999 * time.Millisecond)
		w.closed()
		time.Sleep(time.Millisecond)
		w.closed("a")
		b := w.lease("k", "b")
		time.Sleep(time.Hour) // a lease does not expire
		w.closed("a")
		b.Return()
		time.Sleep(2*time.Second - 1)
		w.lease("k", "b").Return()
		time.Sleep(2 * time.Second)
		w.closed("a", "b")
		w.lease("k", "")
		w.stats(Stats{Hits: 2, Misses: 1, Kept: 4, Expired: 2})
	})
}

// The age limit counts from the connection, and ends idle sessions too.
func TestReuseTime(t *testing.T) {
	virtual(t, Options{IdleLimit: 10 * time.Second, ReuseTime: 15 * time.Second}, func(w *world) {
		w.put("a", "k")
		time.Sleep(9 * time.Second)
		w.lease("k", "a").Return()
		time.Sleep(5 * time.Second)
		w.closed()
		time.Sleep(time.Second)
		w.closed("a")

		w.put("b", "k")
		b := w.lease("k", "b")
		time.Sleep(15 * time.Second)
		if b.Return() {
			t.Error("a session was taken that is too old")
		}
		w.closed("a") // b is the caller's
		if w.pool.Put(&session{}, time.Now().Add(-16*time.Second), "k") {
			t.Error("a session was taken that was opened too long ago")
		}
		w.stats(Stats{Hits: 2, Kept: 3, Expired: 1, Refused: 2})
	})
}

func TestReuseCount(t *testing.T) {
	virtual(t, Options{ReuseCount: 2}, func(w *world) {
		w.put("a", "k")
		first := w.lease("k", "a")
		if first.Uses() != 1 || !first.Return() {
			t.Errorf("first use again: %d", first.Uses())
		}
		second := w.lease("k", "a")
		if second.Uses() != 2 || second.Return() {
			t.Errorf("second use again: %d, and taken back", second.Uses())
		}
		w.closed()
	})
}

func TestOpened(t *testing.T) {
	virtual(t, Options{}, func(w *world) {
		opened := time.Now()
		w.put("a", "k")
		time.Sleep(time.Second)
		w.lease("k", "a").Return()
		if l := w.lease("k", "a"); !l.Opened().Equal(opened) {
			t.Errorf("opened %v, want %v", l.Opened(), opened)
		}
	})
}

func TestMaxIdle(t *testing.T) {
	virtual(t, Options{MaxIdle: 2}, func(w *world) {
		w.put("a", "x")
		w.put("b", "y")
		w.lease("x", "a").Return() // now b is the oldest
		w.put("c", "z")
		w.closed("b")
		w.lease("x", "a")
		w.lease("z", "c")
		w.stats(Stats{Leased: 2, Hits: 3, Kept: 4, Evicted: 1})
	})
}

func TestMaxPerKey(t *testing.T) {
	virtual(t, Options{MaxPerKey: 1}, func(w *world) {
		w.put("a", "nexthop", "one")
		w.put("b", "other", "two")
		w.put("c", "nexthop", "two") // in the way of both
		w.closed("a", "b")
		w.lease("one", "")
		w.lease("nexthop", "c")
	})
}

func TestCloseAll(t *testing.T) {
	virtual(t, Options{IdleLimit: time.Second}, func(w *world) {
		w.put("a", "k")
		w.put("b", "k")
		b := w.lease("k", "b")
		w.pool.CloseAll()
		w.closed("a")
		w.lease("k", "")
		if b.Return() || w.put("c", "k") {
			t.Error("a closed pool takes sessions")
		}
		w.closed("a")
		w.pool.CloseAll()
		time.Sleep(time.Minute)
		w.closed("a")
	})
}

func TestNoKey(t *testing.T) {
	virtual(t, Options{}, func(w *world) {
		if w.put("a") {
			t.Error("a session was taken that nobody can find")
		}
	})
}

func TestSettledTwice(t *testing.T) {
	settle := map[string]func(l *Lease[string, *session]){
		"return":  func(l *Lease[string, *session]) { l.Return() },
		"discard": func(l *Lease[string, *session]) { l.Discard() },
	}
	for first, f := range settle {
		for second, g := range settle {
			t.Run(first+" "+second, func(t *testing.T) {
				w := newWorld(t, Options{})
				w.put("a", "k")
				l := w.lease("k", "a")
				f(l)
				defer func() {
					if r := recover(); !strings.Contains(fmt.Sprint(r), "returned or discarded twice") {
						t.Errorf("recovered %v", r)
					}
				}()
				g(l)
			})
		}
	}
}

// An empty pool has neither goroutine nor timer.
func TestNothingLeft(t *testing.T) {
	virtual(t, Options{IdleLimit: time.Second}, func(w *world) {
		before := runtime.NumGoroutine()
		for range 3 {
			w.put("a", "k")
			w.put("b", "k")
			time.Sleep(time.Minute)
			synctest.Wait()
			w.put("c", "k")
			w.lease("k", "c").Discard()
			if !w.pool.due.IsZero() {
				t.Error("the timer runs on")
			}
		}
		if after := runtime.NumGoroutine(); after > before {
			t.Errorf("%d goroutines, were %d", after, before)
		}
	})
}

// Closing is done without the lock: it may come back to the pool.
type nosy struct{ pool *Pool[string, nosy] }

func (n nosy) Close() error {
	n.pool.Stats()
	return nil
}

func TestCloseOutsideLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New[string, nosy](Options{IdleLimit: time.Second, MaxIdle: 1})
		s := nosy{p}
		p.Put(s, time.Now(), "k")
		p.Put(s, time.Now(), "k") // evicts
		p.Lease("k").Discard()
		p.Put(s, time.Now(), "k")
		time.Sleep(time.Second) // expires
		p.Put(s, time.Now(), "k")
		p.CloseAll()
	})
}

// Many goroutines: no session is ever used by two, and in the end every one
// is closed exactly once.
func TestConcurrent(t *testing.T) { synctest.Test(t, concurrent) }

func concurrent(t *testing.T) {
	p := New[int, *session](Options{IdleLimit: 20 * time.Millisecond, ReuseCount: 5, MaxIdle: 4, MaxPerKey: 3})
	var mu sync.Mutex
	var all []*session
	use := func(s *session, r *rand.Rand) {
		if s.users.Add(1) != 1 || s.closed.Load() != 0 {
			t.Error("a session is used by two, or after its end")
		}
		time.Sleep(time.Duration(r.IntN(10)) * time.Millisecond)
		s.users.Add(-1)
	}
	worker := func(seed uint64) {
		r := rand.New(rand.NewPCG(seed, 1))
		for range 500 {
			time.Sleep(time.Duration(r.IntN(30)) * time.Millisecond)
			a, b := r.IntN(3), 3+r.IntN(3)
			l := p.Lease(a)
			if l == nil {
				s := &session{}
				mu.Lock()
				all = append(all, s)
				mu.Unlock()
				use(s, r)
				if !p.Put(s, time.Now(), a, b) {
					s.Close()
				}
				continue
			}
			use(l.Session(), r)
			if r.IntN(4) == 0 {
				l.Discard()
			} else if !l.Return(a, b) {
				l.Session().Close()
			}
		}
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() { worker(uint64(i)) })
	}
	wg.Wait()
	p.CloseAll()
	synctest.Wait()
	s := p.Stats()
	if s.Idle != 0 || s.Leased != 0 || s.Hits == 0 || s.Expired == 0 || s.Evicted == 0 || s.Refused == 0 {
		t.Errorf("not everything happened, or something is left: %+v", s)
	}
	for _, s := range all {
		if n := s.closed.Load(); n != 1 {
			t.Fatalf("a session was closed %d times", n)
		}
	}
}
