package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"postlmtp/internal/attr"
)

// A Record is one request that a stand-in service got.
type Record struct {
	At      time.Time
	Service string      // "bounce", "defer", "trace", "verify", "flush", "rewrite", "proxymap", "cleanup"
	How     Behaviour   // of the service, for this request
	Attrs   []attr.Pair // in the order of arrival; empty for cleanup
	Mail    *Posted     // for cleanup: the mail that was posted

	place int // among the records, see services.place
}

// Get returns the value of the first attribute of that name, or "".
func (r *Record) Get(name string) string {
	for _, p := range r.Attrs {
		if p.Name == name {
			return p.Value
		}
	}
	return ""
}

// A Behaviour says how a stand-in service treats its clients.
type Behaviour string

// The behaviours of a service.
const (
	Works    Behaviour = ""         // takes the request and says that it succeeded
	Fails    Behaviour = "fails"    // takes the request and says that it failed
	HangsUp  Behaviour = "hangs up" // takes the request and closes without an answer
	Missing  Behaviour = "missing"  // there is no socket
	Garbles  Behaviour = "garbles"  // answers with what is not the protocol
	BadHello Behaviour = "bad hello"
	Slow     Behaviour = "slow"   // takes its time, see slowness
	Silent   Behaviour = "silent" // takes the request and never answers
	Noise    Behaviour = "noise"  // answers with bytes that are no attributes at all
)

// slowness is how long a slow service takes.
const slowness = 200 * time.Millisecond

// A service describes a request and answer service and what it greets with.
type service struct {
	name  string
	class string // "private" or "public"
	hello string // value of the greeting's protocol attribute, 3.6 and later
	keep  bool   // many requests on one connection
}

// servicesTable lists the stand-ins that answer one list with one list.
func servicesTable() []service {
	return []service{
		{"bounce", "private", "delivery_status_protocol", false},
		{"defer", "private", "delivery_status_protocol", false},
		{"trace", "private", "delivery_status_protocol", false},
		{"verify", "private", "address_verification_prrotocol", true}, // sic: Postfix spells it so
		{"flush", "public", "queue_flush_protocol", false},
		{"rewrite", "private", "trivial_rewrite_protocol", true},
		{"proxymap", "private", "proxymap_protocol", true},
	}
}

// services runs the stand-ins that the agent calls and keeps what they got.
type services struct {
	lab       *Lab
	cache     scache
	listeners []net.Listener
	wg        sync.WaitGroup

	mu        sync.Mutex
	records   []Record
	lastPlace int
	conns     map[net.Conn]bool
	changed   chan struct{} // closed and replaced when a connection ends
	closed    bool
	behaviour map[string]Behaviour
	places    map[string]string // paths of the sockets, by service
}

// newServices starts the stand-ins.
func newServices(l *Lab) (*services, error) {
	s := &services{
		lab: l, conns: make(map[net.Conn]bool), changed: make(chan struct{}),
		behaviour: make(map[string]Behaviour), places: make(map[string]string),
	}
	err := s.listen("public", "cleanup", s.cleanup)
	for _, svc := range servicesTable() {
		if svc.name == l.opts.Service {
			continue // the program under test is that service
		}
		err = errors.Join(err, s.listen(svc.class, svc.name, func(c net.Conn) { s.answer(c, svc) }))
	}
	err = errors.Join(err,
		s.listen("private", "tlsmgr", s.tlsmgrClient),
		s.listen("private", "scache", func(c net.Conn) { s.scacheClient(c, s.how("scache")) }))
	for name, how := range l.opts.Behaviour {
		err = errors.Join(err, s.behave(name, how))
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// how tells how a service behaves now.
func (s *services) how(name string) Behaviour {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.behaviour[name]
}

// gone is what the path of a socket ends with while its service is missing: a
// socket that is renamed goes on to listen.
const gone = ".gone"

// behave changes the behaviour of a service.
func (s *services) behave(name string, how Behaviour) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path, was := s.places[name], s.behaviour[name]
	switch {
	case path == "":
		return fmt.Errorf("set behaviour: there is no service %s", name)
	case how == Missing && was != Missing:
		err = os.Rename(path, path+gone)
	case how != Missing && was == Missing:
		err = os.Rename(path+gone, path)
	}
	if err != nil {
		return fmt.Errorf("set behaviour of %s: %w", name, err)
	}
	s.behaviour[name] = how
	return nil
}

// Behave changes how a service treats its clients from its next request on. The
// log daemon, "postlog", knows Works, Missing, and Silent, in which case it
// reads nothing: nor does Log then return what it has not read.
func (l *Lab) Behave(service string, how Behaviour) error {
	if service == "postlog" {
		return l.postlog.behave(how)
	}
	return l.services.behave(service, how)
}

// listen makes the socket of one service and serves its clients.
func (s *services) listen(class, name string, serve func(net.Conn)) error {
	path := filepath.Join(s.lab.queue, class, name)
	ln, err := net.Listen("unix", path)
	if err != nil {
		return fmt.Errorf("listen for %s: %w", name, err)
	}
	s.listeners = append(s.listeners, ln)
	s.places[name] = path
	if err := os.Chmod(path, 0o666); err != nil {
		return fmt.Errorf("listen for %s: %w", name, err)
	}
	s.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			if !s.add(c) {
				return
			}
			s.wg.Go(func() {
				defer s.remove(c)
				serve(c)
			})
		}
	})
	return nil
}

