package table

import (
	"errors"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/cases"
)

// errUTF8 is Postfix's description of text that is not UTF-8.
var errUTF8 = errors.New("malformed UTF-8 or invalid codepoint")

func ascii(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// Fold returns text in the form in which names are compared without regard to
// case: ASCII letters in lower case and, if unicode is set, Unicode's full case
// folding for other text, where bytes that are not UTF-8 stay as they are.
func Fold(s string, unicode bool) string {
	switch {
	case !unicode || ascii(s):
		return lower(s)
	case utf8.ValidString(s):
		return cherokee(cases.Fold().String(s))
	}
	var folded []byte
	caser := cases.Fold()
	start := 0
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			folded = append(append(folded, cherokee(caser.String(s[start:i]))...), s[i])
			start = i + 1
		}
		i += n
	}
	return string(append(folded, cherokee(caser.String(s[start:]))...))
}

// cherokee mends folded text. Cherokee, whose small letters are younger than its
// capitals, is folded to capitals (Unicode, CaseFolding.txt); package cases has
// small letters in place of capitals, and the other way round.
func cherokee(folded string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 0xAB70 && r <= 0xABBF:
			return r - 0xAB70 + 0x13A0
		case r >= 0x13F8 && r <= 0x13FD:
			return r - 8
		}
		return r
	}, folded)
}

// lower folds the letters A to Z only.
func lower(s string) string {
	for i := 0; i < len(s); i++ {
		if s[i] >= 'A' && s[i] <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if b[i] >= 'A' && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}
