package maincf

import (
	"fmt"
	"strings"
)

// Bounds of one expansion. Postfix bounds only the nesting.
const (
	MaxExpansion = 4 << 20 // bytes that one expansion may produce, with all intermediate results
	maxNesting   = 100     // $name inside $name inside $name
)

// A Lookup returns the raw value of a parameter and whether it is defined.
// A parameter that is not defined expands to nothing.
type Lookup func(name string) (value string, defined bool)

// An ExpandError says why a value cannot be expanded. Reason is the text of
// the warning that Postfix logs in that case.
type ExpandError struct{ Reason string }

// Error returns the reason after a few words of context.
func (e *ExpandError) Error() string { return "macro processing error: " + e.Reason }

// Expand replaces all parameter references in text, and those in what they
// expand to, as described in postconf(5):
//
//	$name, ${name}, $(name)        the value of name
//	${name?text}, ${name?{text}}   text if name has a non-empty value
//	${name:text}, ${name:{text}}   text if it has not
//	${name?{a}:{b}}                one or the other
//	${{a} == {b} ? {c} : {d}}      c if the relation holds, else d
//	${domain_to_ascii{a}}          a as xn-- domain; domain_to_utf8 reverses it
//	$$                             a dollar sign
//
// The relations are == != < <= >= >, numerical when both sides are digits
// only and else by bytes; the same followed by "level" compare Postfix
// compatibility levels. The error is an *ExpandError.
func Expand(text string, lookup Lookup) (string, error) {
	e := expander{lookup: lookup, budget: MaxExpansion}
	out, ok := e.expand(text)
	if !ok {
		return "", &ExpandError{e.reason}
	}
	return out, nil
}

// expander is the state of one call of Expand.
type expander struct {
	lookup Lookup
	budget int    // bytes left to produce or scan
	depth  int    // nesting of relations; their operands are expanded anew
	reason string // why it failed
}

// frame is the result under construction of one text, and its nesting.
type frame struct {
	out   strings.Builder
	level int
}

func (e *expander) fail(format string, args ...any) bool {
	if e.reason == "" {
		e.reason = fmt.Sprintf(format, args...)
	}
	return false
}

// expand returns the expansion of text as a result of its own.
func (e *expander) expand(text string) (string, bool) {
	if e.depth++; e.depth > maxNesting {
		return "", e.fail("unreasonable macro call nesting: \"%s\"", text)
	}
	var f frame
	ok := e.scan(&f, text)
	e.depth--
	return f.out.String(), ok
}

// scan splits text into literals and references and appends their expansion
// to the frame. All methods that return bool return false after a mistake,
// which ends the expansion.
func (e *expander) scan(f *frame, text string) bool {
	if e.budget -= len(text); e.budget < 0 {
		return e.fail("expansion is larger than %d bytes", MaxExpansion)
	}
	var literal strings.Builder
	for rest := text; rest != ""; {
		if rest[0] != '$' {
			n := strings.IndexByte(rest, '$')
			if n < 0 {
				n = len(rest)
			}
			literal.WriteString(rest[:n])
			rest = rest[n:]
			continue
		}
		if strings.HasPrefix(rest, "$$") {
			literal.WriteByte('$')
			rest = rest[2:]
			continue
		}
		if !e.literal(f, literal.String()) {
			return false
		}
		literal.Reset()
		var ref string
		var ok bool
		if ref, rest, ok = cutReference(rest[1:]); !ok {
			return e.fail("truncated macro reference: \"%s\"", text)
		}
		if ref == "" {
			return e.fail("empty macro name: \"%s\"", text)
		}
		if !e.reference(f, ref) {
			return false
		}
	}
	return e.literal(f, literal.String())
}

// cutReference separates what follows a dollar sign: name, (text) or {text}.
// It fails if there is no closing parenthesis.
func cutReference(s string) (ref, rest string, ok bool) {
	if s != "" && (s[0] == '(' || s[0] == '{') {
		n := balanced(s)
		if n == 0 {
			return "", "", false
		}
		return s[1 : n-1], s[n:], true
	}
	n := 0
	for n < len(s) && (isAlnum(s[n]) || s[n] == '_') {
		n++
	}
	return s[:n], s[n:], true
}

