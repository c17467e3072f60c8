// Package lmdb reads files of the Lightning Memory-Mapped Database, the tables
// of type lmdb:, as postmap(1) writes them: one file, with one database of plain
// keys. It finds a key; it cannot list or write.
//
// # Consistency
//
// A writer never changes what the last complete transaction refers to: it
// writes to free pages, and then one of two meta pages. Only the next
// transaction may overwrite what that one freed. So a lookup takes the newer
// meta page, follows it to the key, and looks at the meta pages again: if
// another transaction was completed meanwhile, it starts again. This needs no
// lock, works with any writer, and sees each change at once.
//
// # Failure policy
//
// Nothing in a file is trusted: each offset, length and page number is checked
// against the page and the file, the depth of the tree is bounded by what the
// meta page says, and the first thing that is wrong is a *FormatError.
//
// # Known limits
//
// The format depends on the machine. Files of either byte order are read, but
// only those of 64-bit machines, and only those without encryption or checksums
// (format version 1). A database with sorted duplicates, with numbers for keys
// or with keys in reverse order is refused.
package lmdb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A FormatError says that a file is not what it should be.
type FormatError struct {
	Page    uint64 // the page where that was seen
	Problem string
}

// Error implements error.
func (e *FormatError) Error() string { return fmt.Sprintf("page %d: %s", e.Page, e.Problem) }

func bad(page uint64, format string, args ...any) error {
	return &FormatError{page, fmt.Sprintf(format, args...)}
}

// ErrBusy is the error for a file in which transactions follow each other
// faster than a lookup takes.
var ErrBusy = errors.New("file is being changed all the time")

// MaxValue bounds the length of a value, in bytes.
const MaxValue = 64 << 20

// maxKey is the longest key that the format can have by default.
const maxKey = 511

// A DB is an open file. It may be used by several goroutines at once.
type DB struct {
	src      io.ReaderAt
	order    binary.ByteOrder
	pageSize int
}

// The layout of a meta page: the header of a page (16), then
//
//	16 magic (4), 20 version (4), 24 address (8), 32 map size (8),
//	40 free database (48), 88 main database (48), 136 last page (8),
//	144 transaction (8)
//
// and of a database:
//
//	0 page size, in the first one (4), 4 flags (2), 6 depth (2),
//	8 branch, leaf and overflow pages, entries (8 each), 40 root (8)
const (
	headerSize = 16
	metaSize   = 152
	magic      = 0xBEEFC0DE
	version    = 1

	minPageSize = 512
	maxPageSize = 32 << 10
)

// meta is what a meta page says.
type meta struct {
	transaction uint64
	lastPage    uint64
	root        uint64
	depth       int
	flags       int
	entries     uint64
}

// Open looks at the meta pages of a file.
func Open(src io.ReaderAt) (*DB, error) {
	var first [metaSize]byte
	if err := readAt(src, first[:], 0); err != nil {
		return nil, bad(0, "file is too short")
	}
	db := &DB{src: src}
	switch m := first[headerSize:]; {
	case binary.LittleEndian.Uint32(m) == magic:
		db.order = binary.LittleEndian
	case binary.BigEndian.Uint32(m) == magic:
		db.order = binary.BigEndian
	case binary.LittleEndian.Uint32(first[12:]) == magic, binary.BigEndian.Uint32(first[12:]) == magic:
		return nil, bad(0, "file of a 32-bit machine")
	default:
		return nil, bad(0, "MDB_INVALID: File is not an LMDB file")
	}
	if v := db.u32(first[20:]); v != version {
		return nil, bad(0, "MDB_VERSION_MISMATCH: unsupported version %d", v)
	}
	pageSize := db.u32(first[40:])
	if pageSize < minPageSize || pageSize > maxPageSize || pageSize&(pageSize-1) != 0 {
		return nil, bad(0, "page size of %d bytes", pageSize)
	}
	db.pageSize = int(pageSize)
	m, err := db.newest()
	if err != nil {
		return nil, err
	}
	if m.flags != 0 {
		return nil, bad(0, "unsupported kind of keys, flags %#x", m.flags)
	}
	return db, nil
}

