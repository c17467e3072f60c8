package delivery

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postlmtp/internal/nexthop"
	"postlmtp/internal/request"
	"postlmtp/internal/sasl"
)

// refusals is a RefusedLogins.
type refusals struct {
	mu    sync.Mutex
	known map[string]Refusal
}

func (r *refusals) Find(_ context.Context, host string, l sasl.Login) (Refusal, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	refusal, ok := r.known[host+";"+l.Username+";"+l.Password]
	return refusal, ok
}

func (r *refusals) Store(_ context.Context, host string, l sasl.Login, refusal Refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known[host+";"+l.Username+";"+l.Password] = refusal
}

// withLogins sets a world up with logins by host or destination.
func withLogins(t *testing.T, logins map[string]string) *world {
	w := newWorld(t)
	w.opt.Auth = &Auth{
		Login: func(_ context.Context, host, destination string) (sasl.Login, bool, error) {
			for _, key := range []string{host, destination} {
				if value, ok := logins[key]; value == "error" {
					return sasl.Login{}, false, errors.New("the table cannot tell")
				} else if ok {
					return sasl.ParseLogin(value, ":"), true, nil
				}
			}
			return sasl.Login{}, false, nil
		},
		Salt:       []byte("salt"),
		SoftBounce: true,
	}
	return w
}

func authServer() *server {
	return &server{caps: []string{"AUTH PLAIN"}, replies: map[string]string{"AUTH": "235 2.7.0 welcome"}}
}

// TestRefusedLogin: who is refused with 535 is remembered, and is not refused
// again before something has changed.
func TestRefusedLogin(t *testing.T) {
	logins := map[string]string{"a": "user:wrong"}
	w := withLogins(t, logins)
	known := &refusals{known: map[string]Refusal{}}
	w.opt.Auth.Refused = known
	s := authServer()
	s.replies["AUTH"] = "535 5.7.8 no"
	w.servers = map[string]*server{"a": s}
	d := New(w.opt, w)
	defer d.Close()

	count := func() (auths, mails int) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, line := range s.lines {
			if strings.HasPrefix(line, "AUTH ") {
				auths++
			}
			if strings.HasPrefix(line, "MAIL ") {
				mails++
			}
		}
		return auths, mails
	}
	const relay = "SASL authentication failed; server a[192.0.2.97] said: 535 5.7.8 no"
	const cached = "SASL [CACHED] authentication failed; server a said: 535 5.7.8 no"
	for i, want := range []string{relay, cached} {
		r := w.deliver(d, "a", 0, "user@example.net")
		if r.Hop.Reason != want || r.Hop.Status != "4.7.8" || r.Hop.DiagType != "lmtp" || r.Hop.MTAName != "a" {
			t.Errorf("delivery %d: %+v", i, r.Hop)
		}
	}
	if auths, mails := count(); auths != 1 || mails != 0 {
		t.Errorf("%d AUTH, %d MAIL", auths, mails)
	}

	// Another password is another login.
	logins["a"] = "user:right"
	s.mu.Lock()
	s.replies["AUTH"] = "235 2.7.0 welcome"
	s.mu.Unlock()
	if r := w.deliver(d, "a", 0, "user@example.net"); r.Unfinished {
		t.Errorf("%+v", r)
	}

	// Without soft bounces the mail is returned.
	logins["a"] = "user:wrong"
	w.opt.Auth.SoftBounce = false
	if r := w.deliver(d, "a", 0, "user@example.net"); r.Unfinished {
		t.Errorf("%+v", r)
	}
	if !slices.ContainsFunc(w.events, func(e string) bool { return strings.HasPrefix(e, "bounced user@example.net 5.7.8") }) {
		t.Errorf("events %q", w.events)
	}
}

