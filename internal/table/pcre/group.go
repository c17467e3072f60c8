package pcre

import (
	"strconv"
	"strings"
)

// group reads what starts with a parenthesis. It returns false if it cannot be
// repeated.
func (p *parser) group(depth int) (bool, error) {
	switch {
	case p.verb():
		return false, p.cannot("(*VERB)")
	case !p.eat("(?"):
		p.pos++
		if p.set.names {
			return true, p.inside("(?:", depth)
		}
		return true, p.capture(depth)
	}
	switch {
	case p.eat(":"):
		return true, p.inside("(?:", depth)
	case p.eat(">"):
		p.backtracks = true
		return true, p.inside("(?>", depth)
	case p.eat("|"):
		p.only("(?:")
		return true, p.rest(depth, true)
	}
	if ok, err := p.lookaround("(?", depth); ok {
		return true, err
	}
	switch c := p.peek(); {
	case c == '<', c == '\'', strings.HasPrefix(p.src[p.pos:], "P<"):
		return true, p.named(depth)
	case p.eat("P="):
		name, err := p.until(')', "missing terminator")
		if err != nil {
			return false, err
		}
		return true, p.referenceByName(name)
	case p.eat("("):
		return true, p.conditional(depth)
	case p.eat("#"):
		return false, p.fail("missing ) after (?# comment")
	case c == 'C':
		// A callout calls nothing: Postfix has no function for it.
		_, err := p.until(')', "(?C: missing closing parenthesis")
		return false, err
	case c == 'R', c == '&', c == '+', c >= '0' && c <= '9', strings.HasPrefix(p.src[p.pos:], "P>"),
		c == '-' && strings.IndexFunc(p.src[p.pos+1:], isDigit) == 0:
		return false, p.cannot("recursion or subroutine call")
	}
	return p.inlineSettings(depth)
}

// verb tells (*SKIP), (*:name) and their like.
func (p *parser) verb() bool {
	after, ok := strings.CutPrefix(p.src[p.pos:], "(*")
	return ok && after != "" && (after[0] == ':' || isWord(after[0]) && !isDigit(rune(after[0])))
}

func isDigit(r rune) bool { return r >= '0' && r <= '9' }

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

// until reads a text up to a character and skips that.
func (p *parser) until(end byte, missing string) (string, error) {
	n := strings.IndexByte(p.src[p.pos:], end)
	if n < 0 {
		return "", p.fail("%s", missing)
	}
	text := p.src[p.pos : p.pos+n]
	p.pos += n + 1
	return text, nil
}

// named reads (?<name>...), (?'name'...) and (?P<name>...).
func (p *parser) named(depth int) error {
	p.eat("P")
	end := byte('>')
	if p.peek() == '\'' {
		end = '\''
	}
	p.pos++
	name, err := p.until(end, "syntax error in subpattern name (missing terminator?)")
	if err != nil {
		return err
	}
	if err := p.checkName(name); err != nil {
		return err
	}
	if _, dup := p.newNames[name]; dup {
		if p.set.dupNames {
			return p.cannot("(?J")
		}
		return p.fail("two named subpatterns have the same name (PCRE2_DUPNAMES not set)")
	}
	p.newNames[name] = p.groups + 1
	return p.capture(depth)
}

func (p *parser) checkName(name string) error {
	switch {
	case name == "":
		return p.fail("subpattern name expected")
	case isDigit(rune(name[0])):
		return p.fail("subpattern name must start with a non-digit")
	case len(name) > 32:
		return p.fail("subpattern name is too long (maximum 32 code units)")
	}
	for i := 0; i < len(name); i++ {
		if !isWord(name[i]) {
			return p.fail("syntax error in subpattern name (missing terminator?)")
		}
	}
	return nil
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func (p *parser) referenceByName(name string) error {
	if err := p.checkName(name); err != nil {
		return err
	}
	n, known := p.names[name]
	if !known && !p.counting {
		return p.fail("reference to non-existent subpattern")
	}
	return p.reference(n)
}

// reference adds a reference back to a group.
func (p *parser) reference(n int) error {
	if !p.counting && (n < 1 || n > p.total) {
		return p.fail("reference to non-existent subpattern")
	}
	text := `\k<` + strconv.Itoa(n) + `>`
	if p.set.fold {
		text = `(?i:` + text + `)`
	}
	p.only(text)
	return nil
}

// conditional reads (?(condition)yes|no), after its second parenthesis.
func (p *parser) conditional(depth int) error {
	if p.peek() == '?' {
		return p.assertion(depth)
	}
	text, err := p.until(')', "missing closing parenthesis for condition")
	if err != nil {
		return err
	}
	n, err := p.condition(text)
	if err != nil {
		return err
	}
	p.backtracks = true
	return p.branches("(?("+strconv.Itoa(n)+")", depth)
}

// condition returns the number of the group that a condition names.
func (p *parser) condition(text string) (int, error) {
	name := text
	if n := len(text); n >= 2 && (text[0] == '<' && text[n-1] == '>' || text[0] == '\'' && text[n-1] == '\'') {
		name = text[1 : n-1]
	} else if n, err := strconv.Atoi(text); err == nil {
		if text[0] == '+' || text[0] == '-' {
			if n < 0 {
				n++
			}
			n += p.groups
		}
		if !p.counting && (n < 1 || n > p.total) {
			return 0, p.fail("reference to non-existent subpattern")
		}
		return n, nil
	} else if text == "DEFINE" || strings.HasPrefix(text, "R") || strings.HasPrefix(text, "VERSION") {
		return 0, p.cannot("(?(" + text + ")")
	}
	if err := p.checkName(name); err != nil {
		return 0, err
	}
	n, known := p.names[name]
	if !known && !p.counting {
		return 0, p.fail("reference to non-existent subpattern")
	}
	return n, nil
}

// assertion reads a condition that looks around.
func (p *parser) assertion(depth int) error {
	p.pos++
	if ok, err := p.lookaround("(?(?", depth); !ok {
		return p.fail("assertion expected after (?( or (?(?C)")
	} else if err != nil {
		return err
	}
	return p.branches("", depth)
}

// lookaround reads =...), !...), <=...) or <!...).
func (p *parser) lookaround(open string, depth int) (bool, error) {
	for _, kind := range []string{"=", "!", "<=", "<!"} {
		if p.eat(kind) {
			p.backtracks = true
			p.around++
			err := p.inside(open+kind, depth)
			p.around--
			return true, err
		}
	}
	return false, nil
}

// branches reads the branches of a condition.
func (p *parser) branches(open string, depth int) error {
	p.emit(open)
	before := len(p.full)
	if err := p.alternatives(depth+1, false); err != nil {
		return err
	}
	if !p.eat(")") {
		return p.fail("missing closing parenthesis")
	}
	switch n := countAlternatives(string(p.full[before:])); {
	case n > 2:
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

// inlineSettings reads (?flags) and (?flags:...), after the question mark.
func (p *parser) inlineSettings(depth int) (bool, error) {
	set := p.set
	if p.eat("^") {
		set = settings{ungreedy: set.ungreedy, dupNames: set.dupNames, endOnly: set.endOnly}
	}
	on := true
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
			if !on {
				return false, p.fail("invalid hyphen in option setting")
			}
			on = false
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
