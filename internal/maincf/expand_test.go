package maincf

import (
	"errors"
	"strings"
	"testing"
)

func TestExpand(t *testing.T) {
	values := map[string]string{
		"a": "one", "b": "$a two", "empty": "", "zero": "0", "ten": "10", "nine": "9",
		"loop": "$pool", "pool": "x$loop", "level": "3.6", "dollar": "$$a", "_x9": "under",
		"A": "upper", "idn": "b\u00fccher.example",
	}
	lookup := func(name string) (string, bool) { v, ok := values[name]; return v, ok }
	const ops = `"==" or "!="" or "<"" or "<="" or ">="" or ">"`
	for _, test := range []struct{ in, want, reason string }{
		{"", "", ""},
		{"plain", "plain", ""},
		{"$a", "one", ""},
		{"x$a.y", "xone.y", ""},
		{"${a}$(a)", "oneone", ""},
		{"$A$a", "upperone", ""},
		{"$_x9-$ab", "under-", ""},
		{"$b", "one two", ""},
		{"$$a $$$a", "$a $one", ""},
		{"$dollar", "$a", ""},
		{"$nosuch|${nosuch}|$empty|", "|||", ""},
		{"${ a }", "one", ""},
		{"${ }", "", ""},
		{"$(a?{x})", "x", ""},

		{"${a?yes}${empty?no}${nosuch?no}", "yes", ""},
		{"${a:no}${empty:yes}${nosuch:yes}", "yesyes", ""},
		{"${a?{yes}:{no}}${empty?{yes}:{no}}", "yesno", ""},
		{"${a ? {yes} : {no}}", "yes", ""},
		{"${a?{yes}:no}${empty?{yes}:no}", "yesno", ""},
		{"${empty:{ x }}", " x ", ""},
		{"${a? {x} }", "x", ""},
		{"${a? x }", " x ", ""},
		{"${a??foo:{b}ar}", "?foo:{b}ar", ""},
		{"${a?x:y}", "x:y", ""},
		{"${a?$b}", "one two", ""},
		{"${a?{${empty?{p}:{$b}}}}", "one two", ""},
		{"${a?}|${a:}|${a?{}:{x}}", "||", ""},

		{"${{$a} == {one} ? {c} : {d}}", "c", ""},
		{"${{$a}!={one}?{c}:{d}}", "d", ""},
		{"${{a} < {b}}", "true", ""},
		{"${{b} < {a}}", "", ""},
		{"${{b} < {a}:{no}}", "no", ""},
		{"${{9} < {10} ? {num} : {str}}", "num", ""},
		{"${{9} < {10x} ? {num} : {str}}", "str", ""},
		{"${{} == {} ? {y} : {n}}", "y", ""},
		{"${{$ten} >= {$nine} ? {y} : {n}}", "y", ""},
		{"${{2} <= {2} ? {y}}${{3} > {2} ? {y}}", "yy", ""},
		{"${{0010} == {10} ? {y} : {n}}", "y", ""},
		{"${{$level} >=level {3.10} ? {y} : {n}}", "n", ""},
		{"${{$level} <level {3.10} ? {y} : {n}}", "y", ""},
		{"${{3.6} >= {3.10} ? {y} : {n}}", "y", ""},
		{"${{3.6.0} ==level {3.6} ? {y} : {n}}", "y", ""},
		{"${{2} !=level {2.1} ? {y} : {n}}", "y", ""},
		{"${ {{a} == {a}} ? {x} }", "", `"==" or "!="" or "<"" or "<="" or ">="" or ">" expected at: "...{a} == {a}}>>>? {x} "`},

		{"${domain_to_ascii{b\u00fccher.example}}.", "xn--bcher-kva.example.", ""},
		{"${domain_to_ascii { $idn }}", "xn--bcher-kva.example", ""},
		{"${domain_to_utf8{xn--bcher-kva.example}}", "b\u00fccher.example", ""},
		{"${domain_to_utf8{b\u00fccher}}${domain_to_ascii{a_b}}${domain_to_utf8{}}", "b\u00fcchera_b", ""},
		{"${domain_to_utf8{xn--0}}", "", `bad domain argument in: 'domain_to_utf8{xn--0}'`},
		{"${domain_to_ascii{$}}", "", `empty macro name: "$"`},
		{"${domain_to_ascii{a} x}", "", `unexpected input at: "...a}>>>x"`},
		{"${domain_to_ascii{a}", "", "truncated macro reference: "},
		{"${frob{a}}", "", `unknown function "frob" at"...>>>frob{a}"`},

		{"$", "", `empty macro name: "$"`},
		{"a $ b", "", `empty macro name: "a $ b"`},
		{"${}", "", `empty macro name: "${}"`},
		{"${a", "", `truncated macro reference: "${a"`},
		{"x ${a$(b)", "", `truncated macro reference: "x ${a$(b)"`},
		{"${a b}", "", `attribute name syntax error at: "...a>>> b"`},
		{"${a-b}", "", `attribute name syntax error at: "...a>>>-b"`},
		{"${a.b?c}", "", `attribute name syntax error at: "...a>>>.b?c"`},
		{"${a?{x} y}", "", `":" expected at: "...x}>>>y"`},
		{"${a:{x} y}", "", `unexpected input at: "...x}>>>y"`},
		{"${a?{x}:{y} z}", "", `unexpected input at: "...y}>>>z"`},
		{"${{a} = {b}}", "", ops + ` expected at: "...a}>>>= {b}"`},
		{"${{a} {b}}", "", ops + ` expected at: "...a}>>>{b}"`},
		{"${{a} == b}", "", `"{expression}" expected at: "...{a} ==>>> b"`},
		{"${{a} ==foo {b}}", "", `bad operator suffix at: "...==>>>foo"`},
		{"${{a} == {b} x}", "", `"?" or ":" expected at: "...}>>>x"`},
		{"${{x} <level {1}}", "", `malformed compatibility level syntax: "x"`},
		{"${{1} <level {1.1.1.1}}", "", `malformed compatibility level syntax: "1.1.1.1"`},
		{"${{99999999999999999999} == {1}}", "", "mac_exp_eval: bad conversion: 99999999999999999999"},
		{"$loop", "", `unreasonable macro call nesting: "`},
	} {
		got, err := Expand(test.in, lookup)
		if test.reason == "" {
			if err != nil || got != test.want {
				t.Errorf("Expand(%q) = %q, %v, want %q", test.in, got, err, test.want)
			}
			continue
		}
		var e *ExpandError
		if !errors.As(err, &e) || !strings.HasPrefix(e.Reason, test.reason) {
			t.Errorf("Expand(%q) = %q, %v, want error %q", test.in, got, err, test.reason)
		}
	}
}

