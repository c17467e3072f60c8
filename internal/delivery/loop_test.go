package delivery

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"postlmtp/internal/nexthop"
	"postlmtp/internal/request"
)

// Each case is a destination, what its servers do, and what becomes of the
// recipients. A host name stands for one address for each of its letters.
func TestLoop(t *testing.T) {
	tests := []struct {
		name     string
		nexthop  string
		servers  map[string]*server
		adjust   func(*world)
		rcpts    []string
		events   []string
		dialled  string
		hop      string
		finished bool
	}{{
		name: "first address takes it", nexthop: "ab",
		servers: map[string]*server{"a": {}, "b": {}},
		events:  []string{"sent x 2.0.0 relay=a[192.0.2.97]:24 reuse=0"},
		dialled: "a", finished: true,
	}, {
		name: "dead address, then a good one", nexthop: "ab",
		servers: map[string]*server{"b": {}},
		events:  []string{"sent x 2.0.0 relay=b[192.0.2.98]:24 reuse=0"},
		dialled: "a b", finished: true,
	}, {
		name: "all dead", nexthop: "ab",
		events:  []string{"deferred x 4.4.1 relay=none reuse=0"},
		dialled: "a b", hop: "4.4.1",
	}, {
		name: "address limit", nexthop: "abcdefg",
		events:  []string{"deferred x 4.4.1 relay=none reuse=0"},
		dialled: "a b c d e", hop: "4.4.1",
	}, {
		name: "no address limit", nexthop: "abcdefg",
		adjust:  func(w *world) { w.opt.MXAddressLimit = 0 },
		events:  []string{"deferred x 4.4.1 relay=none reuse=0"},
		dialled: "a b c d e f g", hop: "4.4.1",
	}, {
		name: "session limit", nexthop: "abc",
		servers: map[string]*server{"a": busy(), "b": busy(), "c": {}},
		events:  []string{"deferred x 4.3.2 relay=b[192.0.2.98]:24 reuse=0"},
		dialled: "a b",
	}, {
		name: "refused greetings do not count as sessions", nexthop: "abc",
		servers: map[string]*server{"a": {greeting: "421 4.3.2 later"}, "b": {greeting: "554 5.3.2 never"}, "c": {}},
		events:  []string{"sent x 2.0.0 relay=c[192.0.2.99]:24 reuse=0"},
		dialled: "a b c", finished: true,
	}, {
		name: "5xx greeting is for good without lmtp_skip_5xx_greeting", nexthop: "ab",
		servers: map[string]*server{"a": {greeting: "554 5.3.2 never"}, "b": {}},
		adjust:  func(w *world) { w.opt.Skip5xxGreeting = false },
		events:  []string{"bounced x 5.3.2 relay=a[192.0.2.97]:24 reuse=0"},
		dialled: "a", finished: true,
	}, {
		name: "greeting refused by the last server throttles", nexthop: "a",
		servers: map[string]*server{"a": {greeting: "421 4.3.2 later"}},
		events:  []string{"deferred x 4.3.2 relay=a[192.0.2.97]:24 reuse=0"},
		dialled: "a", hop: "4.3.2",
	}, {
		name: "MAIL refused does not throttle", nexthop: "a",
		servers: map[string]*server{"a": busy()},
		events:  []string{"deferred x 4.3.2 relay=a[192.0.2.97]:24 reuse=0"},
		dialled: "a",
	}, {
		name: "5xx in mid-session bounces at once", nexthop: "ab",
		servers: map[string]*server{"a": {replies: map[string]string{"MAIL": "550 5.7.1 no"}}, "b": {}},
		events:  []string{"bounced x 5.7.1 relay=a[192.0.2.97]:24 reuse=0"},
		dialled: "a", finished: true,
	}, {
		name: "only those that were put off go to the next server", nexthop: "ab",
		servers: map[string]*server{
			"a": {rcpt: map[string]string{"y": "450 4.2.1 later", "z": "550 5.1.1 who"}},
			"b": {},
		},
		rcpts: []string{"x", "y", "z"},
		events: []string{
			"bounced z 5.1.1 relay=a[192.0.2.97]:24 reuse=0",
			"sent x 2.0.0 relay=a[192.0.2.97]:24 reuse=0",
			"sent y 2.0.0 relay=b[192.0.2.98]:24 reuse=0",
		},
		dialled: "a b", finished: true,
	}, {
		name: "put off at the end of data", nexthop: "ab",
		servers: map[string]*server{"a": {final: map[string]string{"x": "452 4.2.2 full"}}, "b": {}},
		rcpts:   []string{"x", "y"},
		events: []string{
			"sent y 2.0.0 relay=a[192.0.2.97]:24 reuse=0",
			"sent x 2.0.0 relay=b[192.0.2.98]:24 reuse=0",
		},
		dialled: "a b", finished: true,
	}, {
		name: "lost after the first final reply", nexthop: "a",
		servers: map[string]*server{"a": {hangUp: 1}},
		rcpts:   []string{"x", "y"},
		events: []string{
			"sent x 2.0.0 relay=a[192.0.2.97]:24 reuse=0",
			"deferred y 4.4.2 relay=a[192.0.2.97]:24 reuse=0",
		},
		dialled: "a", hop: "4.4.2",
	}, {
		name: "a session that came to its end keeps the destination from being blamed", nexthop: "ab",
		servers: map[string]*server{"a": busy()},
		events:  []string{"deferred x 4.4.1 relay=none reuse=0"},
		dialled: "a b",
	}, {
		name: "unknown host bounces", nexthop: "none",
		events: []string{"bounced x 5.4.4 relay=none reuse=0"}, finished: true,
	}, {
		name: "unknown host after a soft error does not", nexthop: "a, none",
		events:  []string{"deferred x 4.4.4 relay=none reuse=0"},
		dialled: "a", hop: "4.4.4",
	}, {
		// The last word of "a" was not about y.
		name: "unknown host after a soft error and another's hard one", nexthop: "a, none",
		servers: map[string]*server{"a": {rcpt: map[string]string{"y": "450 4.2.1 later", "z": "550 5.1.1 who"}}},
		rcpts:   []string{"y", "z"},
		events: []string{
			"bounced z 5.1.1 relay=a[192.0.2.97]:24 reuse=0",
			"deferred y 4.4.4 relay=none reuse=0",
		},
		dialled: "a",
	}, {
		name: "list of destinations", nexthop: "none, a",
		servers: map[string]*server{"a": {}},
		events:  []string{"sent x 2.0.0 relay=a[192.0.2.97]:24 reuse=0"},
		dialled: "a", finished: true,
	}, {
		name: "fall-back relay", nexthop: "none",
		servers: map[string]*server{"f": {}},
		adjust:  fallback("f"),
		events:  []string{"sent x 2.0.0 relay=f[192.0.2.102]:24 reuse=0"},
		dialled: "f", finished: true,
	}, {
		name: "a fall-back relay that does not exist does not bounce", nexthop: "none",
		adjust: fallback("none"),
		events: []string{"deferred x 4.3.5 relay=none reuse=0"},
		hop:    "4.3.5",
	}, {
		name: "destination that makes no sense", nexthop: "inet:[a",
		events: []string{"deferred x 4.3.5 relay=none reuse=0"},
		hop:    "4.3.5",
	}, {
		name: "soft_bounce tries the next server", nexthop: "ab",
		servers: map[string]*server{"a": {rcpt: map[string]string{"x": "550 5.1.1 who"}}, "b": {}},
		adjust:  func(w *world) { w.opt.SoftBounce = true },
		events:  []string{"sent x 2.0.0 relay=b[192.0.2.98]:24 reuse=0"},
		dialled: "a b", finished: true,
	}, {
		name: "socket", nexthop: "unix:private/lmtp",
		servers: map[string]*server{"private/lmtp": {rcpt: map[string]string{"y": "450 4.2.1 later"}}},
		rcpts:   []string{"x", "y"},
		events: []string{
			"deferred y 4.2.1 relay=mail.example.com[private/lmtp] reuse=0",
			"sent x 2.0.0 relay=mail.example.com[private/lmtp] reuse=0",
		},
		dialled: "mail.example.com",
	}, {
		name: "socket that is not there", nexthop: "unix:private/lmtp",
		events:  []string{"deferred x 4.4.1 relay=none reuse=0"},
		dialled: "mail.example.com", hop: "4.4.1",
	}, {
		name: "too large for the server", nexthop: "a",
		servers: map[string]*server{"a": {caps: []string{"SIZE 1"}}},
		events:  []string{"bounced x 5.3.4 relay=a[192.0.2.97]:24 reuse=0"},
		dialled: "a", finished: true,
	}, {
		name: "a success in place of a go-ahead", nexthop: "a",
		servers: map[string]*server{"a": {replies: map[string]string{"DATA": "250 2.0.0 fine"}}},
		events:  []string{"bounced x 5.5.0 relay=a[192.0.2.97]:24 reuse=0"},
		dialled: "a", finished: true,
	}, {
		name: "an address with a line end concerns that recipient alone", nexthop: "a",
		servers: map[string]*server{"a": {}},
		rcpts:   []string{"x\r\nDATA", "y"},
		events: []string{
			"bounced x\r\nDATA 5.1.3 relay=lmtp reuse=0",
			"sent y 2.0.0 relay=a[192.0.2.97]:24 reuse=0",
		},
		dialled: "a", finished: true,
	}, {
		name: "flags=D with two recipients", nexthop: "a",
		adjust:  func(w *world) { w.opt.Flags.DeliveredTo = true },
		rcpts:   []string{"x", "y"},
		servers: map[string]*server{"a": {}},
		events: []string{
			"deferred x 4.3.5 relay=lmtp reuse=0",
			"deferred y 4.3.5 relay=lmtp reuse=0",
		},
	}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.servers = tt.servers
				if tt.adjust != nil {
					tt.adjust(w)
				}
				if tt.rcpts == nil {
					tt.rcpts = []string{"x"}
				}
				d := New(w.opt, w)
				result := w.deliver(d, tt.nexthop, 0, tt.rcpts...)
				d.Close()
				if diff := cmp.Diff(tt.events, w.events); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
				if got := strings.Join(w.dialled, " "); got != tt.dialled {
					t.Errorf("dialled %q, want %q", got, tt.dialled)
				}
				if result.Hop.Status != tt.hop || result.Unfinished == tt.finished || result.Abandoned {
					t.Errorf("result %+v", result)
				}
				if t.Failed() {
					t.Logf("log: %q", w.log)
				}
			})
		})
	}
}

