package pcre

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const badVerb = "(*VERB) not recognized or malformed"

// startSettings reads (*UTF) and its like, which can be at the start only.
func (p *parser) startSettings() error {
	for {
		text, ok := strings.CutPrefix(p.src[p.pos:], "(*")
		text, _, closed := strings.Cut(text, ")")
		limit, value, isLimit := strings.Cut(text, "=")
		switch {
		case !ok:
			return nil
		case closed && slices.Contains([]string{"UTF", "UTF8", "UCP", "NOTEMPTY", "NOTEMPTY_ATSTART", "NO_AUTO_POSSESS", "NO_DOTSTAR_ANCHOR",
			"NO_JIT", "NO_START_OPT", "CR", "LF", "CRLF", "ANY", "NUL", "ANYCRLF", "BSR_ANYCRLF", "BSR_UNICODE"}, text):
			p.utf = p.utf || strings.HasPrefix(text, "UTF")
		case isLimit && slices.Contains([]string{"LIMIT_HEAP", "LIMIT_MATCH", "LIMIT_DEPTH", "LIMIT_RECURSION"}, limit):
			if _, err := strconv.ParseUint(value, 10, 32); err != nil || !closed {
				return p.fail(badVerb)
			}
		default:
			return nil
		}
		p.cannot("(*VERB)")
		p.pos += len("(*)") + len(text)
		if p.utf && !utf8.ValidString(p.src) {
			return p.fail("UTF-8 error")
		}
	}
}

// star reads what starts with (* and is no mistake already: an assertion by its
// name, which is in small letters, or a verb.
func (p *parser) star(depth int) (repeatable bool, err error) {
	if c := p.src[p.pos+2]; c < 'a' || c > 'z' {
		return p.verb()
	}
	at := p.pos
	p.pos += 2
	name := p.letters()
	kind, ok := looks(name)
	if !ok || !p.eat(":") {
		return false, p.fail("(*alpha_assertion) not recognized")
	}
	switch kind {
	case ">":
		return true, p.atomic(depth)
	case "script run":
		p.cannotAt(at, "(*"+name)
		return true, p.inside("(?:", depth)
	}
	return true, p.lookaround("(?", kind, depth)
}

// letters reads the letters, digits and underscores of a name.
func (p *parser) letters() string {
	at := p.pos
	for !p.done() && (isWord(p.peek()) || p.utf && p.peek() >= utf8.RuneSelf) {
		p.pos++
	}
	return p.src[at:p.pos]
}

// looks returns what an assertion with a name is without it: what comes after
// the question mark.
func looks(name string) (kind string, ok bool) {
	switch name {
	case "pla", "positive_lookahead":
		return "=", true
	case "nla", "negative_lookahead":
		return "!", true
	case "plb", "positive_lookbehind":
		return "<=", true
	case "nlb", "negative_lookbehind":
		return "<!", true
	case "napla", "non_atomic_positive_lookahead":
		return "*", true
	case "naplb", "non_atomic_positive_lookbehind":
		return "<*", true
	case "atomic":
		return ">", true
	case "sr", "script_run", "asr", "atomic_script_run":
		return "script run", true
	}
	return "", false
}

// lookKind reads how a group looks around, if it does.
func (p *parser) lookKind() (kind string, ok bool) {
	for _, kind := range []string{"=", "!", "*", "<=", "<!", "<*"} {
		if p.eat(kind) {
			return kind, true
		}
	}
	return "", false
}

// lookaround reads a group that looks around.
func (p *parser) lookaround(open, kind string, depth int) error {
	if strings.HasSuffix(kind, "*") {
		p.cannot("(?" + kind)
		kind = strings.Replace(kind, "*", "=", 1)
	}
	p.backtracks = true
	p.around++
	err := p.inside(open+kind, depth)
	p.around--
	return err
}

// maxArgument is how long the argument of a verb may be, in bytes.
const maxArgument = 255

// verb reads (*SKIP), (*MARK:name) and their like.
func (p *parser) verb() (repeatable bool, err error) {
	p.cannot("(*VERB)")
	p.pos += len("(*")
	name := p.letters()
	if !slices.Contains([]string{"", "MARK", "ACCEPT", "F", "FAIL", "COMMIT", "PRUNE", "SKIP", "THEN"}, name) || p.peek() != ':' && p.peek() != ')' {
		return false, p.fail(badVerb)
	}
	argument, _, closed := strings.Cut(p.src[p.pos:], ")")
	switch {
	case !closed:
		return false, p.fail(badVerb)
	case len(argument) <= 1 && (name == "" || name == "MARK"):
		return false, p.fail("(*MARK) must have an argument")
	case len(argument) > 1+maxArgument:
		return false, p.fail("name is too long in (*MARK), (*PRUNE), (*SKIP), or (*THEN)")
	}
	p.pos += len(argument) + 1
	return name == "ACCEPT", nil
}
