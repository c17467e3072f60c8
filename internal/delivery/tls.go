package delivery

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"postlmtp/internal/dsn"
	"postlmtp/internal/lmtp"
	"postlmtp/internal/nexthop"
	"postlmtp/internal/request"
	"postlmtp/internal/tlspolicy"
)

// TLSOptions are the settings about TLS that are not the policy's.
type TLSOptions struct {
	// Engine gives policies; nil is no TLS, and no tls= in the log.
	Engine          *tlspolicy.Engine
	WrapperMode     bool          // lmtp_tls_wrappermode
	NoteOffer       bool          // lmtp_tls_note_starttls_offer
	BlockEarlyReply bool          // lmtp_tls_block_early_mail_reply
	FeatureStatus   bool          // lmtp_log_tls_feature_status
	RequireTLS      bool          // requiretls_enable
	NotRequired     bool          // tls_required_enable: honour "TLS-Required: no"
	MinimalBackoff  time.Duration // minimal_backoff_time
}

// tlsState is what a job knows of TLS at the server in hand.
type tlsState struct {
	status     tlspolicy.Status
	require    tlspolicy.Requirement // what REQUIRETLS means for the element
	domain     string                // the element's bare host
	retryPlain bool                  // the attempt failed, and is worth another one without TLS
	downgraded bool                  // May became None for a socket
}

// The statuses of failures of TLS.
const (
	statusNotOffered   = "4.7.4"  // no STARTTLS
	statusTLS          = "4.7.5"  // handshake, certificate or settings
	statusSecurity     = "4.7.0"  // anything else
	statusRequireTLS   = "5.7.10" // RFC 8689 section 5
	statusNoRequireTLS = "5.7.30"
	statusBadRequire   = "4.7.10"
)

// failureError is an error that is a failure already.
type failureError struct{ Failure }

func (e *failureError) Error() string { return e.Diagnosis.Reason }

func failed(scope Scope, status, format string, args ...any) *failureError {
	return &failureError{Failure{Scope: scope, Diagnosis: dsn.Diagnosis{Status: status, Reason: fmt.Sprintf(format, args...)}}}
}

// requireFailed is a failure of REQUIRETLS: another server may do better.
func requireFailed(status, format string, args ...any) *failureError {
	f := failed(Message, status, format, args...)
	f.SoftNonFinal = true
	return f
}

// requireTLS: the message asks for REQUIRETLS, and the settings do not say that
// this does not matter.
func (j *job) requireTLS() bool { return j.tls.require > tlspolicy.RequireDisabled }

// beginTLS starts with an element, or with a socket.
func (j *job) beginTLS(ctx context.Context, domain string) {
	o := &j.d.opt.TLS
	j.tls = tlsState{domain: domain}
	if o.Engine != nil && o.RequireTLS && j.req.SendOpts&request.RequireTLS != 0 {
		j.tls.require = o.Engine.RequireTLS(ctx, domain)
	}
}

// tlsNotRequired: the message says "TLS-Required: no", and not the opposite.
func (j *job) tlsNotRequired() bool {
	o := &j.d.opt.TLS
	return o.NotRequired && j.req.SendOpts&request.TLSNotRequired != 0 &&
		(!o.RequireTLS || j.req.SendOpts&request.RequireTLS == 0)
}

// tlsPolicy finds the policy for an endpoint, and what it means for a message
// that asks for REQUIRETLS. An error is remembered: mail does not go there.
func (j *job) tlsPolicy(ctx context.Context, ep nexthop.Endpoint) (*tlspolicy.Policy, error) {
	engine := j.d.opt.TLS.Engine
	if engine == nil {
		return &tlspolicy.Policy{}, nil
	}
	j.tls.status.Begin(j.requireTLS())
	p, err := engine.Policy(ctx, tlspolicy.Target{
		Nexthop: ep.NexthopText, Domain: j.tls.domain, Host: ep.Host, Address: ep.Address(), Port: ep.Port,
		Relay: ep.Relay(), Secure: ep.Secure, Canonical: ep.Canonical, Alias: ep.Alias,
		InsecureService: ep.InsecureService, NotRequired: j.tlsNotRequired(),
	})
	if err != nil {
		j.tls.status.Unknown()
		return nil, j.rememberTLS(ctx, err)
	}
	j.tls.status.Aim(p.Level)
	if err := j.requirePolicy(p, ep); err != nil {
		return nil, j.rememberTLS(ctx, err)
	}
	return p, nil
}

