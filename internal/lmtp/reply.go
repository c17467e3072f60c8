package lmtp

import "strings"

// A Reply is one complete reply of the server.
type Reply struct {
	Code     int    // of the last line
	Enhanced string // RFC 3463 code, or what stands in for one; never empty in a reply from a server
	// Lines are the lines as they came, codes included, made printable and
	// bounded.
	Lines []string
	// Malformed says that there were lines without a proper reply code. They are
	// among Lines.
	Malformed bool
}

// Text returns the reply as it appears in the log and in bounces: lines joined
// with a space, codes kept.
func (r Reply) Text() string { return strings.Join(r.Lines, " ") }

// Success says that the command was accepted (2xx).
func (r Reply) Success() bool { return r.Code/100 == 2 }

// Suspicious says that the code of a refusal hints at a confused dialog rather
// than at a reason (Postfix's trouble class "protocol"): the session is not to
// be used again.
func (r Reply) Suspicious() bool {
	// 555 is RFC 5321 section 4.1.1.11, parameters not recognized.
	return r.Code < 400 || r.Code > 599 || r.Code == 555 || r.Code >= 500 && r.Code < 510
}

// Masked says that a greeting was made unreadable on the way by a firewall: the
// sign for Postfix's PIX workarounds (lmtp_pix_workarounds).
func (r Reply) Masked() bool {
	for _, line := range r.Lines {
		if strings.Trim(line, "20 *\t") != "" {
			return false
		}
	}
	return true
}
