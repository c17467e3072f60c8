package pcre

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
)

// quantifier reads how often the last thing is repeated. Its translations start
// at the given places.
func (p *parser) quantifier(startLinear, startFull int) error {
	suffix := ""
	switch c := p.peek(); c {
	case '*', '+', '?':
		suffix = string(c)
		p.pos++
	case '{':
		low, high, n := interval(p.src[p.pos:])
		if n == 0 {
			return nil
		}
		p.pos += n - 1
		var err error
		if suffix, err = p.bounds(low, high); err != nil {
			return err
		}
		p.pos++
	default:
		return nil
	}
	// A group that is repeated and may be empty: the engines differ in what it
	// holds at the end.
	p.uncertain = p.uncertain || bytes.ContainsAny(p.linear[startLinear:], "(") && bytes.ContainsAny(p.linear[startLinear:], "*?{|")
	p.skipExtended()
	lazy := p.set.ungreedy
	switch {
	case p.eat("+"):
		p.backtracks = true
		p.wrap(startLinear, startFull, "(?>(?:", ")"+suffix+")")
		return nil
	case p.eat("?"):
		lazy = !lazy
	}
	if lazy {
		suffix += "?"
	}
	p.wrap(startLinear, startFull, "(?:", ")"+suffix)
	return nil
}

// wrap puts text around what starts at the given places.
func (p *parser) wrap(startLinear, startFull int, before, after string) {
	p.linear = slices.Insert(p.linear, startLinear, []byte(before)...)
	p.full = slices.Insert(p.full, startFull, []byte(before)...)
	p.emit(after)
}

// interval reads {n}, {n,} or {n,m} at the start of s and returns the numbers
// and the length; zero if it is something else, which then stands for itself.
func interval(s string) (low, high string, n int) {
	end := strings.IndexByte(s, '}')
	if end < 0 || s[0] != '{' {
		return "", "", 0
	}
	low, high, comma := strings.Cut(s[1:end], ",")
	if low == "" || strings.Trim(low+high, "0123456789") != "" {
		return "", "", 0
	}
	switch {
	case !comma:
		high = low
	case high == "":
		high = "-"
	}
	return low, high, end + 1
}

// maxRepeat is the largest number of a quantifier.
const maxRepeat = 65535

// bounds returns the suffix for the numbers of interval; "-" is no bound.
func (p *parser) bounds(low, high string) (string, error) {
	from, err := strconv.Atoi(low)
	if err != nil || from > maxRepeat {
		return "", p.fail("number too big in {} quantifier")
	}
	if high == "-" {
		return "{" + strconv.Itoa(from) + ",}", nil
	}
	to, err := strconv.Atoi(high)
	switch {
	case err != nil || to > maxRepeat:
		return "", p.fail("number too big in {} quantifier")
	case from > to:
		return "", p.fail("numbers out of order in {} quantifier")
	}
	return "{" + strconv.Itoa(from) + "," + strconv.Itoa(to) + "}", nil
}
