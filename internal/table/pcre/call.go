package pcre

import "strings"

const (
	noGroup = "reference to non-existent subpattern"
	badCall = "\\g is not followed by a braced, angle-bracketed, or quoted name/number or by a plain number"
	// maxGroup is the largest number of a group.
	maxGroup = 65535
	maxName  = 32
)

// exists tells whether there is a group with this number. While groups are
// counted, all exist that may come.
func (p *parser) exists(n int) bool { return n >= 1 && (p.counting || n <= p.total) }

// number reads the number of a group. With a sign it is counted from here.
func (p *parser) number() (n int, ok bool, err error) {
	at := p.pos
	sign := p.peek()
	if sign == '+' || sign == '-' {
		p.pos++
	}
	n, length := p.decimal(p.pos)
	if length == 0 {
		p.pos = at
		return 0, false, nil
	}
	p.pos += length
	switch {
	case sign == '+' && n > 0:
		n += p.groups
	case sign == '-' && n > p.groups:
		return 0, false, p.fail(noGroup)
	case sign == '-' && n > 0:
		n = p.groups + 1 - n
	case sign == '+', sign == '-':
		return 0, false, p.fail("a relative value of zero is not allowed")
	}
	if n > maxGroup {
		return 0, false, p.fail("subpattern number is too big")
	}
	return n, true, nil
}

// name reads the name of a group and what ends it.
func (p *parser) name(end byte) (string, error) {
	if isDigit(rune(p.peek())) {
		return "", p.fail("subpattern name must start with a non-digit")
	}
	name := p.letters()
	switch {
	case len(name) > maxName:
		return "", p.fail("subpattern name is too long (maximum 32 code units)")
	case name == "":
		return "", p.fail("subpattern name expected")
	case p.done() || p.peek() != end:
		return "", p.fail("syntax error in subpattern name (missing terminator?)")
	}
	p.pos++
	return name, nil
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// knownName reads the name of a group that has to be there.
func (p *parser) knownName(end byte) error {
	name, err := p.name(end)
	if err != nil {
		return err
	}
	if _, known := p.names[name]; !known && !p.counting {
		return p.fail(noGroup)
	}
	return nil
}

// call notes a call of a group, which includes that of the group it is in.
func (p *parser) call() { p.cannot("recursion or subroutine call") }

// callByName reads a call from the character in front of the name on.
func (p *parser) callByName(end byte) error {
	p.call()
	p.pos++
	return p.knownName(end)
}

// callByNumber reads R) or the number of a group, after (?.
func (p *parser) callByNumber() error {
	p.call()
	if p.eat("R") {
		if !p.eat(")") {
			return p.fail("(?R (recursive pattern call) must be followed by a closing parenthesis")
		}
		return nil
	}
	n, ok, err := p.number()
	switch {
	case err != nil:
		return err
	case !ok:
		return p.fail("digit expected after (?+ or (?-")
	case n > 0 && !p.exists(n):
		return p.fail(noGroup)
	case !p.eat(")"):
		return p.fail("missing closing parenthesis")
	}
	return nil
}

// callByEscape reads \g<name>, \g'name' and both with numbers, after the g.
func (p *parser) callByEscape() error {
	p.call()
	end := p.closing()
	p.pos++
	n, ok, err := p.number()
	switch {
	case err != nil:
		return err
	case !ok:
		return p.knownName(end)
	case n > 0 && !p.exists(n):
		return p.fail(noGroup)
	case p.done() || p.peek() != end:
		return p.fail(badCall)
	}
	p.pos++
	return nil
}

// closing returns what ends a name that the next character opens, or 0.
func (p *parser) closing() byte {
	switch p.peek() {
	case '{':
		return '}'
	case '<':
		return '>'
	case '\'':
		return '\''
	}
	return 0
}

// callout reads a callout, after (?C. It calls nothing: Postfix has no function
// for it.
func (p *parser) callout() error {
	var err error
	if c := p.peek(); c != ')' && !isDigit(rune(c)) {
		err = p.calloutText()
	} else if n, length := p.decimal(p.pos); n > 255 {
		err = p.fail("number after (?C is greater than 255")
	} else {
		p.pos += length
	}
	if err == nil && !p.eat(")") {
		err = p.fail("closing parenthesis for (?C expected")
	}
	return err
}

// calloutText reads a text between delimiters. Twice the last one stands for
// itself.
func (p *parser) calloutText() error {
	const opening, closing = "`'\"^%#${", "`'\"^%#$}"
	i := strings.IndexByte(opening, p.peek())
	if p.done() || i < 0 {
		return p.fail("unrecognized string delimiter follows (?C")
	}
	p.pos++
	end := closing[i : i+1]
	for {
		n := strings.Index(p.src[p.pos:], end)
		if n < 0 {
			return p.fail("missing terminating delimiter for callout with string argument")
		}
		p.pos += n + 1
		if !p.eat(end) {
			return nil
		}
	}
}
