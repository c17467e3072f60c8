package table_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"postlmtp/internal/table/pcre"
	"postlmtp/internal/table/posix"
)

// patternMaker writes patterns at random, most of which make sense.
type patternMaker struct {
	generator
	atoms       []string
	quantifiers []string
	places      []string // atoms that do not occur inside of groups
	open        []string
	depth       int
}

func (m *patternMaker) pick(from []string) string { return from[m.IntN(len(from))] }

func (m *patternMaker) pattern() string {
	var b strings.Builder
	for n := 1 + m.IntN(4); n > 0; n-- {
		switch m.IntN(8) {
		case 0:
			if m.depth > 2 {
				continue
			}
			m.depth++
			b.WriteString(m.pick(m.open) + m.pattern() + ")")
			m.depth--
		case 1:
			b.WriteString(m.pattern1() + "|" + m.pattern1())
			continue
		case 2:
			if m.depth == 0 && m.places != nil {
				b.WriteString(m.pick(m.places))
			}
			continue
		default:
			b.WriteString(m.pick(m.atoms))
		}
		if m.IntN(3) == 0 {
			b.WriteString(m.pick(m.quantifiers))
		}
	}
	return b.String()
}

func (m *patternMaker) pattern1() string { return m.pick(m.atoms) + m.pick(m.atoms) }

// compareAll makes a table of each pattern, with a result that tells its number
// and groups, and compares all of them for all keys. Both must refuse the same
// patterns.
func compareAll(t *testing.T, kind string, patterns, keys []string, sameErrors bool) {
	t.Helper()
	hasType(t, kind)
	dir := t.TempDir()
	var specs []string
	for i, p := range patterns {
		path := filepath.Join(dir, fmt.Sprint(i))
		write(t, path, fmt.Sprintf("%s %d%s\n", p, i, references(kind, p)))
		specs = append(specs, kind+":"+path)
	}
	spec := "unionmap:{" + strings.Join(specs, ",") + "}"
	want, wantLog := postmap(t, spec, keys, noUTF8)
	opened, log := open(t, spec, false)
	wrong, wrongGroups := make(map[int][]string), make(map[int][]string)
	for _, key := range keys {
		got, _, err := opened.Lookup(context.Background(), key)
		if err != nil {
			t.Fatal(err)
		}
		for i, reason := range different(got, want[key]) {
			if reason == "groups" {
				wrongGroups[i] = append(wrongGroups[i], key)
			} else {
				wrong[i] = append(wrong[i], key)
			}
		}
	}
	report(t, t.Errorf, kind+": matches", patterns, wrong)
	// What the groups of an ambiguous pattern hold differs; see package posix.
	bad := t.Errorf
	if kind == "regexp" && len(wrongGroups) <= len(patterns)/100 {
		bad = t.Logf
	}
	report(t, bad, kind+": groups", patterns, wrongGroups)
	refused := compareRefused(t, patterns, dir, log.lines, wantLog, sameErrors)
	t.Logf("%s: %d patterns, %d refused, %d keys", kind, len(patterns), refused, len(keys))
}

// references returns what shows the groups of a pattern in a result.
func references(kind, pattern string) (text string) {
	end := max(strings.LastIndexByte(pattern, '/'), 1)
	var groups int
	if kind == "pcre" {
		if e, err := pcre.Compile(pattern[1:end], ""); err == nil {
			groups = e.Groups()
		}
	} else if e, err := posix.Compile(pattern[1:end], posix.Options{Basic: strings.Contains(pattern[end:], "x")}); err == nil {
		groups = e.Groups()
	}
	for i := range min(groups, 3) {
		text += fmt.Sprintf("/${%d}", i+1)
	}
	return text
}

// report says for which patterns something is wrong.
func report(t *testing.T, say func(string, ...any), what string, patterns []string, wrong map[int][]string) {
	t.Helper()
	shown := 0
	for i, keys := range wrong {
		if shown++; shown <= 30 {
			say("%s: %s: wrong for %d keys: %q", what, patterns[i], len(keys), keys[:min(len(keys), 5)])
		}
	}
	if len(wrong) > 0 {
		say("%s: %d patterns of %d are wrong", what, len(wrong), len(patterns))
	}
}