func busy() *server { return &server{replies: map[string]string{"MAIL": "451 4.3.2 busy"}} }

func fallback(list string) func(*world) {
	return func(w *world) {
		target, err := w.opt.Parse(list)
		if err != nil {
			w.t.Fatal(err)
		}
		w.opt.FallbackRelay = target.Elements
		w.opt.FallbackRelayText = list
	}
}

const onDemand = request.ConnLoad | request.ConnStore

func TestSessionReuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := &server{}
		w.servers["a"] = s
		d := New(w.opt, w)
		defer d.Close()

		w.deliver(d, "a", onDemand, "x")
		w.deliver(d, "a", onDemand, "y")
		w.deliver(d, "a", request.ConnLoad, "z") // used, and kept: it was before
		w.deliver(d, "a", request.ConnLoad, "zz")
		w.deliver(d, "a", 0, "new") // the queue manager did not ask for reuse
		want := []string{
			"sent x 2.0.0 relay=a[192.0.2.97]:24 reuse=0",
			"sent y 2.0.0 relay=a[192.0.2.97]:24 reuse=1",
			"sent z 2.0.0 relay=a[192.0.2.97]:24 reuse=2",
			"sent zz 2.0.0 relay=a[192.0.2.97]:24 reuse=3",
			"sent new 2.0.0 relay=a[192.0.2.97]:24 reuse=0",
		}
		if diff := cmp.Diff(want, w.events); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if s.conns != 2 {
			t.Errorf("%d connections, want 2", s.conns)
		}
		if n := strings.Count(strings.Join(s.lines, "\n"), "RSET"); n != 3 {
			t.Errorf("%d times RSET, want 3: before each use of a kept session", n)
		}
	})
}

func TestSessionIdleLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := &server{}
		w.servers["a"] = s
		d := New(w.opt, w)
		defer d.Close()
		w.deliver(d, "a", onDemand, "x")
		time.Sleep(w.opt.CacheTimeLimit)
		synctest.Wait()
		s.mu.Lock()
		said := slices.Contains(s.lines, "QUIT")
		s.mu.Unlock()
		if !said {
			t.Error("an idle session ended without QUIT")
		}
		w.deliver(d, "a", onDemand, "y")
		if s.conns != 2 {
			t.Errorf("%d connections, want 2", s.conns)
		}
	})
}

// A kept session that is dead, or dies before it has answered anything, is not
// the message's fault.
func TestStaleSession(t *testing.T) {
	for _, tt := range []struct {
		name string
		dies string
	}{{"no answer to RSET", "RSET"}, {"no answer to MAIL", "MAIL"}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				old := &server{}
				w.servers["a"] = old
				d := New(w.opt, w)
				defer d.Close()
				w.deliver(d, "a", onDemand, "x")
				old.replies = map[string]string{tt.dies: "-"}
				w.servers["a"] = &server{}
				result := w.deliver(d, "a", onDemand, "y")
				want := []string{
					"sent x 2.0.0 relay=a[192.0.2.97]:24 reuse=0",
					"sent y 2.0.0 relay=a[192.0.2.97]:24 reuse=0",
				}
				if diff := cmp.Diff(want, w.events); diff != "" || result.Unfinished {
					t.Errorf("%+v (-want +got):\n%s", result, diff)
				}
			})
		})
	}
}

