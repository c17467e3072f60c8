package maincf

import (
	"cmp"
	"fmt"
	"strings"
)

// operators is how Postfix lists them in a message, misplaced quotes
// included.
const operators = `"==" or "!="" or "<"" or "<="" or ">="" or ">"`

// relation parses and evaluates "{left} op {right}" at the start of s. The
// value is "true" or empty, so that ?text and :text work as with a name.
func (e *expander) relation(s string) (value, rest string, ok bool) {
	left, s, ok := e.payload(s)
	if !ok {
		return "", "", false
	}
	n := len(s) - len(strings.TrimLeft(s, "<>!=?+-*/~&|%"))
	op, s := s[:n], s[n:]
	switch op {
	case "==", "!=", "<", "<=", ">=", ">":
	default:
		return "", "", e.fail("%s expected at: \"...%s}>>>%.20s\"", operators, left, op+s)
	}
	n = 0
	for n < len(s) && isAlnum(s[n]) {
		n++
	}
	suffix, s := s[:n], s[n:]
	if suffix != "" && suffix != "level" {
		return "", "", e.fail("bad operator suffix at: \"...%s>>>%s\"", op, suffix)
	}
	brace := skipBlanks(s)
	if !strings.HasPrefix(brace, "{") {
		return "", "", e.fail("\"{expression}\" expected at: \"...{%s} %s>>>%.20s\"", left, op, s)
	}
	right, rest, ok := e.payload(brace)
	if !ok {
		return "", "", false
	}
	if left, ok = e.expand(left); !ok {
		return "", "", false
	}
	if right, ok = e.expand(right); !ok {
		return "", "", false
	}
	holds, err := compare(left, op, suffix, right)
	if err != nil {
		return "", "", e.fail("%v", err)
	}
	if holds {
		value = "true"
	}
	return value, rest, true
}

// compare evaluates one relation between two expanded operands.
func compare(left, op, suffix, right string) (bool, error) {
	var delta int
	switch {
	case suffix == "level":
		l, err := ParseLevel(left)
		if err != nil {
			return false, err
		}
		r, err := ParseLevel(right)
		if err != nil {
			return false, err
		}
		delta = cmp.Compare(l, r)
	case allDigits(left) && allDigits(right):
		l, _, lok := cLong(left)
		r, _, rok := cLong(right)
		if !lok {
			return false, fmt.Errorf("mac_exp_eval: bad conversion: %s", left)
		}
		if !rok {
			return false, fmt.Errorf("mac_exp_eval: bad conversion: %s", right)
		}
		delta = cmp.Compare(l, r)
	default:
		delta = strings.Compare(left, right)
	}
	switch op {
	case "==":
		return delta == 0, nil
	case "!=":
		return delta != 0, nil
	case "<":
		return delta < 0, nil
	case "<=":
		return delta <= 0, nil
	case ">=":
		return delta >= 0, nil
	default:
		return delta > 0, nil
	}
}

// A Level is a Postfix compatibility level (compatibility_level) in a form
// that can be compared with < and >.
type Level int64

// Bits of the minor number and of the patch number within a Level.
const (
	levelBits = 10
	maxMinor  = 1<<levelBits - 1
	maxMajor  = 1<<(63-2*levelBits) - 1
)

// ParseLevel parses "major", "major.minor" or "major.minor.patch". The error
// is in Postfix's words.
func ParseLevel(text string) (Level, error) {
	var level Level
	rest := text
	for _, part := range []struct{ max, shift int64 }{{maxMajor, 2 * levelBits}, {maxMinor, levelBits}, {maxMinor, 0}} {
		n, after, ok := cLong(rest)
		if !ok || len(after) == len(rest) || n < 0 || n > part.max {
			break
		}
		level |= Level(n << part.shift)
		if after == "" {
			return level, nil
		}
		if after[0] != '.' {
			break
		}
		rest = after[1:]
	}
	return 0, fmt.Errorf("malformed compatibility level syntax: \"%s\"", text)
}

func allDigits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
