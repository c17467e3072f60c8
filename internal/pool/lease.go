package pool

import (
	"sync/atomic"
	"time"
)

// A Lease is the right to use one session that was idle in the pool. One of
// Return and Discard must be called, once.
type Lease[K comparable, S Session] struct {
	pool    *Pool[K, S]
	entry   *entry[K, S]
	settled atomic.Bool
}

// Lease takes the session out of the pool that became idle last of those
// under the key, or returns nil if there is none that may still be used.
func (p *Pool[K, S]) Lease(key K) *Lease[K, S] {
	now := time.Now()
	var expired []*entry[K, S]
	p.mu.Lock()
	var leased *entry[K, S]
	for leased == nil && len(p.byKey[key]) > 0 {
		list := p.byKey[key]
		e := list[len(list)-1]
		p.remove(e)
		if !e.expires.IsZero() && !now.Before(e.expires) {
			p.stats.Expired++
			expired = append(expired, e)
			continue
		}
		leased = e
	}
	if leased == nil {
		p.stats.Misses++
	} else {
		leased.uses++
		p.stats.Hits++
		p.stats.Leased++
	}
	p.disarm()
	p.mu.Unlock()
	closeAll(expired)
	if leased == nil {
		return nil
	}
	return &Lease[K, S]{pool: p, entry: leased}
}

// Session returns the session. It must not be used once the lease is settled.
func (l *Lease[K, S]) Session() S { return l.entry.session }

// Opened returns when the session was connected.
func (l *Lease[K, S]) Opened() time.Time { return l.entry.opened }

// Uses returns how often the session has been used again, this lease
// included: at least 1. It is the reuse_count of Postfix's message stamps;
// conn_use= in the log is one more.
func (l *Lease[K, S]) Uses() int { return l.entry.uses }

// Return gives the session back, under these keys or, if there are none,
// under those that it had. It returns false if the pool does not take it: then
// the session is the caller's.
func (l *Lease[K, S]) Return(keys ...K) bool {
	l.settle(false)
	e := &entry[K, S]{session: l.entry.session, opened: l.entry.opened, uses: l.entry.uses, keys: keys}
	if len(keys) == 0 {
		e.keys = l.entry.keys
	}
	return l.pool.put(e)
}

// Discard ends the lease and closes the session: it is broken, or nobody wants
// it any more.
func (l *Lease[K, S]) Discard() {
	l.settle(true)
	_ = l.entry.session.Close() // whatever closing says, the session is gone
}

func (l *Lease[K, S]) settle(discarded bool) {
	if l.settled.Swap(true) {
		panic("pool: a lease was returned or discarded twice: two deliveries would share one session")
	}
	l.pool.mu.Lock()
	defer l.pool.mu.Unlock()
	l.pool.stats.Leased--
	if discarded {
		l.pool.stats.Discarded++
	}
}
