package match

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postlmtp/internal/table"
)

type recorder struct {
	mu    sync.Mutex
	lines []string
}

func (r *recorder) Warningf(format string, args ...any) { r.add("warning: "+format, args) }
func (r *recorder) Errorf(format string, args ...any)   { r.add("error: "+format, args) }

func (r *recorder) add(format string, args []any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
}

// TestDomains compares names with patterns in both styles of parent domains.
func TestDomains(t *testing.T) {
	for _, tt := range []struct {
		list          string
		name          string
		plain, parent bool // without and with Parents
	}{
		{"", "example.com", false, false},
		{"example.com", "example.com", true, true},
		{"example.com", "EXAMPLE.com", true, true},
		{"Example.COM", "example.com", true, true},
		{"example.com", "a.example.com", false, true},
		{"example.com", "a.b.example.com", false, true},
		{"example.com", "aexample.com", false, false},
		{".example.com", "a.example.com", true, false},
		{".example.com", "a.b.example.com", true, false},
		{".example.com", "example.com", false, false},
		{"com", "example.com", false, true},
		{".com", "example.com", true, false},
		{"!example.com example.com", "example.com", false, false},
		{"!a.example.com .example.com example.com", "a.example.com", false, false},
		{"!a.example.com .example.com example.com", "b.example.com", true, true},
		{"!!example.com", "example.com", true, true},
		{"!x", "example.com", false, false},
		{"a, b,c\td", "d", true, true},
		{"inline:{example.com=x}", "example.com", true, true},
		{"inline:{example.com=x}", "a.b.example.com", false, true},
		{"inline:{{.example.com=x}}", "a.b.example.com", true, false},
		{"inline:{com=x}", "example.com", false, true},
		{"!inline:{com=x} static:all", "example.com", true, false},
		{"static:all", "anything", true, true},
		{"regexp:{{/^example/ x}}", "example.com", true, true},
		{"regexp:{{/^example/ x}}", "a.example.com", false, false},
		{"unix", "unix", true, true},
		{"/", "/", false, false},
		{"a..b", "x.a..b", false, true},
		{".", "a.", true, false},
		{"é.example", "É.EXAMPLE", true, true},
	} {
		for parents, want := range map[bool]bool{false: tt.plain, true: tt.parent} {
			l, err := ParseDomains(tt.list, Options{Param: "list", Tables: table.NewSet(table.Options{UTF8: true}), Parents: parents})
			if err != nil {
				t.Fatal(err)
			}
			got, err := l.Match(context.Background(), tt.name)
			if strings.HasPrefix(tt.list, "/") {
				if err == nil || got {
					t.Errorf("%s: %v, %v", tt.list, got, err)
				}
				continue
			}
			if err != nil || got != want {
				t.Errorf("%q, parents %v: %s: %v, %v", tt.list, parents, tt.name, got, err)
			}
		}
	}
}