// After the answer to MAIL it is no longer a stale session.
func TestLostKeptSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := &server{}
		w.servers["a"] = s
		d := New(w.opt, w)
		defer d.Close()
		w.deliver(d, "a", onDemand, "x")
		s.replies = map[string]string{"DATA": "-"}
		w.deliver(d, "a", onDemand, "y")
		if got := w.events[1]; got != "deferred y 4.4.2 relay=a[192.0.2.97]:24 reuse=1" {
			t.Error(got)
		}
	})
}

// A context that ends because the process does leaves the message as it was.
func TestAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.opt.FinalGrace = 4 * time.Second
		w.servers["a"] = &server{}
		ctx, cancel := context.WithCancelCause(t.Context())
		d := New(w.opt, w)
		defer d.Close()
		cancel(errStopping)
		req, file := w.queue("a", "x", "y")
		result := d.Deliver(ctx, req, file)
		if !result.Abandoned || len(w.events) != 0 {
			t.Errorf("%+v %v", result, w.events)
		}
	})
}

// Whatever the servers do, each recipient is settled exactly once, and none is
// reported as sent unless a server said that it stored the message.
func TestEveryRecipientOnce(t *testing.T) {
	answers := []string{"250 2.0.0 ok", "450 4.2.1 later", "550 5.1.1 no", "250", "354 what", "-", "421 4.3.2 bye", "nonsense\r\n550 no"}
	for seed := range 400 {
		synctest.Test(t, func(t *testing.T) {
			next := seed*2654435761 + 12345
			random := func(n int) int {
				next = (next*1103515245 + 12345) & 0x7fffffff
				return (next >> 8) % n
			}
			w := newWorld(t)
			w.opt.Session.Timeouts.Mail = time.Second
			rcpts := []string{"r0", "r1", "r2", "r1"} // one address twice
			for _, host := range []string{"a", "b", "c"} {
				s := &server{rcpt: map[string]string{}, final: map[string]string{}, replies: map[string]string{}}
				if random(2) == 0 {
					s.caps = append(s.caps, "PIPELINING")
				}
				for _, r := range rcpts {
					s.rcpt[r] = answers[random(3)]
					s.final[r] = answers[random(len(answers)-1)]
				}
				if random(4) == 0 {
					s.replies[[]string{"LHLO", "MAIL", "DATA", "RSET"}[random(4)]] = answers[1+random(len(answers)-1)]
				}
				s.hangUp = random(5)
				if random(6) > 0 {
					w.servers[host] = s
				}
			}
			d := New(w.opt, w)
			result := w.deliver(d, "abc", request.Flags(random(2))*onDemand, rcpts...)
			d.Close()
			if len(w.events) != len(rcpts) {
				t.Fatalf("seed %d: %d events for %d recipients: %q", seed, len(w.events), len(rcpts), w.events)
			}
			sent := map[string]int{}
			deferred := false
			for _, e := range w.events {
				var outcome, addr string
				fmt.Sscan(e, &outcome, &addr)
				if outcome == "sent" {
					sent[addr]++
				}
				deferred = deferred || outcome == "deferred"
			}
			if deferred != result.Unfinished {
				t.Errorf("seed %d: deferred %v, but %+v", seed, deferred, result)
			}
			for addr, n := range sent {
				stored := 0
				for _, s := range w.servers {
					for _, a := range s.stored {
						if a == addr {
							stored++
						}
					}
				}
				if n > stored {
					t.Errorf("seed %d: %s reported as sent %d times, stored %d times", seed, addr, n, stored)
					for host, s := range w.servers {
						t.Logf("%s: %+v", host, s)
					}
					t.Logf("%q\n%q", w.events, w.log)
				}
			}
		})
	}
}