// rememberTLS notes why there is no policy.
func (j *job) rememberTLS(ctx context.Context, err error) error {
	if j.d.abandoned(ctx) {
		return errAbandoned
	}
	j.remember(err)
	return err
}

// requirePolicy compares a policy with what REQUIRETLS asks for.
func (j *job) requirePolicy(p *tlspolicy.Policy, ep nexthop.Endpoint) error {
	const asked = "Sender requested REQUIRETLS, but my configured TLS security level '%v' disables %s. " +
		"The last attempted server was %s"
	switch {
	case j.tls.require == tlspolicy.RequireError:
		return failed(Message, statusBadRequire, "REQUIRETLS policy configuration error. The last attempted server was %s", ep.Host)
	case j.tls.require == tlspolicy.RequireEnforce && !p.Level.Matches():
		j.tls.status.Require(tlspolicy.NoMatch, false)
		return failed(Message, statusRequireTLS, asked, p.Level, "certificate matching", ep.Host)
	case j.tls.require == tlspolicy.RequireOpportunisticTLS && p.Level == tlspolicy.None:
		j.tls.status.Require(tlspolicy.NoEncryption, false)
		return failed(Message, statusRequireTLS, asked, p.Level, "encryption", ep.Host)
	case j.tls.require == tlspolicy.RequireOpportunisticTLS && !p.Level.Matches():
		j.d.opt.Log.Infof("%s: "+asked, j.req.QueueID, p.Level, "certificate matching", ep.Host)
	}
	return nil
}

// socketPolicy is tlsPolicy for a socket. Opportunistic TLS makes no sense there.
func (j *job) socketPolicy(ctx context.Context, ep nexthop.Endpoint) (*tlspolicy.Policy, error) {
	j.beginTLS(ctx, ep.Host)
	p, err := j.tlsPolicy(ctx, ep)
	switch {
	case errors.Is(err, errAbandoned):
		return nil, err
	case err != nil:
		j.d.opt.Log.Warningf("TLS policy lookup error for %s/%s: %s", ep.Host, ep.Path, j.why.Reason)
		return nil, nil
	}
	if p.Level == tlspolicy.May {
		j.tls.downgraded = true
		p = p.Plain()
	}
	return p, nil
}

// warnSocket says that May became None, when there is a session.
func (j *job) warnSocket() {
	if j.tls.downgraded {
		j.d.opt.Log.Warningf("smtp_connect_local: opportunistic TLS encryption is not appropriate for unix-domain destinations.")
	}
}

// serverPolicy is tlsPolicy for a server that is about to be connected to.
// Without a policy the server is skipped, which is no error.
func (j *job) serverPolicy(ctx context.Context, ep nexthop.Endpoint) (*tlspolicy.Policy, error) {
	o := &j.d.opt.TLS
	p, err := j.tlsPolicy(ctx, ep)
	switch {
	case errors.Is(err, errAbandoned):
		return nil, err
	case err != nil:
		j.d.opt.Log.Warningf("TLS policy lookup for %s/%s: %s", ep.NexthopText, ep.Host, j.why.Reason)
		return nil, nil
	case o.Engine == nil:
		return p, nil
	case o.WrapperMode && !p.Level.Required():
		j.d.opt.Log.Warningf("lmtp_tls_wrappermode requires \"lmtp_tls_security_level = encrypt\" (or stronger)")
		return nil, nil
	case !o.Engine.Authorized(p):
		return nil, nil
	}
	return p, nil
}

// pooledPolicy is tlsPolicy for a server to which there may be a pooled session.
// Without a policy there is none.
func (j *job) pooledPolicy(ctx context.Context, ep nexthop.Endpoint) (*tlspolicy.Policy, error) {
	p, err := j.tlsPolicy(ctx, ep)
	if err != nil && !errors.Is(err, errAbandoned) {
		j.d.opt.Log.Warningf("TLS policy lookup error for %s/%s: %s", ep.NexthopText, ep.Host, j.why.Reason)
		return nil, nil
	}
	return p, err
}

