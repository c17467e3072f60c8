// Package posix translates POSIX regular expressions, extended and basic, as
// the C library of GNU systems understands them in the C locale, into the
// expressions of package rx. They are the patterns of tables of type regexp:.
//
// GNU's additions are known: \w \W \s \S \b \B \< \> \` \' and references back,
// and \+ \? \| in basic expressions. What the C library refuses is refused with
// the text of its error.
//
// # Known limits
//
// Whether a key matches is exact, but for one mistake of the C library: without
// Newlines, a ^ or $ that has something in front of it or behind it, as in a.^b,
// matches at lines inside of the key there; here it does not.
//
// Which of several ways to match the same text fills the groups is not exact: the
// C library prefers a longer text for the first group, then for the second; here
// an earlier alternative is preferred. The ambiguity must be in the pattern, as in
// (a|ab)(c|bcd). With references back the whole match need not be the longest
// either.
package posix

import (
	"slices"
	"strconv"
	"strings"

	"postlmtp/internal/table/rx"
)

// Options select the kind of expression.
type Options struct {
	Basic    bool // a basic expression, not an extended one
	Exact    bool // letters match in their own case only
	Newlines bool // ^ and $ match at lines; a dot and [^x] do not match a newline
}

// Compile compiles a pattern.
func Compile(pattern string, opt Options) (*rx.Expression, error) {
	p := &parser{opt: opt, src: pattern}
	p.next(true)
	if err := p.alternatives(0); err != nil {
		return nil, err
	}
	program := rx.Program{Full: string(p.out), Longest: true, Groups: p.groups}
	if !p.backtracks {
		program.Linear = program.Full
	}
	return rx.Compile(program)
}

// An Error is what regcomp(3) refuses a pattern for, in the words of
// regerror(3).
type Error string

// Error implements error.
func (e Error) Error() string { return string(e) }

// The errors, under their names in regex.h.
const (
	BadPat   Error = "Invalid regular expression"
	ECollate Error = "Invalid collation character"
	ECType   Error = "Invalid character class name"
	EEscape  Error = "Trailing backslash"
	ESubReg  Error = "Invalid back reference"
	EBrack   Error = "Unmatched [, [^, [:, [., or [="
	EParen   Error = "Unmatched ( or \\("
	EBrace   Error = "Unmatched \\{"
	BadBR    Error = "Invalid content of \\{\\}"
	ERange   Error = "Invalid range end"
	BadRpt   Error = "Invalid preceding regular expression"
	ESize    Error = "Regular expression too big"
)

// kind is a kind of token.
type kind int

const (
	end kind = iota
	literal
	any
	bracket
	class // \w and its like
	anchor
	backref
	open
	closing
	alt
	repeat // * + ?
	braceOpen
	braceClose
	badEscape
)

type token struct {
	kind kind
	char byte // the character after a backslash, if there is one
}

// maxNesting bounds groups inside of groups.
const maxNesting = 250

// parser translates while it reads. It has one token in hand.
type parser struct {
	opt Options
	src string
	pos int // after the token in hand
	tok token

	out        []byte
	groups     int
	complete   map[int]bool // groups that have ended
	backtracks bool         // only the engine that backtracks can do this
}

// next reads a token. caret says that ^ is an anchor here in a basic expression.
func (p *parser) next(caret bool) {
	if p.pos == len(p.src) {
		p.tok = token{kind: end}
		return
	}
	c := p.src[p.pos]
	p.pos++
	if c == '\\' {
		p.tok = p.escape()
		return
	}
	p.tok = token{p.plain(c, caret), c}
}

// plain tells what a character without a backslash is.
func (p *parser) plain(c byte, caret bool) kind {
	extended := !p.opt.Basic
	switch {
	case c == '[':
		return bracket
	case c == '.':
		return any
	case c == '*':
		return repeat
	case c == '^' && (extended || caret || p.pos == 1):
		return anchor
	case c == '$' && (extended || p.dollarAnchors()):
		return anchor
	case !extended:
		return literal
	case c == '+' || c == '?':
		return repeat
	case c == '{':
		return braceOpen
	case c == '}':
		return braceClose
	case c == '(':
		return open
	case c == ')':
		return closing
	case c == '|':
		return alt
	}
	return literal
}

// dollarAnchors reports whether a $ in a basic expression is at the end of
// something.
func (p *parser) dollarAnchors() bool {
	rest := p.src[p.pos:]
	return rest == "" || strings.HasPrefix(rest, `\)`) || strings.HasPrefix(rest, `\|`)
}

