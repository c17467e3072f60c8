package table

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"
)

// A Migration replaces the types hash: and btree:, for systems that have no
// Berkeley DB any more. Postfix has it from 3.11 on.
type Migration struct {
	Hash, Btree string // what replaces them: default_database_type, default_cache_db_type
	Custom      string // non_bdb_custom_mapping: a table that says otherwise for some; may be empty
	Log         bool   // non_bdb_migration_log_redirect

	// Reindex makes the new file from the old one, if not nil and there is no
	// new one so far. See package reindex.
	Reindex func(ctx context.Context, kind, name string) error
}

// legacy tells the types that a Migration replaces.
func legacy(kind string) bool { return kind == "hash" || kind == "btree" }

// reindexTime bounds how long a request for a new file may take. Postfix waits
// half a minute for each of two attempts.
const reindexTime = 60 * time.Second

// migrated returns the type that replaces hash: or btree: for a table.
func (s *Set) migrated(m *Migration, kind, name string, depth int) (string, error) {
	other, err := s.replacement(m, kind, name, depth)
	if err != nil {
		s.opt.Log.Warningf("non-Berkeley-DB type mapping lookup error for '%s:%s': %v", kind, name, err)
		//lint:ignore ST1005 Postfix's words
		return "", fmt.Errorf("Berkeley DB type mapping lookup error for '%s:%s': %w", kind, name, err)
	}
	if log, ok := s.opt.Log.(interface{ Infof(string, ...any) }); ok && m.Log {
		log.Infof("redirecting %s:%s to %s:%s", kind, name, other, name)
	}
	if m.Reindex == nil {
		return other, nil
	}
	if other != "cdb" && other != "lmdb" {
		s.opt.Log.Warningf("non-Berkeley-DB mapped type '%s' has no known pathname suffix", other)
		return "", fmt.Errorf("non-Berkeley-DB mapped type '%s' has no known pathname suffix", other)
	}
	if _, err := os.Stat(name + "." + other); !errors.Is(err, fs.ErrNotExist) {
		return other, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), reindexTime)
	defer cancel()
	if err := m.Reindex(ctx, kind, name); err != nil {
		s.opt.Log.Warningf("Non-Berkeley-DB migration error: %v", err)
		return "", fmt.Errorf("Non-Berkeley-DB migration error: %w", err)
	}
	return other, nil
}

// replacement looks the type up by type:name and by type, and falls back to the
// general one.
func (s *Set) replacement(m *Migration, kind, name string, depth int) (string, error) {
	other := m.Hash
	if kind == "btree" {
		other = m.Btree
	}
	if m.Custom != "" {
		if own, _, _ := strings.Cut(m.Custom, ":"); legacy(own) {
			return "", fmt.Errorf("non_bdb_custom_mapping must not use legacy type: '%s'", own)
		}
		custom, err := s.open(m.Custom, Lock|FoldFixed|UTF8, depth+1)
		if err != nil {
			return "", err
		}
		for _, key := range []string{kind + ":" + name, kind} {
			value, found, err := custom.Lookup(context.Background(), key)
			if err != nil {
				return "", fmt.Errorf("%s lookup error for '%s:%s'", m.Custom, kind, name)
			}
			if found {
				other = value
				break
			}
		}
	}
	switch {
	case other == "" || strings.Trim(strings.ToLower(other), "abcdefghijklmnopqrstuvwxyz0123456789") != "":
		return "", fmt.Errorf("bad non-legacy database type syntax: '%s'", other)
	case legacy(other):
		return "", fmt.Errorf("mapping from '%s' to legacy type '%s'", kind, other)
	case opener(other) == nil:
		return "", fmt.Errorf("mapping to unsupported database type: '%s'", other)
	}
	return other, nil
}
