package content

import (
	"bytes"
	"strings"

	"postlmtp/internal/address"
)

// Rewrite maps an address in internal form (lmtp_generic_maps). It reports
// false for an address that stays as it is.
type Rewrite func(addr string) (mapped string, changed bool, err error)

// GenericError reports an address of a header that could not be mapped.
type GenericError struct{ Err error }

// Error implements error.
func (e *GenericError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *GenericError) Unwrap() error { return e.Err }

// isAddressHeader tells whether a header has addresses that are rewritten.
func isAddressHeader(name []byte) bool {
	switch strings.ToLower(string(name)) {
	case "from", "sender", "reply-to", "to", "cc", "bcc", "apparently-to",
		"resent-from", "resent-sender", "resent-reply-to", "resent-to", "resent-cc", "resent-bcc",
		"return-path", "return-receipt-to", "errors-to", "disposition-notification-to", "mail-followup-to":
		return true
	}
	return false
}

// rewriteHeader maps the addresses of a header, folded lines of which are
// separated by line feeds. A header without an address that changes stays as it
// is, byte by byte; any other is written anew.
func rewriteHeader(text []byte, generic Rewrite, log Logger) ([]byte, error) {
	n := headerNameLen(text)
	if !isAddressHeader(text[:n]) { // a check has put something else into its place
		return text, nil
	}
	_, value, _ := bytes.Cut(text, []byte(":"))
	list := address.ParseList(string(value))
	any := false
	for _, item := range list.Items() {
		addr := item.Internal()
		mapped, changed, err := generic(addr)
		if err != nil {
			return nil, &GenericError{err}
		}
		if changed {
			addr, any = mapped, true
		}
		item.Set(addr)
	}
	if !any {
		return text, nil
	}
	value = append(text[:n:n], ": "...)
	value = append(value, list.Header(func(part string) {
		log.Warningf("stripping too many comments from address: %.100s...", part)
	})...)
	return foldList(value), nil
}

// foldedLine is how long a line of a rewritten header may get when another
// address is added to it, in bytes.
const foldedLine = 70

// foldList takes a header with one address on each line, puts as many on a line
// as fit, and a tab in front of lines that go on.
func foldList(text []byte) []byte {
	var out []byte
	start := 0 // of the line in out
	for i, line := range bytes.Split(text, []byte("\n")) {
		switch {
		case i == 0:
		case len(out)-start+1+len(line) < foldedLine:
			out = append(out, ' ')
		default:
			out = append(out, '\n')
			if len(line) == 0 || !isBlank(line[0]) {
				out = append(out, '\t')
			}
			start = len(out) // the tab does not count
		}
		out = append(out, line...)
	}
	return out
}
