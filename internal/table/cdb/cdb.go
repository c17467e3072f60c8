// Package cdb reads files of D. J. Bernstein's constant database, the tables of
// type cdb:. It finds a key; it cannot list or write.
//
// The file starts with 256 pairs of numbers, the place and the length of as
// many hash tables, which consist of pairs of a hash and the place of a record:
// length of key, length of value, key, value. All numbers have 32 bits, the
// lowest byte first.
//
// Nothing in a file is trusted: what lies outside of it is an error. A file is
// replaced as a whole and never written to, so that it needs no lock.
package cdb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	headSize = 256 * 8
	pair     = 8
)

// MaxValue bounds the length of a value, in bytes.
const MaxValue = 64 << 20

// ErrFormat is the error for a file that is not what it should be.
var ErrFormat = errors.New("bad cdb file")

// A DB is an open file. It may be used by several goroutines at once.
type DB struct {
	src  io.ReaderAt
	size int64
	head [headSize]byte
}

// Open reads the head of a file of the given length.
func Open(src io.ReaderAt, size int64) (*DB, error) {
	if size < headSize {
		return nil, fmt.Errorf("%w: file of %d bytes is too short", ErrFormat, size)
	}
	db := &DB{src: src, size: size}
	if _, err := src.ReadAt(db.head[:], 0); err != nil {
		return nil, err
	}
	return db, nil
}

// hashOf is the hash of the format.
func hashOf(key []byte) uint32 {
	h := uint32(5381)
	for _, c := range key {
		h = h*33 ^ uint32(c)
	}
	return h
}

// read reads n bytes at a place.
func (db *DB) read(at, n int64) ([]byte, error) {
	if at < headSize || n < 0 || at+n > db.size {
		return nil, fmt.Errorf("%w: %d bytes at %d are beyond its end", ErrFormat, n, at)
	}
	b := make([]byte, n)
	if _, err := db.src.ReadAt(b, at); err != nil {
		return nil, err
	}
	return b, nil
}

func two(b []byte) (uint32, uint32) {
	return binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
}

// slots is how many slots of a hash table are read at once.
const slots = 64

// Get returns the first value of a key.
func (db *DB) Get(key []byte) (value []byte, found bool, err error) {
	hash := hashOf(key)
	table, length := two(db.head[hash%256*pair:])
	if length == 0 {
		return nil, false, nil
	}
	if int64(table)+int64(length)*pair > db.size {
		return nil, false, fmt.Errorf("%w: hash table is beyond its end", ErrFormat)
	}
	slot := hash / 256 % length
	for seen := uint32(0); seen < length; {
		n := min(slots, length-slot, length-seen)
		some, err := db.read(int64(table)+int64(slot)*pair, int64(n)*pair)
		if err != nil {
			return nil, false, err
		}
		for ; len(some) > 0; some = some[pair:] {
			h, at := two(some)
			if at == 0 {
				return nil, false, nil
			}
			if h != hash {
				continue
			}
			if value, found, err := db.record(int64(at), key); found || err != nil {
				return value, found, err
			}
		}
		seen, slot = seen+n, (slot+n)%length
	}
	return nil, false, nil
}

// record returns the value of a record if it is that of the key.
func (db *DB) record(at int64, key []byte) ([]byte, bool, error) {
	lengths, err := db.read(at, pair)
	if err != nil {
		return nil, false, err
	}
	keyLength, valueLength := two(lengths)
	if int64(keyLength) != int64(len(key)) {
		return nil, false, nil
	}
	stored, err := db.read(at+pair, int64(keyLength))
	if err != nil || !bytes.Equal(stored, key) {
		return nil, false, err
	}
	if valueLength > MaxValue {
		return nil, false, fmt.Errorf("%w: value of %d bytes is too long", ErrFormat, valueLength)
	}
	value, err := db.read(at+pair+int64(keyLength), int64(valueLength))
	return value, err == nil, err
}
