package pcre

import (
	"strings"

	"postlmtp/internal/table/rx"
)

// element is what a bracket expression consists of.
type element struct {
	set    rx.Set
	char   byte
	single bool // it is char, and may start or end a range
}

// bracket reads a bracket expression.
func (p *parser) bracket() (bool, error) {
	if edge, ok := p.wordEdge(); ok {
		p.only(edge)
		return true, nil
	}
	if p.posixOutside() {
		return false, p.fail("POSIX named classes are supported only within a class")
	}
	p.pos++
	negated := p.eat("^")
	var set rx.Set
	quoting := false
	for first := true; ; {
		switch {
		case p.done():
			return false, p.fail("missing terminating ] for character class")
		case !quoting && !first && p.eat("]"):
			if p.set.fold {
				set = set.Fold()
			}
			if negated {
				set = set.Not()
			}
			p.emit(set.String())
			return true, nil
		case p.eat(`\E`):
			quoting = false
		case !quoting && p.eat(`\Q`):
			quoting = true
		case !quoting && p.set.spaces && (p.eat(" ") || p.eat("\t")):
		default:
			if err := p.bracketItem(&set, &quoting); err != nil {
				return false, err
			}
			first = false
		}
	}
}

// wordEdge reads [[:<:]] and [[:>:]], which match at the edges of words.
func (p *parser) wordEdge() (string, bool) {
	switch {
	case p.eat("[[:<:]]"):
		return `\b(?=[0-9A-Za-z_])`, true
	case p.eat("[[:>:]]"):
		return `\b(?<=[0-9A-Za-z_])`, true
	}
	return "", false
}

// posixOutside tells a class such as [:alpha:] that is not inside of brackets.
func (p *parser) posixOutside() bool {
	rest := p.src[p.pos:]
	if len(rest) < 2 || strings.IndexByte(":.=", rest[1]) < 0 {
		return false
	}
	name, _, ok := strings.Cut(rest[2:], rest[1:2]+"]")
	return ok && strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz^") == ""
}

// bracketItem reads one character, class or range.
func (p *parser) bracketItem(set *rx.Set, quoting *bool) error {
	from, err := p.bracketElement(*quoting)
	if err != nil {
		return err
	}
	if *quoting && p.eat(`\E`) {
		*quoting = false
	}
	rest := p.src[p.pos:]
	isRange := !*quoting && len(rest) > 1 && rest[0] == '-' && rest[1] != ']'
	if !isRange {
		*set = set.Union(from.set)
		return nil
	}
	p.pos++
	if p.eat(`\Q`) {
		*quoting = true
	}
	if p.done() {
		return p.fail("missing terminating ] for character class")
	}
	to, err := p.bracketElement(*quoting)
	switch {
	case err != nil:
		return err
	case !from.single || !to.single:
		return p.fail("invalid range in character class")
	case from.char > to.char:
		return p.fail("range out of order in character class")
	}
	*set = set.Union(rx.Range(from.char, to.char))
	return nil
}

// bracketElement reads a character or a class.
func (p *parser) bracketElement(quoting bool) (element, error) {
	c := p.src[p.pos]
	switch {
	case !quoting && c == '[' && p.pos+1 < len(p.src) && strings.IndexByte(":.=", p.src[p.pos+1]) >= 0 && p.posixOutside():
		set, err := p.posixClass()
		return element{set: set}, err
	case !quoting && c == '\\':
		return p.bracketEscape()
	}
	p.pos++
	return single(c), nil
}

func single(c byte) element {
	return element{set: rx.Of(string([]byte{c})), char: c, single: true}
}

func (p *parser) bracketEscape() (element, error) {
	if p.pos+1 == len(p.src) {
		p.pos++
		return element{}, p.fail("\\ at end of pattern")
	}
	c := p.src[p.pos+1]
	if set, ok := classEscape(c); ok {
		p.pos += 2
		return element{set: set}, nil
	}
	switch c {
	case 'b':
		p.pos += 2
		return single('\b'), nil
	case 'g': // refers to nothing here
		p.pos += 2
		return single(c), nil
	case 'p', 'P':
		set, err := p.property()
		return element{set: set}, err
	case 'N', 'R', 'X', 'B':
		if p.utf && strings.HasPrefix(p.src[p.pos:], `\N{U+`) {
			char, err := p.codePoint()
			return single(char), err
		}
		return element{}, p.fail("escape sequence is invalid in character class")
	}
	char, err := p.character()
	return single(char), err
}

// posixClass reads [:name:] and [:^name:].
func (p *parser) posixClass() (rx.Set, error) {
	delimiter := p.src[p.pos+1]
	p.pos += 2
	name, _, _ := strings.Cut(p.src[p.pos:], string(delimiter))
	p.pos += len(name) + len(":]")
	if delimiter != ':' {
		return rx.Set{}, p.fail("POSIX collating elements are not supported")
	}
	name, negated := strings.CutPrefix(name, "^")
	if p.set.fold && (name == "upper" || name == "lower") {
		name = "alpha"
	}
	set, ok := rx.Class(name)
	switch {
	case name == "word":
		set, _ = classEscape('w')
	case name == "ascii":
		set = rx.Range(0, 127)
	case !ok:
		return set, p.fail("unknown POSIX class name")
	}
	if negated {
		set = set.Not()
	}
	return set, nil
}
