package table_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"postlmtp/internal/table"
)

func TestSplit(t *testing.T) {
	for _, tt := range []struct {
		list string
		want []string
	}{
		{"", nil},
		{" , \t\n", nil},
		{"a", []string{"a"}},
		{"hash:/a, hash:/b\thash:/c,,hash:/d ", []string{"hash:/a", "hash:/b", "hash:/c", "hash:/d"}},
		{"inline:{a=b, c=d} static:x", []string{"inline:{a=b, c=d}", "static:x"}},
		{"pcre:{{/a b/ c},{/d/ e}},x", []string{"pcre:{{/a b/ c},{/d/ e}}", "x"}},
		{"a{b c}d e", []string{"a{b c}d", "e"}},
		{"a} b", []string{"a}", "b"}},
		{"{a b", []string{"{a b"}},
	} {
		if diff := cmp.Diff(tt.want, table.Split(tt.list)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.list, diff)
		}
	}
}

func TestFlags(t *testing.T) {
	for flags, want := range map[table.Flags]string{
		0:          "0",
		table.Lock: "lock",
		table.Lock | table.FoldFixed | table.UTF8:                              "lock|fold_fix|utf8_request",
		table.NoRegexpSub | table.NoProxy | table.NoUnauth | table.FoldPattern: "no_regsub|no_proxy|no_unauth|fold_mul",
		1 << 30: "0x40000000",
	} {
		if got := flags.String(); got != want {
			t.Errorf("%d: %s, want %s", int(flags), got, want)
		}
	}
}