// tryServer is tryEndpoint under the policy for the server, and again without
// TLS where that is allowed after TLS failed. The second attempt does not count.
// Where the pool has not been looked into for this endpoint, its session comes first.
func (j *job) tryServer(ctx context.Context, ep nexthop.Endpoint, pooled bool, last step) (talked bool, err error) {
	policy, err := j.serverPolicy(ctx, ep)
	if err != nil || policy == nil {
		return false, err
	}
	if pooled {
		if done, err := j.tryPooled(ctx, j.endpointKey(ep, policy), last.transfer); done || err != nil {
			return done, err
		}
	}
	talked, err = j.tryEndpoint(ctx, ep, policy, last)
	if err != nil || !j.tls.retryPlain {
		return talked, err
	}
	j.tls.retryPlain = false
	j.tls.status.Begin(j.requireTLS())
	j.tls.status.Aim(policy.Level)
	return j.tryEndpoint(ctx, ep, policy.Plain(), last)
}

// tlsDialog is TLS on a new session.
type tlsDialog struct {
	j         *job
	ep        nexthop.Endpoint
	policy    *tlspolicy.Policy
	handshake *tlspolicy.Handshake
}

// prepare sets what the session engine has to know before it connects.
func (t *tlsDialog) prepare(ctx context.Context, opt *lmtp.Options) error {
	opt.AcceptTLS = t.accept
	if !t.j.d.opt.TLS.WrapperMode || t.policy.Level == tlspolicy.None {
		return nil
	}
	if !t.j.d.opt.TLS.Engine.Ready() {
		return failed(Site, statusTLS, "TLS is required, but our TLS engine is unavailable")
	}
	if err := t.client(ctx); err != nil {
		return err
	}
	opt.TLS = t.handshake.Config()
	return nil
}

// client prepares the handshake.
func (t *tlsDialog) client(ctx context.Context) (err error) {
	if t.handshake, err = t.j.d.opt.TLS.Engine.Client(ctx, t.policy); err != nil {
		return t.broken(ctx)
	}
	return nil
}

// broken is the failure of a handshake. At level May the destination is not
// throttled, and a message that has waited is sent in plain text.
func (t *tlsDialog) broken(ctx context.Context) error {
	scope := Site
	if t.policy.Level == tlspolicy.May {
		scope = Message
		t.j.tls.retryPlain = t.j.plainAllowed(ctx, t.policy, t.ep)
	}
	return &failureError{Failure{Scope: scope, Diagnosis: tlspolicy.HandshakeFailure().Diagnosis}}
}

// failure turns an error of the session engine into one of ours, if it is about
// the handshake.
func (t *tlsDialog) failure(ctx context.Context, err error) error {
	var conn *lmtp.ConnError
	switch {
	case !errors.As(err, &conn) || conn.Cancelled || t.handshake == nil:
	case conn.Stage == lmtp.StageTLS:
		t.handshake.Failed(conn.Err)
		t.j.hint(helloHint(t.ep, "", t.j.d.opt.TLS.WrapperMode, err))
		return t.broken(ctx)
	case t.handshake.Verdict().OK(): // lost after the handshake
		t.j.tls.retryPlain = t.j.plainAllowed(ctx, t.policy, t.ep)
	}
	return err
}

// accept judges the server after the handshake.
func (t *tlsDialog) accept(state *tls.ConnectionState) error {
	t.handshake.Done(state)
	v := t.handshake.Verdict()
	s := &t.j.tls.status
	s.Reach(v.Level, v.OK())
	enforced := t.j.tls.require == tlspolicy.RequireEnforce
	if v.OK() && (v.Matched || !enforced) {
		return nil
	}
	switch {
	case enforced:
		// Also where the policy would do with less, because no TLSA record
		// makes sense (RFC 8689 section 4.2.1).
		s.Require(tlspolicy.NoMatch, false)
		kind := "trusted"
		if v.Trusted {
			kind = "matching"
		}
		return requireFailed(statusRequireTLS, "Sender requested REQUIRETLS, but no %s server certificate was found. "+
			"The last attempted server was %s", kind, t.ep.Peer())
	default:
		s.Require(tlspolicy.NoMatch, true)
	}
	return failed(Site, statusTLS, "Server certificate not verified")
}

