package delivery

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"postlmtp/internal/lmtp"
	"postlmtp/internal/nexthop"
	"postlmtp/internal/sasl"
)

const (
	hintPause = 10 * time.Minute // until the same hint is logged again
	maxHints  = 256              // different hints that are remembered
)

// hints keeps a hint from being repeated for every message that waits for the
// same dead destination. The zero value is ready.
type hints struct {
	mu   sync.Mutex
	last map[string]time.Time
}

// due tells whether a hint has not been given for a while, and notes that it is
// given now.
func (h *hints) due(text string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if last, given := h.last[text]; given && now.Sub(last) < hintPause {
		return false
	}
	if h.last == nil || len(h.last) >= maxHints {
		h.last = make(map[string]time.Time)
	}
	h.last[text] = now
	return true
}

// hint logs what the operator could do about a failure, if that can be seen from
// here and is not in the recipients' records.
func (j *job) hint(text string) {
	if text != "" && j.d.opt.ExtraLogging && j.d.hints.due(text) {
		j.d.opt.Log.Infof("%s: hint: %s", j.req.QueueID, text)
	}
}

// foundStrange takes the first line of a server that is no reply.
func (j *job) foundStrange(ep nexthop.Endpoint, line string) {
	text := strange(ep, line)
	j.strange = text != ""
	j.hint(text)
}

// strange is what to say of a server whose first line is not LMTP's.
func strange(ep nexthop.Endpoint, line string) string {
	what := lmtp.Stranger(line)
	if what == "" {
		return ""
	}
	return fmt.Sprintf("%s is %s: it begins with \"%.60s\"; %s", ep.Relay(), what, line, rightPlace(ep))
}

// rightPlace says what to look for in place of a wrong destination.
func rightPlace(ep nexthop.Endpoint) string {
	if ep.Network == "unix" {
		return "name the socket of the LMTP server in the destination"
	}
	return "name the port of the LMTP server in the destination (24 and 2525 are usual, 8024 for Mailman, 2003 for Cyrus)"
}

// helloHint looks for the reason why a session did not come about.
func (j *job) helloHint(ep nexthop.Endpoint, s *session, err error) {
	if j.strange {
		return // it is known what is wrong
	}
	greeting := ""
	if s != nil {
		greeting = s.Greeting().Text()
	}
	wrapped := j.d.opt.TLS.WrapperMode
	j.hint(helloHint(ep, greeting, wrapped, err))
}

// helloHint explains a server that did not say hello. Greeting is what it said at
// first.
func helloHint(ep nexthop.Endpoint, greeting string, wrapped bool, err error) string {
	var refused *lmtp.ReplyError
	var conn *lmtp.ConnError
	var plain tls.RecordHeaderError
	switch {
	case errors.As(err, &refused):
		if refused.Stage == lmtp.StageLHLO && refused.Reply.Code/100 == 5 && lmtp.SMTPOnly(greeting) {
			return fmt.Sprintf("%s is an SMTP server, which does not know LHLO: it begins with \"%.60s\"; %s, or use the smtp transport for it",
				ep.Relay(), greeting, rightPlace(ep))
		}
	case wrapped && errors.As(err, &plain):
		return fmt.Sprintf("%s does not begin with TLS, as lmtp_tls_wrappermode = yes has it, but with %q: set it to no, or name the port for TLS",
			ep.Relay(), plain.RecordHeader[:])
	case errors.As(err, &conn) && conn.Stage == lmtp.StageGreeting && conn.Timeout:
		text := ep.Relay() + " accepts the connection and gives no greeting: its processes may all be busy"
		if ep.Network != "unix" && !wrapped {
			text += ", or it waits for TLS from the first byte (lmtp_tls_wrappermode = yes with lmtp_tls_security_level = encrypt)"
		}
		return text
	}
	return ""
}

// loginHint explains a login that did not work, by what the server offered and
// by what the settings leave of that.
func loginHint(ep nexthop.Endpoint, option string, encrypted bool, err error) string {
	var none *sasl.NoMechanismError
	var refused *lmtp.ReplyError
	switch {
	case errors.As(err, &none) && len(none.Weak) == 0:
	case errors.As(err, &none) && encrypted:
		return fmt.Sprintf("%s allows none of the logins that %s offers; noanonymous would allow %s, and TLS hides the password",
			option, ep.Relay(), strings.Join(none.Weak, ", "))
	case errors.As(err, &none):
		return fmt.Sprintf("%s allows none of the logins that %s offers; noanonymous would allow %s, but use that with TLS (lmtp_tls_security_level = encrypt, lmtp_sasl_tls_security_options = noanonymous), or where nobody can listen",
			option, ep.Relay(), strings.Join(none.Weak, ", "))
	case errors.As(err, &refused) && refused.Reply.Code == 535: // RFC 4954 section 6
		return fmt.Sprintf("%s does not take the name and password that lmtp_sasl_password_maps has for %s or %s: correct the entry, and postmap the table",
			ep.Relay(), ep.Host, ep.NexthopText)
	}
	return ""
}
