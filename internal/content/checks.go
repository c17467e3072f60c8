package content

import (
	"fmt"
	"strings"

	"postlmtp/internal/queuefile"
)

// A Lookup finds text in the tables of a parameter. It logs its failures
// itself.
type Lookup func(text string) (result string, found bool, err error)

// Checks are the tables that inspect a message on its way out. A nil Lookup is
// no check.
type Checks struct {
	Header       Lookup // lmtp_header_checks: headers of the message
	MIMEHeader   Lookup // lmtp_mime_header_checks: MIME headers, wherever they are
	NestedHeader Lookup // lmtp_nested_header_checks: headers of attached messages
	Body         Lookup // lmtp_body_checks: each record of the body
	LogLength    int    // how many bytes of a header or line are logged; 0: 200
}

// A Logger takes lines of the mail log.
type Logger interface {
	Infof(format string, args ...any)
	Warningf(format string, args ...any)
}

// CheckError reports a table of the checks that cannot tell: the message must
// not go out unchecked.
type CheckError struct {
	Where string // "header" or "body"
	Err   error
}

// Error implements error, in Postfix's words.
func (e *CheckError) Error() string { return "smtp " + e.Where + " checks lookup error" }

// Unwrap returns the cause.
func (e *CheckError) Unwrap() error { return e.Err }

// Partial says that the server gets what was written before.
func (e *CheckError) Partial() bool { return true }

func (c *Checks) headers() bool {
	return c.Header != nil || c.MIMEHeader != nil || c.NestedHeader != nil
}

func (c *Checks) any() bool { return c.headers() || c.Body != nil }

// lookup returns the check for headers of a class, and its parameter.
func (c *Checks) lookup(class headerClass) (Lookup, string) {
	switch class {
	case primaryHeader:
		return c.Header, "lmtp_header_checks"
	case mimeHeader:
		return c.MIMEHeader, "lmtp_mime_header_checks"
	case nestedHeader:
		return c.NestedHeader, "lmtp_nested_header_checks"
	}
	return c.Body, "lmtp_body_checks"
}

// verdict is what becomes of a header or a line.
type verdict int

const (
	keep verdict = iota
	drop
	replace // by the text
	prepend // the text, in front of it
)

// check looks text up and carries out the action as far as it is logging
// (header_checks(5)). Actions other than these have no place in a delivery
// agent, where the message is accepted already.
func (e *editor) check(class headerClass, text []byte) (verdict, string, error) {
	find, param := e.checks.lookup(class)
	if find == nil {
		return keep, "", nil
	}
	where := "header"
	if class == noHeader {
		where = "body"
	}
	content := string(cutNUL(text))
	action, found, err := find(content)
	if err != nil {
		return keep, "", &CheckError{Where: where, Err: err}
	}
	if !found {
		return keep, "", nil
	}
	verb, rest := action, ""
	if i := strings.IndexAny(action, " \t"); i >= 0 {
		verb, rest = action[:i], strings.TrimLeft(action[i:], " \t\n\v\f\r")
	}
	l := checkLog{e, param, where, content, rest}
	switch verb := strings.ToUpper(verb); verb {
	case "WARN":
		l.info("warning")
	case "INFO":
		l.info("info")
	case "REPLACE", "PREPEND":
		if !l.usable(verb) {
			return keep, "", nil
		}
		l.info(strings.ToLower(verb))
		if verb == "REPLACE" {
			return replace, rest, nil
		}
		return prepend, rest, nil
	case "STRIP":
		l.info("strip")
		return drop, "", nil
	case "IGNORE":
		return drop, "", nil
	case "DUNNO", "OK":
	default:
		e.log.Warningf("unsupported command in %s map: %s", param, action)
	}
	return keep, "", nil
}

// checkLog words what a check did.
type checkLog struct {
	e                           *editor
	param, where, content, text string
}

func (l *checkLog) info(action string) {
	limit := l.e.checks.LogLength
	if limit <= 0 {
		limit = 200
	}
	line := fmt.Sprintf("%s: %s: %s %s", l.e.queueID, action, l.where, l.content[:min(limit, len(l.content))])
	if l.text != "" {
		line += ": " + l.text
	}
	l.e.log.Infof("%s", line)
}

// usable tells whether the text of REPLACE or PREPEND can be put into its place.
func (l *checkLog) usable(verb string) bool {
	switch {
	case l.text == "":
		l.e.log.Warningf("%s action without text in %s map", verb, l.param)
	case l.where == "header" && headerNameLen([]byte(l.text)) == 0:
		l.e.log.Warningf("bad %s header text \"%s\" in %s map -- need \"headername: headervalue\"", verb, l.text, l.param)
	default:
		return true
	}
	return false
}

// editor is the sink between the MIME stage and the wire: checks first, then
// the rewriting of addresses.
type editor struct {
	out     *wire
	checks  *Checks
	generic Rewrite
	log     Logger
	queueID string
}

// checked does to a header or a body line what the check says. It returns the
// text to send, and false if there is none.
func (e *editor) checked(class headerClass, text []byte) ([]byte, bool, error) {
	what, other, err := e.check(class, text)
	switch {
	case err != nil || what == drop:
		return nil, false, err
	case what == prepend:
		if err := e.out.body(queuefile.TypeLine, []byte(other)); err != nil {
			return nil, false, err
		}
	case what == replace:
		text = []byte(other)
	}
	return text, true, nil
}

func (e *editor) header(class headerClass, text []byte) error {
	name := text[:headerNameLen(text)]
	text, keep, err := e.checked(class, text)
	if err != nil || !keep {
		return err
	}
	if e.generic != nil && class == primaryHeader && isAddressHeader(name) {
		if text, err = rewriteHeader(text, e.generic, e.log); err != nil {
			return err
		}
	}
	return e.out.header(class, text)
}

func (e *editor) body(typ byte, text []byte) error {
	text, keep, err := e.checked(noHeader, text)
	if err != nil || !keep {
		return err
	}
	return e.out.body(typ, text)
}
