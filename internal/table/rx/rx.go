// Package rx matches regular expressions over bytes, for tables of type regexp:
// and pcre:. Postfix compiles patterns without regard to any character
// encoding, so a dot is one byte; Go's engines know characters. Here bytes from
// 128 become characters of Unicode's private use area, which no class and no
// case folding touches.
//
// # Engines
//
// A translator writes an expression in the syntax that both engines share.
// Where it can, for Go's own engine, whose time is linear in the length of the
// key. Only what needs more (references back, looking around) goes to an engine
// that backtracks, whose time is bounded by MatchTime: a match that takes
// longer is an error, as it is with PCRE's limit of steps. Processor time
// counts: what a rule says must not depend on what else the machine does. A match
// that would take Go's engine many seconds is one for the other engine, too.
package rx

import (
	"errors"
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

// maxExpression bounds the length of an expression after translation, in bytes.
const maxExpression = 1 << 20

// A Program is an expression as a translator wrote it.
type Program struct {
	Linear  string // for Go's engine; empty: it cannot do that
	Full    string // for the engine that backtracks
	Groups  int    // how many groups there are
	Longest bool   // prefer the leftmost-longest match, where the engine can

	EndOnly   bool // Linear holds only for keys that do not end in a newline
	Uncertain bool // Linear matches the same keys, but groups can be others
}

// An Expression is a compiled regular expression.
type Expression struct {
	linear *regexp.Regexp // nil: use full
	size   int            // of linear, in instructions
	full   *backtracker

	program Program
}

// Compile compiles a program. An expression that is too large for Go's engine
// is given to the other one. One that no engine takes is errors.ErrUnsupported.
func Compile(p Program) (*Expression, error) {
	if len(p.Full) > maxExpression {
		return nil, unsupported{errors.New("regular expression is too large")}
	}
	e := &Expression{program: p, full: newBacktracker(p.Full)}
	if p.Linear != "" {
		if re, err := regexp.Compile(p.Linear); err == nil {
			if p.Longest {
				re.Longest()
			}
			e.linear, e.size = re, size(p.Linear)
		}
	}
	if e.linear == nil {
		if err := e.full.compile(); err != nil {
			return nil, unsupported{err}
		}
	}
	return e, nil
}

// size returns how many instructions an expression has: each may look at each
// byte of a key.
func size(expr string) int {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return 0
	}
	program, err := syntax.Compile(re.Simplify())
	if err != nil {
		return 0
	}
	return len(program.Inst)
}

// maxWork bounds the product of the size of an expression and the length of a
// key for Go's engine, which takes some 20 ns for one and cannot be interrupted.
const maxWork = 400_000_000

// fits reports whether Go's engine can match a key in time, and correctly.
func (e *Expression) fits(key string) bool {
	return e.linear != nil && e.size*len(key) <= maxWork && !(e.program.EndOnly && strings.HasSuffix(key, "\n"))
}

// unsupported makes an error errors.ErrUnsupported, without a word.
type unsupported struct{ error }

func (unsupported) Is(target error) bool { return target == errors.ErrUnsupported }

// Groups returns how many groups the expression has.
func (e *Expression) Groups() int { return e.program.Groups }

// Match reports whether the key matches. With want above zero it also returns
// the texts of the groups 0 to want, which are empty for groups that did not
// take part.
func (e *Expression) Match(key string, want int) (groups []string, matched bool, err error) {
	if !e.fits(key) {
		return e.matchFull(key, want)
	}
	if want > 0 && e.program.Uncertain {
		if _, matched = e.matchLinear(key, 0); !matched {
			return nil, false, nil
		}
		return e.matchFull(key, want)
	}
	groups, matched = e.matchLinear(key, want)
	return groups, matched, nil
}

func (e *Expression) matchLinear(key string, want int) ([]string, bool) {
	key = encode(key)
	if want == 0 {
		return nil, e.linear.MatchString(key)
	}
	at := e.linear.FindStringSubmatchIndex(key)
	if at == nil {
		return nil, false
	}
	groups := make([]string, want+1)
	for i := range groups {
		if 2*i+1 < len(at) && at[2*i] >= 0 {
			groups[i] = decode(key[at[2*i]:at[2*i+1]])
		}
	}
	return groups, true
}

func (e *Expression) matchFull(key string, want int) ([]string, bool, error) {
	runes := make([]rune, len(key))
	for i := range runes {
		runes[i] = wide(key[i])
	}
	m, err := e.full.match(runes)
	switch {
	case err != nil:
		return nil, false, err
	case m == nil:
		return nil, false, nil
	case want == 0:
		return nil, true, nil
	}
	groups := make([]string, want+1)
	for i := range groups {
		if g := m.GroupByNumber(i); g != nil && len(g.Captures) > 0 {
			groups[i] = key[g.Index : g.Index+g.Length]
		}
	}
	return groups, true, nil
}

// private is the character that stands for the byte 0; those for 128 and above
// are used.
const private = 0xE000

// wide returns the character that stands for a byte.
func wide(c byte) rune {
	if c < utf8.RuneSelf {
		return rune(c)
	}
	return private + rune(c)
}

// encode returns the characters that stand for the bytes of s.
func encode(s string) string {
	i := 0
	for i < len(s) && s[i] < utf8.RuneSelf {
		i++
	}
	if i == len(s) {
		return s
	}
	b := make([]byte, 0, len(s)+8)
	for i := 0; i < len(s); i++ {
		b = utf8.AppendRune(b, wide(s[i]))
	}
	return string(b)
}

// decode is the opposite of encode.
func decode(s string) string {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		if r >= private {
			r -= private
		}
		b = append(b, byte(r))
	}
	return string(b)
}
