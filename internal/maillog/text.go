package maillog

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxText is the longest text of an entry in bytes, without its severity
// prefix. Postfix cuts there for the sake of old syslog daemons.
const maxText = 2000

// severity is a level of Postfix's msg(3).
type severity int

const (
	info severity = iota
	warning
	failure
	fatal
	panicked
)

func (s severity) prefix() string {
	return [...]string{"", "warning: ", "error: ", "fatal: ", "panic: "}[s]
}

// level is the syslog level: Postfix has fatal and panic both at LOG_CRIT.
func (s severity) level() int {
	return [...]int{6, 4, 3, 2, 2}[s]
}

// facilityCode returns the number of a syslog_facility, shifted into place.
func facilityCode(name string) (int, bool) {
	names := []string{"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news",
		"uucp", "cron", "authpriv", "ftp", "", "", "", "",
		"local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"}
	for i, n := range names {
		if n != "" && n == name {
			return i << 3, true
		}
	}
	return 0, false
}

// printable replaces by '?' every byte that is neither printable ASCII nor,
// with allowUTF8, part of a valid UTF-8 character outside ASCII. A malformed
// sequence costs its first byte only, as in Postfix. Unlike in Postfix, so do
// characters that command terminals and readers of logs: the controls from
// U+0080 on, line ends, and the direction of writing.
func printable(s string, allowUTF8 bool) string {
	clean := true
	for i := 0; i < len(s) && clean; i++ {
		clean = s[i] >= ' ' && s[i] <= '~'
	}
	if clean {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); {
		c := s[i]
		size := 1
		switch {
		case c >= ' ' && c <= '~':
			b.WriteByte(c)
		case c < utf8.RuneSelf || !allowUTF8:
			b.WriteByte('?')
		default:
			var r rune
			if r, size = utf8.DecodeRuneInString(s[i:]); r == utf8.RuneError && size == 1 || commands(r) {
				b.WriteByte('?')
			} else {
				b.WriteString(s[i : i+size])
			}
		}
		i += size
	}
	return b.String()
}

// commands tells whether a character beyond ASCII is an order rather than text.
func commands(r rune) bool {
	return r < 0xa0 || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
}

// cut shortens s to at most n bytes and never inside a UTF-8 character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// firstLabel is the part of a host name before the first dot.
func firstLabel(host string) string {
	label, _, _ := strings.Cut(host, ".")
	return orElse(printable(label, true), "amnesiac")
}
