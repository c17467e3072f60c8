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

// DecodeXText reverses [XText]. Hexadecimal digits may be of either case; a
// '+' without two of them is an error.
func DecodeXText(s string) (string, error) {
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '+' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", errors.New("decode xtext: truncated escape at the end")
		}
		hi, lo := hexValue(s[i+1]), hexValue(s[i+2])
		if hi < 0 || lo < 0 {
			return "", fmt.Errorf("decode xtext: bad escape %q", s[i:i+3])
		}
		b.WriteByte(byte(hi<<4 | lo))
		i += 2
	}
	return b.String(), nil
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

// DecodeUXText reverses [UXText]. Hexadecimal digits may be of either case. A
// malformed escape, or one that is no Unicode scalar value, is an error.
func DecodeUXText(s string) (string, error) {
	var b strings.Builder
	b.Grow(len(s))
	for {
		before, rest, found := strings.Cut(s, `\x{`)
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		digits, after, closed := strings.Cut(rest, "}")
		if !closed || digits == "" || len(digits) > 8 {
			return "", errors.New("decode uxtext: malformed escape")
		}
		var r rune
		for i := 0; i < len(digits); i++ {
			v := hexValue(digits[i])
			if v < 0 || r > utf8.MaxRune {
				return "", fmt.Errorf("decode uxtext: bad escape %q", digits)
			}
			r = r<<4 | rune(v)
		}
		if !utf8.ValidRune(r) {
			return "", fmt.Errorf("decode uxtext: escape %q is not a character", digits)
		}
		b.WriteRune(r)
		s = after
	}
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

func hexValue(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
