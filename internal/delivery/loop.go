package delivery

import (
	"context"
	"net"
	"strings"
	"time"

	"postlmtp/internal/lmtp"
	"postlmtp/internal/nexthop"
	"postlmtp/internal/tlspolicy"
)

// runUnix delivers to a UNIX-domain socket: one server, which is the last one.
func (j *job) runUnix(ctx context.Context, ep nexthop.Endpoint) error {
	if j.d.opt.FallbackRelayText != "" {
		j.d.opt.Log.Warningf("ignoring \"lmtp_fallback_relay = %s\" setting for non-TCP connections",
			j.d.opt.FallbackRelayText)
	}
	j.cachePolicy(ep.Path)
	if j.load || j.store {
		j.firstKey = ep.Path
	}
	policy, err := j.socketPolicy(ctx, ep)
	if err != nil || policy == nil {
		return err
	}
	if j.load {
		if done, err := j.tryPooled(ctx, j.nexthopKey(ep.Path), true); done || err != nil {
			return err
		}
	}
	_, err = j.tryEndpoint(ctx, ep, policy, step{handshake: true, transfer: true})
	return err
}

// step says for which parts of an attempt an endpoint is the last one: after
// the handshake the session limit may make it the last.
type step struct{ handshake, transfer bool }

// runInet delivers over a list of TCP destinations and the fall-back relays.
func (j *job) runInet(ctx context.Context, elements []nexthop.Element) error {
	own := len(elements)
	elements = append(elements[:own:own], j.d.opt.FallbackRelay...)
	for i, e := range elements {
		if !j.ledger.any() {
			return nil
		}
		last := i == len(elements)-1
		j.fallback = i >= own
		if e.Port == 465 && j.d.opt.WarnPort465 {
			j.d.opt.Log.Infof("SMTPS wrappermode (TCP port 465) requires setting \"lmtp_tls_wrappermode = yes\", " +
				"and \"lmtp_tls_security_level = encrypt\" (or stronger)")
		}
		j.beginTLS(ctx, e.Host)
		endpoints, err := j.d.opt.Resolver.Resolve(ctx, e, j.softBefore())
		if j.d.abandoned(ctx) {
			return errAbandoned
		}
		if err != nil {
			j.watch.Failed(TroubleLookup, err)
			j.remember(err)
			continue
		}
		j.forgetPermanent()
		if i == 0 {
			j.cachePolicy(e.Host)
			if j.load || j.store {
				j.firstKey = listText(elements[:own])
			}
		}
		if err := j.runElement(ctx, endpoints, last); err != nil {
			return err
		}
	}
	return nil
}

// listText names a list of destinations. A session to its second element is of no
// use for mail whose only destination is the first.
func listText(elements []nexthop.Element) string {
	var texts []string
	for _, e := range elements {
		texts = append(texts, e.Text)
	}
	return strings.Join(texts, " ")
}

// runElement offers what is left to the endpoints of one element. The limits
// lmtp_mx_address_limit and lmtp_mx_session_limit count for each element.
func (j *job) runElement(ctx context.Context, endpoints []nexthop.Endpoint, lastElement bool) error {
	sessions, best := 0, endpoints[0].Preference
	if j.load {
		endpoints = j.unused(endpoints)
		var err error
		if endpoints, sessions, err = j.runPooled(ctx, endpoints, best, lastElement); err != nil {
			return err
		}
	}
	addresses := sessions
	for i, ep := range endpoints {
		if !j.ledger.any() {
			return nil
		}
		addresses++
		last := i == len(endpoints)-1 || addresses == j.d.opt.MXAddressLimit
		lastSession := last || sessions+1 == j.d.opt.MXSessionLimit
		talked, err := j.tryServer(ctx, ep, j.load && ep.Preference != best, step{
			handshake: lastElement && last,
			transfer:  lastElement && lastSession,
		})
		if err != nil {
			return err
		}
		if talked {
			sessions++
			last = lastSession
		}
		if last {
			return nil
		}
	}
	return nil
}

// runPooled offers what is left to pooled sessions: first to one that is kept
// under the destination, then to those of the endpoints with the best preference.
// It returns the endpoints that are still worth a new connection, and the number
// of sessions.
func (j *job) runPooled(ctx context.Context, endpoints []nexthop.Endpoint, best uint16, lastElement bool) ([]nexthop.Endpoint, int, error) {
	sessions := 0
	offer := func(key cacheKey) error {
		s := j.leaseSession(ctx, key)
		if s == nil {
			return nil
		}
		remaining := without(endpoints, s.endpoint)
		if n := sessions + 1; n == j.d.opt.MXSessionLimit || n == j.d.opt.MXAddressLimit {
			remaining = nil
		}
		stale, err := j.transfer(ctx, s, lastElement && len(remaining) == 0)
		if err != nil || stale {
			return err // a stale session has used up nothing
		}
		sessions++
		endpoints = remaining
		return nil
	}
	if j.firstKey != "" && len(endpoints) > 0 {
		if err := offer(j.nexthopKey(j.firstKey)); err != nil {
			return nil, sessions, err
		}
	}
	for _, ep := range endpoints {
		if !j.ledger.any() || len(endpoints) == 0 || ep.Preference != best {
			break
		}
		policy, err := j.pooledPolicy(ctx, ep)
		if err != nil {
			return nil, sessions, err
		}
		if policy == nil {
			continue
		}
		if err := offer(j.endpointKey(ep, policy)); err != nil {
			return nil, sessions, err
		}
	}
	return endpoints, sessions, nil
}