// A session is found again under the whole list that it was made for: its server
// may be right for the list, and wrong for mail that names the first of it alone.
func TestPoolOfList(t *testing.T) {
	w := newWorld(t)
	a, b := &server{}, &server{}
	w.servers = map[string]*server{"b": b}
	d := New(w.opt, w)
	defer d.Close()
	w.deliver(d, "a, b", onDemand, "one@example.net")
	w.servers["a"] = a
	w.deliver(d, "a", onDemand, "two@example.net")
	w.deliver(d, "inet:a b", onDemand, "three@example.net")
	if got := fmt.Sprint(a.stored, b.stored, b.conns); got != "[two@example.net] [one@example.net three@example.net] 1" {
		t.Errorf("got %s, log %q", got, w.log)
	}
}

// keepBusy makes a deliverer that keeps a session with a server, which turns all
// further messages away.
func (w *world) keepBusy(host, nexthopText string) *Deliverer {
	s := &server{}
	w.servers[host] = s
	d := New(w.opt, w)
	w.deliver(d, nexthopText, onDemand, "x")
	s.replies = map[string]string{"MAIL": "451 4.3.0 busy"}
	w.events, w.stamps = nil, nil
	return d
}

// Who is left when there is no server any more gets the reply that was about it,
// and not the last one of all, which may have refused somebody else for good.
func TestOwnReasonAtTheEnd(t *testing.T) {
	for _, rcpts := range [][]string{{"y", "z"}, {"z", "y"}, {"y", "y2", "z"}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			d := w.keepBusy("b", "a, b")
			defer d.Close()
			w.servers["a"] = &server{rcpt: map[string]string{"y": "450 4.2.1 later", "y2": "450 4.2.2 full", "z": "550 5.1.1 who"}}
			result := w.deliver(d, "a, b", onDemand, rcpts...)
			want := []string{"bounced z 5.1.1 relay=a[192.0.2.97]:24 reuse=0", "deferred y 4.2.1 relay=none reuse=0"}
			if len(rcpts) == 3 {
				want = append(want, "deferred y2 4.2.2 relay=none reuse=0")
			}
			if diff := cmp.Diff(want, w.events); diff != "" || !result.Unfinished || result.Hop.Status != "" {
				t.Errorf("%+v (-want +got):\n%s", result, diff)
			}
		})
	}
}

