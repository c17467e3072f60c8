// Package bdb reads files of Berkeley DB, the tables of type hash: and btree:,
// as postmap(1) writes them with the releases 4.2 to 6 and 18 of that library
// (format versions 8 to 10). It finds a key; it cannot list or write.
//
// Files of either byte order, with pages of 512 to 65536 bytes, overflow
// chains, and duplicates (of which it returns the first) are read. A file with
// checksums, encryption, compression, several databases in it, or of Berkeley
// DB 1.85 is refused.
//
// # Failure policy
//
// Nothing in a file is trusted: each offset, length and page number is checked
// against the page and the file, chains and trees are bounded by the number of
// pages, and the first thing that is wrong is a *FormatError. A file that is
// being written must not be read: the caller holds a lock.
package bdb

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
)

// Kind is what a file consists of.
type Kind int

// The kinds of files.
const (
	Hash Kind = iota
	Btree
)

// A FormatError says that a file is not what it should be.
type FormatError struct {
	Page    uint32 // the page where that was seen
	Problem string
}

// Error implements error.
func (e *FormatError) Error() string { return fmt.Sprintf("page %d: %s", e.Page, e.Problem) }

func bad(page uint32, format string, args ...any) error {
	return &FormatError{page, fmt.Sprintf(format, args...)}
}

// MaxValue bounds the length of a key or a value in the file, in bytes.
const MaxValue = 64 << 20

// A DB is an open file. It may be used by several goroutines at once.
type DB struct {
	src      io.ReaderAt
	order    binary.ByteOrder
	pageSize int
	pages    uint32 // how many there are
	root     uint32 // Btree
	hash     hashMeta
}

// Numbers of the format, see the comments.
const (
	hashMagic  = 0x061561
	btreeMagic = 0x053162

	metaSize = 512 // a meta page has at least this many bytes

	typeHashMeta  = 8
	typeBtreeMeta = 9

	minPageSize = 512
	maxPageSize = 64 << 10
)

// Open reads the first page of a file of the given length.
func Open(src io.ReaderAt, size int64, kind Kind) (*DB, error) {
	var meta [metaSize]byte
	if size < metaSize {
		return nil, bad(0, "file of %d bytes is too short", size)
	}
	if _, err := src.ReadAt(meta[:], 0); err != nil {
		return nil, err
	}
	db := &DB{src: src}
	wantMagic, wantType := uint32(hashMagic), byte(typeHashMeta)
	if kind == Btree {
		wantMagic, wantType = btreeMagic, typeBtreeMeta
	}
	switch magic := binary.LittleEndian.Uint32(meta[12:]); {
	case magic == wantMagic:
		db.order = binary.LittleEndian
	case bits.ReverseBytes32(magic) == wantMagic:
		db.order = binary.BigEndian
	default:
		return nil, bad(0, "unexpected file type or format")
	}
	if err := db.common(meta[:], size, wantType); err != nil {
		return nil, err
	}
	if kind == Btree {
		return db, db.btreeMeta(meta[:])
	}
	return db, db.hashMeta(meta[:])
}

// common reads what meta pages of both kinds have.
func (db *DB) common(meta []byte, size int64, wantType byte) error {
	version, pageSize := db.u32(meta[16:]), db.u32(meta[20:])
	switch {
	case version < 8 || version > 10:
		return bad(0, "unsupported version %d", version)
	case pageSize < minPageSize || pageSize > maxPageSize || pageSize&(pageSize-1) != 0:
		return bad(0, "page size of %d bytes", pageSize)
	case meta[24] != 0:
		return bad(0, "file is encrypted")
	case meta[25] != wantType:
		return bad(0, "unexpected page type %d", meta[25])
	case meta[26] != 0: // DBMETA_CHKSUM, DBMETA_PART_*
		return bad(0, "unsupported flags %#x", meta[26])
	}
	pages := size / int64(pageSize)
	if last := int64(db.u32(meta[32:])); last >= pages {
		return bad(0, "file has %d pages of %d: truncated", pages, last+1)
	}
	db.pageSize, db.pages = int(pageSize), uint32(min(pages, 1<<32-1))
	return nil
}

func (db *DB) u32(b []byte) uint32 { return db.order.Uint32(b) }
func (db *DB) u16(b []byte) int    { return int(db.order.Uint16(b)) }

// Get returns the first value of a key.
func (db *DB) Get(key []byte) (value []byte, found bool, err error) {
	if db.root != 0 {
		return db.getBtree(key)
	}
	return db.getHash(key)
}
