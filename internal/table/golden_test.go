package table_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postlmtp/internal/table"
)

// golden is the directory of the tables that are kept, see "make" there.
func golden(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs("../../testdata/tables")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// goldenEntries returns what is in the tables.
func goldenEntries(t testing.TB) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(golden(t), "golden.txt"))
	if err != nil {
		t.Fatal(err)
	}
	entries := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		entries[key] = value
	}
	return entries
}

// TestGolden: files that were made by the real programs, on any machine.
func TestGolden(t *testing.T) {
	entries := goldenEntries(t)
	for _, spec := range []string{
		"texthash:golden.txt", "cdb:golden", "lmdb:golden",
		"hash:hash", "hash:hash-big-endian", "hash:hash-512", "hash:hash-64k",
		"btree:btree", "btree:btree-big-endian", "btree:btree-512", "btree:btree-64k",
	} {
		kind, name, _ := strings.Cut(spec, ":")
		opened, _ := open(t, kind+":"+filepath.Join(golden(t), name), true)
		for key, value := range entries {
			got, found, err := opened.Lookup(context.Background(), key)
			if err != nil || !found || got != value {
				t.Errorf("%s: %.50q: %.50q, %v, %v", spec, key, got, found, err)
			}
			if got, found, err := opened.Lookup(context.Background(), key+"x"); found || err != nil {
				t.Errorf("%s: %.50qx: %.50q, %v, %v", spec, key, got, found, err)
			}
		}
	}
}

// TestDuplicates: of several values for a key, the first is found.
func TestDuplicates(t *testing.T) {
	for _, kind := range []string{"hash", "btree"} {
		for _, how := range []string{"duplicates", "sorted"} {
			opened, _ := open(t, kind+":"+filepath.Join(golden(t), kind+"-"+how), true)
			for key, want := range map[string]string{"few": "value 1", "many": "value 1", "one": "value", "none": ""} {
				got, found, err := opened.Lookup(context.Background(), key)
				if err != nil || found != (want != "") || got != want {
					t.Errorf("%s, %s: %s: %q, %v, %v", kind, how, key, got, found, err)
				}
			}
		}
	}
}

// TestRefused: what is not supported is said.
func TestRefused(t *testing.T) {
	dir := golden(t)
	for spec, want := range map[string]string{
		"hash:" + dir + "/hash-checksum": "page 0: unsupported flags 0x1",
		"btree:" + dir + "/hash":         "page 0: unexpected file type or format",
		"hash:" + dir + "/btree":         "page 0: unexpected file type or format",
	} {
		_, name, _ := strings.Cut(spec, ":")
		want = "open database " + name + ".db: " + want
		if _, err := newSet(nil).Open(spec, postmapFlags); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", spec, err, want)
		}
	}
	for _, kind := range []string{"ldap", "mysql", "pgsql", "sqlite", "memcache", "nis", "unix", "mongodb", "dbm", "nonsense"} {
		want := "unsupported dictionary type: " + kind + "; specify \"proxy:" + kind + ":/x\" instead, and proxymap(8) will look it up"
		if _, err := newSet(nil).Open(kind+":/x", table.Lock); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", kind, err, want)
		}
	}
}
