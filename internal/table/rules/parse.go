package rules

import (
	"errors"
	"slices"
	"strings"
)

const spaces = " \t\n\v\f\r"

func isSpace(c byte) bool { return strings.IndexByte(spaces, c) >= 0 }

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// parser reads one line. A method that returns false has logged why.
type parser struct {
	opt  *Options
	line int
	rest string
}

func (p *parser) warn(format string, args ...any) { warn(p.opt, p.line, format, args...) }

func (p *parser) skipSpace() { p.rest = strings.TrimLeft(p.rest, spaces) }

// keyword skips a word at the start of the line, in any case.
func (p *parser) keyword(word string) bool {
	if len(p.rest) < len(word) || !strings.EqualFold(p.rest[:len(word)], word) {
		return false
	}
	rest := p.rest[len(word):]
	if rest != "" && isAlnum(rest[0]) {
		return false
	}
	p.rest = rest
	return true
}

// rule reads the line; nesting is how many ifs it is inside of.
func (p *parser) rule(nesting int) (rule, bool) {
	switch {
	case !isAlnum(p.rest[0]):
		return p.match()
	case p.keyword("IF"):
		return p.conditional()
	case p.keyword("ENDIF"):
		if nesting == 0 {
			p.warn("ignoring ENDIF without matching IF")
			return rule{}, false
		}
		if p.skipSpace(); p.rest != "" {
			p.warn("ignoring extra text after ENDIF")
		}
		return rule{op: opEndif, line: p.line}, true
	}
	p.warn("ignoring unrecognized request")
	return rule{}, false
}

func (p *parser) conditional() (rule, bool) {
	p.skipSpace()
	s, ok := p.pattern()
	if !ok {
		return rule{}, false
	}
	if p.skipSpace(); p.rest != "" {
		p.warn("ignoring extra text after IF statement: \"%s\"", p.rest)
		p.warn("do not prepend whitespace to statements between IF and ENDIF")
	}
	c, ok := p.compile(s)
	return rule{op: opIf, line: p.line, first: c}, ok
}

func (p *parser) match() (rule, bool) {
	first, ok := p.pattern()
	if !ok {
		return rule{}, false
	}
	var second source
	two := p.opt.Two && strings.HasPrefix(p.rest, "!")
	if two {
		if second, ok = p.pattern(); !ok {
			return rule{}, false
		}
	}
	if p.skipSpace(); p.rest == "" {
		p.warn("no replacement text: using empty string")
	}
	r := rule{line: p.line}
	if r.result, ok = p.template(p.rest); !ok {
		p.warn("bad replacement syntax: skipping this rule")
		return rule{}, false
	}
	switch {
	case r.result.most > 0 && first.negated:
		p.warn("$number found in negative match replacement text: skipping this rule")
		return rule{}, false
	case r.result.most > 0 && p.opt.NoSub:
		p.warn("regular expression substitution is not allowed: skipping this rule")
		return rule{}, false
	}
	if r.first, ok = p.compile(first); !ok {
		return rule{}, false
	}
	if r.result.most > r.first.pattern.Groups() {
		p.warn("out of range replacement index \"%d\": skipping this rule", r.result.most)
		return rule{}, false
	}
	if two {
		r.second, ok = p.compile(second)
	}
	return r, ok
}

// source is a pattern before it is compiled.
type source struct {
	text    string
	flags   string
	negated bool
}

func (p *parser) compile(s source) (condition, bool) {
	m, err := p.opt.Compile(s.text, s.flags)
	if errors.Is(err, errors.ErrUnsupported) {
		p.warn("%v: lookups that come to this rule fail; specify \"proxy:%s:%s\" instead", err, p.opt.Kind, p.opt.Name)
		return condition{pattern: unknown{err}}, true
	}
	if err != nil {
		p.warn("%v", err)
		return condition{}, false
	}
	return condition{m, s.negated}, true
}

// pattern reads exclamation marks, a pattern between delimiters, and its flags.
func (p *parser) pattern() (s source, ok bool) {
	for p.rest != "" && (p.rest[0] == '!' || isSpace(p.rest[0])) {
		s.negated = s.negated != (p.rest[0] == '!')
		p.rest = p.rest[1:]
	}
	if p.rest == "" {
		p.warn("no regexp: skipping this rule")
		return s, false
	}
	delimiter := p.rest[0]
	n := closing(p.rest, delimiter)
	if n < 0 {
		p.warn("no closing regexp delimiter \"%c\": %s this rule", delimiter, p.opt.Unclosed)
		return s, false
	}
	s.text, p.rest = p.rest[1:n], p.rest[n+1:]
	s.flags, ok = p.flags()
	return s, ok
}

// closing returns the index of the delimiter that ends the pattern at the start
// of s. A backslash protects the character after it.
func closing(s string, delimiter byte) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case delimiter:
			return i
		}
	}
	return -1
}

// flags reads the letters after a pattern, each of which turns something over.
func (p *parser) flags() (string, bool) {
	var on []byte
	for p.rest != "" && !isSpace(p.rest[0]) && !(p.opt.Two && p.rest[0] == '!') {
		c := p.rest[0]
		p.rest = p.rest[1:]
		switch {
		case strings.IndexByte(p.opt.Flags, c) >= 0:
			if i := slices.Index(on, c); i >= 0 {
				on = slices.Delete(on, i, i+1)
			} else {
				on = append(on, c)
			}
		case strings.IndexByte(p.opt.Obsolete, c) >= 0:
			p.warn("ignoring obsolete regexp option \"%c\"", c)
		default:
			p.warn("unknown regexp option \"%c\": skipping this rule", c)
			return "", false
		}
	}
	return string(on), true
}
