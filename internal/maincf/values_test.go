package maincf

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	for _, test := range []struct {
		name, in string
		want     map[string]Entry
		warnings []string
		err      string
	}{
		{name: "empty"},
		{name: "comments only", in: "# a\n  # b\n\n \t\n"},
		{name: "plain", in: "a = 1\nb=2\nc =\nd\t=  x y  \n", want: map[string]Entry{
			"a": {"1", "f", 1}, "b": {"2", "f", 2}, "c": {"", "f", 3}, "d": {"x y", "f", 4}}},
		{name: "no newline at the end", in: "a = 1", want: map[string]Entry{"a": {"1", "f", 1}}},
		{name: "continuation", in: "a = 1\n  2\n\t3\nb = 4\n", want: map[string]Entry{
			"a": {"1  2\t3", "f", 1}, "b": {"4", "f", 4}}},
		{name: "comment and blank inside", in: "a = 1\n# c\n\n  # d\n  2\nb = 3\n", want: map[string]Entry{
			"a": {"1  2", "f", 1}, "b": {"3", "f", 6}}},
		{name: "value on the next line", in: "a =\n  1\n", want: map[string]Entry{"a": {"1", "f", 1}}},
		{name: "equals on the next line", in: "a\n = 1\n", want: map[string]Entry{"a": {"1", "f", 1}}},
		{name: "hash inside", in: "a = 1 # 2\n", want: map[string]Entry{"a": {"1 # 2", "f", 1}}},
		{name: "equals inside", in: "a = b=c\n", want: map[string]Entry{"a": {"b=c", "f", 1}}},
		{name: "carriage return", in: "a = 1\r\nb = 2\r\n", want: map[string]Entry{"a": {"1", "f", 1}, "b": {"2", "f", 2}}},
		{name: "odd space", in: "a\v=\f1\v\n", want: map[string]Entry{"a": {"1", "f", 1}}},
		{name: "line number after comments", in: "\n# x\n\na = 1\n", want: map[string]Entry{"a": {"1", "f", 4}}},
		{name: "later wins", in: "a = 1\na = 2\na = 2\n", want: map[string]Entry{"a": {"2", "f", 3}},
			warnings: []string{"f, line 2: overriding earlier entry: a=1"}},
		{name: "nothing to continue", in: "  a = 1\n  2\nb = 3\n", want: map[string]Entry{"b": {"3", "f", 3}},
			warnings: []string{`f: logical line must not start with whitespace: "  a = 1  2"`}},
		{name: "nothing to continue, long", in: " " + strings.Repeat("x", 40) + "\n",
			warnings: []string{`f: logical line must not start with whitespace: " ` + strings.Repeat("x", 29) + `..."`}},
		{name: "null byte", in: "a = 1\x002\n 3\n", want: map[string]Entry{"a": {"1", "f", 1}},
			warnings: []string{"f, line 1: text after null byte may be ignored"}},
		{name: "leading null byte", in: "\x00\n", err: `f, line 1: missing attribute name: ""`,
			warnings: []string{"f, line 1: text after null byte may be ignored"}},
		{name: "no equals", in: "a = 1\nbad line\n", want: map[string]Entry{"a": {"1", "f", 1}},
			err: `f, line 2: missing '=' after attribute name: "bad line"`},
		{name: "no name", in: "= 1\n", err: `f, line 1: missing attribute name: "= 1"`},
		{name: "long line", in: "a = " + strings.Repeat("x", MaxLineLength), err: "f, line 1: logical line too long"},
		{name: "long logical line", in: "a =" + strings.Repeat(strings.Repeat(" x", 1000)+"\n", 600), err: "f, line 1: logical line too long"},
	} {
		v := NewValues()
		warnings, err := v.Parse(strings.NewReader(test.in), "f")
		var texts []string
		for _, w := range warnings {
			texts = append(texts, w.String())
		}
		got := map[string]Entry{}
		for _, name := range v.Names() {
			got[name], _ = v.Get(name)
		}
		if test.want == nil {
			test.want = map[string]Entry{}
		}
		if d := cmp.Diff(test.want, got); d != "" {
			t.Errorf("%s: values:\n%s", test.name, d)
		}
		if d := cmp.Diff(test.warnings, texts); d != "" {
			t.Errorf("%s: warnings:\n%s", test.name, d)
		}
		var fe *FileError
		if (err != nil) != (test.err != "") || err != nil && (err.Error() != test.err || !errors.As(err, &fe) || fe.Line == 0) {
			t.Errorf("%s: error %v, want %q", test.name, err, test.err)
		}
	}
}

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	v := NewValues()
	if _, err := v.ReadFile(filepath.Join(dir, "main.cf")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	big := filepath.Join(dir, "big")
	if err := os.WriteFile(big, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(big, MaxFileSize+1); err != nil {
		t.Fatal(err)
	}
	var fe *FileError
	if _, err := v.ReadFile(big); !errors.As(err, &fe) {
		t.Errorf("big file: %v", err)
	}
}

// TestReadSettled: settings of a file that is half written do not count.
func TestReadSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "main.cf")
		write := func(text string) {
			t.Helper()
			now := time.Now()
			if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chtimes(path, now, now)); err != nil {
				t.Error(err)
			}
		}
		write("a = 1\n")
		go func() {
			time.Sleep(time.Second)
			write("a = 1\nb = 2\n")
		}()
		at, settled := NewValues(), NewValues()
		if _, err := at.ReadFile(path); err != nil || len(at.Names()) != 1 {
			t.Errorf("at once: %v, %v", at.Names(), err)
		}
		if _, err := settled.ReadSettled(path); err != nil || len(settled.Names()) != 2 {
			t.Errorf("settled: %v, %v", settled.Names(), err)
		}
	})
	if _, err := NewValues().ReadSettled(filepath.Join(t.TempDir(), "x")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

func TestParseOverride(t *testing.T) {
	for _, test := range []struct{ in, name, value, err string }{
		{"a=b", "a", "b", ""},
		{" a = b c ", "a", "b c", ""},
		{"a=", "a", "", ""},
		{"a=b=c", "a", "b=c", ""},
		{"a", "", "", `invalid "-o a" option value: missing '=' after attribute name`},
		{"=b", "", "", `invalid "-o =b" option value: missing attribute name`},
		{"", "", "", `invalid "-o " option value: missing attribute name`},
		{"a b=c", "", "", `invalid "-o a b=c" option value: missing '=' after attribute name`},
	} {
		got, err := ParseOverride(test.in)
		if (err == nil) != (test.err == "") || err != nil && err.Error() != test.err || got.Name != test.name || got.Value != test.value {
			t.Errorf("ParseOverride(%q) = %+v, %v", test.in, got, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("a = 1\n  2\n# c\n b\nc=$a")
	f.Add(" x\n\x00\r\n=")
	f.Fuzz(func(t *testing.T, in string) {
		v := NewValues()
		if _, err := v.Parse(strings.NewReader(in), "f"); err != nil {
			return
		}
		// What was read can be written on one line each and read again.
		var out strings.Builder
		for _, name := range v.Names() {
			e, _ := v.Get(name)
			out.WriteString(name + " = " + e.Text + "\n")
		}
		w := NewValues()
		if _, err := w.Parse(strings.NewReader(out.String()), "f"); err != nil && !strings.HasPrefix(v.Names()[0], "#") {
			t.Fatalf("%q: %v", out.String(), err)
		}
	})
}
