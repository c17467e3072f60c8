package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"postlmtp/internal/delivery"
	"postlmtp/internal/lmtp"
	"postlmtp/internal/nexthop"
	"postlmtp/internal/tlspolicy"
)

// capabilities reports what the server offers, and what the lack of the rest
// does to mail.
func (r *run) capabilities(v *delivery.Visit, ep nexthop.Endpoint) {
	caps, c := v.Session().Caps(), r.tool.Config
	s := Step{Name: "offer", Server: ep.Relay(), Result: OK, Text: strings.Join(caps.Keywords, ", ")}
	if s.Text == "" {
		s.Text = "nothing"
	}
	lacks := func(result Result, format string, args ...any) {
		s.Facts = append(s.Facts, fmt.Sprintf(format, args...))
		if result == Warning || s.Result == OK {
			s.Result = result
		}
	}
	switch {
	case caps.SMTPUTF8:
	case c.SMTPUTF8Enable:
		lacks(Warning, "no SMTPUTF8: mail that was sent with SMTPUTF8 and has UTF-8 in an address or a header is returned (5.6.7); "+
			"smtputf8_enable = no lets plain header text pass and refuses UTF-8 addresses at the door")
	default:
		lacks(Note, "no SMTPUTF8: of no matter, because smtputf8_enable = no")
	}
	if !caps.EightBitMIME {
		if c.DisableMIMEOutputConversion {
			lacks(Note, "no 8BITMIME: 8-bit mail is sent all the same (disable_mime_output_conversion = yes)")
		} else {
			lacks(Warning, "no 8BITMIME: 8-bit mail is converted to quoted-printable, which breaks its DKIM signature")
		}
	}
	if !caps.DSN {
		lacks(Note, "no DSN: NOTIFY, ORCPT and ENVID are not passed on; who asks for a notice of success gets \"relayed\", and the server does not learn the original recipient")
	}
	if !caps.Pipelining {
		lacks(Note, "no PIPELINING: a round trip for every command and recipient; felt on slow lines only")
	}
	switch limit := messageLimit(c.Text); {
	case !caps.SizeOffered:
		lacks(Note, "no SIZE: a message that is too large is refused after it was sent, not before")
	case caps.SizeLimit > 0 && (limit == 0 || limit > caps.SizeLimit):
		lacks(Warning, "SIZE %d is less than message_size_limit %d: mail in between is accepted here and then returned (5.3.4)", caps.SizeLimit, limit)
	}
	r.step(s)
}

