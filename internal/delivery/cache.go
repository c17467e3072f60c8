package delivery

import (
	"context"
	"time"

	"postlmtp/internal/lmtp"
	"postlmtp/internal/nexthop"
	"postlmtp/internal/pool"
	"postlmtp/internal/request"
	"postlmtp/internal/sasl"
	"postlmtp/internal/tlspolicy"
)

// session is an open dialog and where it leads.
type session struct {
	*lmtp.Session
	endpoint nexthop.Endpoint
	serial   int64         // counts the connections of the process
	lease    *sessionLease // nil: the session is new
	unfit    bool          // it lacks what a message needed, and is not kept
	pause    time.Duration // before the end of each message, see PIX

	policy      *tlspolicy.Policy    // that it was made under
	matched     bool                 // under TLS: the server's certificate is the one that the policy wants
	certificate bool                 // under TLS: the server has our certificate
	handshake   *tlspolicy.Handshake // under TLS: what to say of it in the log
	login       sasl.Identity        // who we are there; zero: a stranger
}

type (
	sessionPool  = pool.Pool[cacheKey, parked]
	sessionLease = pool.Lease[cacheKey, parked]
)

// pooled tells whether the session came from the pool.
func (s *session) pooled() bool { return s.lease != nil }

// reused is how often the session has been used again: conn_use= is one more.
func (s *session) reused() int {
	if s.lease == nil {
		return 0
	}
	return s.lease.Uses()
}

// parked is an idle session in the pool, which says goodbye when its time is up.
type parked struct{ s *session }

// goodbyeLimit bounds the writing of a QUIT that nobody waits for.
const goodbyeLimit = time.Second

// Close says QUIT, and does not wait for an answer.
func (p parked) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), goodbyeLimit)
	defer cancel()
	return p.s.Quit(ctx, false)
}

// cacheKey is what two deliveries must have in common to share a session. It
// has everything that the dialog up to MAIL FROM depends on.
type cacheKey struct {
	// destination is the whole list of elements as written, or the path of a
	// socket; empty in the key of an endpoint.
	destination string
	// endpoint is the server's name and address; empty in the key of a
	// destination.
	endpoint string
	// utf8: the message cannot go without SMTPUTF8, see apart.
	utf8 bool
	// tls is the identity of the policy in the key of an endpoint, and what
	// the message asks for in that of a destination.
	tls string
	// element and sender: see authKey.
	element, sender string
}

// nexthopKey finds sessions by the destination as written.
func (j *job) nexthopKey(destination string) cacheKey {
	return j.authKey(cacheKey{destination: destination, utf8: j.apart(), tls: j.tlsKey()}, destination)
}

// endpointKey finds sessions by where they lead, and under which policy.
func (j *job) endpointKey(ep nexthop.Endpoint, p *tlspolicy.Policy) cacheKey {
	return j.authKey(cacheKey{endpoint: ep.Relay(), utf8: j.apart(), tls: j.tlsKey() + p.Identity()}, ep.NexthopText)
}

// apart tells whether the message may use the sessions of messages that need
// SMTPUTF8, and those only.
func (j *job) apart() bool { return j.needsUTF8() && j.d.opt.UTF8Apart }

// cachePolicy decides whether this request may use pooled sessions, and leave
// one: always for lmtp_connection_cache_destinations, else as the queue manager
// says (lmtp_connection_cache_on_demand).
func (j *job) cachePolicy(name string) {
	opt := &j.d.opt
	switch {
	case opt.CacheDestination != nil && opt.CacheDestination(name):
		j.load, j.store = true, true
	case opt.CacheOnDemand:
		j.load = j.req.Flags&request.ConnLoad != 0
		j.store = j.req.Flags&request.ConnStore != 0
	}
}

// leaseSession takes a session from the pool, or nil if there is none. Whether it
// is alive shows with the transaction.
func (j *job) leaseSession(ctx context.Context, key cacheKey) *session {
	for {
		lease := j.d.pool.Lease(key)
		if lease == nil {
			return nil
		}
		s := lease.Session().s
		if !j.sameTLS(ctx, s) || !j.sameLogin(ctx, s) {
			lease.Discard() // which waits for nobody's goodbye
			continue
		}
		s.lease = lease
		s.Use(j.hooks(s.endpoint))
		j.used[s.endpoint] = true
		j.watch.Leased(s.endpoint)
		if s.handshake != nil { // at any lmtp_tls_loglevel, as in Postfix
			s.handshake.Reused(s.TLS())
		}
		return s
	}
}

// giveBack ends the use of a session: it goes to the pool if its dialog is in
// good order and it came from there, or the request may leave one, and says
// goodbye otherwise.
func (j *job) giveBack(s *session) {
	first := j.firstKey
	if !s.Closed() {
		// Only the first good session of a request is found by the
		// destination's name, if it is kept at all: later ones lead to less
		// preferred servers.
		j.firstKey = ""
	}
	if !s.Reusable() || s.unfit || !j.store && !s.pooled() {
		j.quit(s)
		return
	}
	keys := []cacheKey{j.endpointKey(s.endpoint, s.policy)}
	if first != "" {
		keys = append(keys, j.nexthopKey(first))
	}
	s.Use(lmtp.Hooks{})
	taken := false
	if s.lease != nil {
		taken = s.lease.Return(keys...)
	} else {
		taken = j.d.pool.Put(parked{s}, s.ConnectedAt(), keys...)
	}
	if !taken { // too old, or used often enough
		s.lease = nil
		j.quit(s)
	}
}

// quit says goodbye to a session, as far as it is still open: at once if the
// message goes on to another server, else when the queue manager has been told.
func (j *job) quit(s *session) {
	t := j.transcript
	if s.Closed() {
		j.d.drop(s)
		j.notify(t)
		return
	}
	goodbye := func() {
		// Nothing depends on the answer: the mail is settled.
		_ = s.Quit(context.Background(), !j.d.opt.SkipQuitResponse)
		j.d.drop(s)
		j.notify(t)
	}
	if j.ledger.any() {
		goodbye()
		return
	}
	j.goodbye = goodbye
}

// drop ends a session without a word.
func (d *Deliverer) drop(s *session) {
	s.Close()
	if s.lease != nil {
		s.lease.Discard()
		s.lease = nil
	}
}
