// Package rules reads tables of patterns: the language that tables of type
// regexp: and pcre: share, whatever their patterns mean.
//
//	/pattern/flags result
//	!/pattern/flags result
//	if /pattern/flags
//	endif
//
// The first rule whose pattern matches the key gives the result, in which $1,
// ${1} and $(1) stand for the text of a group and $$ for a dollar sign. Rules
// between if and endif count only if the key matches the pattern of the if. Any
// character that is not a letter or a digit can stand for the slash.
//
// # Failure policy
//
// A rule that makes no sense is skipped, with a warning in Postfix's words. A
// pattern that runs into the limit of a match is a warning, and the rule does
// not match, as in Postfix. A rule that does make sense, but that nobody here can
// tell about, is not skipped: a lookup that comes to it is an error, because what
// the table answers without the rule may be wrong.
package rules

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"strings"

	"postlmtp/internal/table/rx"
)

// A Matcher is a compiled pattern.
type Matcher interface {
	// Match reports whether a key matches and, if want is above zero, the
	// texts of the groups 0 to want. The error rx.ErrTime says that the key
	// does not match within the limit; others, that nobody can tell.
	Match(key string, want int) (groups []string, matched bool, err error)

	// Groups returns how many groups there are.
	Groups() int
}

// A Dialect is what the two types differ in.
type Dialect struct {
	Kind     string // "regexp" or "pcre"
	Flags    string // the letters that may follow a pattern
	Obsolete string // letters that are accepted with a warning
	Two      bool   // a rule may be /pattern/flags!/pattern/flags
	Unclosed string // the warning's word for what becomes of a rule without end

	// Compile compiles a pattern. The flags are those that were given an odd
	// number of times. The text of an error goes into the warning. An
	// errors.ErrUnsupported is about a good pattern.
	Compile func(pattern, flags string) (Matcher, error)
}

// Options say how a table is read.
type Options struct {
	Dialect
	Name  string                           // of the table, for the log
	NoSub bool                             // refuse $1 in results
	Warn  func(format string, args ...any) // takes the warnings
}

// A Table is a parsed table.
type Table struct {
	opt   Options
	rules []rule
}

type op int

const (
	opMatch op = iota
	opIf
	opEndif
)

// A rule is a line.
type rule struct {
	op     op
	line   int
	first  condition
	second condition // a second one to fulfil, if it has a pattern
	result template
	end    int // of opIf: the index of its opEndif; 0 if there is none
}

type condition struct {
	pattern Matcher
	negated bool
}

// Parse reads the logical lines of a table, with their numbers.
func Parse(lines iter.Seq2[int, string], opt Options) *Table {
	t := &Table{opt: opt}
	var open []int // the ifs that we are inside of
	for number, text := range lines {
		text = strings.TrimRight(text, spaces)
		if text == "" {
			continue
		}
		p := &parser{opt: &t.opt, line: number, rest: text}
		r, ok := p.rule(len(open))
		if !ok {
			continue
		}
		switch r.op {
		case opIf:
			open = append(open, len(t.rules))
		case opEndif:
			t.rules[open[len(open)-1]].end = len(t.rules)
			open = open[:len(open)-1]
		}
		t.rules = append(t.rules, r)
	}
	for i := len(open) - 1; i >= 0; i-- {
		t.warn(t.rules[open[i]].line, "IF has no matching ENDIF")
	}
	return t
}

func (t *Table) warn(line int, format string, args ...any) { warn(&t.opt, line, format, args...) }

func warn(opt *Options, line int, format string, args ...any) {
	opt.Warn("%s map %s, line %d: %s", opt.Kind, opt.Name, line, fmt.Sprintf(format, args...))
}

// Lookup returns the result of the first rule that matches.
func (t *Table) Lookup(key string) (value string, found bool, err error) {
	for i := 0; i < len(t.rules); i++ {
		r := &t.rules[i]
		switch r.op {
		case opMatch:
			groups, ok, err := t.match(r, &r.first, key, r.result.most)
			if ok && r.second.pattern != nil {
				_, ok, err = t.match(r, &r.second, key, 0)
			}
			if err != nil {
				return "", false, err
			}
			if ok {
				return r.result.expand(groups), true, nil
			}
		case opIf:
			_, ok, err := t.match(r, &r.first, key, 0)
			switch {
			case err != nil:
				return "", false, err
			case ok:
				continue
			case r.end == 0:
				return "", false, nil
			}
			i = r.end
		}
	}
	return "", false, nil
}

// match reports whether a condition is fulfilled. At the limit it is not, negated
// or not.
func (t *Table) match(r *rule, c *condition, key string, want int) ([]string, bool, error) {
	groups, matched, err := c.pattern.Match(key, want)
	if err == nil {
		return groups, matched != c.negated, nil
	}
	t.warn(r.line, "%v", err)
	if errors.Is(err, rx.ErrTime) {
		return nil, false, nil
	}
	return nil, false, fmt.Errorf("line %d: %w", r.line, err)
}

// An unknown stands for a pattern that is not supported.
type unknown struct{ err error }

// Match implements Matcher.
func (u unknown) Match(string, int) ([]string, bool, error) { return nil, false, u.err }

// Groups implements Matcher.
func (u unknown) Groups() int { return math.MaxInt }