// tryPooled offers the message to the pooled session of a key. It reports
// whether that settled the matter.
func (j *job) tryPooled(ctx context.Context, key cacheKey, final bool) (done bool, err error) {
	s := j.leaseSession(ctx, key)
	if s == nil {
		return false, nil
	}
	j.warnSocket()
	stale, err := j.transfer(ctx, s, final)
	return !stale, err
}

// tryEndpoint connects to an endpoint and offers the message. It reports
// whether the handshake worked; failures are settled or remembered here.
func (j *job) tryEndpoint(ctx context.Context, ep nexthop.Endpoint, policy *tlspolicy.Policy, last step) (talked bool, err error) {
	j.d.progress(ctx)
	j.watch.Connecting(ep)
	conn, err := j.d.opt.Dial(ctx, ep)
	if j.d.abandoned(ctx) {
		if err == nil {
			conn.Close()
		}
		return false, errAbandoned
	}
	if err != nil {
		j.watch.Failed(TroubleConnect, err)
		if ep.Network != "unix" { // that to a socket is in the recipients' records anyway
			j.d.opt.Log.Infof("%s", diagnosisOf(err).Reason)
		}
		j.remember(err)
		return false, nil
	}
	j.watch.Connected()
	j.warnSocket()
	s, err := j.open(ctx, ep, policy, conn)
	if j.d.abandoned(ctx) {
		if s != nil {
			s.Close()
		}
		return false, errAbandoned
	}
	if err != nil {
		j.watch.Failed(j.where, err)
		j.logOutOfStep(ep, err)
		j.helloHint(ep, s, err)
		j.fail(j.d.sessionFailure(ep, err), ep.Relay(), last.handshake && !j.tls.retryPlain, j.ledger.left())
		j.resetStamps()
		j.troubled(err)
		if s != nil { // refused, and so still open
			j.quit(s)
		} else {
			j.notify(j.transcript)
		}
		return false, nil
	}
	j.watch.Opened(s.TLS())
	_, err = j.transfer(ctx, s, last.transfer)
	return true, err
}

// open says hello over a new connection. A session that comes with an error was
// refused, and is good for a goodbye.
func (j *job) open(ctx context.Context, ep nexthop.Endpoint, policy *tlspolicy.Policy, conn net.Conn) (*session, error) {
	opt := j.d.opt.Session
	opt.Peer, opt.PeerPort, opt.Addr = ep.Peer(), ep.Relay(), ep.Address()
	opt.Hooks = j.hooks(ep)
	var pause time.Duration
	opt.Hooks.Masked = func() { pause = j.masked(ctx, ep) }
	j.strange = false
	opt.Hooks.Strange = func(line string) { j.foundStrange(ep, line) }
	if j.d.opt.Discard != nil {
		var err error
		if opt.Discard, err = j.d.opt.Discard(ep.Address()); err != nil {
			conn.Close()
			j.d.opt.Log.Warningf("%s: lmtp_discard_lhlo_keyword_address_maps map lookup error for %s",
				j.req.QueueID, ep.Address())
			return nil, &lmtp.LocalError{Stage: lmtp.StageLHLO, Err: err}
		}
	}
	dialog := &tlsDialog{j: j, ep: ep, policy: policy}
	j.where = TroubleHello
	if err := dialog.prepare(ctx, &opt); err != nil {
		conn.Close()
		return nil, err
	}
	s, err := lmtp.Open(ctx, conn, opt)
	if s == nil {
		return nil, dialog.failure(ctx, err)
	}
	opened := &session{Session: s, endpoint: ep, pause: pause, policy: policy, serial: j.d.connections.Add(1)}
	if err == nil {
		j.where = TroubleTLS
		err = dialog.start(ctx, opened)
	}
	if err == nil {
		j.where = TroubleHello
		err = j.introduce(ctx, opened)
	}
	if err == nil {
		j.where = TroubleTLS
		err = dialog.required(opened)
	}
	if err == nil {
		j.where = TroubleLogin
		err = j.authenticate(ctx, opened)
	}
	return opened, err
}

// without returns the endpoints but one.
func without(endpoints []nexthop.Endpoint, ep nexthop.Endpoint) []nexthop.Endpoint {
	var rest []nexthop.Endpoint
	for _, other := range endpoints {
		if other.Addr != ep.Addr || other.Port != ep.Port {
			rest = append(rest, other)
		}
	}
	return rest
}

// unused returns the endpoints whose pooled session this request has not used.
func (j *job) unused(endpoints []nexthop.Endpoint) []nexthop.Endpoint {
	if len(j.used) == 0 {
		return endpoints
	}
	var rest []nexthop.Endpoint
	for _, ep := range endpoints {
		if !j.used[ep] {
			rest = append(rest, ep)
		}
	}
	return rest
}
