package maincf

import (
	"errors"
	"math"
	"time"
)

// ErrSyntax is what the Parse functions for single values return. The caller
// knows the name of the parameter and words the message.
var ErrSyntax = errors.New("bad value")

// ParseTime parses a time value: a number and a unit of s (seconds),
// m (minutes), h (hours), d (days) or w (weeks). A value without a unit is in
// the given one. As in Postfix anything may follow the unit's letter, a unit
// alone means zero, and the result must be below 2^31 seconds.
func ParseTime(text string, unit byte) (time.Duration, error) {
	n, rest, ok := cLong(text)
	if text == "" || !ok || n < 0 || n > math.MaxInt32 {
		return 0, ErrSyntax
	}
	if rest != "" {
		unit = rest[0]
	}
	var seconds int64
	switch unit {
	case 's':
		return time.Duration(n) * time.Second, nil
	case 'm':
		seconds = 60
	case 'h':
		seconds = 60 * 60
	case 'd':
		seconds = 24 * 60 * 60
	case 'w':
		seconds = 7 * 24 * 60 * 60
	default:
		return 0, ErrSyntax
	}
	if n >= math.MaxInt32/seconds {
		return 0, ErrSyntax
	}
	return time.Duration(n*seconds) * time.Second, nil
}

// TimeUnit returns the unit of a default time value: its first letter, or
// zero if it has none.
func TimeUnit(text string) byte {
	for i := 0; i < len(text); i++ {
		if c := text[i] | 0x20; 'a' <= c && c <= 'z' {
			return text[i]
		}
	}
	return 0
}

// ParseInt parses a decimal number of 32 bits, with an optional sign.
func ParseInt(text string) (int, error) {
	n, err := ParseLong(text)
	if err != nil || n < math.MinInt32 || n > math.MaxInt32 {
		return 0, ErrSyntax
	}
	return int(n), nil
}

// ParseLong parses a decimal number of 64 bits, with an optional sign.
func ParseLong(text string) (int64, error) {
	n, rest, ok := cLong(text)
	if text == "" || rest != "" || !ok {
		return 0, ErrSyntax
	}
	return n, nil
}

// ParseBool parses "yes" or "no" in any case.
func ParseBool(text string) (bool, error) {
	// strings.EqualFold would also accept non-ASCII look-alikes.
	switch {
	case len(text) == 3 && text[0]|0x20 == 'y' && text[1]|0x20 == 'e' && text[2]|0x20 == 's':
		return true, nil
	case len(text) == 2 && text[0]|0x20 == 'n' && text[1]|0x20 == 'o':
		return false, nil
	}
	return false, ErrSyntax
}

// cLong is strtol(3) with base 10: white space, a sign, digits. Without any
// digits the number is zero and rest is all of s. It is not ok if the number
// does not fit into 64 bits.
func cLong(s string) (n int64, rest string, ok bool) {
	i := 0
	for i < len(s) && isSpace(s[i]) {
		i++
	}
	negative := false
	if i < len(s) && (s[i] == '+' || s[i] == '-') {
		negative = s[i] == '-'
		i++
	}
	start := i
	ok = true
	for ; i < len(s) && '0' <= s[i] && s[i] <= '9'; i++ {
		d := int64(s[i] - '0')
		if n < (math.MinInt64+d)/10 { // counted below zero, where the range is larger by one
			ok = false
			continue
		}
		n = n*10 - d
	}
	if i == start {
		return 0, s, true
	}
	if !negative {
		if n == math.MinInt64 {
			return math.MaxInt64, s[i:], false
		}
		n = -n
	}
	return n, s[i:], ok
}