// TestOneLoginForOneSession: a session of one login never serves another, and
// one of a stranger never serves a login, whatever the table says by now.
func TestOneLoginForOneSession(t *testing.T) {
	const load, store = request.ConnLoad, request.ConnStore
	for _, c := range []struct {
		name          string
		first, second string // what the table has for the server; empty: nothing
		dest          [2]string
		reused        bool
	}{
		{name: "same", first: "user:secret", second: "user:secret", reused: true},
		{name: "both strangers", reused: true},
		{name: "other user", first: "user:secret", second: "other:secret"},
		{name: "other password", first: "user:secret", second: "user:changed"},
		{name: "login gone", first: "user:secret"},
		{name: "login new", second: "user:secret"},
		{name: "table fails", first: "user:secret", second: "error"},
		{name: "other destination", first: "user:secret", second: "user:secret", dest: [2]string{"a:24", "[a]:24"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			logins := map[string]string{}
			set := func(value string) {
				delete(logins, "a")
				if value != "" {
					logins["a"] = value
				}
			}
			w := withLogins(t, logins)
			s := authServer()
			w.servers = map[string]*server{"a": s}
			d := New(w.opt, w)
			defer d.Close()
			if c.dest[0] == "" {
				c.dest = [2]string{"a", "a"}
			}
			set(c.first)
			w.deliver(d, c.dest[0], store, "one@example.net")
			set(c.second)
			w.deliver(d, c.dest[1], load, "two@example.net")
			s.mu.Lock()
			defer s.mu.Unlock()
			if reused := s.conns == 1; reused != c.reused {
				t.Errorf("%d connections; the server got %q", s.conns, s.lines)
			}
		})
	}
}

// TestNoPasswordInLog: whatever happens, a password is in no line.
func TestNoPasswordInLog(t *testing.T) {
	const secret = "S3cretPa55"
	for _, reply := range []string{"235 ok", "535 5.7.8 no", "454 4.7.0 later", "334 YQ==", "334 ???", "-", "hm"} {
		for _, mech := range []string{"PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "OAUTHBEARER", "EXTERNAL", "ANONYMOUS", "NTLM"} {
			w := withLogins(t, map[string]string{"a": "user:" + secret})
			s := authServer()
			s.caps = []string{"AUTH " + mech}
			s.replies["AUTH"] = reply
			if reply == "hm" {
				s.replies["AUTH"] = "500 what?"
			}
			w.servers = map[string]*server{"a": s}
			d := New(w.opt, w)
			r := w.deliver(d, "a", 0, "user@example.net")
			d.Close()
			for _, line := range append(append(slices.Clone(w.log), w.events...), r.Hop.Reason, r.Hop.DiagText) {
				if strings.Contains(line, secret) || strings.Contains(line, "UzNjcmV0UGE1NQ") {
					t.Errorf("%s, %s: %q", mech, reply, line)
				}
			}
		}
	}
}

// deaf is a connection whose other end hears everything but QUIT.
type deaf struct{ net.Conn }

func (d deaf) Write(p []byte) (int, error) {
	if string(p) == "QUIT\r\n" {
		return len(p), nil
	}
	return d.Conn.Write(p)
}

// TestUnfitSessionsDoNotWait: sessions from the pool that cannot be used hold up
// nobody, however long their server takes to say goodbye.
func TestUnfitSessionsDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logins := map[string]string{"a": "user:secret"}
		w := withLogins(t, logins)
		w.servers = map[string]*server{"a": authServer()}
		dial := w.opt.Dial
		w.opt.Dial = func(ctx context.Context, ep nexthop.Endpoint) (net.Conn, error) {
			conn, err := dial(ctx, ep)
			return deaf{conn}, err
		}
		d := New(w.opt, w)
		defer d.Close()
		w.deliver(d, "a", request.ConnStore, "one@example.net")
		logins["a"] = "user:changed"
		start := time.Now()
		w.deliver(d, "a", onDemand, "two@example.net")
		if waited := time.Since(start); waited > 0 || d.pool.Stats().Leased != 0 {
			t.Errorf("waited %v, %+v", waited, d.pool.Stats())
		}
	})
}
