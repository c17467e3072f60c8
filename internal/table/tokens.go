package table

import (
	"fmt"
	"strings"
)

// separators separate the elements of a list in main.cf.
const separators = ", \t\r\n"

// Split takes a list of a parameter apart: its elements are separated by commas
// and white space, but not inside braces.
func Split(list string) []string {
	var all []string
	for {
		element, rest := cutToken(list)
		if element == "" {
			return all
		}
		all, list = append(all, element), rest
	}
}

// cutToken returns the first element of a list and what follows it.
func cutToken(list string) (token, rest string) {
	list = strings.TrimLeft(list, separators)
	level := 0
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case c == '{':
			level++
		case c == '}' && level > 0:
			level--
		case level == 0 && strings.IndexByte(separators, c) >= 0:
			return list[:i], list[i+1:]
		}
	}
	return list, ""
}

// balanced returns the length of the text in braces that s starts with, with
// the braces; 0 if there is none or it does not end.
func balanced(s string) int {
	if s == "" || s[0] != '{' {
		return 0
	}
	level := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '{':
			level++
		case '}':
			if level--; level == 0 {
				return i + 1
			}
		}
	}
	return 0
}

// unbrace returns the text inside the braces that s consists of. A mistake is
// returned in Postfix's words, with as much of the text as can be used.
func unbrace(s string) (inner string, err error) {
	n := balanced(s)
	switch {
	case !strings.HasPrefix(s, "{"):
		return s, fmt.Errorf("no '{' at start of text in \"%s\"", s)
	case n == 0:
		return s[1:], fmt.Errorf("missing '}' in \"%s\"", s)
	case n < len(s):
		return s[1 : n-1], fmt.Errorf("syntax error after '}' in \"%s\"", s)
	}
	return s[1 : n-1], nil
}

// members returns the elements inside the braces of unionmap:{...} and its
// like; none if there is a mistake.
func members(name string) []string {
	if n := balanced(name); n == 0 || n < len(name) {
		return nil
	}
	return Split(name[1 : len(name)-1])
}

// isSpace tells white space as Postfix's configuration files know it.
func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// isAlnum tells ASCII letters and digits.
func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// spaces is the set of isSpace.
const spaces = " \t\n\v\f\r"

func trim(s string) string      { return strings.Trim(s, spaces) }
func trimLeft(s string) string  { return strings.TrimLeft(s, spaces) }
func trimRight(s string) string { return strings.TrimRight(s, spaces) }

// keyEnd returns the length of a key in quoted form at the start of s: it ends
// at white space or at stop, but not inside quotes. It is -1 if quotes do not
// end.
func keyEnd(s string, stop byte) int {
	quoted := false
	i := 0
	for ; i < len(s); i++ {
		c := s[i]
		if c == '\\' {
			if i++; i == len(s) {
				break
			}
		} else if c == '"' {
			quoted = !quoted
		} else if !quoted && (isSpace(c) || c == stop && stop != 0) {
			break
		}
	}
	if quoted {
		return -1
	}
	return i
}
