package table_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// compareText compares a table of text with postmap: its answers, and the
// warnings about what is wrong with it.
func compareText(t *testing.T, kind, text string, keys []string, config ...string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "table")
	write(t, path, text)
	spec := kind + ":" + path
	compare(t, spec, keys, config...)
	_, want := postmap(t, spec, []string{"key"}, config...)
	_, log := open(t, spec, !slices.Contains(config, noUTF8))
	got := strings.ToValidUTF8(strings.Join(log.lines, "\n"), "?") // as the log does
	if diff := cmp.Diff(strings.Join(want, "\n"), got); diff != "" {
		t.Errorf("%s: log (-postmap +got):\n%s", kind, diff)
	}
}

const odd = `# comment
 # indented comment
   starts with space
key value
key2	value with   spaces  
KEY3 Folded
multi line
 continued
 more
# comment inside
 and on

 after an empty line
"quoted key" value
"quoted \" key" value
back\ slash value
unbalanced" value
novalue
alias: value
x   
empty ""
last value without newline`

func TestTexthash(t *testing.T) {
	g := newGenerator(3)
	keys := append([]string{"key", "KEY", "key2", "key3", "KEY3", "multi", "quoted", `"quoted key"`, `"quoted \" key"`, `back\ slash`,
		`unbalanced"`, "novalue", "alias:", "alias", "x", "empty", "last", "starts", "é", "É", "ß"}, g.queries([]string{"key", "key2", "multi"}, false)...)
	compareText(t, "texthash", odd, keys)
	bad := "ok \xff\n"
	if asciiEntries(t) {
		bad = "" // it would be in the table, and end postmap
	}
	compareText(t, "texthash", odd+"\né 1\n\xff 2\n"+bad+"ß 3\n", keys)
	compareText(t, "texthash", odd+"\n\xff 2\nok \xff\n\xe9x 4\n", g.queries([]string{"\xff", "ok", "\xe9x"}, true), noUTF8)
	compareText(t, "texthash", "", keys)
	compareText(t, "texthash", " \n#\n", keys)

	path, known := source(t, g, 3000, 300, 300, false)
	compare(t, "texthash:"+path, g.queries(known, false))
	path, known = source(t, g, 3000, 300, 300, true)
	compare(t, "texthash:"+path, g.queries(known, true), noUTF8)
}

func TestInline(t *testing.T) {
	g := newGenerator(4)
	keys := g.queries([]string{"a", "b", "c d", `"c d"`, "x", "é", "É", "a=b", "{a", "A", "B"}, false)
	for _, spec := range []string{
		"{a=b}", "{a=b,c=d}", "{ a=b c=d , b=e }", "{{a = b c}, {b = {x} }}", "{a=}", `{{"c d" = e}}`, "{A=1, a=2}", "{a=1,a=2}", "{é=1}", "{É=2}", "{a=b=c}",
	} {
		compare(t, "inline:"+spec, keys)
		keys = keys[:min(len(keys), 2000)] // enough for the others
	}
	for _, spec := range []string{"{value, other}", "{only}", "value", "{ value }", "{}", "{a b}"} {
		compare(t, "static:"+spec, keys)
	}
	for _, spec := range []string{
		"unionmap:{static:one,static:two}", "unionmap:{inline:{a=1},inline:{a=2,b=3}}", "unionmap:{inline:{{a = x,y}}}",
		"pipemap:{inline:{a=b},inline:{b=c}}", "pipemap:{static:x,inline:{x=y}}", "unionmap:{pipemap:{inline:{A=b},static:x},inline:{a=},static:y}",
		"pcre:{{/^a/ 1},{/b/ $$2},{!/x/ 3}}", "regexp:{{/^(a)(.)/ $2$1}, {if /b/},{/b([a-z])/ ${1}},{endif},{/c/ {d}}}", "cidr:{{10.0.0.0/8 a}}",
		"unionmap:{pcre:{{/A/ 1}},inline:{A=2}}", "randmap:{one}", "environ:x",
	} {
		more := []string{"PATH", "10.1.1.1"}
		if strings.HasPrefix(spec, "pcre") || strings.HasPrefix(spec, "regexp") {
			more = g.queries([]string{"abc", "xbx"}, true)
		}
		compare(t, spec, slices.Concat(keys, more), noUTF8)
	}
}

// TestBadSpecs: tables that cannot be opened, for the same reasons.
func TestBadSpecs(t *testing.T) {
	dir := t.TempDir()
	specs := []string{
		"inline:{}", "inline:{a}", "inline:{a=b", "inline:a=b", "inline:{{a=b}", "inline:{{a=b}c}", "inline:{ }", `inline:{"a=b}`, "inline:{a=b}c",
		"static:{", "static:{a}b", "unionmap:", "unionmap:{}", "unionmap:x", "unionmap:{static}", "pipemap:{}", "pipemap:{x", "randmap:{}", "randmap:x",
		"pcre:{", "pcre:{{/a/ b}", "pcre:{/a/}", "regexp:{a}", "cidr:{a b}", "cidr:{{1.2.3.4 a} x}",
		"texthash:" + dir + "/none", "pcre:" + dir + "/none", "regexp:" + dir + "/none", "cidr:" + dir + "/none", "hash:" + dir + "/none", "btree:" + dir + "/none",
		"cdb:" + dir + "/none", "lmdb:" + dir + "/none", "unionmap:{static:a,texthash:" + dir + "/none}",
	}
	wait := make([]func() (map[string]string, []string), len(specs))
	for i, spec := range specs {
		wait[i] = startPostmap(t, spec, []string{"key"})
	}
	for i, spec := range specs {
		_, want := wait[i]()
		opened, err := newSet(nil).Open(spec, postmapFlags)
		if err == nil {
			t.Errorf("%s: opened %v; postmap says %q", spec, opened, want)
		} else if len(want) == 0 || want[len(want)-1] != "fatal: "+err.Error() {
			t.Errorf("%s: %v; postmap says %q", spec, err, want)
		}
	}
}

