package delivery

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"postlmtp/internal/dsn"
	"postlmtp/internal/lmtp"
	"postlmtp/internal/nexthop"
	"postlmtp/internal/sasl"
)

// Auth are the settings of logins (lmtp_sasl_auth_enable).
type Auth struct {
	// Login finds the login for a server: by its name, or else by the
	// destination as written (lmtp_sasl_password_maps).
	Login func(ctx context.Context, host, destination string) (sasl.Login, bool, error)
	// Allow tells whether a mechanism may be used; nil: any may
	// (lmtp_sasl_mechanism_filter).
	Allow func(ctx context.Context, mechanism string) (bool, error)
	// Plain, TLS and Matched are what is demanded of a mechanism without
	// TLS, under TLS, and if the server's certificate is the right one
	// (lmtp_sasl_security_options, lmtp_sasl_tls_security_options,
	// lmtp_sasl_tls_verified_security_options).
	Plain, TLS, Matched sasl.Policy
	SoftBounce          bool // lmtp_sasl_auth_soft_bounce
	EmptyMailAuth       bool // lmtp_send_dummy_mail_auth
	SenderInKey         bool // lmtp_sender_dependent_authentication: sessions are for one sender
	// Refused remembers logins that were refused; nil: nothing does
	// (lmtp_sasl_auth_cache_name).
	Refused RefusedLogins
	// Salt keeps identities apart from those of other processes.
	Salt []byte
}

// RefusedLogins remembers logins that a server refused with reply code 535.
// What goes wrong is logged there, and is as if nothing were known.
type RefusedLogins interface {
	// Find returns the refusal of a login by a server.
	Find(ctx context.Context, host string, login sasl.Login) (r Refusal, found bool)
	// Store notes a refusal.
	Store(ctx context.Context, host string, login sasl.Login, r Refusal)
}

// A Refusal is a server's reply to a login.
type Refusal struct {
	Status string // the enhanced status code
	Text   string
}

// statusNoLogin is the status of a login that failed on our side.
const statusNoLogin = "4.7.0"

// noLogin is the failure of a session that is of no use because of its login.
func noLogin(d dsn.Diagnosis) *failureError { return &failureError{Failure{Scope: Site, Diagnosis: d}} }

// authenticate logs in, if the server offers that, and if there is a login for
// it. An error is a *failureError, or that of the session.
func (j *job) authenticate(ctx context.Context, s *session) error {
	auth := j.d.opt.Auth
	if auth == nil || len(s.Caps().AuthLists) == 0 {
		return nil
	}
	offered, err := j.offered(ctx, s)
	if err != nil {
		return err
	}
	login, found, err := auth.Login(ctx, s.endpoint.Host, s.endpoint.NexthopText)
	if err != nil {
		j.d.opt.Log.Warningf("%s: lmtp_sasl_password_maps lookup error", j.req.QueueID)
		return &lmtp.LocalError{Stage: lmtp.StageAuth, Err: err}
	}
	if !found {
		return nil // strangers talk to each other, too
	}
	if len(offered) == 0 {
		return noLogin(dsn.Diagnosis{Status: statusNoLogin, Reason: fmt.Sprintf(
			"SASL authentication failed: server %s offered no compatible authentication mechanisms for this type of connection security",
			s.endpoint.Peer())})
	}
	if f := j.refusedBefore(ctx, s.endpoint, login); f != nil {
		return f
	}
	client, err := sasl.Choose(offered, auth.policy(s), login, s.peer(j.d.opt.MyHostname))
	if err == nil {
		err = s.Auth(ctx, client)
	}
	if err != nil {
		j.hint(loginHint(s.endpoint, auth.policy(s).Option, s.TLS() != nil, err))
		return j.authFailed(ctx, s.endpoint, login, err)
	}
	s.login = login.Identity(auth.Salt)
	return nil
}

// policy is what is demanded of a mechanism on a session.
func (a *Auth) policy(s *session) sasl.Policy {
	switch {
	case s.TLS() == nil:
		return a.Plain
	case s.matched:
		return a.Matched
	}
	return a.TLS
}

func (s *session) peer(myHostname string) sasl.Peer {
	return sasl.Peer{
		Host:        s.endpoint.Host,
		Port:        int(s.endpoint.Port),
		ClientName:  myHostname,
		TLS:         s.TLS(),
		Certificate: s.certificate,
		Offered:     strings.Fields(s.Caps().Auth),
	}
}

// offered returns the mechanisms that the server offers and the filter leaves.
func (j *job) offered(ctx context.Context, s *session) ([]string, error) {
	var all []string
	for _, list := range s.Caps().AuthLists {
		names := strings.Fields(list)
		left, err := j.filter(ctx, names)
		if err != nil {
			j.d.opt.Log.Warningf("%s: SASL mechanism filter failed: %v", j.req.QueueID, err)
			return nil, &lmtp.LocalError{Stage: lmtp.StageAuth, Err: err}
		}
		switch {
		case len(left) > 0 || len(all) > 0:
		case len(names) == 0:
			j.d.opt.Log.Warningf("%s offered null AUTH mechanism list", s.endpoint.Relay())
		default:
			j.d.opt.Log.Warningf("%s offered no supported AUTH mechanisms: '%s': lmtp_sasl_mechanism_filter allows none of them",
				s.endpoint.Relay(), list)
		}
		all = append(all, left...)
	}
	return all, nil
}

