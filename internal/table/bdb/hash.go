package bdb

import (
	"bytes"
	"math/bits"
)

// hashMeta is what the meta page of a hash file says about its buckets. There
// is a power of two of them, or some of the next power are split already.
type hashMeta struct {
	maxBucket uint32
	highMask  uint32
	lowMask   uint32
	spares    [32]uint32 // what to add to a bucket for its page, by the power of two
}

// check is what the hash function is tested with.
const check = "%$sniglet^&\x00"

// hashMeta reads the part of the meta page that is special to hash files: 48
// flags, 72 largest bucket, 76 high mask, 80 low mask, 92 check, 96 spares.
func (db *DB) hashMeta(meta []byte) error {
	const subdatabases = 2
	if db.u32(meta[48:])&subdatabases != 0 {
		return bad(0, "file has several databases")
	}
	if db.u32(meta[92:]) != hashOf([]byte(check)) {
		return bad(0, "unknown hash function")
	}
	h := &db.hash
	h.maxBucket, h.highMask, h.lowMask = db.u32(meta[72:]), db.u32(meta[76:]), db.u32(meta[80:])
	if h.maxBucket > h.highMask || h.lowMask > h.maxBucket {
		return bad(0, "bucket masks make no sense")
	}
	for i := range h.spares {
		h.spares[i] = db.u32(meta[96+4*i:])
	}
	return nil
}

// hashOf is the function of Fowler, Noll and Vo, from zero.
func hashOf(key []byte) uint32 {
	h := uint32(0)
	for _, c := range key {
		h = h*16777619 ^ uint32(c)
	}
	return h
}

// bucketPage returns the first page of a key's bucket.
func (h *hashMeta) bucketPage(key []byte) uint32 {
	bucket := hashOf(key) & h.highMask
	if bucket > h.maxBucket {
		bucket &= h.lowMask
	}
	return bucket + h.spares[min(bits.Len32(bucket), 31)]
}

// Types of items on a hash page: the first byte.
const (
	itemData     = 1
	itemDup      = 2 // several values
	itemLong     = 3 // 3 unused, page (4), length (4)
	itemDupPages = 4 // 3 unused, page (4)
)

func (db *DB) getHash(key []byte) ([]byte, bool, error) {
	number := db.hash.bucketPage(key)
	for range db.pages {
		p, err := db.page(number)
		if err != nil {
			return nil, false, err
		}
		switch p.kind() {
		case pageInvalid:
			return nil, false, nil
		case pageHash, pageHashUnsorted:
		default:
			return nil, false, bad(number, "unexpected page type %d", p.kind())
		}
		if value, found, err := p.findHash(key); found || err != nil {
			return value, found, err
		}
		if number = p.next(); number == 0 {
			return nil, false, nil
		}
	}
	return nil, false, bad(number, "endless chain of pages")
}

// findHash looks for the key on one page: items are keys and values in turn.
func (p *page) findHash(key []byte) ([]byte, bool, error) {
	for i := 0; i+1 < p.entries(); i += 2 {
		item, err := p.hashItem(i)
		if err != nil {
			return nil, false, err
		}
		equal, err := p.isKey(item, key)
		if err != nil {
			return nil, false, err
		}
		if !equal {
			continue
		}
		if item, err = p.hashItem(i + 1); err != nil {
			return nil, false, err
		}
		value, err := p.hashValue(item)
		return value, err == nil, err
	}
	return nil, false, nil
}

// hashItem returns an item. It reaches to the start of the one before.
func (p *page) hashItem(i int) ([]byte, error) {
	at, err := p.offset(i)
	if err != nil {
		return nil, err
	}
	end := p.db.pageSize
	if i > 0 {
		if end, err = p.offset(i - 1); err != nil {
			return nil, err
		}
	}
	if end <= at {
		return nil, bad(p.number, "item %d overlaps another", i)
	}
	return p.buf[at:end], nil
}

func (p *page) isKey(item, key []byte) (bool, error) {
	switch item[0] {
	case itemData:
		return bytes.Equal(item[1:], key), nil
	case itemLong:
		l, err := p.longItem(item)
		if err != nil || int(l.length) != len(key) {
			return false, err
		}
		order, err := p.db.compareLong(key, l)
		return order == 0, err
	}
	return false, bad(p.number, "key of unexpected type %d", item[0])
}

func (p *page) longItem(item []byte) (long, error) {
	if len(item) < 12 {
		return long{}, bad(p.number, "item is too short")
	}
	return long{p.db.u32(item[4:]), p.db.u32(item[8:])}, nil
}

func (p *page) hashValue(item []byte) ([]byte, error) {
	switch item[0] {
	case itemData:
		return item[1:], nil
	case itemLong:
		l, err := p.longItem(item)
		if err != nil {
			return nil, err
		}
		return p.db.read(l)
	case itemDup: // length (2), data, length (2), ...
		if len(item) < 3 {
			return nil, bad(p.number, "item is too short")
		}
		if n := p.db.u16(item[1:]); 3+n <= len(item) {
			return item[3 : 3+n], nil
		}
		return nil, bad(p.number, "value is out of bounds")
	case itemDupPages:
		if len(item) < 8 {
			return nil, bad(p.number, "item is too short")
		}
		return p.db.firstDuplicate(p.db.u32(item[4:]))
	}
	return nil, bad(p.number, "value of unexpected type %d", item[0])
}
