package table_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"postlmtp/internal/table"
)

// source writes the source of a table and returns its path and its keys. The
// entries have keys and values of many lengths.
func source(t *testing.T, g generator, entries, maxKey, maxValue int, raw bool) (path string, keys []string) {
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
		if raw && g.IntN(3) == 0 {
			key = "k" + strings.Map(plain, g.hostile(30))
		}
		if seen[table.Fold(key, true)] || strings.HasPrefix(key, "#") {
			continue
		}
		seen[table.Fold(key, true)] = true
		value := g.text(letters, 1, 40)
		if g.IntN(30) == 0 {
			value = g.text(letters+" ", 1, maxValue)
		}
		value = strings.TrimSpace(value) + "."
		fmt.Fprintf(&b, "%s %s\n", key, value)
		keys = append(keys, key)
	}
	path = filepath.Join(t.TempDir(), "table")
	write(t, path, b.String())
	return path, keys
}

// plain drops what has a meaning in the source of a table.
func plain(r rune) rune {
	if r < 128 && strings.ContainsRune(" \t\v\f\r\\\"", r) {
		return -1
	}
	return r
}

// TestIndexed: the files that postmap makes are read as postmap reads them.
func TestIndexed(t *testing.T) {
	for _, kind := range []string{"hash", "btree", "lmdb", "cdb"} {
		for _, tt := range []struct {
			name                      string
			entries, maxKey, maxValue int
			raw                       bool
		}{
			{"one", 1, 10, 10, true},
			{"few", 100, 100, 100, false},
			{"many", 8000, 400, 1000, false},
			{"raw", 3000, 400, 1000, true},
			{"long values", 1000, 400, 100_000, true},
			{"long keys", 1000, 9000, 5000, true},
		} {
			t.Run(kind+"/"+tt.name, func(t *testing.T) {
				hasType(t, kind)
				if kind == "lmdb" {
					tt.maxKey = min(tt.maxKey, 500)
				}
				var config []string
				if tt.raw {
					config = append(config, noUTF8)
				}
				g := newGenerator(uint64(tt.entries))
				path, known := source(t, g, tt.entries, tt.maxKey, tt.maxValue, tt.raw)
				makeMap(t, kind, path, config...)
				compare(t, kind+":"+path, g.queries(known, tt.raw), config...)
			})
		}
	}
}
