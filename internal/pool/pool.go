// Package pool keeps idle sessions for the next delivery to the same place.
//
// # Purpose
//
// Greeting a server costs round trips and, in most servers, a process. A
// session that has delivered one message can deliver the next: [Pool.Put] puts
// it in under the names of the places that it leads to, [Pool.Lease] takes it
// out by any of them. It takes the place of Postfix's scache(8), within one
// process.
//
// # Contract
//
// A session is owned by exactly one side. While it is in the pool it is the
// pool's, which closes it when its time is up, when there is no room, or at
// [Pool.CloseAll]. A leased session belongs to the holder of the [Lease], who
// must call Return or Discard, once. A session that Put or Return do not take
// stays with the caller, who says goodbye to the server and closes it.
//
// Of several idle sessions under a key the one used last is leased: the
// others grow old and go away, so that the pool shrinks to what is needed.
//
// # Failure policy
//
// The pool does not know whether a session still works, and reads nothing
// from it: the server may have hung up long ago. Whoever leases one must ask
// the server first, and take its death as no more than a reason to connect
// anew. Settling a lease twice is a bug of the caller and panics: two
// deliveries would share a session.
//
// # Limits
//
// Whether a session says goodbye to its server is up to its Close, but nobody
// waits for an answer: sessions are closed one after another, by the timer or
// by whoever puts in or takes out another one. A lease that is never settled
// is never closed; Stats shows it.
package pool

import (
	"sync"
	"time"
)

// A Session is what the pool keeps. Close must not take long.
type Session interface{ Close() error }

// Options are the limits of a Pool. A limit of 0 is none.
type Options struct {
	IdleLimit  time.Duration // lmtp_connection_cache_time_limit: how long a session lies idle
	ReuseTime  time.Duration // lmtp_connection_reuse_time_limit: how old a session gets
	ReuseCount int           // lmtp_connection_reuse_count_limit: how often it is used again
	MaxIdle    int           // idle sessions in all
	MaxPerKey  int           // idle sessions under one key
}

// Stats are the numbers of a Pool. Those below Leased only grow.
type Stats struct {
	Idle   int // sessions in the pool
	Leased int // leases that are not settled

	Hits, Misses uint64 // leases, and requests for one in vain
	Kept         uint64 // sessions taken by Put and Return
	Refused      uint64 // sessions not taken: too old, used up, or the pool is closed
	Expired      uint64 // closed because their time was up
	Evicted      uint64 // closed for want of room
	Discarded    uint64 // leases that ended with Discard
}

// A Pool keeps idle sessions under keys. It may be used by many goroutines.
type Pool[K comparable, S Session] struct {
	o Options

	mu     sync.Mutex
	byKey  map[K][]*entry[K, S] // newest last
	idle   map[*entry[K, S]]struct{}
	timer  *time.Timer
	due    time.Time // when the timer fires; zero: not at all
	serial uint64    // of the last Put
	closed bool
	stats  Stats
}

// An entry is one session and what the pool knows of it.
type entry[K comparable, S Session] struct {
	session S
	opened  time.Time
	uses    int // how often it was used again
	keys    []K
	serial  uint64    // greater is newer
	expires time.Time // zero: never
}

// New returns an empty Pool.
func New[K comparable, S Session](o Options) *Pool[K, S] {
	p := &Pool[K, S]{o: o, byKey: make(map[K][]*entry[K, S]), idle: make(map[*entry[K, S]]struct{})}
	p.timer = time.AfterFunc(time.Hour, p.sweep)
	p.timer.Stop()
	return p
}

// Put gives a new session to the pool, which was opened at that time and has
// been used once. It is found under each of the keys, and leaves them all when
// it is leased under one. It returns false if the pool does not take it.
func (p *Pool[K, S]) Put(session S, opened time.Time, keys ...K) bool {
	return p.put(&entry[K, S]{session: session, opened: opened, keys: keys})
}

