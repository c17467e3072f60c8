package rules

import (
	"strconv"
	"strings"
)

// A template is a result with the places of groups.
type template struct {
	parts []part
	most  int // the largest number of a group
}

// A part is a text, or the number of a group.
type part struct {
	text  string
	group int
}

func (t *template) expand(groups []string) string {
	if len(t.parts) == 1 && t.parts[0].group == 0 {
		return t.parts[0].text
	}
	var b strings.Builder
	for _, p := range t.parts {
		if p.group > 0 {
			b.WriteString(groups[p.group])
		} else {
			b.WriteString(p.text)
		}
	}
	return b.String()
}

// maxGroup bounds the number of a group in a result.
const maxGroup = 65535

// template reads a result. What is wrong with it is logged.
func (p *parser) template(s string) (t template, ok bool) {
	var text strings.Builder
	ok = true
	for rest := s; rest != ""; {
		if n := strings.IndexByte(rest, '$'); n != 0 {
			if n < 0 {
				n = len(rest)
			}
			text.WriteString(rest[:n])
			rest = rest[n:]
			continue
		}
		if strings.HasPrefix(rest, "$$") {
			text.WriteByte('$')
			rest = rest[2:]
			continue
		}
		name, after, mistake := reference(rest[1:])
		if mistake != "" {
			// As in Postfix, this one goes without the name of the table.
			p.opt.Warn("%s: \"%s\"", mistake, s)
			return t, false
		}
		n, good := p.groupNumber(name)
		ok = ok && good
		t.most = max(t.most, n)
		t.parts = append(t.parts, part{text: text.String()}, part{group: n})
		text.Reset()
		rest = after
	}
	t.parts = append(t.parts, part{text: text.String()})
	return t, ok
}

// reference reads what follows a dollar sign: name, (name) or {name}.
func reference(s string) (name, after, mistake string) {
	if s != "" && (s[0] == '(' || s[0] == '{') {
		n := closingParen(s)
		if n < 0 {
			return "", "", "truncated macro reference"
		}
		name, after = s[1:n], s[n+1:]
	} else {
		n := 0
		for n < len(s) && (isAlnum(s[n]) || s[n] == '_') {
			n++
		}
		name, after = s[:n], s[n:]
	}
	if name == "" {
		return "", "", "empty macro name"
	}
	return name, after, ""
}

// closingParen returns the index of what closes the parenthesis or brace that s
// starts with.
func closingParen(s string) int {
	open, shut := s[0], byte(')')
	if open == '{' {
		shut = '}'
	}
	level := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case open:
			level++
		case shut:
			if level--; level == 0 {
				return i
			}
		}
	}
	return -1
}

func (p *parser) groupNumber(name string) (int, bool) {
	if strings.Trim(name, "0123456789") != "" {
		p.warn("non-numeric replacement index \"%s\"", name)
		return 0, false
	}
	n, err := strconv.Atoi(name)
	if err != nil || n < 1 || n > maxGroup {
		outOf := "out-of-range"
		if p.opt.Kind == "pcre" {
			outOf = "out of range"
		}
		p.warn("%s replacement index \"%s\"", outOf, name)
		return 0, false
	}
	return n, true
}