func TestStrings(t *testing.T) {
	for _, tt := range []struct {
		list, name string
		want       bool
	}{
		{"a b", "b", true},
		{"a b", "B", true},
		{"a b", "a b", false},
		{"example.com", "a.example.com", false},
		{".example.com", "a.example.com", false},
		{"inline:{b=c}", "a.b", false},
		{"inline:{b=c}", "B", true},
		{"1.2.3.0/24", "1.2.3.4", false},
		{"[::1]", "[::1]", true},
	} {
		l, err := ParseStrings(tt.list, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := l.Match(context.Background(), tt.name); err != nil || got != tt.want {
			t.Errorf("%q: %s: %v, %v", tt.list, tt.name, got, err)
		}
	}
}

func TestHosts(t *testing.T) {
	for _, tt := range []struct {
		list, name, address string
		want                bool
		err                 string
	}{
		{"example.com", "example.com", "1.2.3.4", true, ""},
		{"1.2.3.4", "example.com", "1.2.3.4", true, ""},
		{"[1.2.3.4]", "example.com", "1.2.3.4", true, ""},
		{"1.2.3.0/24", "example.com", "1.2.3.4", true, ""},
		{"[1.2.3.0/24]", "", "1.2.3.4", true, ""},
		{"[1.2.3.0]/24", "", "1.2.3.4", true, ""},
		{"1.2.3.0/24", "", "1.2.4.4", false, ""},
		{"!1.2.3.4 1.2.3.0/24", "x", "1.2.3.4", false, ""},
		{"!1.2.3.4 1.2.3.0/24", "x", "1.2.3.5", true, ""},
		{"[::1]", "x", "::1", true, ""},
		{"[0:0:0:0:0:0:0:1]", "x", "::1", true, ""},
		{"[2001:DB8::]/32", "x", "2001:db8::5", true, ""},
		{"[2001:db8::/32]", "x", "2001:DB8::5", true, ""},
		{"[2001:db8::/32]", "x", "2001:db9::5", false, ""},
		{"0.0.0.0/0", "x", "::1", false, ""},
		{"[::]/0", "x", "1.2.3.4", false, ""},
		{"::1", "x", "::1", false, "list: ::1:: table lookup problem"}, // taken for a table
		{"1.2.3.1/24", "x", "1.2.3.4", false, `list: non-null host address bits in "1.2.3.1/24", perhaps you should use "1.2.3.0/24" instead`},
		{"1.2.3.0/33", "x", "1.2.3.4", false, `list: bad mask length in "1.2.3.0/33"`},
		{"1.2.3.0/33", "x", "::1", false, ""},
		{"example.com/24", "x", "1.2.3.4", false, ""},
		{"abc", "x", "1.2.3.4", false, ""},
		{"1.2.3", "x", "1.2.3.4", false, ""},
		{"inline:{{1.2.3.4=x}}", "x", "1.2.3.4", true, ""},
		{"cidr:{{1.2.3.0/24 x}}", "x", "1.2.3.4", true, ""},
		{"cidr:{{1.2.3.0/24 x}}", "1.2.3.4", "", true, ""},
		{"1.2.3.0/24", "1.2.3.4", "unknown", false, ""},
		{"fail:x", "x", "1.2.3.4", false, "list: fail:x: table lookup problem"},
		{"x fail:x", "x", "1.2.3.4", true, ""},
	} {
		l, err := ParseHosts(tt.list, Options{Param: "list"})
		if err != nil {
			t.Fatal(err)
		}
		got, err := l.MatchHost(context.Background(), tt.name, tt.address)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if got != tt.want || text != tt.err {
			t.Errorf("%q: %s[%s]: %v, %q", tt.list, tt.name, tt.address, got, text)
		}
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	inner := write("inner", "inner.example\n!not.example # late\n")
	list := write("list", "# comment\none.example, two.example\n  three.example\n!no.example\n"+inner+"\n!"+inner+"\n")
	loop := filepath.Join(dir, "loop")
	write("loop", "before.example "+loop+" after.example")
	log := new(recorder)
	tables := table.NewSet(table.Options{Log: log})
	opt := Options{Param: "list", Tables: tables}
	l, err := ParseDomains("!exception.example "+list+" last.example", opt)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		"one.example": true, "two.example": true, "three.example": true, "no.example": false, "inner.example": true, "not.example": false,
		"last.example": true, "exception.example": false, "late": false, "other.example": false,
	} {
		if got, err := l.Match(context.Background(), name); err != nil || got != want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	negated, err := ParseDomains("!"+list+" static:all", opt)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"one.example": false, "no.example": true, "not.example": true, "other.example": true} {
		if got, err := negated.Match(context.Background(), name); err != nil || got != want {
			t.Errorf("negated: %s: %v, %v", name, got, err)
		}
	}
	for _, spec := range []string{loop, dir + "/none"} {
		l, err := ParseDomains("first.example "+spec+" last.example", opt)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := l.Match(context.Background(), "first.example"); !got || err != nil {
			t.Errorf("%s: in front: %v, %v", spec, got, err)
		}
		got, err := l.Match(context.Background(), "last.example")
		if e := new(TableError); got || !errors.As(err, &e) || err.Error() != "list: non-existent:"+spec+": table lookup problem" {
			t.Errorf("%s: behind: %v, %v", spec, got, err)
		}
	}
	want := strings.Split(strings.ReplaceAll(`warning: list: #comment after other text is not allowed: # late...
warning: list: #comment after other text is not allowed: # late...
warning: list: #comment after other text is not allowed: # late...
warning: list: #comment after other text is not allowed: # late...
error: open file DIR/loop: included too deep
warning: non-existent:DIR/loop is unavailable. open file DIR/loop: included too deep
error: open file DIR/none: No such file or directory
warning: non-existent:DIR/none is unavailable. open file DIR/none: No such file or directory`, "DIR", dir), "\n")
	if diff := cmp.Diff(want, log.lines); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
	if _, changed := tables.Changed(); changed {
		t.Error("changed at once")
	}
	write("list", "other")
	if name, changed := tables.Changed(); !changed || name != "table "+list+" has changed" {
		t.Errorf("changed: %s, %v", name, changed)
	}
}

// TestPlainLists: a file in a list as it was before Postfix 3.8, line by line; a
// list that is indented from its first line on is one.
func TestPlainLists(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(path, []byte("  one.example\n\ttwo.example, !three.example # late\n# no.example\n \n.three.example"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, plain := range []bool{true, false} {
		log := new(recorder)
		tables := table.NewSet(table.Options{Log: log, PlainLists: plain})
		l, err := ParseDomains(path, Options{Param: "list", Tables: tables})
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]bool{"one.example": plain, "two.example": plain, "three.example": false, "a.three.example": true, "no.example": false, "late": false} {
			if got, err := l.Match(context.Background(), name); err != nil || got != want {
				t.Errorf("%v: %s: %v, %v", plain, name, got, err)
			}
		}
		want := []string{"warning: " + path + `: logical line must not start with whitespace: "  one.example	two.example, !th..."`}
		if plain {
			want = []string{"warning: list: comment at end of line is not supported: # late"}
		}
		if diff := cmp.Diff(want, log.lines); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
		if err := tables.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestMistakes(t *testing.T) {
	for _, list := range []string{"!", "a !", "a, !!! b"} {
		if _, err := ParseDomains(list, Options{Param: "list"}); err == nil || err.Error() != "list: no pattern after '!'" {
			t.Errorf("%q: %v", list, err)
		}
	}
	tables := table.NewSet(table.Options{OpenErrorsEnd: true})
	for _, list := range []string{"/none/such", "ldap:x", "x:"} {
		if _, err := ParseDomains(list, Options{Param: "list", Tables: tables}); err == nil {
			t.Errorf("%q: no error", list)
		}
	}
	var none *List
	if got, err := none.Match(context.Background(), "x"); got || err != nil || !none.Empty() {
		t.Errorf("no list: %v, %v", got, err)
	}
}

func TestParentStyle(t *testing.T) {
	const list = "debug_peer_list,fast_flush_domains mynetworks"
	for param, want := range map[string]bool{"debug_peer_list": true, "mynetworks": true, "relay_domains": false} {
		if got, err := ParentStyle(context.Background(), list, param, nil); err != nil || got != want {
			t.Errorf("%s: %v, %v", param, got, err)
		}
	}
}

// FuzzMatch: whatever a list says, as long as no file or server is in it.
func FuzzMatch(f *testing.F) {
	for _, s := range []string{"a b", "!a .b", "1.2.3.0/24 [::1]/128", "inline:{a=b}", "regexp:{{/a/ b}}", "# x", "a{b c}", "!!static:x"} {
		f.Add(s, "a.b", "1.2.3.4")
	}
	f.Fuzz(func(t *testing.T, list, name, address string) {
		for _, no := range []string{" /", ",/", "!/", "\t/", "\r/", "\n/", "hash", "btree", "lmdb", "cdb", "socketmap", "tcp", "proxy", ":/"} {
			if strings.Contains(" "+list, no) {
				return
			}
		}
		for _, parents := range []bool{false, true} {
			l, err := ParseHosts(list, Options{Param: "p", Parents: parents})
			if err != nil {
				return
			}
			got, err := l.MatchHost(context.Background(), name, address)
			if got && (err != nil || l.Empty()) {
				t.Errorf("%q: %v, %v", list, got, err)
			}
		}
	})
}
