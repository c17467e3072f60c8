package address

import (
	"strings"
	"testing"
)

func TestQuote(t *testing.T) {
	for _, tt := range []struct{ addr, envelope, header string }{
		{"", "", ""},
		{"user@example.com", "user@example.com", "user@example.com"},
		{"user", "user", "user"},
		{"a.b.c@x", "a.b.c@x", "a.b.c@x"},
		{"!#$%&'*+/=?^_`{|}~-@x", "!#$%&'*+/=?^_`{|}~-@x", "!#$%&'*+/=?^_`{|}~-@x"},
		{"two words@x", `"two words"@x`, `"two words"@x`},
		{".lead@x", `".lead"@x`, `".lead"@x`},
		{"trail.@x", `"trail."@x`, `"trail."@x`},
		{"a..b@x", `"a..b"@x`, `"a..b"@x`},
		{"@x", `""@x`, `""@x`},
		{".", `"."`, `"."`},
		{"a@b@x", `"a@b"@x`, `"a@b"@x`},
		{`q"uote@x`, `"q\"uote"@x`, `"q\"uote"@x`},
		{`back\slash@x`, `"back\\slash"@x`, `"back\\slash"@x`},
		{"a\rb@x", "\"a\\\rb\"@x", "\"a\\\rb\"@x"},
		{"a\nb@x", "\"a\\\nb\"@x", "\"a\nb\"@x"}, // Postfix escapes LF in one form only
		{"a\tb@x", "\"a\tb\"@x", "\"a\tb\"@x"},
		{"del\x7f@x", "\"del\x7f\"@x", "\"del\x7f\"@x"},
		{"a,b@x", `"a,b"@x`, `"a,b"@x`},
		{"jürgen@x", "jürgen@x", "jürgen@x"},
		{"\xff\xfe@x", "\xff\xfe@x", "\xff\xfe@x"},
		{"@a,@b:u v@x", `"@a,@b:u v"@x`, `@a,@b:"u v"@x`},
		{"@a:user@x", `"@a:user"@x`, "@a:user@x"},
		{"user@[192.0.2.1]", "user@[192.0.2.1]", "user@[192.0.2.1]"},
	} {
		if got := QuoteEnvelope(tt.addr); got != tt.envelope {
			t.Errorf("QuoteEnvelope(%q) = %q, want %q", tt.addr, got, tt.envelope)
		}
		if got := QuoteHeader(tt.addr); got != tt.header {
			t.Errorf("QuoteHeader(%q) = %q, want %q", tt.addr, got, tt.header)
		}
		if got := UnquoteHeader(tt.header); got != tt.addr {
			t.Errorf("UnquoteHeader(%q) = %q, want %q", tt.header, got, tt.addr)
		}
	}
}

func TestUnquoteOddText(t *testing.T) {
	for in, want := range map[string]string{
		`"a\`:          "a",
		`a\@b@c`:       "a@b@c",
		`"a@b`:         "a@b",
		`"x"y"z"@"d"`:  `xyz@"d"`, // nothing after the last bare '@' changes
		`@a:"u v"@x`:   "@a:u v@x",
		"no quotes @x": "no quotes @x",
	} {
		if got := UnquoteHeader(in); got != want {
			t.Errorf("UnquoteHeader(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestSplit(t *testing.T) {
	for _, tt := range []struct {
		addr, local, domain string
		ok                  bool
	}{
		{"a@b@c", "a@b", "c", true}, {"a", "a", "", false}, {"a@", "a", "", true}, {"", "", "", false},
	} {
		local, domain, ok := Split(tt.addr)
		if local != tt.local || domain != tt.domain || ok != tt.ok {
			t.Errorf("Split(%q) = %q %q %v", tt.addr, local, domain, ok)
		}
	}
}

// FuzzQuote: the header form reverses, and the envelope form has nothing bare
// that would end the path of a command.
func FuzzQuote(f *testing.F) {
	for _, s := range []string{"a@b", `a"b\@c`, "@x:y z@d", "..@.", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, addr string) {
		if routeLen(addr) == 0 {
			if got := UnquoteHeader(QuoteHeader(addr)); got != addr {
				t.Errorf("%q quoted and back is %q", addr, got)
			}
		}
		local, _, _ := Split(addr)
		q := QuoteEnvelope(addr)
		if strings.ContainsAny(local, " <>\r\n") && !strings.HasPrefix(q, `"`) {
			t.Errorf("%q goes out bare", addr)
		}
	})
}