// balanced returns the length of the parenthesised text at the start of s,
// parentheses included, or zero if the closing one is missing. Only the kind
// that s starts with counts.
func balanced(s string) int {
	open, close := s[0], byte('}')
	if open == '(' {
		close = ')'
	}
	level := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case open:
			level++
		case close:
			if level--; level == 0 {
				return i + 1
			}
		}
	}
	return 0
}

func (e *expander) literal(f *frame, text string) bool {
	if text == "" {
		return true
	}
	if f.level > maxNesting {
		return e.fail("unreasonable macro call nesting: \"%s\"", text)
	}
	f.out.WriteString(text)
	return true
}

// reference expands what stands between the braces of ${...}.
func (e *expander) reference(f *frame, ref string) bool {
	if f.level > maxNesting {
		return e.fail("unreasonable macro call nesting: \"%s\"", ref)
	}
	f.level++
	var value, rest string
	var ok bool
	if brace := skipBlanks(ref); strings.HasPrefix(brace, "{") {
		value, rest, ok = e.relation(brace)
		if ok && rest != "" && rest[0] != '?' && rest[0] != ':' {
			return e.fail("\"?\" or \":\" expected at: \"...}>>>%.20s\"", rest)
		}
	} else {
		var name string
		if name, rest, ok = e.name(ref); ok && strings.HasPrefix(rest, "{") {
			if !e.function(f, name, rest) {
				return false
			}
			f.level--
			return true
		}
		if ok {
			value, _ = e.lookup(name)
		}
	}
	if !ok || !e.choose(f, value, rest) {
		return false
	}
	f.level--
	return true
}

// name parses the start of ${name...}; rest is empty or starts with the
// operator.
func (e *expander) name(ref string) (name, rest string, ok bool) {
	start := len(ref) - len(skipBlanks(ref))
	for i := start; ; i++ {
		rest = skipBlanks(ref[i:])
		if rest == "" || rest[0] == '?' || rest[0] == ':' || rest[0] == '{' {
			return ref[start:i], rest, true
		}
		if c := ref[i]; !isAlnum(c) && c != '_' {
			return "", "", e.fail("attribute name syntax error at: \"...%s>>>%.20s\"", ref[:i], ref[i:])
		}
	}
}

// choose appends the value itself, or what ?text or :text in rest select.
func (e *expander) choose(f *frame, value, rest string) bool {
	if rest == "" {
		return e.scan(f, value)
	}
	if rest[0] == '?' {
		text, after, ok := e.operand(rest[1:])
		if !ok || value != "" && !e.scan(f, text) {
			return false
		}
		if after == "" {
			return true
		}
		if after[0] != ':' {
			return e.fail("\":\" expected at: \"...%s}>>>%.20s\"", text, after)
		}
		rest = after
	}
	text, after, ok := e.operand(rest[1:])
	if !ok || value == "" && !e.scan(f, text) {
		return false
	}
	if after != "" {
		return e.fail("unexpected input at: \"...%s}>>>%.20s\"", text, after)
	}
	return true
}

// operand parses what follows "?" or ":". Text in braces ends with the
// closing brace; any other text goes on to the end, whatever it contains.
func (e *expander) operand(s string) (text, rest string, ok bool) {
	if brace := skipBlanks(s); strings.HasPrefix(brace, "{") {
		return e.payload(brace)
	}
	return s, "", true
}

// payload takes {text} off s, and white space after it.
func (e *expander) payload(s string) (text, rest string, ok bool) {
	n := balanced(s)
	if n == 0 {
		return "", "", e.fail("unbalanced {} in attribute expression: \"%s\"", s)
	}
	return s[1 : n-1], skipBlanks(s[n:]), true
}

// skipBlanks removes leading white space as expressions know it: vertical
// tab and form feed do not count.
func skipBlanks(s string) string { return strings.TrimLeft(s, blanks) }

const blanks = " \t\r\n"
