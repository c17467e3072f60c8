package pcre

import (
	"strconv"
	"strings"
)

// group reads what starts with a parenthesis. It returns false if it cannot be
// repeated.
func (p *parser) group(depth int) (repeatable bool, err error) {
	switch rest := p.src[p.pos:]; {
	case strings.HasPrefix(rest, "(*") && len(rest) > 2 && rest[2] != ')':
		return p.star(depth)
	case !p.eat("(?"):
		p.pos++
		if p.set.names {
			return true, p.inside("(?:", depth)
		}
		return true, p.capture(depth)
	}
	if kind, ok := p.lookKind(); ok {
		return true, p.lookaround("(?", kind, depth)
	}
	switch c := p.peek(); {
	case p.eat(":"):
		return true, p.inside("(?:", depth)
	case p.eat(">"):
		return true, p.atomic(depth)
	case p.eat("|"):
		p.only("(?:")
		return true, p.rest(depth, true)
	case p.eat("<"):
		return true, p.named('>', depth)
	case p.eat("'"):
		return true, p.named('\'', depth)
	case p.eat("P"):
		return true, p.python(depth)
	case p.eat("("):
		return true, p.conditional(depth)
	case p.eat("#"):
		return false, p.fail("missing ) after (?# comment")
	case p.eat("C"):
		return false, p.callout()
	case c == 'R', c == '+', isDigit(rune(c)), c == '-' && strings.IndexFunc(p.src[p.pos+1:], isDigit) == 0:
		return true, p.callByNumber()
	case c == '&':
		return true, p.callByName(')')
	}
	return p.inlineSettings(depth)
}

func isDigit(r rune) bool { return r >= '0' && r <= '9' }

// python reads what Python has after (?P.
func (p *parser) python(depth int) error {
	switch {
	case p.eat("<"):
		return p.named('>', depth)
	case p.eat("="):
		name, err := p.name(')')
		if err != nil {
			return err
		}
		return p.referenceByName(name)
	case p.peek() == '>':
		return p.callByName(')')
	}
	return p.fail("unrecognized character after (?P")
}

func (p *parser) atomic(depth int) error {
	p.backtracks = true
	return p.inside("(?>", depth)
}

// capture reads a group whose text can be asked for.
func (p *parser) capture(depth int) error {
	p.groups++
	p.emitTwo("(", "(?<"+strconv.Itoa(p.groups)+">")
	return p.rest(depth, false)
}

// inside reads a group up to its end, and adds it.
func (p *parser) inside(open string, depth int) error {
	p.emit(open)
	return p.rest(depth, false)
}

// rest reads a group that has begun.
func (p *parser) rest(depth int, reset bool) error {
	if err := p.alternatives(depth+1, reset); err != nil {
		return err
	}
	if !p.eat(")") {
		return p.fail("missing closing parenthesis")
	}
	p.emit(")")
	return nil
}

// named reads a group with a name, after what opens the name.
func (p *parser) named(end byte, depth int) error {
	name, err := p.name(end)
	if err != nil {
		return err
	}
	n := p.groups + 1
	if other, ok := p.nameOf[n]; ok && other != name {
		return p.fail("different names for subpatterns of the same number are not allowed")
	}
	p.nameOf[n] = name
	if old, dup := p.newNames[name]; !dup {
		p.newNames[name] = n
	} else if old != n {
		if !p.set.dupNames {
			return p.fail("two named subpatterns have the same name (PCRE2_DUPNAMES not set)")
		}
		p.cannot("(?J")
	}
	return p.capture(depth)
}

func (p *parser) referenceByName(name string) error {
	n, known := p.names[name]
	if !known && !p.counting {
		return p.fail(noGroup)
	}
	return p.reference(n)
}

// reference adds a reference back to a group.
func (p *parser) reference(n int) error {
	if !p.counting && (n < 1 || n > p.total) {
		return p.fail(noGroup)
	}
	text := `\k<` + strconv.Itoa(n) + `>`
	if p.set.fold {
		text = `(?i:` + text + `)`
	}
	p.only(text)
	return nil
}

// inlineSettings reads (?flags) and (?flags:...), after the question mark.
func (p *parser) inlineSettings(depth int) (bool, error) {
	set := p.set
	on, hyphen := true, true
	if p.eat("^") {
		hyphen = false
		set = settings{ungreedy: set.ungreedy, dupNames: set.dupNames, endOnly: set.endOnly}
	}
	for ; ; p.pos++ {
		c := p.peek()
		switch c {
		case 'i':
			set.fold = on
		case 'm':
			set.lines = on
		case 's':
			set.dotAll = on
		case 'n':
			set.names = on
		case 'U':
			set.ungreedy = on
		case 'J':
			set.dupNames = on
		case 'x':
			set.extended, set.spaces = on, false
			if strings.HasPrefix(p.src[p.pos+1:], "x") {
				set.spaces = on
				p.pos++
			}
		case '-':
			if !hyphen {
				return false, p.fail("invalid hyphen in option setting")
			}
			on, hyphen = false, false
		case ')':
			p.pos++
			p.set = set
			return false, nil
		case ':':
			p.pos++
			outer := p.set
			p.set = set
			err := p.inside("(?:", depth)
			p.set = outer
			return true, err
		default:
			return false, p.fail("unrecognized character after (? or (?-")
		}
	}
}