// start says STARTTLS where the policy wants it, and refuses to go on where the
// policy demands it in vain. After it the session is as the policy says.
func (t *tlsDialog) start(ctx context.Context, s *session) error {
	defer t.describe(s)
	o, level := &t.j.d.opt.TLS, t.policy.Level
	if o.Engine == nil || o.WrapperMode && s.TLS() != nil {
		return nil
	}
	offered := s.Caps().StartTLS
	if offered && o.NoteOffer && level == tlspolicy.None {
		t.j.d.opt.Log.Infof("Host offered STARTTLS: [%s]", t.ep.Host)
	}
	if offered && o.Engine.Ready() && level >= tlspolicy.May {
		if err := t.client(ctx); err != nil {
			s.Close()
			return err
		}
		_, err := s.StartTLS(ctx, t.handshake.Config())
		var refused *lmtp.ReplyError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &refused) && refused.Stage == lmtp.StageStartTLS:
			if err := t.refused(refused.Reply); err != nil {
				return err
			}
		default:
			return t.failure(ctx, err)
		}
	} else if err := t.missing(offered); err != nil {
		return err
	}
	t.j.tls.status.Reach(tlspolicy.None, true)
	t.j.tls.status.Require(tlspolicy.NotRequired, true)
	return nil
}

// describe notes on a session what others have to know of its TLS.
func (t *tlsDialog) describe(s *session) {
	if s.TLS() == nil || t.handshake == nil {
		// What goes in plain text because TLS failed is one message.
		s.unfit = s.unfit || t.policy.Fallback()
		return
	}
	s.handshake = t.handshake
	s.matched = t.handshake.Verdict().Matched
	s.certificate = t.handshake.SentCertificate()
	s.unfit = s.unfit || !t.policy.Reuse
}

// refused is a STARTTLS that the server offered and then refused.
func (t *tlsDialog) refused(r lmtp.Reply) error {
	t.violated()
	switch {
	case t.j.tls.require.Encrypts():
		return requireFailed(statusRequireTLS, "Sender requested REQUIRETLS, but host %s refused to start TLS: %s", t.ep.Peer(), r.Text())
	case t.policy.Level.Required():
		return &failureError{Failure{Scope: Site, Diagnosis: replyDiagnosis(t.ep, r,
			fmt.Sprintf("TLS is required, but host %s refused to start TLS: %s", t.ep.Peer(), r.Text()))}}
	}
	return nil
}

// missing is a session on which STARTTLS was not said.
func (t *tlsDialog) missing(offered bool) error {
	required := t.policy.Level.Required()
	if !required && !t.j.tls.require.Encrypts() {
		return nil
	}
	if !offered {
		t.violated()
		if t.j.tls.require.Encrypts() {
			return requireFailed(statusNoRequireTLS, "Sender requested REQUIRETLS, but TLS service was not offered by host %s", t.ep.Peer())
		}
		return failed(Site, statusNotOffered, "TLS is required, but was not offered by host %s", t.ep.Peer())
	}
	if !t.j.d.opt.TLS.Engine.Ready() {
		return failed(Site, statusTLS, "TLS is required, but our TLS engine is unavailable")
	}
	return failed(Site, statusSecurity, "TLS is required, but unavailable")
}

// violated notes what a server without TLS fails.
func (t *tlsDialog) violated() {
	if t.j.tls.require.Encrypts() {
		t.j.tls.status.Require(tlspolicy.NoSTARTTLS, false)
	}
	if t.policy.Level.Required() {
		t.j.tls.status.Reach(t.policy.Level, false)
	}
}

// required looks for REQUIRETLS in what the server offers under TLS: at last, which
// is after XCLIENT.
func (t *tlsDialog) required(s *session) error {
	j := t.j
	if j.tls.require == tlspolicy.RequireDisabled || s.TLS() == nil {
		return nil
	}
	switch {
	case s.Caps().RequireTLS && t.handshake.Verdict().Matched:
		j.tls.status.Require(tlspolicy.RequiredTLS, true)
	case s.Caps().RequireTLS:
		j.tls.status.Require(tlspolicy.NoMatch, true)
	case j.tls.require == tlspolicy.RequireEnforce:
		j.tls.status.Require(tlspolicy.NotRequired, false)
		return requireFailed(statusNoRequireTLS, "Sender requested REQUIRETLS, but no server was found that supports REQUIRETLS. "+
			"The last attempted server was %s", t.ep.Peer())
	default:
		j.tls.status.Require(tlspolicy.NotRequired, true)
		j.d.opt.Log.Infof("%s: Sender requested REQUIRETLS, but REQUIRETLS support was not offered by host %s", j.req.QueueID, t.ep.Peer())
	}
	return nil
}

