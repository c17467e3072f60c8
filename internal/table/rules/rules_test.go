package rules

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// contains is a pattern that matches keys with that text; its groups are the
// letters of it.
type contains string

func (c contains) Groups() int { return len(c) }

func (c contains) Match(key string, want int) ([]string, bool, error) {
	if key == "error" {
		return nil, true, errors.New("too hard")
	}
	groups := []string{string(c)}
	for i := range want {
		groups = append(groups, string(c[i]))
	}
	return groups, strings.Contains(key, string(c)), nil
}

func parse(text string, warnings *[]string) *Table {
	lines := func(yield func(int, string) bool) {
		for i, line := range strings.Split(text, "\n") {
			if !yield(i+1, line) {
				return
			}
		}
	}
	return Parse(lines, Options{
		Dialect: Dialect{Kind: "kind", Flags: "ab", Two: true, Unclosed: "skipping", Compile: func(pattern, flags string) (Matcher, error) {
			if flags == "b" {
				return nil, errors.New("cannot compile")
			}
			return contains(pattern + flags), nil
		}},
		Name: "name",
		Warn: func(format string, args ...any) { *warnings = append(*warnings, fmt.Sprintf(format, args...)) },
	})
}

// TestTable is about this package alone; comparisons with Postfix are in
// package table.
func TestTable(t *testing.T) {
	var warnings []string
	table := parse(`/x/a flag
/y/aa no flag
/z/b error
if /if/
if !/not/
/one/ 1
endif
/two/ 2
endif
/abc/ $2${3}$(1) $$
/d/!/e/ second
/f/ $2
if /open/
/one/ late`, &warnings)
	for key, want := range map[string]string{
		"xa": "flag", "x": "", "y": "no flag", "if one": "1", "if not one": "", "if not two": "2", "one": "", "abc": "bca $", "d": "second", "de": "", "f": "",
		"open one": "late", "open": "", "error": "",
	} {
		value, found := table.Lookup(key)
		if value != want || found != (want != "") {
			t.Errorf("%s: %q, %v, want %q", key, value, found, want)
		}
	}
	want := []string{
		"kind map name, line 3: cannot compile",
		"kind map name, line 12: out of range replacement index \"2\": skipping this rule",
		"kind map name, line 13: IF has no matching ENDIF",
	}
	if diff := cmp.Diff(want, warnings[:3]); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	for _, w := range warnings[3:] {
		if !strings.HasSuffix(w, ": too hard") {
			t.Errorf("warning %s", w)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"/a/ b", "if /a/\n/b/ $1\nendif", "!/a/!/b/ c", "endif", "/a", "/a/x y", "/a/ ${1", "IF\nEND"} {
		f.Add(s, "key")
	}
	f.Fuzz(func(t *testing.T, text, key string) {
		var warnings []string
		value, found := parse(text, &warnings).Lookup(key)
		if !found && value != "" {
			t.Errorf("%q without a match", value)
		}
	})
}