func (p *Pool[K, S]) put(e *entry[K, S]) bool {
	now := time.Now()
	p.mu.Lock()
	e.expires = p.expiry(e, now)
	late := !e.expires.IsZero() && !now.Before(e.expires)
	usedUp := p.o.ReuseCount > 0 && e.uses >= p.o.ReuseCount
	if p.closed || late || usedUp || len(e.keys) == 0 {
		p.stats.Refused++
		p.mu.Unlock()
		return false
	}
	p.serial++
	e.serial = p.serial
	evicted := p.makeRoom(e.keys)
	p.idle[e] = struct{}{}
	for _, k := range e.keys {
		p.byKey[k] = append(p.byKey[k], e)
	}
	p.arm(e.expires, now)
	p.stats.Kept++
	p.mu.Unlock()
	closeAll(evicted)
	return true
}

// expiry is the end of a session that becomes idle now. The age limit counts
// from the connection, however often the session is used.
func (p *Pool[K, S]) expiry(e *entry[K, S], now time.Time) time.Time {
	var t time.Time
	if p.o.IdleLimit > 0 {
		t = now.Add(p.o.IdleLimit)
	}
	if p.o.ReuseTime > 0 {
		if end := e.opened.Add(p.o.ReuseTime); t.IsZero() || end.Before(t) {
			t = end
		}
	}
	return t
}

// makeRoom takes out the oldest sessions so that one more fits.
func (p *Pool[K, S]) makeRoom(keys []K) (evicted []*entry[K, S]) {
	evict := func(e *entry[K, S]) {
		p.remove(e)
		p.stats.Evicted++
		evicted = append(evicted, e)
	}
	for _, k := range keys {
		for p.o.MaxPerKey > 0 && len(p.byKey[k]) >= p.o.MaxPerKey {
			evict(p.byKey[k][0])
		}
	}
	for p.o.MaxIdle > 0 && len(p.idle) >= p.o.MaxIdle {
		var oldest *entry[K, S]
		for e := range p.idle {
			if oldest == nil || e.serial < oldest.serial {
				oldest = e
			}
		}
		evict(oldest)
	}
	return evicted
}

// remove takes an idle session out from under all its keys.
func (p *Pool[K, S]) remove(e *entry[K, S]) {
	delete(p.idle, e)
	for _, k := range e.keys {
		list := p.byKey[k]
		for i := range list {
			if list[i] == e {
				list = append(list[:i:i], list[i+1:]...)
				break
			}
		}
		if p.byKey[k] = list; len(list) == 0 {
			delete(p.byKey, k)
		}
	}
}

// arm sees to it that the timer fires when the next session expires.
func (p *Pool[K, S]) arm(expires, now time.Time) {
	if !expires.IsZero() && (p.due.IsZero() || expires.Before(p.due)) {
		p.due = expires
		p.timer.Reset(expires.Sub(now))
	}
}

// sweep closes what has expired. It is called by the timer.
func (p *Pool[K, S]) sweep() {
	now := time.Now()
	p.mu.Lock()
	p.due = time.Time{}
	var expired []*entry[K, S]
	for e := range p.idle {
		if !e.expires.IsZero() && !now.Before(e.expires) {
			p.remove(e)
			p.stats.Expired++
			expired = append(expired, e)
		}
	}
	for e := range p.idle {
		p.arm(e.expires, now)
	}
	p.mu.Unlock()
	closeAll(expired)
}

// CloseAll closes every idle session. From then on the pool takes none:
// leases go on, and their sessions are refused when they are returned.
func (p *Pool[K, S]) CloseAll() {
	p.mu.Lock()
	p.closed = true
	var all []*entry[K, S]
	for e := range p.idle {
		all = append(all, e)
	}
	clear(p.idle)
	clear(p.byKey)
	p.disarm()
	p.mu.Unlock()
	closeAll(all)
}

// disarm stops the timer of a pool that is empty.
func (p *Pool[K, S]) disarm() {
	if len(p.idle) == 0 {
		p.timer.Stop()
		p.due = time.Time{}
	}
}

// Stats returns the numbers of the moment.
func (p *Pool[K, S]) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	s.Idle = len(p.idle)
	return s
}

// Sessions returns the idle sessions, in no order. They are for looking at what
// never changes about them: each may be leased by now.
func (p *Pool[K, S]) Sessions() []S {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]S, 0, len(p.idle))
	for e := range p.idle {
		all = append(all, e.session)
	}
	return all
}

// closeAll closes sessions, outside the lock: what closing does is not ours.
func closeAll[K comparable, S Session](entries []*entry[K, S]) {
	for _, e := range entries {
		_ = e.session.Close() // the pool has nobody to tell
	}
}
