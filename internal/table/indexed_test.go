package table_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// source writes the source of a table and returns its path and its keys. The
// entries have keys and values of many lengths.
func source(t *testing.T, g generator, entries, maxKey, maxValue int) (path string, keys []string) {
	t.Helper()
	var b strings.Builder
	seen := make(map[string]bool)
	for len(keys) < entries {
		key := g.address()
		switch g.IntN(20) {
		case 0:
			key = g.text(lowers, 1, maxKey)
		case 1:
			key = g.text("aäöüéßñ世", 1, 30)
			key = strings.ToValidUTF8(key, "ä")
		case 2:
			key = g.text(lowers+"!#$%&'*+/=?^_`{|}~", 1, 30)
		}
		if seen[key] || strings.HasPrefix(key, "#") {
			continue
		}
		seen[key] = true
		value := g.text(letters, 1, 40)
		if g.IntN(30) == 0 {
			value = g.text(letters+" ", 1, maxValue)
		}
		value = strings.TrimSpace(value) + "."
		fmt.Fprintf(&b, "%s %s\n", key, value)
		keys = append(keys, key)
	}
	path = filepath.Join(t.TempDir(), "table")
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return path, keys
}

// TestIndexed: the files that postmap makes are read as postmap reads them.
func TestIndexed(t *testing.T) {
	for _, kind := range []string{"hash", "btree", "lmdb", "cdb"} {
		for _, tt := range []struct {
			name                      string
			entries, maxKey, maxValue int
		}{
			{"one", 1, 10, 10},
			{"few", 100, 100, 100},
			{"many", 20_000, 400, 1000},
			{"long values", 3000, 400, 100_000},
		} {
			t.Run(kind+"/"+tt.name, func(t *testing.T) {
				hasType(t, kind)
				g := newGenerator(uint64(tt.entries))
				path, known := source(t, g, tt.entries, tt.maxKey, tt.maxValue)
				makeMap(t, kind, path)
				compare(t, kind+":"+path, g.queries(known))
			})
		}
	}
}

// TestIndexedLongKeys: keys that do not fit on a page of hash and btree files.
func TestIndexedLongKeys(t *testing.T) {
	for _, kind := range []string{"hash", "btree", "cdb"} {
		t.Run(kind, func(t *testing.T) {
			hasType(t, kind)
			g := newGenerator(7)
			path, known := source(t, g, 2000, 9000, 5000)
			makeMap(t, kind, path)
			compare(t, kind+":"+path, g.queries(known))
		})
	}
}
