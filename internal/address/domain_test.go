package address

import (
	"strings"
	"testing"
)

func TestASCIIDomain(t *testing.T) {
	for _, tt := range []struct {
		in   string
		idna IDNA
		want string
	}{
		{"example.com", IDNA{}, "example.com"},
		{"Example.COM", IDNA{}, "Example.COM"}, // ASCII is not touched
		{"bücher.example", IDNA{}, "xn--bcher-kva.example"},
		{"BÜCHER.example", IDNA{}, "xn--bcher-kva.example"},
		{"straße.example", IDNA{}, "xn--strae-oqa.example"},
		{"straße.example", IDNA{Compat2003: true}, "strasse.example"},
		{"_srv.bücher.example", IDNA{}, "_srv.xn--bcher-kva.example"},
		{"日本語。jp", IDNA{}, "xn--wgv71a119e.jp"},
	} {
		got, err := tt.idna.ASCIIDomain(tt.in)
		if err != nil || got != tt.want {
			t.Errorf("ASCIIDomain(%q) %+v = %q, %v, want %q", tt.in, tt.idna, got, err, tt.want)
		}
	}
	for _, bad := range []string{
		"bü\xff.example", "-ü.example", "ü-.example", "ü..example", "ü.example.",
		strings.Repeat("ü", 70) + ".example", strings.Repeat("ü.", 200) + "x", "ü b.example",
		strings.Repeat("ü", 5000),
	} {
		if got, err := (IDNA{}).ASCIIDomain(bad); err == nil {
			t.Errorf("ASCIIDomain(%.40q) = %q, want an error", bad, got)
		}
	}
}

func TestFold(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		utf8 bool
		same bool
	}{
		{"User@Example.COM", "user@example.com", true, true},
		{"User@Example.COM", "user@example.com", false, true},
		{"JÜRGEN@x", "jürgen@x", true, true},
		{"JÜRGEN@x", "jürgen@x", false, false},
		{"straße@x", "STRASSE@x", true, true},
		{"a\xffÜ@x", "A\xffü@X", true, true},
		{"a\xffÜ@x", "A\xfeü@X", true, false},
		{"a@x", "b@x", true, false},
	} {
		if got := EqualFold(tt.a, tt.b, tt.utf8); got != tt.same {
			t.Errorf("EqualFold(%q, %q, %v) = %v", tt.a, tt.b, tt.utf8, got)
		}
	}
	if got := Fold("\xff\xc3Ü", true); got != "\xff\xc3ü" {
		t.Errorf("malformed UTF-8 was changed: %q", got)
	}
}

func FuzzASCIIDomain(f *testing.F) {
	f.Add("bücher.example", false)
	f.Add("xn--ü", true)
	f.Fuzz(func(t *testing.T, s string, compat bool) {
		got, err := IDNA{Compat2003: compat}.ASCIIDomain(s)
		if err == nil && !IsASCII(got) {
			t.Errorf("ASCIIDomain(%q) = %q", s, got)
		}
		if err == nil && !IsASCII(s) && !validHostname(got) {
			t.Errorf("ASCIIDomain(%q) = %q, no host name", s, got)
		}
	})
}
