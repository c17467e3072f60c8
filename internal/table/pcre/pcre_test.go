package pcre

import (
	"errors"
	"testing"

	"postlmtp/internal/table/rx"
)

// TestNewlines: what depends on a newline at the end of a key, which no key of
// postmap(1) can have. The results are those of PCRE2.
func TestNewlines(t *testing.T) {
	for _, tt := range []struct {
		pattern, flags, key string
		want                bool
	}{
		{"a$", "", "a\n", true},
		{"a$", "", "a\n\n", false},
		{"a$", "E", "a\n", false},
		{"a$", "m", "a\nb", true},
		{"a$", "", "a\nb", false},
		{`a\Z`, "", "a\n", true},
		{`a\z`, "", "a\n", false},
		{"^b", "m", "a\nb", true},
		{"^b", "", "a\nb", false},
		{`a\n^$`, "m", "a\n", false},
		{`a\n^`, "m", "a\n", false},
		{`a\n^`, "m", "a\nb", true},
		{"a.b", "", "a\nb", true},
		{"a.b", "s", "a\nb", false},
		{`a\Nb`, "", "a\nb", false},
		{`a\Rb`, "", "a\r\nb", true},
		{"^$", "", "\n", true},
		{"^(.*)$", "", "a\n", true},
	} {
		e, err := Compile(tt.pattern, tt.flags)
		if err != nil {
			t.Fatalf("%s: %v", tt.pattern, err)
		}
		if _, matched, err := e.Match(tt.key, 0); err != nil || matched != tt.want {
			t.Errorf("/%s/%s: %q: %v, %v", tt.pattern, tt.flags, tt.key, matched, err)
		}
	}
}

func FuzzCompile(f *testing.F) {
	for _, s := range []string{"a", "(a|b)*c", "[[:alpha:]]+", "a{1,3}?", `(a)\1`, `(?<x>a)\k<x>`, "(?i)^$", "[^]a-z]", "((((a))))*+", "(?(1)a|b)", `\Qa\E`,
		"(?|(a)|(b))", "(?#x)a", "(?<=a)b", `\p{Lu}\x{41}\R`, "(*pla:a)a", "(?<x>a)(?&x)", "(?(R)a|b)", "(?(VERSION>=10.4)a)", "(?<R>a)?(?(R)b)", `\p{sc:Greek}\g<1>(a)`,
		`(*UTF)\x{263a}\N{U+41}`, "(?C'x''y')a", "(*MARK:x)a", "(?(?C1)(*nlb:a)b|c)"} {
		f.Add(s, "abc", "")
	}
	f.Fuzz(func(t *testing.T, pattern, key, flags string) {
		if len(pattern) > 200 || len(key) > 200 {
			return
		}
		e, err := Compile(pattern, flags)
		if err != nil {
			return
		}
		groups, matched, err := e.Match(key, e.Groups())
		if err != nil && !errors.Is(err, rx.ErrTime) {
			t.Errorf("%q: %v", pattern, err)
		}
		if matched && e.Groups() > 0 && len(groups) != e.Groups()+1 {
			t.Errorf("%q: %d groups, want %d", pattern, len(groups), e.Groups())
		}
	})
}