// different compares the results of all patterns and returns those that are
// different: whether they matched, or their groups.
func different(a, b string) map[int]string {
	results := func(text string) map[int]string {
		m := make(map[int]string)
		for result := range strings.SplitSeq(text, ",") {
			var n int
			if _, err := fmt.Sscanf(result, "%d", &n); err == nil {
				m[n] = result
			}
		}
		return m
	}
	x, y := results(a), results(b)
	wrong := make(map[int]string)
	for n := range x {
		if y[n] == "" {
			wrong[n] = "match"
		} else if x[n] != y[n] {
			wrong[n] = "groups"
		}
	}
	for n := range y {
		if x[n] == "" {
			wrong[n] = "match"
		}
	}
	return wrong
}

// compareRefused compares the warnings about patterns: all of the text, or only
// whether there is one.
func compareRefused(t *testing.T, patterns []string, dir string, got, want []string, text bool) int {
	t.Helper()
	byPattern := func(lines []string) map[string]string {
		m := make(map[string]string)
		for _, line := range lines {
			_, rest, ok := strings.Cut(line, " map "+dir+"/")
			number, reason, _ := strings.Cut(rest, ", line 1: ")
			if ok && !strings.Contains(m[number], reason) {
				m[number] += reason + "; "
			}
		}
		return m
	}
	gotRefused, wantRefused := byPattern(got), byPattern(want)
	for i, p := range patterns {
		g, w := gotRefused[fmt.Sprint(i)], wantRefused[fmt.Sprint(i)]
		if text && g != w || (g == "") != (w == "") {
			t.Errorf("%s: warning %q, want %q", p, g, w)
		}
	}
	return len(wantRefused)
}

// patternKeys makes keys that patterns of few letters can match.
func patternKeys(g generator, n int) []string {
	keys := []string{"a", "b", "ab", "AB", "abc", "a@b.c", " ", "\x80", "\xff", "é", "1", "_", "a b", "a\vb", "a]", "a-b", "a^b", "a$b", "{1}", "a{1}"}
	for len(keys) < n {
		keys = append(keys, g.text("aabbcABC1@. _-", 1, 8))
		if g.IntN(10) == 0 {
			keys = append(keys, g.text("ab\xe9\xc9 ]^$\\{}*+?()|", 1, 6))
		}
	}
	return keys
}

func TestRegexpRandom(t *testing.T) {
	g := newGenerator(11)
	m := &patternMaker{
		generator: g,
		atoms: []string{"a", "b", "c", "A", "ab", "@", `\.`, ".", "1", "[ab]", "[^a]", "[a-c]", "[[:alpha:]]", "[[:upper:]1]", "[]a]", "[^]a]",
			`\w`, `\W`, `\s`, `\S`, "[a-]", "[[.a.]b]", "[[=a=]]", "[a\\]", "é", "[é]", `\d`, `\_`},
		// The C library makes mistakes with these inside of repeated groups.
		places:      []string{"^", "$", `\b`, `\B`, `\<`, `\>`, "\\`", `\'`},
		quantifiers: []string{"*", "+", "?", "{2}", "{1,2}", "{0,3}", "{,2}", "{2,}", "**", "+?"},
		open:        []string{"("},
	}
	var patterns []string
	for range 500 {
		patterns = append(patterns, "/"+m.pattern()+"/"+m.pick([]string{"", "", "i", "m", "im"}))
	}
	compareAll(t, "regexp", patterns, patternKeys(g, 500), true)
}

func TestRegexpBasicRandom(t *testing.T) {
	g := newGenerator(12)
	m := &patternMaker{
		generator: g,
		atoms: []string{"a", "b", "c", "ab", `\.`, ".", "[ab]", "[^a]", "[a-c]", "+", "?", "{", "}", "(", ")", "|", "*", "a*",
			`\(a\)`, `\(ab*\)*`, `a\|b`, `a\{2\}`, `a\{1,2\}`, `a\+`, `a\?`, `\(a\|b\)`, `a\{`, `\{`, `\+`},
		places:      []string{"^", "$", "^*", `\(^a\)`, `\(b$\)`, `\b`},
		quantifiers: []string{"*", `\{2\}`},
		open:        []string{`\(`},
	}
	var patterns []string
	for range 500 {
		p := strings.ReplaceAll(m.pattern(), ")", `)`)
		patterns = append(patterns, "/"+p+"/x"+m.pick([]string{"", "i"}))
	}
	compareAll(t, "regexp", patterns, patternKeys(g, 500), true)
}

