package table

import (
	"context"
	"errors"
	"net/netip"
	"strings"

	"postlmtp/internal/table/cidr"
)

// cidrRule is a rule of a cidr: table.
type cidrRule struct {
	op      ruleOp
	network cidr.Network
	negated bool
	value   string
	end     int // of IF: the index of its ENDIF; 0 if there is none
}

type ruleOp int

const (
	opMatch ruleOp = iota
	opIf
	opEndif
)

// openCIDR opens cidr:/file/name and cidr:{ {pattern value}, ...}.
func openCIDR(o *opening) (*backend, error) {
	t, err := o.readText()
	if err != nil {
		return nil, err
	}
	var rules []cidrRule
	var open []int  // the IFs that we are inside of, as indices of rules
	var lines []int // and their lines
	for _, l := range t.lines {
		r, err := parseCIDR(l.text, len(open))
		if err != nil {
			o.warnf("cidr map %s, line %d: %v: skipping this rule", o.name, l.number, err)
			continue
		}
		switch r.op {
		case opIf:
			open, lines = append(open, len(rules)), append(lines, l.number)
		case opEndif:
			rules[open[len(open)-1]].end = len(rules)
			open, lines = open[:len(open)-1], lines[:len(open)-1]
		}
		rules = append(rules, r)
	}
	for i := len(lines) - 1; i >= 0; i-- {
		o.warnf("cidr map %s, line %d: IF has no matching ENDIF", o.name, lines[i])
	}
	lookup := func(_ context.Context, key string) (string, bool, error) {
		a, ok := cidr.ParseAddr(key)
		if !ok {
			return "", false, nil
		}
		value, found := matchCIDR(rules, a)
		return value, found, nil
	}
	return &backend{pattern: true, lookup: lookup, file: t.file, stat: t.stat, byHand: true}, nil
}

func parseCIDR(line string, nesting int) (cidrRule, error) {
	if rest, ok := keyword(line, "IF"); ok {
		negated, rest := negation(rest)
		pattern := trimRight(rest)
		if rest == "" {
			return cidrRule{}, errors.New("no address pattern")
		}
		network, err := cidr.Parse(pattern)
		return cidrRule{op: opIf, network: network, negated: negated}, err
	}
	if rest, ok := keyword(line, "ENDIF"); ok {
		switch {
		case trimLeft(rest) != "":
			return cidrRule{}, errors.New("garbage after ENDIF")
		case nesting == 0:
			return cidrRule{}, errors.New("ENDIF without IF")
		}
		return cidrRule{op: opEndif}, nil
	}
	negated, rest := negation(line)
	n := strings.IndexAny(rest, spaces)
	if n < 0 {
		n = len(rest)
	}
	if n == 0 {
		return cidrRule{}, errors.New("no address pattern")
	}
	network, err := cidr.Parse(rest[:n])
	if err != nil {
		return cidrRule{}, err
	}
	value := trim(rest[n:])
	if value == "" {
		return cidrRule{}, errors.New("no lookup result")
	}
	return cidrRule{network: network, negated: negated, value: value}, nil
}

// keyword reports whether a rule starts with a word, in any case, and returns
// what follows it.
func keyword(line, word string) (rest string, ok bool) {
	if len(line) < len(word) || !strings.EqualFold(line[:len(word)], word) {
		return "", false
	}
	rest = line[len(word):]
	return rest, rest == "" || !isAlnum(rest[0])
}

// negation skips exclamation marks and white space.
func negation(s string) (negated bool, rest string) {
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '!':
			negated = !negated
		case !isSpace(s[i]):
			return negated, s[i:]
		}
	}
	return negated, ""
}

// matchCIDR returns the value of the first rule that an address matches. A rule
// says nothing about addresses of the other family, negated or not.
func matchCIDR(rules []cidrRule, a netip.Addr) (string, bool) {
	for i := 0; i < len(rules); i++ {
		r := &rules[i]
		if r.op == opEndif {
			continue
		}
		matches := r.network.SameFamily(a) && r.network.Contains(a) != r.negated
		switch {
		case r.op == opMatch && matches:
			return r.value, true
		case r.op == opIf && !matches:
			if r.end == 0 {
				return "", false
			}
			i = r.end
		}
	}
	return "", false
}