// plainAllowed tells whether a message may go in plain text after TLS failed: at
// level May, when it has waited for a while, or is a probe.
func (j *job) plainAllowed(ctx context.Context, p *tlspolicy.Policy, ep nexthop.Endpoint) bool {
	waited := j.req.Stamps.ActiveArrival.Sub(j.req.Stamps.IncomingArrival)
	return p.Level == tlspolicy.May && !j.tls.require.Encrypts() &&
		(j.req.Flags.Probe() || waited >= j.d.opt.TLS.MinimalBackoff) && !j.hasLogin(ctx, ep)
}

// hasLogin tells whether there is a password for a server, or may be: a server
// that offers logins under TLS only would refuse the mail without.
func (j *job) hasLogin(ctx context.Context, ep nexthop.Endpoint) bool {
	if j.d.opt.Auth == nil {
		return false
	}
	_, found, err := j.d.opt.Auth.Login(ctx, ep.Host, ep.NexthopText)
	return found || err != nil
}

// maybePlain arranges for a transaction that broke under TLS to be tried again in
// plain text, where that is allowed and there is somebody left to try it for.
func (x *transfer) maybePlain(ctx context.Context, err error) {
	var conn *lmtp.ConnError
	if errors.As(err, &conn) && x.s.TLS() != nil && !x.s.pooled() && len(x.open()) > 0 &&
		x.j.plainAllowed(ctx, x.s.policy, x.s.endpoint) {
		x.j.tls.retryPlain, x.final = true, false
	}
}

// earlyReply is the failure of a server that answered before it was asked
// (lmtp_tls_block_early_mail_reply).
func (x *transfer) earlyReply(err error) (Failure, bool) {
	var conn *lmtp.ConnError
	if !x.j.d.opt.TLS.BlockEarlyReply || x.s.TLS() == nil || !errors.Is(err, lmtp.ErrDesync) ||
		!errors.As(err, &conn) || conn.Stage > lmtp.StageMail {
		return Failure{}, false
	}
	x.j.d.opt.Log.Warningf("server %s violates lmtp_tls_block_early_mail_reply policy", x.s.endpoint.Peer())
	return failed(Site, statusSecurity, "unexpected server message").Failure, true
}

// tlsText is the value of tls=.
func (j *job) tlsText() string {
	if !j.d.opt.TLS.FeatureStatus {
		return ""
	}
	return j.tls.status.String()
}

// tlsKey is what sessions must have in common under one destination, where the
// policy depends on the server too: see sameTLS.
func (j *job) tlsKey() string {
	if j.d.opt.TLS.Engine == nil {
		return ""
	}
	return fmt.Sprintf("%d %v", j.tls.require, j.tlsNotRequired())
}

// sameTLS tells whether a session from the pool was made under the policy that
// a new one would be made under. Only then it is used.
func (j *job) sameTLS(ctx context.Context, s *session) bool {
	engine := j.d.opt.TLS.Engine
	if engine == nil {
		return true
	}
	target := s.policy.Target()
	target.NotRequired = j.tlsNotRequired()
	p, err := engine.Policy(ctx, target)
	if err != nil {
		return false
	}
	if s.endpoint.Network == "unix" && p.Level == tlspolicy.May {
		p = p.Plain()
	}
	return p.Identity() == s.policy.Identity()
}

// undecidedTLS takes back what the log says of TLS: before Postfix looks whether
// it can have TLS it looks whether it can have SMTPUTF8.
func (j *job) undecidedTLS(p *tlspolicy.Policy) {
	if j.d.opt.TLS.Engine == nil || p == nil {
		return
	}
	level := p.Level
	if j.tls.downgraded {
		level = tlspolicy.May
	}
	j.tls.status.Begin(j.requireTLS())
	j.tls.status.Aim(level)
}