// add takes a connection into the books; it tells whether the lab is still open.
func (s *services) add(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		c.Close()
		return false
	}
	s.conns[c] = true
	return true
}

func (s *services) remove(c net.Conn) {
	c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	close(s.changed)
	s.changed = make(chan struct{})
}

// waitIdle waits until all clients are gone and what they sent is recorded, or
// until ctx ends; it tells which.
func (s *services) waitIdle(ctx context.Context) bool {
	for {
		s.mu.Lock()
		open, changed := len(s.conns), s.changed
		s.mu.Unlock()
		if open == 0 {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// answer serves one client of a request and answer service.
func (s *services) answer(c net.Conn, svc service) {
	rude := s.how(svc.name) == BadHello
	place := s.place()
	if s.lab.opts.dialect().greets {
		hello := svc.hello
		if rude {
			hello = "no_such_protocol"
		}
		if new(attr.List).String(attr.Protocol, hello).Send(c) != nil {
			return
		}
	}
	in := attr.NewReader(c, attr.Limits{})
	for {
		attrs, err := in.All()
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				s.record(Record{Service: svc.name, place: place,
					Attrs: append(attrs, attr.Pair{Name: "BROKEN", Value: err.Error()})})
			}
			return
		}
		how := s.how(svc.name)
		if how == Missing || how == BadHello && !rude { // it was not when the client came
			how = Works
		}
		if !rude {
			place = s.place()
		}
		rec := Record{Service: svc.name, How: how, Attrs: attrs, place: place}
		s.record(rec)
		switch how {
		case Slow:
			time.Sleep(slowness)
		case Silent:
			_, _ = io.Copy(io.Discard, c) // until the client goes
			return
		case Noise:
			_, _ = io.WriteString(c, strings.Repeat("\xff\r\n", 1000))
			return
		}
		if reply := s.reply(&rec, how); reply == nil || reply.Send(c) != nil {
			return
		}
		if !svc.keep {
			return
		}
	}
}

// reply makes the answer to a request, or nil for none.
func (s *services) reply(rec *Record, how Behaviour) *attr.List {
	list := new(attr.List)
	switch how {
	case HangsUp:
		return nil
	case Garbles:
		return list.String("nonsense", "1")
	case Fails:
		return list.Int(attr.Status, -1)
	}
	switch rec.Service {
	case "rewrite":
		return list.Int("flags", 0).String("address", s.rewrite(rec.Get("address")))
	case "proxymap": // every table is empty
		if rec.Get("request") == "open" {
			return list.Int(attr.Status, 0).Int("flags", 0)
		}
		return list.Int(attr.Status, noKey).String("value", "")
	case "verify":
		if rec.Get("request") == "query" {
			return list.Int(attr.Status, -1).Int("recipient_status", 0).String("reason", "")
		}
	}
	return list.Int(attr.Status, 0)
}

// noKey is how proxymap(8) says that a table has no such entry.
const noKey = 1

// rewrite completes an address as trivial-rewrite(8) does with the "local"
// rule: a missing domain is myorigin, which is the host name here.
func (s *services) rewrite(address string) string {
	if address == "" || strings.Contains(address, "@") {
		return address
	}
	return address + "@" + Hostname
}

// place returns the place of a record that may come later. Records are to be in
// the order in which the client acts, so the place is taken at a moment when the
// client waits for the service: before the answer to the request or, where the
// client may be off to another service before its request is read, before the
// greeting.
func (s *services) place() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastPlace++
	return s.lastPlace
}

// record keeps one record, at its place.
func (s *services) record(r Record) {
	r.At = time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	i := len(s.records)
	for i > 0 && s.records[i-1].place > r.place {
		i--
	}
	s.records = slices.Insert(s.records, i, r)
}

// recorded returns a copy of all records.
func (s *services) recorded() []Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Record(nil), s.records...)
}

// close ends all stand-ins and their connections.
func (s *services) close() error {
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	for _, ln := range s.listeners {
		ln.Close()
	}
	s.wg.Wait()
	s.cache.clear(true)
	return nil
}