func TestPCRERandom(t *testing.T) {
	g := newGenerator(13)
	m := &patternMaker{
		generator: g,
		atoms: []string{"a", "b", "c", "A", "ab", "@", `\.`, ".", "1", "[ab]", "[^a]", "[a-c]", "[[:alpha:]]", "[[:^upper:]1]", "[]a]", "[^]a]",
			`\w`, `\W`, `\s`, `\S`, `\d`, `\D`, "^", "$", `\b`, `\B`, `\A`, `\z`, `\Z`, "[a-]", `[\w-]`, `[\]a]`, "é", "[é]", `\x61`, `\x{e9}`,
			`\141`, `\0`, `\Qa.b\E`, `\Qa`, `\E`, `\h`, `\H`, `\v`, `\R`, `\N`, `\t`, `[\x61-\x63]`, `\G`, `\K`, `(?#x)`, `(?i)`, `(?-i)`, `(?s-i)`,
			`\pL`, `\p{Lu}`, `\P{Ll}`, `\_`, `(?!a)`, `(?=b)`, `(?<=a)`, `(?<!a)`, "#", "{", "}", "{a}", "x{,2}", "]", `\C`},
		quantifiers: []string{"*", "+", "?", "{2}", "{1,2}", "{0,3}", "{2,}", "*?", "+?", "??", "*+", "++", "?+", "{1,2}?", "{1,2}+", "**"},
		open:        []string{"(", "(", "(?:", "(?>", "(?=", "(?!", "(?i:", "(?<n>", "(?P<m>"},
	}
	newer := newerPCRE(t)
	if newer {
		m.atoms = slices.DeleteFunc(m.atoms, func(a string) bool { return a == "x{,2}" || a == `\p{Lu}` || a == `\P{Ll}` })
	}
	var patterns []string
	for range 600 {
		patterns = append(patterns, "/"+m.pattern()+"/"+m.pick([]string{"", "", "i", "m", "s", "x", "U", "A", "E", "imsx"}))
	}
	compareAll(t, "pcre", patterns, patternKeys(g, 400), !newer)
}

// TestRegexpOdd: patterns that are wrong, or just odd.
func TestRegexpOdd(t *testing.T) {
	extended := []string{
		"(", ")", "a)", "()", "(|a)", "(a|)", "a|", "|a", "||", "*", "*a", "(*a)", "a|*", "+", "?", "{1}", "a{", "a{1", "a{1,", "a{,}", "a{}",
		"a{x}", "a{2,1}", "a{1,2,3}", "a{32768}", "a{0}", "a{1}{2}", "[", "[]", "[^]", "[a", "[a-", "[a-]", "[z-a]", "[_-a]", "[Z-a]", "[a-z-9]",
		"[[:alpha:]", "[[:foo:]]", "[[:alpha:]-z]", "[a-[:alpha:]]", "[[.ab.]]", "[[.-.]-a]", "[[=ab=]]", "[[=a=]-b]", "[[:alpha]]", "[:alpha:]",
		`\`, `a\`, `\1`, `(a)\1`, `(a)\2`, `(a\1)`, `(a)(b)\2\1`, `([ab])\1`, `(.)(.)\2\1`, "^*", "a^b", "a$b", "^", "$", "^$", "(^a)", "a**", "a+*?",
		`\<a`, `a\>`, "\\`a", `a\'`, `\<\w+\>`, `[\]]`, `[\n]`, `\n`, `\/`, "a{1,2}b{0,}", "[!-/]", "[--a]", "[%--]", "[a\\-z]", ".{3}", "(a(b(c)))",
		"[é]", "é{2}", "[\x80-\xff]", "[^\x80-\xff]+", "\xe9", "(((((a)))))", "x{0,255}", "(a{0,1000}){2}",
	}
	var patterns []string
	for _, p := range extended {
		for _, flags := range []string{"", "i", "m", "x", "ix", "mm"} {
			patterns = append(patterns, "/"+strings.ReplaceAll(p, "/", `\/`)+"/"+flags)
		}
	}
	patterns = append(patterns, "/a", "//", "/a/q", "/a/iq", "!/a/", "! /a/", "!!/a/", "/a/!/b/", "/a/!!/b/", "!/a/!/b/", "/a/i!/b/i", "/a/!/b", "/(a)/!/(b)/",
		"#a#", "xax", "{a}", "|a|b|", ":a:", "/a/!", "!", "/a\\", "if", "endif", "IF /a/", "ifx")
	compareAll(t, "regexp", patterns, patternKeys(newGenerator(21), 600), true)
}

