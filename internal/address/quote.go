package address

import "strings"

// Split cuts an internal address at its last '@'. Without one, all of it is
// the local part and ok is false.
func Split(addr string) (local, domain string, ok bool) {
	at := strings.LastIndexByte(addr, '@')
	if at < 0 {
		return addr, "", false
	}
	return addr[:at], addr[at+1:], true
}

// QuoteEnvelope returns an internal address in the form of RFC 5321 section
// 4.1.2, as sent in MAIL FROM and RCPT TO (lmtp_quote_rfc821_envelope = yes).
// The empty address stays empty.
func QuoteEnvelope(addr string) string {
	if addr == "" {
		return ""
	}
	end := strings.LastIndexByte(addr, '@')
	if end < 0 {
		end = len(addr)
	}
	if isDotString(addr[:end]) {
		return addr
	}
	return quotedString(addr[:end], "\"\\\r\n") + addr[end:]
}

// QuoteHeader returns an internal address in the form of RFC 5322 section
// 3.4.1, as written into headers and, by default, into the mail log. A source
// route in front ("@a:") is left alone. The empty address stays empty.
func QuoteHeader(addr string) string {
	if addr == "" {
		return ""
	}
	start := routeLen(addr)
	end := start + strings.LastIndexByte(addr[start:], '@')
	if end < start {
		end = len(addr)
	}
	if isDotString(addr[start:end]) {
		return addr
	}
	// A line feed is not escaped here, as it is in the envelope form:
	// Postfix makes that difference too.
	return addr[:start] + quotedString(addr[start:end], "\"\\\r") + addr[end:]
}

// QuoteLocal is QuoteHeader for a local part alone.
func QuoteLocal(local string) string {
	if isDotString(local) {
		return local
	}
	return quotedString(local, "\"\\\r")
}

// UnquoteHeader turns an address in header form into internal form: quotes
// and backslashes are removed up to the last '@' outside quotes. It accepts
// any text and reports no syntax errors, as Postfix does.
func UnquoteHeader(text string) string {
	start := routeLen(text)
	var b strings.Builder
	b.Grow(len(text))
	b.WriteString(text[:start])
	quoted := false
	atIn, atOut := -1, -1
	for i := start; i < len(text); i++ {
		switch c := text[i]; c {
		case '"':
			quoted = !quoted
			continue
		case '\\':
			i++
			if i == len(text) {
				continue
			}
		case '@':
			if !quoted {
				atIn, atOut = i, b.Len()
			}
		}
		b.WriteByte(text[i])
	}
	if atIn < 0 {
		return b.String()
	}
	return b.String()[:atOut] + text[atIn:]
}

// routeLen is the length of a source route at the start of an address.
func routeLen(addr string) int {
	if strings.HasPrefix(addr, "@") {
		return strings.IndexByte(addr, ':') + 1
	}
	return 0
}

// isDotString reports whether a local part needs no quoting: atoms with single
// dots between them (RFC 5321 section 4.1.2), where bytes above 127 count as
// atom text.
func isDotString(local string) bool {
	if local == "" || local[0] == '.' || local[len(local)-1] == '.' {
		return false
	}
	for i := 0; i < len(local); i++ {
		switch c := local[i]; {
		case c <= ' ' || c == 0x7f:
			return false
		case c == '.' && local[i+1] == '.': // never last, see above
			return false
		case strings.IndexByte(`<>()[]\,;:@"`, c) >= 0:
			return false
		}
	}
	return true
}

// quotedString puts s between double quotes, with a backslash before each byte
// of escape.
func quotedString(s, escape string) string {
	var b strings.Builder
	b.Grow(len(s) + 4)
	b.WriteByte('"')
	for i := 0; i < len(s); i++ {
		if strings.IndexByte(escape, s[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
	return b.String()
}
