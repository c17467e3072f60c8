package lmtp

import "strings"

// Stranger names the kind of server that begins a dialog with this line, "an
// IMAP server", as far as it is one that mail is sent to by mistake; "" for one
// that may speak LMTP.
func Stranger(line string) string {
	upper := strings.ToUpper(line)
	for _, kind := range []struct{ start, name string }{
		{"* OK", "an IMAP server"},
		{"* PREAUTH", "an IMAP server"},
		{"* BYE", "an IMAP server"},
		{"+OK", "a POP3 server"},
		{"-ERR", "a POP3 server"},
		{"SSH-", "an SSH server"},
		{`"IMPLEMENTATION"`, "a ManageSieve server"},
		{"HTTP/", "a web server"},
		{"VERSION\t", "Dovecot's authentication service"},
	} {
		if strings.HasPrefix(upper, kind.start) {
			return kind.name
		}
	}
	return ""
}

// SMTPOnly tells whether a greeting is that of an SMTP server, which does not
// know LHLO (RFC 5321 section 4.3.1 has servers say which protocol they speak).
func SMTPOnly(greeting string) bool {
	upper := strings.ToUpper(greeting)
	return strings.Contains(upper, "SMTP") && !strings.Contains(upper, "LMTP")
}
