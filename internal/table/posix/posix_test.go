package posix

import (
	"errors"
	"testing"

	"postlmtp/internal/table/rx"
)

// TestErrors: the C library's errors; comparisons with it are in package table.
func TestErrors(t *testing.T) {
	for pattern, want := range map[string]Error{
		"(": EParen, "a{": EBrace, "a{x}": BadBR, "a{2,1}": BadBR, "a{40000}": ESize, "[": BadPat, "[a": EBrack, "[z-a]": ERange, "[[:x:]]": ECType,
		"[[.ab.]]": ECollate, `\`: EEscape, `\1`: ESubReg, "*": BadRpt, "a|*": BadRpt,
	} {
		if _, err := Compile(pattern, Options{}); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", pattern, err, want)
		}
	}
}

func FuzzCompile(f *testing.F) {
	for _, s := range []string{"a", "(a|b)*c", "[[:alpha:]]+", "a{1,3}", `\(a\)\1`, `\<a\>`, "^$", "[^]a-z]", "((((a))))**", "a{,5}{2}"} {
		f.Add(s, "abc", byte(0))
	}
	f.Fuzz(func(t *testing.T, pattern, key string, options byte) {
		if len(pattern) > 200 || len(key) > 200 {
			return
		}
		e, err := Compile(pattern, Options{Basic: options&1 != 0, Exact: options&2 != 0, Newlines: options&4 != 0})
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
