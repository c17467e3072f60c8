package pcre

import (
	"slices"
	"strconv"
	"strings"
)

// conditional reads (?(condition)yes|no), after its second parenthesis.
func (p *parser) conditional(depth int) error {
	if c := p.peek(); c == '?' || c == '*' {
		p.pos--
		return p.assertion(depth)
	}
	p.backtracks = true
	open, most, err := p.condition()
	if err != nil {
		return err
	}
	if !p.eat(")") {
		return p.fail("missing closing parenthesis for condition")
	}
	return p.branches(open, most, depth)
}

// condition reads a condition. It returns what a conditional group with it begins
// with, and how many branches that may have.
func (p *parser) condition() (open string, most int, err error) {
	n, ok, err := p.number()
	switch {
	case err != nil:
		return "", 0, err
	case ok && !p.exists(n):
		return "", 0, p.fail(noGroup)
	case ok:
		return "(?(" + strconv.Itoa(n) + ")", 2, nil
	case p.versionComes():
		return "(?:", 2, p.version()
	case p.eat("R&"):
		p.cannot("(?(R&")
		err = p.knownName(')')
		p.pos-- // back to the parenthesis
		return "(?:", 2, err
	case p.eat("<"):
		open, err = p.conditionName('>')
	case p.eat("'"):
		open, err = p.conditionName('\'')
	default:
		return p.word()
	}
	return open, 2, err
}

// conditionName reads the name of a group as a condition.
func (p *parser) conditionName(end byte) (open string, err error) {
	name, err := p.name(end)
	if err != nil {
		return "", err
	}
	n, known := p.names[name]
	if !known && !p.counting {
		return "", p.fail(noGroup)
	}
	return "(?(" + strconv.Itoa(n) + ")", nil
}

// word reads a condition that is DEFINE, R or R and a number, or the name of a group.
func (p *parser) word() (open string, most int, err error) {
	at := p.pos
	name, err := p.name(')')
	if err != nil {
		return "", 0, err
	}
	_, known := p.names[name]
	digits, recursion := strings.CutPrefix(name, "R")
	switch p.pos--; { // back to the parenthesis
	case name == "DEFINE":
		p.cannot("(?(DEFINE)")
		return "(?:", 1, nil
	case !known && recursion && strings.Trim(digits, "0123456789") == "":
		p.cannot("(?(" + name + ")")
		if n, _ := strconv.Atoi("0" + digits); n > 0 && !p.exists(n) || len(digits) > 5 {
			return "", 0, p.fail(noGroup)
		}
		return "(?:", 2, nil
	}
	p.pos = at
	open, err = p.conditionName(')')
	p.pos--
	return open, 2, err
}

// versionComes tells a question for the version of PCRE2 from a name.
func (p *parser) versionComes() bool {
	rest, ok := strings.CutPrefix(p.src[p.pos:], "VERSION")
	return ok && len(rest) >= 3 && rest[0] != ')'
}

// version reads VERSION=n.m and VERSION>=n.m.
func (p *parser) version() error {
	p.cannot("(?(VERSION")
	p.pos += len("VERSION")
	p.eat(">")
	text, _, _ := strings.Cut(p.src[p.pos:], ")")
	text, ok := strings.CutPrefix(text, "=")
	major, minor, dot := strings.Cut(text, ".")
	n, err := strconv.Atoi(major)
	switch {
	case !ok, err != nil, n > 1000, !isDigit(rune(major[0])), strings.Trim(minor, "0123456789") != "", dot && (minor == "" || len(minor) > 2):
		return p.fail("syntax error or number too big in (?(VERSION condition")
	}
	p.pos += 1 + len(text)
	return nil
}

// assertion reads a conditional group whose condition looks around, from the
// parenthesis of that on. There may be a callout in front of it.
func (p *parser) assertion(depth int) error {
	p.skipExtended()
	if p.eat("(?C") {
		if err := p.callout(); err != nil {
			return err
		}
		p.skipExtended()
	}
	kind, ok := "", false
	switch {
	case p.eat("(*"):
		kind, ok = looks(p.letters())
		ok = ok && p.eat(":")
	case p.eat("(?"):
		kind, ok = p.lookKind()
	}
	if !ok || !slices.Contains([]string{"=", "!", "<=", "<!"}, kind) {
		return p.fail("assertion expected after (?( or (?(?C)")
	}
	if err := p.lookaround("(?(?", kind, depth); err != nil {
		return err
	}
	return p.branches("", 2, depth)
}

// branches reads the branches of a conditional group, after its condition.
func (p *parser) branches(open string, most, depth int) error {
	p.emit(open)
	before := len(p.full)
	if err := p.alternatives(depth+1, false); err != nil {
		return err
	}
	if !p.eat(")") {
		return p.fail("missing closing parenthesis")
	}
	switch n := countAlternatives(string(p.full[before:])); {
	case n > most && most == 1:
		return p.fail("DEFINE subpattern contains more than one branch")
	case n > most:
		return p.fail("conditional subpattern contains more than two branches")
	case n == 1:
		p.emit("|") // or nothing
	}
	p.emit(")")
	return nil
}

// countAlternatives counts the alternatives at the top of a translated text.
func countAlternatives(text string) int {
	n, level, class := 1, 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			i++
		case class:
			class = c != ']'
		case c == '[':
			class = true
		case c == '(':
			level++
		case c == ')':
			level--
		case c == '|' && level == 0:
			n++
		}
	}
	return n
}