// Whoever is left without a reason of its own has none of another recipient.
func TestNoReasonOfAnother(t *testing.T) {
	for _, rcpts := range [][]string{{"y", "z"}, {"z", "y"}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.opt.SoftBounce = true
			d := w.keepBusy("b", "a, b")
			defer d.Close()
			w.servers["a"] = &server{rcpt: map[string]string{"y": "550 5.1.1 who", "z": "450 4.2.1 later"}}
			w.deliver(d, "a, b", onDemand, rcpts...)
			want := []string{"deferred y 4.3.0 relay=none reuse=0", "deferred z 4.2.1 relay=none reuse=0"}
			slices.Sort(w.events)
			if diff := cmp.Diff(want, w.events); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			for _, s := range w.stamps { // the time is that of finding a server
				if s.ConnSetupDone.IsZero() || s.DeliverDone != s.ConnSetupDone {
					t.Errorf("%+v", s)
				}
			}
		})
	}
}

// ranked is a Resolver with an SRV record of its own priority for each endpoint.
type ranked struct{ Resolver }

func (r ranked) Resolve(ctx context.Context, e nexthop.Element, softBefore bool) ([]nexthop.Endpoint, error) {
	list, err := r.Resolver.Resolve(ctx, e, softBefore)
	for i := range list {
		list[i].Preference = uint16(i)
	}
	return list, err
}

// A session that is kept with a server of less preference does not keep mail from
// the better one (RFC 2782: priority); it is used when that does not take it.
func TestKeptSessionOfLessPreference(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.opt.Resolver = ranked{w}
		a, b := &server{}, &server{}
		w.servers = map[string]*server{"a": a, "b": b}
		d := New(w.opt, w)
		defer d.Close()
		w.deliver(d, "b", onDemand, "x")
		w.deliver(d, "ab", request.ConnLoad, "y")
		delete(w.servers, "a")
		w.deliver(d, "ab", request.ConnLoad, "z")
		want := []string{
			"sent x 2.0.0 relay=b[192.0.2.98]:24 reuse=0",
			"sent y 2.0.0 relay=a[192.0.2.97]:24 reuse=0",
			"sent z 2.0.0 relay=b[192.0.2.98]:24 reuse=1",
		}
		if diff := cmp.Diff(want, w.events); diff != "" || b.conns != 1 {
			t.Errorf("%d connections, (-want +got):\n%s", b.conns, diff)
		}
	})
}

// When the first good session of a request cannot be kept, the next one, with a
// less preferred server, is not kept in its place under the destination's name.
func TestFirstGoodSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.opt.Resolver = ranked{w}
		a := &server{rcpt: map[string]string{"x": "450 4.2.1 later", "y": "500 5.5.2 what?"}}
		w.servers = map[string]*server{"a": a, "b": {}}
		d := New(w.opt, w)
		defer d.Close()
		w.deliver(d, "ab", onDemand, "x", "y")
		w.deliver(d, "ab", onDemand, "z")
		want := []string{
			"bounced y 5.5.2 relay=a[192.0.2.97]:24 reuse=0",
			"sent x 2.0.0 relay=b[192.0.2.98]:24 reuse=0",
			"sent z 2.0.0 relay=a[192.0.2.97]:24 reuse=0",
		}
		if diff := cmp.Diff(want, w.events); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