// TestPCREOdd: patterns that are wrong, or just odd.
func TestPCREOdd(t *testing.T) {
	odd := []string{
		"(", ")", "a)", "()", "(|a)", "(a|)", "a|", "|a", "*", "*a", "(*)", "a|*", "+", "{1}", "a{", "a{1", "a{1,", "a{,}", "a{}", "a{x}", "a{2,1}",
		"a{65536}", "a{65535}", "a{0}", "a{1}{2}", "[", "[]", "[^]", "[a", "[a-", "[a-]", "[z-a]", "[a-z-9]", "[[:alpha:]", "[[:foo:]]", "[[:alpha:]-z]",
		"[a-[:alpha:]]", "[[.ab.]]", "[[=a=]]", "[[:alpha]]", "[:alpha:]", `[\d-z]`, `[a-\d]`, `[\Qa-z\E]`, `[a\Q]\E]`, `[\E]a]`, `[a-\Qz\E]`, `\`, `a\`,
		`\1`, `(a)\1`, `(a)\2`, `(a\1)`, `(a)(b)\2\1`, `(?:a)\1`, `\g1`, `(a)\g1`, `(a)\g{1}`, `(a)\g{-1}`, `(a)\g-1`, `\g{-1}`, `(a)\g{2}`, `\g`, `\g{`,
		`(?<x>a)\k<x>`, `(?<x>a)\k'x'`, `(?<x>a)\k{x}`, `(?<x>a)\g{x}`, `(?P<x>a)(?P=x)`, `\k<x>`, `\k`, `(?<x>a)(?<x>b)`, `(?<1>a)`, `(?<>a)`, `(?<a`,
		"(?<x-y>a)", `\10`, `\11`, `\81`, `(a)\10`, `\377`, `\400`, `\x`, `\xg`, `\x{}`, `\x{zz}`, `\x{100}`, `\x{41`, `\o{101}`, `\o{8}`, `\o`, `\o{777}`,
		`\ca`, `\c`, `\c[`, `\c\`, `\cé`, `\e\f\a\r`, `\y`, `\i`, `\u`, `\L`, `\_`, `\é`, `\N{a}`, `\N{2}`, `\p`, `\p{`, `\pL`, `\p{Greek}`, `\p{Any}`, `\p{L&}`,
		`\P{^L}`, "(?i)a", "(?-i)a", "(?i", "(?i-s:a)", "(?^i:a)", "(?x) a b # c", "(?xx)[a b]", "(?n)(a)", "(?U)a+", "(?z)", "(?:", "(?#", "(?#a)", "(?", "(?=",
		"(?=a", "(?!)", "(?>a*)b", "(?(1)a|b)", "(a)?(?(1)b|c)", "(a)?(?(1)b)", "(a)?(?(1)a|b|c)", "(?<x>a)?(?(<x>)b|c)", "(?<x>a)?(?('x')b|c)", "(?(?=a)ab|b)",
		"(?(?!a)b|a)", "(?(2)a)", "(a)(?(-1)b)", "(?(x)a)", "^*", "a^b", "a$b", "^$", "(?m)a$", "(?m)^b", "a**", "a+++", "a*+", "a{2}+", "a{2}?", "(a|ab)(c|bcd)",
		`\R`, `\R+a`, `\h\v`, `\bab\b`, `[[:<:]]a`, `b[[:>:]]`, "[[:word:]]+", "[[:ascii:]]", "[[:^ascii:]]", "[[:blank:]]", "[[:print:]]+", "[[:punct:]]",
		"[[:cntrl:]]", "[[:xdigit:]]{3}", "[\x80-\xff]", "\xe9", "[^\xe9]+$", "(?<=a|bc)c", "(?<=ab)c", "(?<!ab)c", "(?=(a))(b)?", "(a(?=b))+", "((a)|b)+",
		"(a*)*", "(a*)+", "(a|b*)*", "()*", "(a?)??", "(?:a|b)++c", `\Q\E*`, `a\Q\E*`, `\Qa\Eb`, `\Qa*`, "a #b", "(?|(a)|(b))x", "(?|(a)(b)|(c))(.)", "(?|(a)|(b)(c)|)\\2?(.)", "(?|(?|(a)|(b))|(c))", "(((((((((((a)))))))))))\\11",
		"(*pla:a)ab", "(*positive_lookahead:b)b", "(*nla:a).", "(*plb:a)b", "(*nlb:a)b", "(*atomic:a*)b", "(*atomic:a)*b", "(?(*pla:a)ab|b)", "(?(?C1)(?=a)ab|b)",
		"(?(?#x)(?!a)b|a)", "(?<R>a)?(?(R)b|c)", "(?<R1>a)?(?(R1)b|c)", "(?<Rx>a)?(?(<Rx>)b|c)", "(?|(?<x>a)|(?<x>b))\\k<x>", "(?C)a", "(?C7)a*", "(?C'x''y')a",
		`\p{nd}`, `\p{ N d }`, `\p{script=latin}`, `\P{sc:Common}`, `\p{scx:greek}`, `\p{lc}`, `[\g]`, `\pl+`,
	}
	if newerPCRE(t) {
		odd = slices.DeleteFunc(odd, func(p string) bool { return p == `\x` || p == `\xg` })
	}
	var patterns []string
	for _, p := range odd {
		for _, flags := range []string{"", "i", "m", "x", "AU", "E"} {
			patterns = append(patterns, "/"+strings.ReplaceAll(p, "/", `\/`)+"/"+flags)
		}
	}
	patterns = append(patterns, "/a", "//", "/a/q", "/a/X", "!/a/", "! /a/", "!!/a/", "/a/!/b/", "#a#", "{a}", "|a|b|", "!", "/a\\", "if", "endif")
	compareAll(t, "pcre", patterns, patternKeys(newGenerator(22), 400), false)
}

// TestPCREUnsupported: what cannot be done is refused and said.
func TestPCREUnsupported(t *testing.T) {
	for pattern, what := range map[string]string{
		"(?R)":                "offset 2: recursion or subroutine call",
		"(a)(?1)":             "offset 5: recursion or subroutine call",
		"(?<x>a)(?&x)":        "offset 9: recursion or subroutine call",
		"(?P<x>a)(?P>x)":      "offset 11: recursion or subroutine call",
		"(a)(?-1)":            "offset 5: recursion or subroutine call",
		`(a)\g<1>`:            "offset 5: recursion or subroutine call",
		"(*UTF8)a":            "offset 0: (*VERB)",
		"a(*SKIP)b":           "offset 1: (*VERB)",
		`\X`:                  `offset 0: \X`,
		`\p{Xan}`:             `offset 7: \p{Xan}`,
		"(?(DEFINE)(?<x>a))b": "offset 9: (?(DEFINE)",
		"(?(R)a|b)":           "offset 4: (?(R)",
		"(?*a)a":              "offset 3: (?*",
		"(*sr:a)":             "offset 0: (*sr",
		"(?J)(?<x>a)|(?<x>b)": "offset 17: (?J",
	} {
		_, err := pcre.Compile(pattern, "")
		if err == nil || err.Error() != "error in regex at "+what+" is not supported by this program" || !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v", pattern, err)
		}
		// Postfix knows what the rule says: neither "not found" nor the next
		// rule is the answer.
		opened, _ := open(t, "pcre:{{/^b/ B},{/"+pattern+"/ found},{/./ other}}", false)
		for key, want := range map[string]bool{"b": true, "a": false} {
			if value, found, err := opened.Lookup(t.Context(), key); found != want || (err == nil) != want {
				t.Errorf("%s: %s: %q, %v, %v", pattern, key, value, found, err)
			}
		}
	}
}

// TestPCREMistakes: a pattern that PCRE2 refuses is one that Postfix skips; only
// one that PCRE2 has and we do not is unsupported.
func TestPCREMistakes(t *testing.T) {
	hasType(t, "pcre")
	dir := t.TempDir()
	var specs []string
	for i, pattern := range mistakes() {
		path := filepath.Join(dir, fmt.Sprint(i))
		write(t, path, "/"+pattern+"/ x\n")
		specs = append(specs, "pcre:"+path)
	}
	_, log := postmap(t, "unionmap:{"+strings.Join(specs, ",")+"}", []string{"a"}, noUTF8)
	refused, unsupported := 0, 0
	for i, pattern := range mistakes() {
		warning := fmt.Sprintf(" map %s/%d, line 1: error in regex at ", dir, i)
		wrong := slices.ContainsFunc(log, func(line string) bool { return strings.Contains(line, warning) })
		_, err := pcre.Compile(pattern, "")
		beyond := errors.Is(err, errors.ErrUnsupported)
		if wrong != (err != nil && !beyond) {
			t.Errorf("%s: refused by PCRE2: %v, here: %v", pattern, wrong, err)
		}
		if wrong {
			refused++
		}
		if beyond {
			unsupported++
		}
	}
	if n := len(specs); refused < n/3 || unsupported < n/4 {
		t.Errorf("%d patterns: %d refused, %d unsupported", n, refused, unsupported)
	}
}

// mistakes returns patterns that are hard to tell: right ones, and those that are
// almost right.
func mistakes() []string {
	patterns := []string{
		"(?R", "(?R)", "(?R)(", "(?R))", "(?R)*", "(?1)", "(a)(?1)", "(a)(?2)", "(?+1)(a)", "(?+2)(a)", "(?+0)", "(?+x)", "(?-1)", "(a)(?-1)", "(?99999)",
		"(?2x)", "(?&)", "(?&x", "(?&1)", "(?<x>a)(?&x)", "(?<x>a)(?&y)", "(?P>x)", "(?<x>a)(?P>x", "(?<x>a)(?P>x)", "(?Px)", `\g<0>`, `\g<-0>`, `(a)\g<1>`,
		`a\g<2>`, `(a)\g<1`, `(a)\g<1x>`, `(a)\g'1'`, `(?<x>a)\g<x>`, `(?<x>a)\g<y>`, `(?<x>a)\g'x'`, `\gx`, `\g{1`, `\g<>`,
		"(*)", "(*_)", "(*:)", "(*:x)a", "(*FOO)a", "(*F)a", "(*SKIP)a", "(*SKIP:x)a", "(*SKIP", "(*SKIP:", "(*SKIP)*", "(*skip)", "(*MARK)", "(*MARK:x)",
		"(*ACCEPT)?", "(*UTF)a", "(*UTF", "a(*UTF)", "(*UTF)(*UCP)a", "(*SKIP)(*UTF)", "(*CR)a", "(*CRX)a", "(*NO_JIT)(", "(*LIMIT_MATCH=1)a", "(*LIMIT_MATCH=)a",
		"(*LIMIT_MATCH=1x)a", `(*UTF)\x{263a}`, `(*UTF)\x{d800}`, `(*UTF)[\x{100}-\x{200}]`, `\N{U+41}`, `(*UTF)\N{U+41}`,
		"(*foo:a)", "(*pla)", "(*sr:a)", "(*sr:a", "(*asr:a)b", "(*script_run:a)b", "(*napla:a)a", "(?*a)a", "(?*a", "(?<*a)a",
		"(?(R)a|b)", "(?(R)a", "(?(R1)a)", "(a)(?(R1)b)", "(?(Rx)a)", "(?(R&x)a)", "(?<x>a(?(R&x)b|c))", "(?(DEFINE)(?<x>a))b", "(?(DEFINE)a|b)", "(?(DEFINE)a",
		"(?(VERSION>=10)a)", "(?(VERSION>=10.4)a|b)", "(?(VERSION>=10.)a)", "(?(VERSION)a)", "(?(VERSIONa)a)", "(?(1a)b)", "(?(99999)a)", "(?()a)", "(?(<x>a",
		"(?(*atomic:a)b)", "(?(*napla:a)b)", "(?(*SKIP)b)", "(?(?*a)b)", "(?(?>a)b)", "(?(?=a)*b)", "(?(?C1)a)",
		"(?C1", "(?Cx)a", "(?C300)a", `(?C"x)a`, "(?J)(?<x>a)(?<x>b)", "(?J)(?<x>a)(?<x>b", "(?|(?<x>a)|(?<y>b))", "(?^-i)a", "(?i-s-m)a",
		`\X`, `\X*`, `\X(`, `[\X]`, `\p{Foo}`, `\p{Xan}`, `\p{xan}{2,1}`, `[\p{Xan}]`, `[\p{Xan}-z]`, `\p{Letter}`, `\p{Alphabetic}`, `\p{White_Space}`, `\p{bc:AL}`,
		`\p{bidi_class=xx}`, `\p{sc:Grek}`, `\p{scx=Lu}`, `\p{Lu:}`, `\p{}`, `\p{Lu`, `\p1`, `\p`, `\pQ`, `\P{^Zzzz}`,
	}
	return patterns
}