// TestUnavailable: a table that cannot be opened is said once, and again for
// each lookup, which fails.
func TestUnavailable(t *testing.T) {
	log := new(recorder)
	set := table.NewSet(table.Options{Log: log})
	defer set.Close()
	path := filepath.Join(t.TempDir(), "none")
	for _, spec := range []string{"hash:" + path, "hash:" + path, "nonsense", ":x", "x:", "ldap:" + path, "unionmap:{static:a,texthash:" + path + "}"} {
		opened, err := set.Open(spec, table.Lock)
		if err != nil {
			t.Fatal(err)
		}
		_, found, err := opened.Lookup(context.Background(), "key")
		if e := new(table.Error); found || !errors.As(err, &e) || e.Config {
			t.Errorf("%s: %v, %v", spec, found, err)
		}
	}
	want := strings.ReplaceAll(`error: open database PATH.db: No such file or directory
warning: hash:PATH is unavailable. open database PATH.db: No such file or directory
warning: hash:PATH is unavailable. open database PATH.db: No such file or directory
error: open dictionary: expecting "type:name" form instead of "nonsense"
warning: nonsense: is unavailable. open dictionary: expecting "type:name" form instead of "nonsense"
error: open dictionary: expecting "type:name" form instead of ":x"
warning: :x: is unavailable. open dictionary: expecting "type:name" form instead of ":x"
error: open dictionary: expecting "type:name" form instead of "x:"
warning: x:: is unavailable. open dictionary: expecting "type:name" form instead of "x:"
error: unsupported dictionary type: ldap; specify "proxy:ldap:PATH" instead, and proxymap(8) will look it up
warning: ldap:PATH is unavailable. unsupported dictionary type: ldap; specify "proxy:ldap:PATH" instead, and proxymap(8) will look it up
error: open database PATH: No such file or directory
warning: texthash:PATH is unavailable. open database PATH: No such file or directory`, "PATH", path)
	if diff := cmp.Diff(want, strings.Join(log.lines, "\n")); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

// TestNesting: tables inside of tables are not opened without end.
func TestNesting(t *testing.T) {
	spec := strings.Repeat("unionmap:{", 100) + "static:x" + strings.Repeat("}", 100)
	if _, err := newSet(nil).Open(spec, 0); err == nil || !strings.HasSuffix(err.Error(), "too many tables inside each other") {
		t.Errorf("error %v", err)
	}
}

// TestFolding: which keys are folded.
func TestFolding(t *testing.T) {
	for _, tt := range []struct {
		spec, key string
		flags     table.Flags
		utf8      bool
		want      string
	}{
		{"inline:{Key=1}", "Key", 0, false, "1"},
		{"inline:{Key=1}", "kEY", 0, false, ""},
		{"inline:{Key=1}", "kEY", table.FoldFixed, false, "1"},
		{"inline:{key=1}", "KEY", table.FoldPattern, false, ""},
		{"inline:{ÉCOLE=1}", "école", table.FoldFixed, false, ""},
		{"inline:{ÉCOLE=1}", "école", table.FoldFixed, true, ""},
		{"inline:{ÉCOLE=1}", "école", table.FoldFixed | table.UTF8, true, "1"},
		{"inline:{straße=1}", "STRASSE", table.FoldFixed | table.UTF8, true, "1"},
		{"regexp:{{/(.*)/ $1}}", "KeY", table.FoldFixed, false, "KeY"},
		{"regexp:{{/(.*)/ $1}}", "KeY", table.FoldPattern, false, "key"},
		{"pcre:{{/(.*)/ $1}}", "ÉKeY", table.FoldPattern | table.UTF8, true, "ékey"},
		{"pcre:{{/(.*)/ $1}}", "KeY", table.FoldPattern | table.NoRegexpSub, true, ""},
		{"unionmap:{regexp:{{/(.*)/ $1}},inline:{key=1}}", "KEY", table.FoldFixed, false, "KEY,1"},
		{"static:x", "\xff", table.UTF8, true, ""},
		{"static:x", "\xff", table.UTF8, false, "x"},
		{"static:x", "a\x00b", 0, false, ""},
	} {
		set := table.NewSet(table.Options{UTF8: tt.utf8})
		opened, err := set.Open(tt.spec, tt.flags)
		if err != nil {
			t.Fatal(err)
		}
		value, found, err := opened.Lookup(context.Background(), tt.key)
		if err != nil || found != (tt.want != "") || value != tt.want {
			t.Errorf("%s, %v: %q: %q, %v, %v, want %q", tt.spec, tt.flags, tt.key, value, found, err, tt.want)
		}
	}
}

func TestMaps(t *testing.T) {
	log := new(recorder)
	set := table.NewSet(table.Options{Log: log})
	m, err := set.OpenMaps("lmtp_x_maps", "inline:{a=1, empty={}, e=}, regexp:{{/^p/ 2}} fail:x static:never", table.Lock)
	if err != nil {
		t.Fatal(err)
	}
	if m.Empty() || len(m.Tables()) != 4 {
		t.Errorf("%v", m.Tables())
	}
	for _, tt := range []struct {
		key    string
		fixed  bool
		value  string
		config bool
		failed bool
	}{
		{"a", false, "1", false, false},
		{"p", false, "2", false, false},
		{"x", false, "", false, true},
		{"e", false, "", true, true},
		{"", false, "", false, false},
		{"p", true, "never", false, false},
	} {
		find := m.Find
		if tt.fixed {
			find = m.FindFixed
		}
		value, found, err := find(context.Background(), tt.key)
		if value != tt.value || found != (tt.value != "") || (err != nil) != tt.failed {
			t.Errorf("%q: %q, %v, %v", tt.key, value, found, err)
		}
		if e := new(table.Error); errors.As(err, &e) && e.Config != tt.config {
			t.Errorf("%q: %#v", tt.key, e)
		}
	}
	want := []string{
		`warning: fail:x lookup error for "x"`,
		"warning: lmtp_x_maps lookup of e returns an empty string result",
		"warning: lmtp_x_maps should return NO RESULT in case of NOT FOUND",
	}
	if diff := cmp.Diff(want, log.lines); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
	var none *table.Maps
	if _, found, err := none.Find(context.Background(), "a"); !none.Empty() || found || err != nil {
		t.Errorf("no maps: %v, %v", found, err)
	}
	// Once more: the same tables, from the same instances.
	again, err := set.OpenMaps("lmtp_y_maps", "regexp:{{/^p/ 2}}", table.Lock)
	if err != nil || again.Tables()[0] != m.Tables()[1] {
		t.Errorf("opened twice: %v", err)
	}
}

// TestChanged: each way in which a file can change.
func TestChanged(t *testing.T) {
	golden := golden(t)
	for name, change := range map[string]func(t *testing.T, path string){
		"rewritten": func(t *testing.T, path string) { write(t, path, "other contents") },
		"touched": func(t *testing.T, path string) {
			now := time.Now()
			if err := os.Chtimes(path, now, now); err != nil {
				t.Fatal(err)
			}
		},
		"replaced": func(t *testing.T, path string) {
			write(t, path+".new", "new")
			if err := os.Rename(path+".new", path); err != nil {
				t.Fatal(err)
			}
		},
		"removed": func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		},
	} {
		for kind, file := range map[string]string{
			"hash": "hash.db", "btree": "btree.db", "cdb": "golden.cdb", "lmdb": "golden.lmdb",
			"texthash": "golden.txt", "cidr": "golden.txt", "regexp": "golden.txt", "pcre": "golden.txt",
		} {
			if kind == "lmdb" && (name == "rewritten" || name == "touched") {
				continue // seen without a restart
			}
			dir := t.TempDir()
			data, err := os.ReadFile(filepath.Join(golden, file))
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "table"+strings.TrimPrefix(filepath.Ext(file), ".txt"))
			write(t, path, string(data))
			set := table.NewSet(table.Options{OpenErrorsEnd: true})
			spec := kind + ":" + filepath.Join(dir, "table")
			if _, err := set.Open(spec, table.Lock|table.FoldFixed); err != nil {
				t.Fatal(err)
			}
			if name, changed := set.Changed(); changed {
				t.Errorf("%s: changed at once", name)
			}
			change(t, path)
			if got, changed := set.Changed(); !changed || got != "table "+spec+"(0,lock|fold_fix) has changed" {
				t.Errorf("%s, %s: %s, %v", kind, name, got, changed)
			}
			if err := set.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestReopen: a table that could not be opened, and that somebody asks for, is
// given another try by another process.
func TestReopen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := table.NewSet(table.Options{})
		defer set.Close()
		path := filepath.Join(t.TempDir(), "none")
		unasked, err := set.Open("hash:"+path, table.Lock)
		if err != nil {
			t.Fatal(err)
		}
		asked, err := set.Open("unionmap:{static:x,hash:"+path+",cdb:"+path+"}", table.Lock)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if why, changed := set.Changed(); changed {
			t.Errorf("nobody has asked: %s", why)
		}
		if _, _, err := asked.Lookup(t.Context(), "key"); err == nil {
			t.Errorf("%v was found", unasked)
		}
		if why, changed := set.Changed(); !changed || why != "table hash:"+path+"(0,lock) could not be opened" {
			t.Errorf("%s, %v", why, changed)
		}
		later := table.NewSet(table.Options{})
		defer later.Close()
		again, err := later.Open("hash:"+path, table.Lock)
		if err != nil {
			t.Fatal(err)
		}
		again.Lookup(t.Context(), "key")
		for range 10 {
			if why, changed := later.Changed(); changed {
				t.Errorf("at once: %s", why)
			}
			time.Sleep(9 * time.Second)
		}
		time.Sleep(10 * time.Second)
		if _, changed := later.Changed(); !changed {
			t.Error("never")
		}
	})
}

