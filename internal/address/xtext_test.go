package address

import (
	"testing"
	"unicode/utf8"
)

func TestXText(t *testing.T) {
	for _, tt := range []struct{ in, special, want string }{
		{"", "=", ""},
		{"plain", "=", "plain"},
		{"a+b=c d", "=", "a+2Bb+3Dc+20d"},
		{"a+b=c", "", "a+2Bb=c"},
		{"tab\tdel\x7fhigh\xff", "=", "tab+09del+7Fhigh+FF"},
		{"rfc822;user@x", "=", "rfc822;user@x"},
	} {
		got := XText(tt.in, tt.special)
		if got != tt.want {
			t.Errorf("XText(%q, %q) = %q, want %q", tt.in, tt.special, got, tt.want)
		}
		if back, err := DecodeXText(got); err != nil || back != tt.in {
			t.Errorf("DecodeXText(%q) = %q, %v", got, back, err)
		}
	}
	if got, err := DecodeXText("+2b"); err != nil || got != "+" {
		t.Errorf("lower case escape: %q, %v", got, err)
	}
	for _, bad := range []string{"+", "+4", "+4G", "a+x1"} {
		if got, err := DecodeXText(bad); err == nil || got != "" {
			t.Errorf("DecodeXText(%q) = %q, %v", bad, got, err)
		}
	}
}

func TestUXText(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"utf-8;a+b=c", `utf-8;a\x{2B}b\x{3D}c`},
		{`back\slash`, `back\x{5C}slash`},
		{"jürgen", `j\x{FC}rgen`},
		{"日本", `\x{65E5}\x{672C}`},
		{"😀 \x01", `\x{1F600}\x{20}\x{01}`},
	} {
		got, err := UXText(tt.in, "+=")
		if err != nil || got != tt.want {
			t.Errorf("UXText(%q) = %q, %v, want %q", tt.in, got, err, tt.want)
		}
		if back, err := DecodeUXText(got); err != nil || back != tt.in {
			t.Errorf("DecodeUXText(%q) = %q, %v", got, back, err)
		}
	}
	if got, err := UXText("bad\xff", "+="); err == nil {
		t.Errorf("malformed UTF-8 encoded as %q", got)
	}
	for _, bad := range []string{`\x{`, `\x{}`, `\x{12`, `\x{zz}`, `\x{110000}`, `\x{D800}`, `\x{FFFFFFFFF}`, `\x{FFFFFFFF}`} {
		if got, err := DecodeUXText(bad); err == nil || got != "" {
			t.Errorf("DecodeUXText(%q) = %q, %v", bad, got, err)
		}
	}
}

func TestORCPT(t *testing.T) {
	for _, tt := range []struct {
		stored, original string
		smtputf8         bool
		want             string
	}{
		{"", "", false, ""},
		{"rfc822;a+b@x", "ignored@x", false, "rfc822;a+2Bb@x"},
		{"", "a b@x", false, `rfc822;"a+20b"@x`},
		{"", "jürgen@x", false, "rfc822;j+C3+BCrgen@x"},
		{"", "jürgen@x", true, `utf-8;j\x{FC}rgen@x`},
		{"", "\xffx@x", true, "rfc822;+FFx@x"},
		{"UTF-8;jürgen@x", "", false, `UTF-8;j\x{FC}rgen@x`},
		{"utf-8;\xff", "", true, ""},
	} {
		if got := ORCPT(tt.stored, tt.original, tt.smtputf8); got != tt.want {
			t.Errorf("ORCPT(%q, %q, %v) = %q, want %q", tt.stored, tt.original, tt.smtputf8, got, tt.want)
		}
	}
}

func FuzzXText(f *testing.F) {
	f.Add("a+b", "=")
	f.Fuzz(func(t *testing.T, s, special string) {
		if back, err := DecodeXText(XText(s, special)); special == "=" && (err != nil || back != s) {
			t.Errorf("%q came back as %q, %v", s, back, err)
		}
		_, _ = DecodeXText(s) // must not panic
	})
}

func FuzzUXText(f *testing.F) {
	f.Add(`a\x{41}ü`)
	f.Fuzz(func(t *testing.T, s string) {
		q, err := UXText(s, "+=")
		if (err == nil) != utf8.ValidString(s) {
			t.Fatalf("UXText(%q): %v", s, err)
		}
		if back, derr := DecodeUXText(q); err == nil && (derr != nil || back != s) {
			t.Errorf("%q came back as %q, %v", s, back, derr)
		}
		_, _ = DecodeUXText(s)
	})
}
