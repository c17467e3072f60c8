package rx

import "strings"

// A Set is a set of bytes.
type Set [4]uint64

// Of returns the set of the bytes of a string.
func Of(chars string) Set {
	var s Set
	for i := 0; i < len(chars); i++ {
		s.Add(chars[i])
	}
	return s
}

// Range returns the set of the bytes from lo to hi, both included.
func Range(lo, hi byte) Set {
	var s Set
	for c := int(lo); c <= int(hi); c++ {
		s.Add(byte(c))
	}
	return s
}

// Add adds a byte.
func (s *Set) Add(c byte) { s[c/64] |= 1 << (c % 64) }

// Has reports whether a byte is in the set.
func (s Set) Has(c byte) bool { return s[c/64]&(1<<(c%64)) != 0 }

// Union returns the set of what is in either set.
func (s Set) Union(t Set) Set { return Set{s[0] | t[0], s[1] | t[1], s[2] | t[2], s[3] | t[3]} }

// Not returns the set of what is not in s.
func (s Set) Not() Set { return Set{^s[0], ^s[1], ^s[2], ^s[3]} }

// Without returns the set of what is in s and not in t.
func (s Set) Without(t Set) Set { return s.Not().Union(t).Not() }

// Fold returns the set with the other case of each ASCII letter added.
func (s Set) Fold() Set {
	for c := byte('a'); c <= 'z'; c++ {
		if upper := c - 'a' + 'A'; s.Has(c) || s.Has(upper) {
			s.Add(c)
			s.Add(upper)
		}
	}
	return s
}

// Class returns the bytes of a class of characters in the C locale, as it is
// named in [:name:]; false if there is none of the name.
func Class(name string) (Set, bool) {
	lower, upper, digit := Range('a', 'z'), Range('A', 'Z'), Range('0', '9')
	letter := lower.Union(upper)
	graph := Range('!', '~')
	switch name {
	case "alpha":
		return letter, true
	case "lower":
		return lower, true
	case "upper":
		return upper, true
	case "digit":
		return digit, true
	case "alnum":
		return letter.Union(digit), true
	case "xdigit":
		return Of("0123456789abcdefABCDEF"), true
	case "space":
		return Of(" \t\n\v\f\r"), true
	case "blank":
		return Of(" \t"), true
	case "cntrl":
		return Range(0, 31).Union(Of("\x7f")), true
	case "print":
		return Range(' ', '~'), true
	case "graph":
		return graph, true
	case "punct":
		return graph.Without(letter.Union(digit)), true
	}
	return Set{}, false
}

// String returns the set as a character class that both engines understand.
func (s Set) String() string {
	n := 0
	for c := range 256 {
		if s.Has(byte(c)) {
			n++
		}
	}
	switch {
	case n == 256:
		return `(?s:.)`
	case n == 0:
		return "[^\\x00-\U0010FFFF]"
	case n > 128:
		return "[^" + s.Not().ranges() + "]"
	}
	return "[" + s.ranges() + "]"
}

func (s Set) ranges() string {
	var b strings.Builder
	for lo := 0; lo < 256; lo++ {
		if !s.Has(byte(lo)) {
			continue
		}
		hi := lo
		for hi < 255 && s.Has(byte(hi+1)) && (hi+1 != 128) {
			hi++
		}
		b.WriteString(char(byte(lo)))
		if hi > lo {
			b.WriteString("-" + char(byte(hi)))
		}
		lo = hi
	}
	return b.String()
}

const hexDigits = "0123456789ABCDEF"

// char returns a byte as it is written inside a class.
func char(c byte) string {
	if c < 128 {
		return `\x` + hexDigits[c>>4:c>>4+1] + hexDigits[c&15:c&15+1]
	}
	return string(wide(c))
}