func (j *job) filter(ctx context.Context, names []string) ([]string, error) {
	allow := j.d.opt.Auth.Allow
	if allow == nil {
		return names, nil
	}
	var left []string
	for _, name := range names {
		ok, err := allow(ctx, name)
		if err != nil {
			return nil, err
		}
		if ok {
			left = append(left, name)
		}
	}
	return left, nil
}

// authFailed makes a failure of what went wrong, and logs what the recipients'
// records do not say.
func (j *job) authFailed(ctx context.Context, ep nexthop.Endpoint, login sasl.Login, err error) error {
	var refused *lmtp.ReplyError
	var gaveUp *lmtp.AuthError
	var none *sasl.NoMechanismError
	log, auth := j.d.opt.Log, j.d.opt.Auth
	switch {
	case errors.As(err, &refused):
		if refused.Reply.Code == 535 && auth.Refused != nil { // RFC 4954 section 6: credentials invalid
			auth.Refused.Store(ctx, ep.Host, login, Refusal{refused.Reply.Enhanced, refused.Reply.Text()})
		}
		d := authDiagnosis(ep, refused.Reply.Enhanced, refused.Reply.Text())
		d.Reason = fmt.Sprintf("SASL authentication failed; server %s said: %s", ep.Peer(), d.DiagText)
		return noLogin(auth.soften(d, refused.Reply.Code/100 == 5))
	case errors.As(err, &none):
		// What people search for first, as it is in Postfix's log.
		log.Warningf("SASL authentication failure: No worthy mechs found: server %s %v", ep.Relay(), none)
	case errors.As(err, &gaveUp) && gaveUp.Kind == lmtp.AuthLoop:
		return noLogin(dsn.Diagnosis{Status: statusLocalData, Reason: fmt.Sprintf(
			"SASL authentication failed; authentication protocol loop with server %s", ep.Peer())})
	case errors.As(err, &gaveUp) && gaveUp.Kind == lmtp.AuthInitial:
		return noLogin(dsn.Diagnosis{Status: statusNoLogin, DiagType: "x-sasl", DiagText: "protocol error", Reason: fmt.Sprintf(
			"SASL authentication failed; non-empty initial %s challenge from server %s: %s", gaveUp.Mechanism, ep.Peer(), gaveUp.Challenge)})
	case errors.As(err, &gaveUp), errors.As(err, new(*sasl.Error)):
		log.Warningf("SASL authentication problem: server %s: %v", ep.Relay(), err)
	default:
		return err // of the connection
	}
	short := sasl.Short(err)
	return noLogin(dsn.Diagnosis{Status: statusNoLogin, DiagType: "x-sasl", DiagText: short, Reason: fmt.Sprintf(
		"SASL authentication failed; cannot authenticate to server %s: %s", ep.Peer(), short)})
}

// refusedBefore is the failure of a login that the server has refused a while
// ago. It is not tried again, lest the server locks the account.
func (j *job) refusedBefore(ctx context.Context, ep nexthop.Endpoint, login sasl.Login) error {
	auth := j.d.opt.Auth
	if auth.Refused == nil {
		return nil
	}
	r, found := auth.Refused.Find(ctx, ep.Host, login)
	if !found {
		return nil
	}
	d := authDiagnosis(ep, r.Status, r.Text)
	d.Reason = fmt.Sprintf("SASL [CACHED] authentication failed; server %s said: %s", ep.Host, r.Text)
	return noLogin(auth.soften(d, dsn.Class(r.Status) == '5'))
}

// authDiagnosis is that of a reply to AUTH.
func authDiagnosis(ep nexthop.Endpoint, status, text string) dsn.Diagnosis {
	return dsn.Diagnosis{Status: status, DiagType: "lmtp", DiagText: text, MTAType: "dns", MTAName: ep.Host}
}

// soften applies lmtp_sasl_auth_soft_bounce.
func (a *Auth) soften(d dsn.Diagnosis, permanent bool) dsn.Diagnosis {
	if a.SoftBounce && permanent {
		d.Status = dsn.WithClass(d.Status, '4')
	}
	return d
}

// authKey fills in what sessions with logins must have in common: as in Postfix
// the destination as written, which the login depends on, and for some the
// sender. Whether the login is still the same is for sameLogin to say.
func (j *job) authKey(key cacheKey, destination string) cacheKey {
	auth := j.d.opt.Auth
	if auth == nil {
		return key
	}
	key.element = destination
	if auth.SenderInKey {
		key.sender = j.req.Sender
	}
	return key
}

// sameLogin tells whether a session from the pool has the login that this
// delivery would use: the table may say something else by now. When it cannot
// tell, the session is not used.
func (j *job) sameLogin(ctx context.Context, s *session) bool {
	auth := j.d.opt.Auth
	if auth == nil || len(s.Caps().AuthLists) == 0 {
		return true
	}
	login, found, err := auth.Login(ctx, s.endpoint.Host, s.endpoint.NexthopText)
	if err != nil {
		return false
	}
	want := sasl.Identity{}
	if found {
		want = login.Identity(auth.Salt)
	}
	return want == s.login
}

// emptyMailAuth tells whether MAIL FROM says AUTH=<>.
func (x *transfer) emptyMailAuth() bool {
	auth := x.j.d.opt.Auth
	return auth != nil && auth.EmptyMailAuth && x.s.login != sasl.Identity{}
}
