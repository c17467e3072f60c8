package delivery

import (
	"context"
	"errors"
	"net"

	"postlmtp/internal/dsn"
	"postlmtp/internal/lmtp"
	"postlmtp/internal/nexthop"
	"postlmtp/internal/queuefile"
	"postlmtp/internal/request"
	"postlmtp/internal/tlspolicy"
)

// A Visit is a delivery to one server, taken step by step by somebody who wants
// to see each step: the policy, the connection, the hello with TLS and login,
// the transaction, the goodbye. Each step is the one that Deliver takes. The
// pool of sessions is neither used nor filled.
type Visit struct {
	j      *job
	ep     nexthop.Endpoint
	policy *tlspolicy.Policy
	conn   net.Conn
	s      *session
}

// Visit prepares a visit on behalf of a request, whose recipients may be none.
// File has its message, and may be nil for a probe. Outcomes go to the Reporter.
func (d *Deliverer) Visit(req *request.Request, file *queuefile.File, ep nexthop.Endpoint) *Visit {
	return &Visit{ep: ep, j: d.newJob(req, file)}
}

// errPassedOver is a server that is not connected to for a reason that is logged.
var errPassedOver = errors.New("the server is passed over")

// Policy finds out how the server is to be talked to. Without a policy the
// daemon does not connect.
func (v *Visit) Policy(ctx context.Context) (*tlspolicy.Policy, error) {
	var err error
	if v.ep.Network == "unix" {
		v.policy, err = v.j.socketPolicy(ctx, v.ep)
	} else {
		v.j.beginTLS(ctx, v.ep.Host)
		v.policy, err = v.j.serverPolicy(ctx, v.ep)
	}
	if err == nil && v.policy == nil {
		err = errPassedOver
		if v.j.why.Reason != "" {
			err = &failureError{Failure{Scope: Site, Diagnosis: v.j.why}}
		}
	}
	return v.policy, err
}

// Connect connects. Its error is that of Options.Dial.
func (v *Visit) Connect(ctx context.Context) error {
	var err error
	v.conn, err = v.j.d.opt.Dial(ctx, v.ep)
	if err == nil {
		v.j.warnSocket()
	}
	return err
}

// Hello exchanges greetings, starts TLS and logs in, as far as the settings and
// the policy ask for it. After an error there may still be a Session, which is
// good for Quit.
func (v *Visit) Hello(ctx context.Context) error {
	s, err := v.j.open(ctx, v.ep, v.policy, v.conn)
	v.s = s
	return err
}

// Offer offers the message, or the recipients if the request is a probe, and
// settles every recipient. Nobody is left for another server.
func (v *Visit) Offer(ctx context.Context) error {
	s := v.s
	_, err := v.j.transfer(ctx, s, true)
	v.j.settleLeft()
	return err
}

// Session is the dialog, nil if there is none. It is for looking at.
func (v *Visit) Session() *lmtp.Session {
	if v.s == nil {
		return nil
	}
	return v.s.Session
}

// Matched tells whether the server's certificate is the one that the policy
// wants.
func (v *Visit) Matched() bool { return v.s != nil && v.s.matched }

// LoggedIn tells whether the server knows who we are.
func (v *Visit) LoggedIn() bool { return v.s != nil && v.s.login != [len(v.s.login)]byte{} }

// PlainNext tells whether the daemon would try the server again without TLS,
// because that failed, and Plain does so: the visit starts anew with Connect.
func (v *Visit) PlainNext() bool { return v.j.tls.retryPlain }

// Plain is the same visit without TLS.
func (v *Visit) Plain() *Visit {
	next := v.j.d.Visit(v.j.req, v.j.file, v.ep)
	next.j.tls = v.j.tls
	next.j.tls.retryPlain = false
	next.policy = v.policy.Plain()
	return next
}

// Quit says goodbye, if there is somebody to say it to.
func (v *Visit) Quit(ctx context.Context) {
	switch {
	case v.j.goodbye != nil:
		v.j.goodbye()
	case v.s != nil && !v.s.Closed():
		// Nothing depends on the answer.
		_ = v.s.Quit(ctx, !v.j.d.opt.SkipQuitResponse)
		v.s.Close()
	}
}

// Diagnose returns what the recipients' records would say about an error of a
// step, or of a resolver or parser.
func (d *Deliverer) Diagnose(ep nexthop.Endpoint, err error) dsn.Diagnosis {
	var reply *lmtp.ReplyError
	var conn *lmtp.ConnError
	var local *lmtp.LocalError
	if errors.As(err, &reply) || errors.As(err, &conn) || errors.As(err, &local) {
		return d.sessionFailure(ep, err).Diagnosis
	}
	return diagnosisOf(err)
}
