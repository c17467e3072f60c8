package rules

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postlmtp/internal/table/rx"
)

// contains is a pattern that matches keys with that text; its groups are the
// letters of it.
type contains string

func (c contains) Groups() int { return len(c) }

func (c contains) Match(key string, want int) ([]string, bool, error) {
	switch key {
	case "limit":
		return nil, true, rx.ErrTime
	case "error":
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
			switch flags {
			case "b":
				return nil, errors.New("cannot compile")
			case "ab":
				return nil, fmt.Errorf("%w: not here", errors.ErrUnsupported)
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
		"open one": "late", "open": "", "limit": "",
	} {
		value, found, err := table.Lookup(key)
		if value != want || found != (want != "") || err != nil {
			t.Errorf("%s: %q, %v, %v, want %q", key, value, found, err, want)
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
		if !strings.HasSuffix(w, ": match limit exceeded") {
			t.Errorf("warning %s", w)
		}
	}
}

// TestCannotTell: where a rule cannot tell, the table cannot; "not found" and
// the results of later rules would be wrong.
func TestCannotTell(t *testing.T) {
	for _, tt := range []struct{ rules, key, want string }{
		{"/x/ x\n/y/ y", "error", "line 1: too hard"},
		{"!/x/ x", "error", "line 1: too hard"},
		{"if /x/\n/y/ y\nendif\n/z/ z", "error", "line 1: too hard"},
		{"/e/ e\n/x/ab x\n/z/ z", "e", ""},
		{"/e/ e\n/x/ab x\n/z/ z", "z", "line 2: unsupported operation: not here"},
		{"!/x/ab $1\n/x/ab $2-$1\n/z/ z", "z", "line 2: unsupported operation: not here"},
		{"/z/!/x/ab x", "z", "line 1: unsupported operation: not here"},
		{"/z/!/x/ab x", "y", ""},
		{"if !/x/ab\n/y/ y\nendif\n/z/ z", "z", "line 1: unsupported operation: not here"},
		{"if /y/\n/x/ab x\nendif\n/z/ z", "z", ""},
	} {
		var warnings []string
		text := ""
		if _, found, err := parse(tt.rules, &warnings).Lookup(tt.key); err != nil {
			text = err.Error()
			if found {
				t.Errorf("%q: %s: found, with an error", tt.rules, tt.key)
			}
		}
		if text != tt.want {
			t.Errorf("%q: %s: error %q, want %q; warnings %q", tt.rules, tt.key, text, tt.want, warnings)
		}
	}
	var warnings []string
	parse("/x/ab x", &warnings)
	want := []string{"kind map name, line 1: unsupported operation: not here: lookups that come to this rule fail; specify \"proxy:kind:name\" instead"}
	if diff := cmp.Diff(want, warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"/a/ b", "if /a/\n/b/ $1\nendif", "!/a/!/b/ c", "endif", "/a", "/a/x y", "/a/ ${1", "IF\nEND"} {
		f.Add(s, "key")
	}
	f.Fuzz(func(t *testing.T, text, key string) {
		var warnings []string
		value, found, err := parse(text, &warnings).Lookup(key)
		if err != nil && !strings.Contains(text, "a") && key != "error" {
			t.Errorf("%v", err)
		}
		if !found && value != "" {
			t.Errorf("%q without a match", value)
		}
	})
}
