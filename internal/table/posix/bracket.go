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
	closer := "}"
	if p.opt.Basic {
		closer = `\}`
	}
	n := strings.Index(p.src[p.pos:], closer)
	if n < 0 {
		if strings.Trim(p.src[p.pos:], "0123456789,") == "" && p.pos < len(p.src) {
			return "", EBrace
		}
		return "", BadBR
	}
	low, high, hasHigh := strings.Cut(p.src[p.pos:p.pos+n], ",")
	p.pos += n + len(closer)
	from, ok := number(low)
	if !ok || low == "" && !hasHigh {
		return "", BadBR
	}
	to, ok := number(high)
	switch {
	case !ok:
		return "", BadBR
	case !hasHigh:
		to = from
	case high == "":
		to = -1
	}
	switch {
	case to >= 0 && from > to:
		return "", BadBR
	case max(from, to) > maxRepeat:
		return "", ESize
	case to < 0:
		return "{" + strconv.Itoa(from) + ",}", nil
	}
	return "{" + strconv.Itoa(from) + "," + strconv.Itoa(to) + "}", nil
}

// number reads digits; no digits are 0, and too many a number above maxRepeat.
func number(s string) (int, bool) {
	if strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	if s = strings.TrimLeft(s, "0"); len(s) > 5 {
		return maxRepeat + 1, true
	}
	n, _ := strconv.Atoi(s)
	return n, true
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