// TestHalfWritten: somebody writes a table of text piece by piece. Nobody uses the
// first half: neither who has the table open nor who opens it now.
func TestHalfWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "table")
		append := func(text string) {
			t.Helper()
			f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			_, err = f.WriteString(text)
			if err := errors.Join(err, f.Close(), os.Chtimes(path, time.Now(), time.Now())); err != nil {
				t.Fatal(err)
			}
		}
		append("a 1\n")
		time.Sleep(time.Minute)
		set := table.NewSet(table.Options{OpenErrorsEnd: true, Settled: true})
		defer set.Close()
		for _, kind := range []string{"texthash:", "regexp:", "pcre:", "cidr:"} {
			if _, err := set.Open(kind+path, table.Lock); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := set.ReadList(path); err != nil {
			t.Fatal(err)
		}
		go func() {
			for _, line := range []string{"b 2\n", "c 3\n", "d 4\n"} {
				append(line)
				if name, changed := set.Changed(); changed {
					t.Errorf("%s has changed after %q", name, line)
				}
				time.Sleep(800 * time.Millisecond)
			}
		}()
		synctest.Wait()
		start := time.Now()
		later := table.NewSet(table.Options{OpenErrorsEnd: true, Settled: true})
		defer later.Close()
		opened, err := later.Open("texthash:"+path, table.Lock)
		if err != nil {
			t.Fatal(err)
		}
		if value, found, err := opened.Lookup(t.Context(), "d"); value != "4" {
			t.Errorf("%q, %v, %v", value, found, err)
		}
		if lines, err := later.ReadList(path); err != nil || len(lines) != 4 {
			t.Errorf("%q, %v", lines, err)
		}
		if passed := time.Since(start); passed < 2*time.Second || passed > 5*time.Second {
			t.Errorf("opened after %v", passed)
		}
		if name, changed := set.Changed(); !changed || !strings.HasPrefix(name, "table texthash:") {
			t.Errorf("%s, %v", name, changed)
		}
	})
}

// TestOlder: an index that is older than its source.
func TestOlder(t *testing.T) {
	dir := t.TempDir()
	data, err := os.ReadFile(filepath.Join(golden(t), "hash.db"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "table")
	write(t, path+".db", string(data))
	write(t, path, "key value")
	for age, warned := range map[time.Duration]bool{30 * time.Minute: true, 2 * time.Hour: false, time.Second: false} {
		then := time.Now().Add(-age)
		if err := os.Chtimes(path, then, then); err != nil {
			t.Fatal(err)
		}
		log := new(recorder)
		set := newSet(log)
		if _, err := set.Open("hash:"+path, table.Lock); err != nil {
			t.Fatal(err)
		}
		set.Close()
		if got := slices.Contains(log.lines, "warning: database "+path+".db is older than source file "+path); got != warned {
			t.Errorf("%v: %q", age, log.lines)
		}
	}
}
