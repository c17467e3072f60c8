package address

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestList(t *testing.T) {
	for _, tt := range []struct {
		in, header string
		addresses  []string
	}{
		{"a@b", "a@b", []string{"a@b"}},
		{" a@b , c@d", "a@b,\nc@d", []string{"a@b", "c@d"}},
		{"Joe Doe <joe@x>", "Joe Doe <joe@x>", []string{"joe@x"}},
		{`"Doe, Joe" <joe@x>`, `"Doe, Joe" <joe@x>`, []string{"joe@x"}},
		{"joe@x (Joe (J.) Doe)", "joe@x (Joe (J.) Doe)", []string{"joe@x"}},
		{"(before) joe@x", "joe@x (before)", []string{"joe@x"}},
		{"joe (in) @x", "joe@x (in)", []string{"joe@x"}},
		{"<a@b>(c)", "<a@b>(c)", []string{"a@b"}},
		{"<a@b>, <>", "<a@b>,\n<>", []string{"a@b"}},
		{`""`, `""`, []string{""}},
		{"friends: a@b, c@d;", "friends: a@b,\nc@d;", []string{"a@b", "c@d"}},
		{"undisclosed-recipients:;", "undisclosed-recipients: ;", nil},
		{"a@b c@d", "a@b,\nc@d", []string{"a@b", "c@d"}},
		{"a@b <c@d>", "a@b <c@d>", []string{"c@d"}},
		{"<a@b> c@d", "<a@b>,\nc@d", []string{"a@b", "c@d"}},
		{`"a b"@c`, `"a b"@c`, []string{"a b@c"}},
		{`a\ b@c`, `"a b"@c`, []string{"a b@c"}},
		{"a@[10.0.0.1]", "a@[10.0.0.1]", []string{"a@[10.0.0.1]"}},
		{"<@r1,@r2:a@b>", "<@r1,@r2:a@b>", []string{"@r1,@r2:a@b"}},
		{"j\u00fcrgen@x", "j\u00fcrgen@x", []string{"j\u00fcrgen@x"}},
		{"a@b\n\tc\r\n (d", "a@b,\nc (d", []string{"a@b", "c"}},
		{"", "", nil},
		{",,", ",\n,\n", nil},
		{"name: <a@b>", "name: <a@b>", []string{"name", "a@b"}},
		{`a\`, "a", []string{"a"}},
	} {
		l := ParseList(tt.in)
		var got []string
		for _, a := range l.Items() {
			got = append(got, a.Internal())
		}
		if diff := cmp.Diff(tt.addresses, got); diff != "" {
			t.Errorf("%q: addresses (-want +got):\n%s", tt.in, diff)
		}
		if h := l.Header(nil); h != tt.header {
			t.Errorf("%q: header %q, want %q", tt.in, h, tt.header)
		}
	}
}

func TestListSet(t *testing.T) {
	l := ParseList("A B <a@b>, (x) c d@e")
	for _, a := range l.Items() {
		a.Set("new " + a.Internal())
	}
	if got, want := l.Header(nil), "A B <\"new a\"@b>,\n\"new c\" (x),\n\"new d\"@e"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestListStripped(t *testing.T) {
	long := strings.Repeat("x ", 126)
	for in, want := range map[string]string{
		long + "<a@b>, c@d":         "<a@b>,\nc@d",
		long + "<>":                 "<>",
		"(" + long[:240] + ") c@d":  "c@d (" + long[:240] + ")",
		"(" + long[:250] + ") c@d ": "<c@d>",
	} {
		if got := ParseList(in).Header(nil); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzList(f *testing.F) {
	for _, s := range []string{"a@b, c", "x: a@b;", "<a@b>", "(c(", `"\`, "[", "a <b", "b> c", "a:b;c:;"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l := ParseList(text)
		for _, a := range l.Items() {
			a.External()
			a.Set(a.Internal())
		}
		// What was written once can be read again, and does not grow.
		once := l.Header(nil)
		if twice := ParseList(once).Header(nil); len(twice) > 4*len(once)+16 {
			t.Errorf("%q, %q, %q", text, once, twice)
		}
	})
}