func TestCIDR(t *testing.T) {
	const text = `# networks
10.0.0.0/8 ten
10.1.0.0/16	never
!192.168.0.0/16 not private
192.168.1.1 host
if 192.168.0.0/16
192.168.2.0/24 inner
if !192.168.3.0/24
192.168.3.1 never
192.168.4.0/24 four
endif
192.168.0.0/16 rest
endif
if ! 2001:db8::/32
2001:db8::/32 never
endif
2001:db8::/32 six
[2001:db9::]/32 brackets
[2001:dba::/32] brackets too
2001:dbb:0:0:0:0:0:1 one
::ffff:1.2.3.4 mapped
::ffff:0.0.0.0/96 mapped network
0.0.0.0/0
10.0.0.1/8 host bits
10.0.0.0/33 long
10.0.0.0/x bad
10.0.0/8 short
010.0.0.0/8 zero
300.0.0.0/8 large
1.2.3.4.5 many
[1.2.3.4 open
[1.2.3.4]x garbage
[1.2.3.4]/ empty
name word
2001:db8::1%eth0 zone
!
if
if !
endif garbage
endif
if 1.2.3.0/24
1.2.3.4 value
  continued
fe80::/10 link
1.2.4.0/24 x
`
	var keys []string
	g := newGenerator(5)
	for range 4000 {
		keys = append(keys, fmt.Sprintf("%d.%d.%d.%d", []int{10, 192, 1, 127}[g.IntN(4)], []int{0, 1, 2, 168}[g.IntN(4)], g.IntN(6), g.IntN(6)))
		keys = append(keys, fmt.Sprintf("2001:db%x::%x", 7+g.IntN(6), g.IntN(3)), fmt.Sprintf("::ffff:1.2.3.%d", g.IntN(6)))
		keys = append(keys, g.text("0123456789abcdef.:/", 1, 12))
	}
	keys = append(keys, "fe80::1", "FE80::1", "fe80::1%lo", "1.2.3", "01.2.3.4", "[10.0.0.1]", "10.0.0.1 ", "::", "::1", "0.0.0.0", "255.255.255.255", "2001:DB8::1", "1.2.3.4/32")
	compareText(t, "cidr", text, keys)
}

// TestRules: everything but the patterns of regexp: and pcre: tables.
func TestRules(t *testing.T) {
	const text = `# rules
/^one$/ 1
/^two$/
/^three$/   3 with  spaces  
!/./ empty
/^(a+)(b+)?(c)/ a=$1 b=${2} c=$(3) $$ $$$1 x$1x
/^dollar/ $$
/^d2/ a$$b
/^(g)/ $2
/^(h)/ $x
/^(i)/ $0
/^(j)/ $1x
/^(k)/ ${1
/^(l)/ $
/^(m)/ ${}
/^(n)/ $(1}
/^(o)/ ${{1}}
/^(p)/ $99
!/(q)/ $1
if /^if/
/a/ ifa
if !/b/
/c/ ifc
endif
/d/ ifd
 ENDIF
endif
if /^nested/
  /x/ continued
if /y/
/y/ y
endif
/n/ n
endif
endif
if
if /x
if/^tight/
/t/ t
endif x
ifx /y/
endifx
garbage
/open
/flags/q z
/long/ a
 b
# c
 d
/^one$/ again
|pipe| p
if /^if/ extra
/zz/ zz
`
	g := newGenerator(6)
	keys := []string{"one", "two", "three", "abc", "aabbc", "ac", "dollar", "d2", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "ifa", "ifb", "ifc", "ifcb",
		"ifd", "nestedx", "nestedy", "nested", "tight", "long", "pipe", "zz", "ifzz", "ONE", "AaBbC", "x", "é"}
	for range 500 {
		keys = append(keys, "if"+g.text("abcdxyz", 0, 3), g.text("abcnestedxyz", 1, 8))
	}
	compareText(t, "regexp", text, keys)
	compareText(t, "pcre", text, keys)
	compareText(t, "pcre", "/a/X x\nif /x/\nif /y/\n/z/ z\n", keys)
	compareText(t, "regexp", "/a/!/b/ x\n!/a/!/b/ y\n/(c)/!/d/i $1\nif /x/\n/z/!/y/ z\n", append(keys, "ab", "b", "c", "cd", "cD", "xz", "xyz"))
}