func (db *DB) u32(b []byte) uint32 { return db.order.Uint32(b) }
func (db *DB) u16(b []byte) int    { return int(db.order.Uint16(b)) }

// newest returns the meta page of the last complete transaction.
func (db *DB) newest() (meta, error) {
	var newest meta
	var firstErr error
	ok := false
	for page := range uint64(2) {
		m, err := db.readMeta(page)
		if err != nil {
			firstErr = err
			continue
		}
		if !ok || m.transaction > newest.transaction {
			newest, ok = m, true
		}
	}
	if !ok {
		return meta{}, firstErr
	}
	return newest, nil
}

func (db *DB) readMeta(page uint64) (meta, error) {
	var b [metaSize]byte
	if err := readAt(db.src, b[:], int64(page)*int64(db.pageSize)); err != nil {
		return meta{}, bad(page, "file is too short")
	}
	const isMeta = 0x08
	if db.u32(b[16:]) != magic || db.u32(b[20:]) != version || db.u16(b[10:])&isMeta == 0 {
		return meta{}, bad(page, "bad meta page")
	}
	main := b[88:136]
	return meta{
		transaction: db.order.Uint64(b[144:]),
		lastPage:    db.order.Uint64(b[136:]),
		flags:       db.u16(main[4:]),
		depth:       db.u16(main[6:]),
		entries:     db.order.Uint64(main[32:]),
		root:        db.order.Uint64(main[40:]),
	}, nil
}

func readAt(src io.ReaderAt, b []byte, at int64) error {
	n, err := src.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	return err
}

// attempts bounds how often a lookup starts again.
const attempts = 100

// Get returns the value of a key.
func (db *DB) Get(key []byte) (value []byte, found bool, err error) {
	if len(key) == 0 || len(key) > maxKey {
		return nil, false, nil
	}
	before, err := db.newest()
	if err != nil {
		return nil, false, err
	}
	for range attempts {
		value, found, err := db.search(before, key)
		after, metaErr := db.newest()
		if metaErr != nil {
			return nil, false, metaErr
		}
		if after == before {
			return value, found, err
		}
		before = after
	}
	return nil, false, ErrBusy
}

// noPage stands for no page: the database is empty.
const noPage = 1<<64 - 1

// maxDepth bounds the depth of a tree, as the library does.
const maxDepth = 32

// search looks for a key in the state that a meta page describes.
func (db *DB) search(m meta, key []byte) ([]byte, bool, error) {
	if m.root == noPage {
		return nil, false, nil
	}
	if m.depth < 1 || m.depth > maxDepth {
		return nil, false, bad(m.root, "tree is %d deep", m.depth)
	}
	number := m.root
	for level := m.depth; ; level-- {
		p, err := db.page(m, number)
		if err != nil {
			return nil, false, err
		}
		if level == 1 {
			return p.get(m, key)
		}
		if number, err = p.child(key); err != nil {
			return nil, false, err
		}
	}
}

// get returns the value of a key on a leaf.
func (p *page) get(m meta, key []byte) ([]byte, bool, error) {
	if p.flags&^dirty != leaf {
		return nil, false, bad(p.number, "unexpected page flags %#x", p.flags)
	}
	low, high := 0, p.count
	for low < high {
		middle := (low + high) / 2
		n, err := p.node(middle)
		if err != nil {
			return nil, false, err
		}
		switch order := bytes.Compare(key, n.key); {
		case order == 0:
			value, err := p.value(m, n)
			return value, err == nil, err
		case order < 0:
			high = middle
		default:
			low = middle + 1
		}
	}
	return nil, false, nil
}

// child returns the page below a branch page that leads to a key: the last one
// whose key is not behind it. The key of the first one does not count.
func (p *page) child(key []byte) (uint64, error) {
	if p.flags&^dirty != branch || p.count == 0 {
		return 0, bad(p.number, "unexpected page flags %#x, %d keys", p.flags, p.count)
	}
	low, high := 1, p.count
	for low < high {
		middle := (low + high) / 2
		n, err := p.node(middle)
		if err != nil {
			return 0, err
		}
		if bytes.Compare(key, n.key) < 0 {
			high = middle
		} else {
			low = middle + 1
		}
	}
	n, err := p.node(low - 1)
	return n.below, err
}
