package dsn

import (
	"strings"
	"testing"
)

func TestValidAndClass(t *testing.T) {
	for _, tt := range []struct {
		code  string
		class byte
	}{
		{"2.0.0", '2'},
		{"4.4.1", '4'},
		{"5.999.123", '5'},
		{"5.1.007", '5'},
		{"", 0},
		{"5", 0},
		{"5.1", 0},
		{"5.1.", 0},
		{"5..1", 0},
		{"3.1.1", 0},
		{"1.1.1", 0},
		{"52.1.1", 0},
		{"5.1234.1", 0},
		{"5.1.1234", 0},
		{"5.1.1 ", 0},
		{"5.1.1 text", 0},
		{" 5.1.1", 0},
		{"5.1.1.1", 0},
		{"5.1.x", 0},
		{"5.-1.1", 0},
		{"5.1.١", 0},
	} {
		if got := Valid(tt.code); got != (tt.class != 0) {
			t.Errorf("Valid(%q) = %v", tt.code, got)
		}
		if got := Class(tt.code); got != tt.class {
			t.Errorf("Class(%q) = %q", tt.code, got)
		}
	}
}

func TestWithClass(t *testing.T) {
	for _, tt := range []struct {
		code  string
		class byte
		want  string
	}{
		{"5.1.1", '4', "4.1.1"},
		{"4.4.2", '5', "5.4.2"},
		{"2.1.5", '2', "2.1.5"},
		{"", '4', "4.0.0"},
		{"5.1", '5', "5.0.0"},
		{"5.1.1", '3', "5.1.1"},
	} {
		if got := WithClass(tt.code, tt.class); got != tt.want {
			t.Errorf("WithClass(%q, %q) = %q, want %q", tt.code, tt.class, got, tt.want)
		}
	}
}

func TestSplit(t *testing.T) {
	for _, tt := range []struct {
		text, code, rest string
		ok               bool
	}{
		{"5.1.1 no such user", "5.1.1", "no such user", true},
		{"5.1.1", "5.1.1", "", true},
		{"4.2.2 \t mailbox full ", "4.2.2", "mailbox full ", true},
		{"2.0.0\nOk", "2.0.0", "Ok", true},
		{"5.1.1no", "", "5.1.1no", false},
		{"5.1.1234 x", "", "5.1.1234 x", false},
		{"5.1.1.1 x", "", "5.1.1.1 x", false},
		{"no code", "", "no code", false},
		{"", "", "", false},
		{" 5.1.1 x", "", " 5.1.1 x", false},
	} {
		code, rest, ok := Split(tt.text)
		if code != tt.code || rest != tt.rest || ok != tt.ok {
			t.Errorf("Split(%q) = %q, %q, %v", tt.text, code, rest, ok)
		}
	}
}

func FuzzSplit(f *testing.F) {
	for _, s := range []string{"5.1.1 no such user", "2.0.0", "x", "4.2.2\t"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		code, rest, ok := Split(text)
		switch {
		case !ok && (code != "" || rest != text):
			t.Errorf("Split(%q) = %q, %q without a code", text, code, rest)
		case ok && (!Valid(code) || !strings.HasPrefix(text, code) || !strings.HasSuffix(text, rest)):
			t.Errorf("Split(%q) = %q, %q", text, code, rest)
		case ok && strings.TrimSpace(text[len(code):len(text)-len(rest)]) != "":
			t.Errorf("Split(%q) lost text", text)
		}
	})
}