func TestExpandBounds(t *testing.T) {
	// Each value doubles the one before: without a bound this ends never.
	double := func(name string) (string, bool) {
		n := len(name)
		return "$" + strings.Repeat("x", n+1) + "$" + strings.Repeat("x", n+1), n < 90
	}
	if _, err := Expand("$x", double); err == nil {
		t.Error("doubling values were expanded")
	}
	// Operands of relations nest without limit in Postfix.
	self := func(string) (string, bool) { return "${{$a} == {b}}", true }
	if _, err := Expand("$a", self); err == nil {
		t.Error("a relation that contains itself was expanded")
	}
}

func TestParseLevel(t *testing.T) {
	order := []string{"0", "1", "2", "3.5", "3.6", "3.6.1", "3.10", "4"}
	for i := range order {
		for j := range order {
			a, err := ParseLevel(order[i])
			if err != nil {
				t.Fatal(err)
			}
			b, _ := ParseLevel(order[j])
			if (a < b) != (i < j) {
				t.Errorf("%s < %s: %v", order[i], order[j], a < b)
			}
		}
	}
	for _, bad := range []string{"", "x", "1.", "1.x", "-1", "1.1024", "1.1.1.1", "1 ", "99999999999999999999"} {
		if l, err := ParseLevel(bad); err == nil {
			t.Errorf("ParseLevel(%q) = %d", bad, l)
		}
	}
}

func FuzzExpand(f *testing.F) {
	for _, s := range []string{"$a", "${a?{b}:{c}}", "${{a} <level {b} ? {c} : {d}}", "$$", "${a", "$(b)"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, text, a string) {
		lookup := func(name string) (string, bool) {
			switch name {
			case "a":
				return a, true
			case "b":
				return text, true
			}
			return "", false
		}
		out, err := Expand(text, lookup)
		if err != nil && out != "" {
			t.Errorf("both result and error: %q, %v", out, err)
		}
		if !strings.Contains(text, "$") && (err != nil || out != text) {
			t.Errorf("text without references: %q, %v", out, err)
		}
	})
}
