package posix

import (
	"strconv"
	"strings"

	"postlmtp/internal/table/rx"
)

// maxRepeat is the largest number in braces (RE_DUP_MAX).
const maxRepeat = 0x7fff

// interval reads {n}, {n,}, {,m} or {n,m}, whose brace is the token in hand,
// and returns the suffix that says the same.
func (p *parser) interval() (string, error) {
	from, stop := p.number()
	to := from
	switch {
	case stop == 0:
		return "", EBrace
	case from == badNumber, from == noNumber && stop != ',':
		return "", BadBR
	case stop == ',':
		from = max(from, 0)
		to, stop = p.number()
	}
	switch {
	case stop == 0:
		return "", EBrace
	case stop != '}', to == badNumber, to != noNumber && from > to:
		return "", BadBR
	case max(from, to) > maxRepeat:
		return "", ESize
	case to == noNumber:
		return "{" + strconv.Itoa(from) + ",}", nil
	}
	return "{" + strconv.Itoa(from) + "," + strconv.Itoa(to) + "}", nil
}

// What number returns for no digits, and for something else.
const (
	noNumber  = -1
	badNumber = -2
)

// number reads a number up to a comma or the closing brace, and returns which
// of them it was; 0 at the end of the pattern.
func (p *parser) number() (n int, stop byte) {
	n = noNumber
	for {
		p.next(false)
		c := p.tok.char
		switch {
		case p.tok.kind == end:
			return n, 0
		case p.tok.kind == braceClose:
			return n, '}'
		case c == ',':
			return n, ','
		case p.tok.kind != literal || c < '0' || c > '9':
			n = badNumber
		case n != badNumber:
			n = min(max(n, 0)*10+int(c-'0'), maxRepeat+1)
		}
	}
}

// element is what a bracket expression consists of.
type element struct {
	set    rx.Set // of a class
	char   byte
	single bool // it is char, and may start or end a range
}

// bracket reads a bracket expression after its opening bracket.
func (p *parser) bracket() (rx.Set, error) {
	var set rx.Set
	negated := p.eat("^")
	if p.pos == len(p.src) {
		return set, BadPat
	}
	for first := true; ; first = false {
		if p.pos == len(p.src) {
			return set, EBrack
		}
		if !first && p.eat("]") {
			break
		}
		if err := p.bracketItem(&set, first); err != nil {
			return set, err
		}
	}
	if !p.opt.Exact {
		set = set.Fold()
	}
	if negated {
		return p.withoutNewline(set.Not()), nil
	}
	return set, nil
}

// bracketItem reads one character, class or range.
func (p *parser) bracketItem(set *rx.Set, first bool) error {
	if !first && p.src[p.pos] == '-' && !strings.HasPrefix(p.src[p.pos+1:], "]") {
		return ERange // not the start of anything
	}
	from, err := p.bracketElement()
	if err != nil {
		return err
	}
	if !from.single {
		*set = set.Union(from.set)
		return nil
	}
	if p.pos == len(p.src) {
		return EBrack
	}
	to := from
	if p.src[p.pos] == '-' && !strings.HasPrefix(p.src[p.pos+1:], "]") {
		p.pos++
		if p.pos == len(p.src) {
			return EBrack
		}
		if to, err = p.bracketElement(); err != nil {
			return err
		}
	}
	lo, hi := p.upper(from.char), p.upper(to.char)
	if !to.single || lo > hi {
		return ERange
	}
	*set = set.Union(rx.Range(lo, hi))
	return nil
}

// upper converts the end of a range: the C library compares upper case letters
// if it is to ignore the case, so that [Z-a] is not a range then.
func (p *parser) upper(c byte) byte {
	if !p.opt.Exact && c >= 'a' && c <= 'z' {
		return c - 'a' + 'A'
	}
	return c
}

// bracketElement reads a character, [:class:], [=x=] or [.x.].
func (p *parser) bracketElement() (element, error) {
	c := p.src[p.pos]
	p.pos++
	if c != '[' || p.pos == len(p.src) || strings.IndexByte(":=.", p.src[p.pos]) < 0 {
		return element{char: c, single: true}, nil
	}
	delimiter := p.src[p.pos]
	p.pos++
	name, _, ok := strings.Cut(p.src[p.pos:], string(delimiter)+"]")
	if !ok || len(name) >= 32 {
		return element{}, EBrack
	}
	p.pos += len(name) + 2
	if delimiter != ':' {
		if len(name) != 1 {
			return element{}, ECollate
		}
		set := rx.Of(name)
		return element{set: set, char: name[0], single: delimiter == '.'}, nil
	}
	if !p.opt.Exact && (name == "upper" || name == "lower") {
		name = "alpha"
	}
	set, ok := rx.Class(name)
	if !ok {
		return element{}, ECType
	}
	return element{set: set}, nil
}

// eat skips a text if it comes next.
func (p *parser) eat(text string) bool {
	if !strings.HasPrefix(p.src[p.pos:], text) {
		return false
	}
	p.pos += len(text)
	return true
}
