package address

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestXText(t *testing.T) {
	for _, tt := range []struct{ in, special, want string }{
		{"", "=", ""},
		{"plain", "=", "plain"},
		{"a+b=c d", "=", "a+2Bb+3Dc+20d"},
		{"a+b=c", "", "a+2Bb=c"},
		{"tab\tdel\x7fhigh\xff", "=", "tab+09del+7Fhigh+FF"},
		{"rfc822;user@x", "=", "rfc822;user@x"},
	} {
		got := XText(tt.in, tt.special)
		if got != tt.want {
			t.Errorf("XText(%q, %q) = %q, want %q", tt.in, tt.special, got, tt.want)
		}
		if back, err := decodeXText(got); err != nil || back != tt.in {
			t.Errorf("decodeXText(%q) = %q, %v", got, back, err)
		}
	}
	if got, err := decodeXText("+2b"); err != nil || got != "+" {
		t.Errorf("lower case escape: %q, %v", got, err)
	}
	for _, bad := range []string{"+", "+4", "+4G", "a+x1"} {
		if got, err := decodeXText(bad); err == nil || got != "" {
			t.Errorf("decodeXText(%q) = %q, %v", bad, got, err)
		}
	}
}

func TestUXText(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"utf-8;a+b=c", `utf-8;a\x{2B}b\x{3D}c`},
		{`back\slash`, `back\x{5C}slash`},
		{"jürgen", `j\x{FC}rgen`},
		{"日本", `\x{65E5}\x{672C}`},
		{"😀 \x01", `\x{1F600}\x{20}\x{01}`},
	} {
		got, err := UXText(tt.in, "+=")
		if err != nil || got != tt.want {
			t.Errorf("UXText(%q) = %q, %v, want %q", tt.in, got, err, tt.want)
		}
		if back, err := decodeUXText(got); err != nil || back != tt.in {
			t.Errorf("decodeUXText(%q) = %q, %v", got, back, err)
		}
	}
	if got, err := UXText("bad\xff", "+="); err == nil {
		t.Errorf("malformed UTF-8 encoded as %q", got)
	}
	for _, bad := range []string{`\x{`, `\x{}`, `\x{12`, `\x{zz}`, `\x{110000}`, `\x{D800}`, `\x{FFFFFFFFF}`, `\x{FFFFFFFF}`} {
		if got, err := decodeUXText(bad); err == nil || got != "" {
			t.Errorf("decodeUXText(%q) = %q, %v", bad, got, err)
		}
	}
}

func TestORCPT(t *testing.T) {
	for _, tt := range []struct {
		stored, original string
		smtputf8         bool
		want             string
	}{
		{"", "", false, ""},
		{"rfc822;a+b@x", "ignored@x", false, "rfc822;a+2Bb@x"},
		{"", "a b@x", false, `rfc822;"a+20b"@x`},
		{"", "jürgen@x", false, "rfc822;j+C3+BCrgen@x"},
		{"", "jürgen@x", true, `utf-8;j\x{FC}rgen@x`},
		{"", "\xffx@x", true, "rfc822;+FFx@x"},
		{"UTF-8;jürgen@x", "", false, `UTF-8;j\x{FC}rgen@x`},
		{"utf-8;\xff", "", true, ""},
	} {
		if got := ORCPT(tt.stored, tt.original, tt.smtputf8); got != tt.want {
			t.Errorf("ORCPT(%q, %q, %v) = %q, want %q", tt.stored, tt.original, tt.smtputf8, got, tt.want)
		}
	}
}

func FuzzXText(f *testing.F) {
	f.Add("a+b", "=")
	f.Fuzz(func(t *testing.T, s, special string) {
		if back, err := decodeXText(XText(s, special)); special == "=" && (err != nil || back != s) {
			t.Errorf("%q came back as %q, %v", s, back, err)
		}
		_, _ = decodeXText(s) // must not panic
	})
}

func FuzzUXText(f *testing.F) {
	f.Add(`a\x{41}ü`)
	f.Fuzz(func(t *testing.T, s string) {
		q, err := UXText(s, "+=")
		if (err == nil) != utf8.ValidString(s) {
			t.Fatalf("UXText(%q): %v", s, err)
		}
		if back, derr := decodeUXText(q); err == nil && (derr != nil || back != s) {
			t.Errorf("%q came back as %q, %v", s, back, derr)
		}
		_, _ = decodeUXText(s)
	})
}

// decodeXText reverses [XText]. Hexadecimal digits may be of either case; a
// '+' without two of them is an error.
func decodeXText(s string) (string, error) {
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

// decodeUXText reverses [UXText]. Hexadecimal digits may be of either case. A
// malformed escape, or one that is no Unicode scalar value, is an error.
func decodeUXText(s string) (string, error) {
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
