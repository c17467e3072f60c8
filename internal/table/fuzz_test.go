package table_test

import (
	"context"
	"strings"
	"testing"

	"postlmtp/internal/table"
)

// FuzzOpen: whatever a parameter says, as long as no file or server is in it.
func FuzzOpen(f *testing.F) {
	for _, s := range []string{
		"inline:{a=b}", "static:{ x }", "unionmap:{static:a,inline:{b=c}}", "pipemap:{static:a}", "randmap:{a,b}", "regexp:{{/a/ b}}", "pcre:{{if /a/},{/b/ $1}}",
		"cidr:{{1.2.3.4 a}}", "fail:x", "environ:x", "nonsense:x", "unionmap:{unionmap:{static:x}}", "inline:{{a = {b}}, c=}",
	} {
		f.Add(s, "key")
	}
	f.Fuzz(func(t *testing.T, spec, key string) {
		if len(spec) > 300 || strings.ContainsAny(spec, "/") && !strings.Contains(spec, "{") {
			return
		}
		for _, kind := range []string{"hash", "btree", "lmdb", "cdb", "texthash", "socketmap", "tcp", "proxy"} {
			if strings.Contains(spec, kind) {
				return
			}
		}
		set := table.NewSet(table.Options{UTF8: true})
		defer set.Close()
		m, err := set.OpenMaps("param", spec, table.FoldFixed|table.UTF8)
		if err != nil {
			t.Fatal(err)
		}
		if value, found, err := m.Find(context.Background(), key); found && (value == "" || err != nil) || !found && value != "" {
			t.Errorf("%q: %q: %q, %v, %v", spec, key, value, found, err)
		}
	})
}

// FuzzText: whatever is in a file.
func FuzzText(f *testing.F) {
	f.Add([]byte("a b\n c\n#d\n\n e"), "a")
	f.Add([]byte("a\x00b c"), "a")
	f.Add([]byte("/a/ b\nif /c/\n"), "a")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte, key string) {
		path := dir + "/table"
		if len(text) > 1000 {
			return
		}
		writeFile(t, path, text)
		for _, kind := range []string{"texthash", "cidr", "regexp", "pcre"} {
			set := table.NewSet(table.Options{UTF8: true})
			opened, err := set.Open(kind+":"+path, table.FoldFixed|table.UTF8)
			if err != nil {
				t.Fatal(err)
			}
			opened.Lookup(context.Background(), key)
			if err := set.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}