// escape reads what follows a backslash.
func (p *parser) escape() token {
	if p.pos == len(p.src) {
		return token{kind: badEscape}
	}
	c := p.src[p.pos]
	p.pos++
	switch c {
	case '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return token{backref, c}
	case '<', '>', 'b', 'B', '`', '\'':
		return token{anchor, c}
	case 'w', 'W', 's', 'S':
		return token{class, c}
	}
	if p.opt.Basic {
		switch c {
		case '(':
			return token{open, c}
		case ')':
			return token{closing, c}
		case '|':
			return token{alt, c}
		case '{':
			return token{braceOpen, c}
		case '}':
			return token{braceClose, c}
		case '+', '?':
			return token{repeat, c}
		}
	}
	return token{literal, c}
}

// alternatives reads up to the end of the pattern or of the group.
func (p *parser) alternatives(depth int) error {
	if depth > maxNesting {
		return ESize
	}
	for {
		for p.tok.kind != alt && p.tok.kind != end && (depth == 0 || p.tok.kind != closing) {
			if err := p.expression(depth); err != nil {
				return err
			}
		}
		if p.tok.kind != alt {
			return nil
		}
		p.emit("|")
		p.next(true)
	}
}

// expression reads one thing and how often it is repeated.
func (p *parser) expression(depth int) error {
	start := len(p.out)
	switch t := p.tok; t.kind {
	case anchor:
		p.anchor(t.char)
		p.next(false)
		return nil // cannot be repeated
	case open:
		if err := p.group(depth); err != nil {
			return err
		}
	case bracket:
		set, err := p.bracket()
		if err != nil {
			return err
		}
		p.emit(set.String())
	case backref:
		n := int(t.char - '0')
		if !p.complete[n] {
			return ESubReg
		}
		p.reference(n)
	case any:
		var nothing rx.Set
		p.emit(p.withoutNewline(nothing.Not()).String())
	case class:
		p.emit(classSet(t.char).String())
	case badEscape:
		return EEscape
	case repeat, braceOpen:
		if !p.opt.Basic || t.kind == braceOpen {
			return BadRpt
		}
		p.literal(t.char)
	default: // a closing parenthesis that closes nothing is a character too
		p.literal(t.char)
	}
	p.next(false)
	return p.repeats(start)
}

// withoutNewline takes the newline out of a set, if it has a special meaning.
func (p *parser) withoutNewline(s rx.Set) rx.Set {
	if p.opt.Newlines {
		return s.Without(rx.Of("\n"))
	}
	return s
}

func (p *parser) literal(c byte) {
	set := rx.Of(string([]byte{c}))
	if !p.opt.Exact {
		set = set.Fold()
	}
	p.emit(set.String())
}

func classSet(c byte) rx.Set {
	word, _ := rx.Class("alnum")
	word.Add('_')
	space, _ := rx.Class("space")
	switch c {
	case 'w':
		return word
	case 'W':
		return word.Not()
	case 's':
		return space
	}
	return space.Not()
}

func (p *parser) anchor(c byte) {
	lines := p.opt.Newlines
	switch {
	case lines && (c == '^' || c == '$'):
		p.emit("(?m:" + string(c) + ")")
	case c == '^' || c == '`':
		p.emit(`\A`)
	case c == '$' || c == '\'':
		p.emit(`\z`)
	case c == 'b' || c == 'B':
		p.emit(`\` + string(c))
	case c == '<':
		p.emit(`\b(?=[0-9A-Za-z_])`)
		p.backtracks = true
	case c == '>':
		p.emit(`\b(?<=[0-9A-Za-z_])`)
		p.backtracks = true
	}
}

func (p *parser) reference(n int) {
	p.backtracks = true
	text := `\k<` + strconv.Itoa(n) + `>`
	if !p.opt.Exact {
		text = `(?i:` + text + `)`
	}
	p.emit(text)
}

func (p *parser) group(depth int) error {
	p.groups++
	n := p.groups
	p.emit("(")
	p.next(true)
	if err := p.alternatives(depth + 1); err != nil {
		return err
	}
	if p.tok.kind != closing {
		return EParen
	}
	p.emit(")")
	if p.complete == nil {
		p.complete = make(map[int]bool)
	}
	p.complete[n] = true
	return nil
}

// maxRepeats bounds how often what is repeated can be repeated again.
const maxRepeats = 50

// repeats reads what says how often the expression is repeated whose
// translation starts at the given place.
func (p *parser) repeats(start int) error {
	for n := 0; p.tok.kind == repeat || p.tok.kind == braceOpen; n++ {
		if n == maxRepeats {
			return ESize
		}
		suffix := string(p.tok.char)
		if p.tok.kind == braceOpen {
			var err error
			if suffix, err = p.interval(); err != nil {
				return err
			}
		}
		p.out = slices.Insert(p.out, start, []byte("(?:")...)
		p.emit(")" + suffix)
		p.next(false)
		if p.opt.Basic && (p.tok.kind == repeat && p.tok.char == '*' || p.tok.kind == braceOpen) {
			return BadRpt
		}
	}
	return nil
}

func (p *parser) emit(text string) { p.out = append(p.out, text...) }
