// Package pcre translates Perl-compatible regular expressions, as PCRE2 takes
// them from Postfix, into the expressions of package rx. They are the patterns
// of tables of type pcre:.
//
// Postfix matches bytes: classes and the case of letters are those of ASCII.
// What PCRE2 refuses is refused in its words. What PCRE2 has and package rx
// cannot do is errors.ErrUnsupported, so that no rule works otherwise than its
// author meant it: recursion and subroutine calls, verbs such as (*SKIP), settings
// at the start such as (*UTF), \X, the conditions (?(R), (?(VERSION) and
// (?(DEFINE), lookarounds that are not atomic, script runs, a name for several
// groups, and properties other than general categories and scripts by their long
// names. The parser reads all of that, so as to tell it from a mistake.
//
// # Known limits
//
// PCRE2 gives up after a number of steps, here it is after a time, see package
// rx. A lookbehind may be of any length, which PCRE2 refuses. The offset in the
// text of an error is not always that of PCRE2. The rules are those of PCRE2
// 10.40 to 10.42. Before, names of properties had to be written as Unicode writes
// them; from 10.43 on, x{,2} is a quantifier, and \p{Lu}, \p{Ll} and \p{Lt} match
// letters of either case where case does not count.
package pcre

import (
	"errors"
	"fmt"
	"strings"

	"postlmtp/internal/table/rx"
)

// Flags are the letters after a pattern that Compile knows, each of which turns
// over one setting of Postfix: ignore case (i), multi-line (m), a dot matches a
// newline (s), extended (x), anchored (A), a dollar matches at the very end only
// (E), not greedy (U).
const Flags = "imsxAEU"

// Compile compiles a pattern with the letters that were given an odd number of
// times. By default it ignores case, and a dot matches a newline.
func Compile(pattern, flags string) (*rx.Expression, error) {
	has := func(c string) bool { return strings.Contains(flags, c) }
	set := settings{
		fold:     !has("i"),
		lines:    has("m"),
		dotAll:   !has("s"),
		extended: has("x"),
		ungreedy: has("U"),
		endOnly:  has("E"),
	}
	// A group can be referred to before it comes: the first pass counts them.
	first := &parser{src: pattern, set: set, counting: true}
	if err := first.run(); err != nil {
		return nil, err
	}
	p := &parser{src: pattern, set: set, total: first.groups, names: first.names}
	if err := p.run(); err != nil {
		return nil, err
	}
	if p.beyond != nil {
		return nil, p.beyond
	}
	linear, full := string(p.linear), string(p.full)
	if has("A") {
		linear, full = `\A(?:`+linear+`)`, `\A(?:`+full+`)`
	}
	program := rx.Program{Full: full, EndOnly: p.endOnly, Groups: p.groups, Uncertain: p.uncertain}
	if !p.backtracks {
		program.Linear = linear
	}
	return rx.Compile(program)
}

// An Error is a mistake in a pattern, or something in it that cannot be done.
type Error struct {
	Offset int // bytes from the start of the pattern
	Text   string
	Beyond bool // PCRE2 has it, this package does not
}

// Is makes what this package does not have errors.ErrUnsupported.
func (e *Error) Is(target error) bool { return e.Beyond && target == errors.ErrUnsupported }

// Error implements error with the words of Postfix's warning.
func (e *Error) Error() string {
	return fmt.Sprintf("error in regex at offset %d: %s", e.Offset, e.Text)
}

// settings are what flags and (?flags) change.
type settings struct {
	fold     bool // i
	lines    bool // m
	dotAll   bool // s
	extended bool // x
	spaces   bool // xx
	names    bool // n: only groups with names count
	ungreedy bool // U
	dupNames bool // J
	endOnly  bool // E
}

// parser translates while it reads, for both engines at once.
type parser struct {
	src string
	pos int
	set settings

	counting   bool           // the first pass: references are not checked
	total      int            // groups in the pattern
	groups     int            // groups so far
	names      map[string]int // the groups with names, from the first pass
	newNames   map[string]int // those so far
	nameOf     map[int]string // and the other way round
	linear     []byte
	full       []byte
	backtracks bool // the engine with linear time cannot do this
	uncertain  bool // the groups of linear can be others
	endOnly    bool // linear holds only if the key does not end in a newline
	quoting    bool // inside \Q...\E
	around     int  // how many lookarounds we are inside of
	startMoved bool // \K inside of one
	utf        bool // (*UTF) came first
	beyond     *Error
}

func (p *parser) run() error {
	p.newNames, p.nameOf = make(map[string]int), make(map[int]string)
	if err := p.startSettings(); err != nil {
		return err
	}
	if err := p.alternatives(0, false); err != nil {
		return err
	}
	if p.pos < len(p.src) {
		return p.fail("unmatched closing parenthesis")
	}
	if p.startMoved {
		return p.fail("\\K is not allowed in lookarounds (but see PCRE2_EXTRA_ALLOW_LOOKAROUND_BSK)")
	}
	if p.counting {
		p.names = p.newNames
	}
	return nil
}

func (p *parser) fail(format string, args ...any) error {
	return &Error{Offset: p.pos, Text: fmt.Sprintf(format, args...)}
}

// cannot notes what package rx has no equivalent of. The parser goes on: a
// pattern with a mistake behind it is one that PCRE2 does not have either.
func (p *parser) cannot(what string) { p.cannotAt(p.pos, what) }

func (p *parser) cannotAt(offset int, what string) {
	if p.beyond == nil {
		p.beyond = &Error{Offset: offset, Text: what + " is not supported by this program", Beyond: true}
	}
}

