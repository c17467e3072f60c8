package address

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/cases"
)

// IsASCII reports whether s has no byte above 127.
func IsASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// Fold returns s in the form used to compare addresses without regard to case.
// ASCII letters become lower case; with utf8Enabled (smtputf8_enable = yes)
// and other text, full Unicode case folding applies, and bytes that are not
// valid UTF-8 stay as they are.
func Fold(s string, utf8Enabled bool) string {
	switch {
	case !utf8Enabled || IsASCII(s):
		return lowerASCII(s)
	case utf8.ValidString(s):
		return cases.Fold().String(s)
	}
	return foldMixed(s)
}

// EqualFold reports whether two addresses are the same but for case. It
// decides whether the mail log shows orig_to=<...>.
func EqualFold(a, b string, utf8Enabled bool) bool {
	return a == b || Fold(a, utf8Enabled) == Fold(b, utf8Enabled)
}

// foldMixed folds the valid stretches of text that has malformed UTF-8 in it.
func foldMixed(s string) string {
	caser := cases.Fold()
	var b strings.Builder
	start := 0
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			b.WriteString(caser.String(s[start:i]))
			b.WriteByte(s[i])
			start = i + 1
		}
		i += n
	}
	b.WriteString(caser.String(s[start:]))
	return b.String()
}

// lowerASCII lowers the letters A to Z only: strings.ToLower would also touch
// other letters, and replace malformed UTF-8.
func lowerASCII(s string) string {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c >= 'A' && c <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if c := b[i]; c >= 'A' && c <= 'Z' {
					b[i] = c + 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}
