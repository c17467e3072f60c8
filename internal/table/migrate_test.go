package table_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postlmtp/internal/table"
)

// TestMigration: what replaces hash: and btree:, and what is said of it. The
// replacements here are texthash: and inline:, which need no files of postmap.
func TestMigration(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("key value\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	fails := func(context.Context, string, string) error { return errors.New("nobody there") }
	for _, tt := range []struct {
		name, spec string
		m          table.Migration
		value, log string
	}{
		{"hash", "hash:" + file, table.Migration{Hash: "texthash"}, "value", ""},
		{"btree", "btree:" + file, table.Migration{Hash: "none", Btree: "texthash"}, "value", ""},
		{"by type", "hash:" + file, table.Migration{Hash: "cdb", Custom: "inline:{hash=texthash}"}, "value", ""},
		{"by name", "hash:" + file, table.Migration{Hash: "cdb", Custom: "inline:{hash=lmdb, {hash:" + file + " = texthash}}"}, "value", ""},
		{"other type", "texthash:" + file, table.Migration{Hash: "cdb"}, "value", ""},
		{"legacy", "hash:" + file, table.Migration{Hash: "btree"}, "", "mapping from 'hash' to legacy type 'btree'"},
		{"unknown", "hash:" + file, table.Migration{Hash: "nosuch"}, "", "mapping to unsupported database type: 'nosuch'"},
		{"syntax", "hash:" + file, table.Migration{Hash: "a:b"}, "", "bad non-legacy database type syntax: 'a:b'"},
		{"legacy mapping", "hash:" + file, table.Migration{Hash: "cdb", Custom: "hash:/x"}, "", "non_bdb_custom_mapping must not use legacy type: 'hash'"},
		{"mapping fails", "hash:" + file, table.Migration{Hash: "texthash", Custom: "fail:x"}, "", fmt.Sprintf("fail:x lookup error for 'hash:%s'", file)},
		{"no suffix", "hash:" + file, table.Migration{Hash: "texthash", Reindex: fails}, "", "non-Berkeley-DB mapped type 'texthash' has no known pathname suffix"},
		{"no service", "hash:" + file, table.Migration{Hash: "cdb", Reindex: fails}, "", "Non-Berkeley-DB migration error: nobody there"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			log := new(recorder)
			set := table.NewSet(table.Options{Log: log, Migration: &tt.m})
			defer set.Close()
			opened, err := set.Open(tt.spec, table.Lock)
			if err != nil {
				t.Fatal(err)
			}
			value, found, err := opened.Lookup(t.Context(), "key")
			if tt.log == "" {
				if err != nil || !found || value != tt.value {
					t.Errorf("%q, %v, %v", value, found, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.log) {
				t.Errorf("lookup: %q, %v", value, err)
			}
		})
	}
}

// TestMigratedChange: the log names the table by its old type.
func TestMigratedChange(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("key value\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	set := table.NewSet(table.Options{Migration: &table.Migration{Hash: "texthash"}})
	defer set.Close()
	if _, err := set.Open("hash:"+file, table.Lock); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("key other value\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if name, changed := set.Changed(); !changed || name != "table hash:"+file+"(0,lock) has changed" {
		t.Errorf("%q, %v", name, changed)
	}
}
