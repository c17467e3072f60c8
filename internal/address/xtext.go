package address

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

const upperHex = "0123456789ABCDEF"

// XText encodes s as RFC 3461 section 4 xtext: bytes up to 32, from 127 on,
// '+' and all bytes of special become "+HH". ENVID and ORCPT take "=" as
// special; XFORWARD takes none, so that '=' stays literal there.
func XText(s, special string) string {
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c > ' ' && c < 0x7f && c != '+' && strings.IndexByte(special, c) < 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('+')
		b.WriteByte(upperHex[c>>4])
		b.WriteByte(upperHex[c&15])
	}
	return b.String()
}

// UXText encodes s as RFC 6533 utf-8-addr-xtext: code points up to 32, from
// 127 on, the backslash and all bytes of special become "\x{HEX}". It fails
// when s is not valid UTF-8.
func UXText(s, special string) (string, error) {
	if !utf8.ValidString(s) {
		return "", errors.New("encode uxtext: malformed UTF-8")
	}
	var b strings.Builder
	b.Grow(len(s))
	for _, r := range s {
		if r > ' ' && r < 0x7f && r != '\\' && !strings.ContainsRune(special, r) {
			b.WriteByte(byte(r))
			continue
		}
		fmt.Fprintf(&b, `\x{%02X}`, r)
	}
	return b.String(), nil
}

// ORCPT returns the value of the ORCPT= parameter of RCPT TO (RFC 3461 section
// 4.2, RFC 6533 section 3), or "" when none must be sent.
//
// stored is the recipient's dsn_orcpt attribute ("type;address", decoded),
// original its address as it was before aliases, in internal form, used only
// when stored is empty. smtputf8 says that any SMTPUTF8 bit is set in the
// request: only then may a computed value be of type utf-8.
func ORCPT(stored, original string, smtputf8 bool) string {
	if stored == "" {
		if original == "" {
			return ""
		}
		stored = "rfc822;" + QuoteHeader(original)
		if smtputf8 && !IsASCII(original) && utf8.ValidString(original) {
			stored = "utf-8;" + QuoteHeader(original)
		}
	}
	const utf8Type = "utf-8;"
	if len(stored) >= len(utf8Type) && strings.EqualFold(stored[:len(utf8Type)], utf8Type) {
		value, err := UXText(stored, "+=")
		if err != nil {
			return "" // better no ORCPT than a false one
		}
		return value
	}
	return XText(stored, "=")
}