// messageLimit is message_size_limit.
func messageLimit(text func(string) (string, bool)) int64 {
	value, found := text("message_size_limit")
	if !found {
		return 10240000 // Postfix's default
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// tls reports what is encrypted, and who the server is.
func (r *run) tls(v *delivery.Visit, ep nexthop.Endpoint, policy *tlspolicy.Policy, err error) {
	s := v.Session()
	if s == nil {
		return
	}
	var refused *lmtp.ReplyError
	state := s.TLS()
	step := Step{Name: "tls", Server: ep.Relay(), Result: OK}
	switch {
	case state != nil:
		r.secured(v, state, policy, &step)
	case policy.Level.Required():
		step.Result, step.Status = Failed, r.deliverer.Diagnose(ep, err).Status
		step.Text = r.deliverer.Diagnose(ep, err).Reason
		step.Cause = fmt.Sprintf("the policy for this server is %v (lmtp_tls_security_level, lmtp_tls_policy_maps), and it does not start TLS", policy.Level)
		step.Cure = "give the server a certificate and switch its TLS on, or lower the level for it in lmtp_tls_policy_maps"
	case errors.As(err, &refused) && refused.Stage <= lmtp.StageLHLO:
		return
	case s.Caps().StartTLS:
		step.Text = fmt.Sprintf("not used, although it is offered: the level is %v", policy.Level)
		if ep.Network != "unix" && !ep.Addr.IsLoopback() {
			step.Result, step.Cure = Warning, "lmtp_tls_security_level = may, or encrypt"
			step.Cause = "mail crosses the network in plain text"
		}
	default:
		step.Text = fmt.Sprintf("not offered, and not asked for: the level is %v", policy.Level)
	}
	r.step(step)
}

// secured describes a TLS connection.
func (r *run) secured(v *delivery.Visit, state *tls.ConnectionState, policy *tlspolicy.Policy, s *Step) {
	s.Text = fmt.Sprintf("%s with %s, level %v", tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite), policy.Level)
	if len(state.PeerCertificates) == 0 {
		s.Facts = append(s.Facts, "the server has no certificate")
		return
	}
	cert := state.PeerCertificates[0]
	s.Facts = append(s.Facts,
		"subject "+cert.Subject.String(), "issuer "+cert.Issuer.String(),
		"names "+names(cert), validity(cert, time.Now()))
	switch {
	case v.Matched():
		s.Facts = append(s.Facts, "the certificate is the one that the policy asks for")
	case policy.Level.Matches():
		s.Result, s.Status = Failed, "4.7.5"
		s.Cause = "the certificate is not trusted, or not for this name: see the log lines"
		s.Cure = "lmtp_tls_CAfile with the CA of the server, a name of the certificate in the destination or in match= of lmtp_tls_policy_maps; level encrypt asks for neither"
	default:
		s.Facts = append(s.Facts, "who the server is was not asked for at this level")
	}
}

func names(cert *x509.Certificate) string {
	list := append([]string(nil), cert.DNSNames...)
	for _, ip := range cert.IPAddresses {
		list = append(list, ip.String())
	}
	if len(list) == 0 {
		return "none but the subject's"
	}
	return strings.Join(list, ", ")
}

// validity says until when a certificate is good, and that it is not any more.
func validity(cert *x509.Certificate, now time.Time) string {
	text := "valid until " + cert.NotAfter.UTC().Format(time.DateOnly)
	days := int(cert.NotAfter.Sub(now).Hours() / 24)
	switch {
	case now.After(cert.NotAfter):
		return text + ": EXPIRED"
	case now.Before(cert.NotBefore):
		return text + ", NOT YET VALID before " + cert.NotBefore.UTC().Format(time.DateOnly)
	case days < 21:
		return fmt.Sprintf("%s: in %s", text, count(days, "day"))
	}
	return text
}

// login reports who we are for the server.
func (r *run) login(ctx context.Context, v *delivery.Visit, ep nexthop.Endpoint, err error) {
	session, auth := v.Session(), r.tool.Delivery.Auth
	if session == nil || len(session.Caps().AuthLists) == 0 && auth == nil {
		return
	}
	offered := strings.Join(session.Caps().AuthLists, " ")
	step := Step{Name: "login", Server: ep.Relay(), Result: OK}
	if auth == nil {
		step.Text = "not tried: lmtp_sasl_auth_enable = no; the server offers " + orElse(offered, "nothing")
		r.step(step)
		return
	}
	login, found, lerr := auth.Login(ctx, ep.Host, ep.NexthopText)
	switch {
	case v.LoggedIn():
		step.Text = fmt.Sprintf("logged in as %s by %s", login.Username, r.mechanism())
	case lerr != nil:
		step.Result, step.Text = Failed, fmt.Sprintf("lmtp_sasl_password_maps: %v", lerr)
		step.Cure = "postmap the table; the daemon must be able to read it"
	case !found:
		step.Result = Note
		step.Text = fmt.Sprintf("lmtp_sasl_password_maps has neither %q nor %q: no login is tried", ep.Host, ep.NexthopText)
		step.Cure = "if a login is wanted: an entry for one of these keys, and postmap"
	case offered == "":
		step.Result, step.Text = Warning, fmt.Sprintf("there is a login for %s, but the server does not offer AUTH", login.Username)
		step.Cause = "the server offers AUTH under TLS only, or not at all"
		step.Cure = "lmtp_tls_security_level = encrypt for this server"
	case err != nil:
		d := r.deliverer.Diagnose(ep, err)
		step.Result, step.Text, step.Status = Failed, d.Reason, d.Status
		step.Facts = append(step.Facts, "offered: "+offered, "user: "+login.Username, "security options: "+r.demands(session.TLS() != nil, v.Matched()))
		step.Cause, step.Cure = loginCause(d.Reason, session.TLS() != nil)
	default:
		return
	}
	r.step(step)
}

// mechanism is the one of the last AUTH command, which an earlier step may have
// shown already.
func (r *run) mechanism() string {
	if r.dialog == nil {
		return "?"
	}
	return orElse(r.dialog.mechanism, "?")
}

func (r *run) demands(encrypted, matched bool) string {
	c := r.tool.Config.LMTP
	switch {
	case !encrypted:
		return "lmtp_sasl_security_options = " + c.SASLSecurityOptions
	case matched:
		return "lmtp_sasl_tls_verified_security_options = " + c.SASLTLSVerifiedSecurityOptions
	}
	return "lmtp_sasl_tls_security_options = " + c.SASLTLSSecurityOptions
}
