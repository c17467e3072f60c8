package metrics

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// A Set has the counters of one process. Its methods may be called by any
// number of goroutines.
type Set struct {
	mu     sync.RWMutex
	byName map[string]*Destination
	other  *Destination // nil until it is needed

	served atomic.Bool
}

// NewSet returns a Set that has counted nothing.
func NewSet() *Set { return &Set{byName: make(map[string]*Destination)} }

// Started counts the process itself: it has begun to serve.
func (s *Set) Started() { s.served.Store(true) }

// Destination returns the counters of a destination: its own for the first
// MaxDestinations, and shared ones from then on.
func (s *Set) Destination(name string) *Destination {
	s.mu.RLock()
	d := s.byName[name]
	s.mu.RUnlock()
	if d != nil {
		return d
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if d = s.byName[name]; d != nil {
		return d
	}
	if len(s.byName) >= MaxDestinations {
		if s.other == nil {
			s.other = new(Destination)
		}
		return s.other
	}
	d = new(Destination)
	s.byName[name] = d
	return d
}

// Snapshot returns what was counted so far.
func (s *Set) Snapshot() Snapshot {
	snap := NewSnapshot()
	if s.served.Load() {
		snap.Process.count(starts, 1)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for name, d := range s.byName {
		snap.Destinations[name] = d.values()
	}
	if s.other != nil {
		v := s.other.values()
		if same, ok := snap.Destinations[Other]; ok { // somebody's destination has that name
			v = v.plus(same)
		}
		snap.Destinations[Other] = v
	}
	return snap
}

// values returns the counters that have counted anything, and the histograms.
func (d *Destination) values() Values {
	v := newValues()
	for r := range d.deliveries {
		for i := range d.deliveries[r] {
			v.count(fmt.Sprintf(`%s{result="%v",status="%s"}`, deliveries, Result(r), statusText(i)), d.deliveries[r][i].Load())
		}
	}
	for r := range d.failures {
		v.count(fmt.Sprintf(`%s{reason="%v"}`, failures, Reason(r)), d.failures[r].Load())
	}
	for i, version := range tlsVersions() {
		v.count(fmt.Sprintf(`%s{version="%s"}`, tlsSessions, version), d.tls[i].Load())
	}
	// These are there from the beginning: an alert for the first of a kind needs
	// the zero before it.
	v.Counts[unconfirmed] = float64(d.unconfirmed.Load())
	v.Counts[opened] = float64(d.opened.Load())
	v.Counts[reused] = float64(d.reused.Load())
	v.Counts[authFailures] = float64(d.authFailures.Load())
	v.Counts[contentBytes] = float64(d.bytes.Load())
	for name, h := range map[string]*times{
		connectTime: &d.connect, helloTime: &d.hello, handshakeTime: &d.handshake, sessionTime: &d.transaction, finalTime: &d.final,
	} {
		if values := h.values(); values.count() > 0 {
			v.Histograms[name] = values
		}
	}
	if values := d.recipients.values(); values.count() > 0 {
		v.Histograms[recipients] = values
	}
	for name, at := range map[string]int64{lastSuccess: d.lastSuccess.Load(), lastFailure: d.lastFailure.Load()} {
		if at != 0 {
			v.Times[name] = float64(at) / 1000
		}
	}
	return v
}