// emit adds the same text for both engines.
func (p *parser) emit(text string) { p.emitTwo(text, text) }

func (p *parser) emitTwo(linear, full string) {
	p.linear = append(p.linear, linear...)
	p.full = append(p.full, full...)
}

// only adds text that only the engine that backtracks understands.
func (p *parser) only(text string) {
	p.backtracks = true
	p.emit(text)
}

func (p *parser) done() bool { return p.pos == len(p.src) }

// peek returns the next character, 0 at the end.
func (p *parser) peek() byte {
	if p.done() {
		return 0
	}
	return p.src[p.pos]
}

// eat skips a text if it comes next.
func (p *parser) eat(text string) bool {
	if !strings.HasPrefix(p.src[p.pos:], text) {
		return false
	}
	p.pos += len(text)
	return true
}

// maxNesting bounds groups inside of groups, as PCRE2 does.
const maxNesting = 250

// alternatives reads up to the end of the pattern or of the group. Settings
// that change inside stay changed up to there. If reset is set, the groups of
// all alternatives are counted from the same number.
func (p *parser) alternatives(depth int, reset bool) error {
	if depth > maxNesting {
		return p.fail("parentheses are too deeply nested")
	}
	defer func(set settings) { p.set = set }(p.set)
	first, most := p.groups, p.groups
	defer func() { p.groups = max(p.groups, most) }()
	for !p.done() {
		if !p.quoting {
			if p.peek() == ')' {
				return nil
			}
			if p.eat("|") {
				p.emit("|")
				if reset {
					most, p.groups = max(most, p.groups), first
				}
				continue
			}
		}
		if err := p.item(depth); err != nil {
			return err
		}
	}
	return nil
}

// item reads one thing and how often it is repeated.
func (p *parser) item(depth int) error {
	startLinear, startFull := len(p.linear), len(p.full)
	repeatable, err := p.atom(depth)
	if err != nil || !repeatable {
		return err
	}
	if p.quoting && !p.eat(`\E`) {
		return nil
	}
	p.quoting = false
	p.skipExtended()
	return p.quantifier(startLinear, startFull)
}

// skipExtended skips what has no meaning: comments, and white space if the
// setting for that is on.
func (p *parser) skipExtended() {
	for !p.done() {
		switch c := p.peek(); {
		case strings.HasPrefix(p.src[p.pos:], "(?#"):
			n := strings.IndexByte(p.src[p.pos:], ')')
			if n < 0 {
				return // atom will say so
			}
			p.pos += n + 1
		case p.eat(`\Q\E`), p.eat(`\E`):
		case p.set.extended && c == '#':
			if n := strings.IndexByte(p.src[p.pos:], '\n'); n >= 0 {
				p.pos += n + 1
			} else {
				p.pos = len(p.src)
			}
		case p.set.extended && strings.IndexByte(" \t\n\v\f\r", c) >= 0:
			p.pos++
		default:
			return
		}
	}
}

const notRepeatable = "quantifier does not follow a repeatable item"

// atom reads one thing. It returns false if what was read cannot be repeated:
// nothing, or a setting.
func (p *parser) atom(depth int) (repeatable bool, err error) {
	if p.quoting {
		if p.eat(`\E`) {
			p.quoting = false
			return false, nil
		}
		p.literal(p.src[p.pos])
		p.pos++
		return true, nil
	}
	before := p.pos
	if p.skipExtended(); p.pos > before {
		return false, nil
	}
	switch c := p.peek(); c {
	case '(':
		return p.group(depth)
	case '[':
		return p.bracket()
	case '\\':
		return p.escape()
	case '*', '+', '?':
		return false, p.fail(notRepeatable)
	case '{':
		if _, _, n := interval(p.src[p.pos:]); n > 0 {
			p.pos += n - 1
			return false, p.fail(notRepeatable)
		}
	case '^':
		p.pos++
		p.caret()
		return false, nil
	case '$':
		p.pos++
		p.dollar()
		return false, nil
	case '.':
		p.pos++
		p.any(p.set.dotAll)
		return true, nil
	}
	p.literal(p.src[p.pos])
	p.pos++
	return true, nil
}

func (p *parser) literal(c byte) { p.class(rx.Of(string([]byte{c}))) }

// class adds a set of characters, with both cases of letters if case is
// ignored.
func (p *parser) class(set rx.Set) {
	if p.set.fold {
		set = set.Fold()
	}
	p.emit(set.String())
}

func (p *parser) any(newline bool) {
	set := rx.Of("\n").Not()
	if newline {
		set = rx.Set{}.Not()
	}
	p.emit(set.String())
}

// caret matches at the start and, with lines, after a newline, but not after
// one that ends the key.
func (p *parser) caret() {
	if !p.set.lines {
		p.emit(`\A`)
		return
	}
	p.endOnly = true
	p.emitTwo(`(?m:^)`, `(?:\A|(?<=\n)(?!\z))`)
}

// dollar matches at the end, in front of a newline that ends the key, and with
// lines in front of every newline.
func (p *parser) dollar() {
	switch {
	case p.set.lines:
		p.emitTwo(`(?m:$)`, `(?=\n|\z)`)
	case p.set.endOnly:
		p.emit(`\z`)
	default:
		p.beforeEnd()
	}
}

func (p *parser) beforeEnd() {
	p.endOnly = true
	p.emitTwo(`\z`, `(?=\n?\z)`)
}
