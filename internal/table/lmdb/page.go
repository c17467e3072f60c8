package lmdb

import "math"

// Flags of pages.
const (
	branch   = 0x01
	leaf     = 0x02
	overflow = 0x04
	dirty    = 0x10 // left over from the writer
)

// Flags of nodes.
const (
	nodeLong = 0x01 // the value is in overflow pages
	nodeSub  = 0x02 // a database
	nodeDup  = 0x04 // several values
)

// A page is a page that was read:
//
//	0 number (8), 8 unused (2), 10 flags (2), 12 end of the places of the
//	nodes (2), 14 start of the nodes (2), 16 the places (2 each)
type page struct {
	db     *DB
	number uint64
	flags  int
	count  int // of its nodes
	buf    []byte
}

// offset returns the place of a page in the file.
func (db *DB) offset(m meta, number uint64) (int64, error) {
	if number < 2 || number > m.lastPage || number > math.MaxInt64/uint64(db.pageSize)-1 {
		return 0, bad(number, "beyond the last page")
	}
	return int64(number) * int64(db.pageSize), nil
}

// page reads a branch or a leaf.
func (db *DB) page(m meta, number uint64) (*page, error) {
	at, err := db.offset(m, number)
	if err != nil {
		return nil, err
	}
	p := &page{db: db, number: number, buf: make([]byte, db.pageSize)}
	if err := readAt(db.src, p.buf, at); err != nil {
		return nil, err
	}
	if n := db.order.Uint64(p.buf); n != number {
		return nil, bad(number, "has the number of page %d", n)
	}
	p.flags = db.u16(p.buf[10:])
	lower, upper := db.u16(p.buf[12:]), db.u16(p.buf[14:])
	if lower < headerSize || lower%2 != 0 || lower > upper || upper > db.pageSize {
		return nil, bad(number, "bounds %d and %d make no sense", lower, upper)
	}
	p.count = (lower - headerSize) / 2
	return p, nil
}

// A node is an entry of a page:
//
//	0 length of the value or page below, low part (4), 4 flags or high part
//	(2), 6 length of the key (2), 8 key, value
type node struct {
	flags  int
	key    []byte
	below  uint64 // of a branch
	value  []byte // of a leaf: the rest of the page
	length uint32 // of the value
}

func (p *page) node(i int) (node, error) {
	at := p.db.u16(p.buf[headerSize+2*i:])
	if at < headerSize+2*p.count || at+8 > p.db.pageSize {
		return node{}, bad(p.number, "node %d is out of bounds", i)
	}
	b := p.buf[at:]
	// The halves are in the order of the machine each, and between each other.
	low, high := uint32(p.db.u16(b)), uint32(p.db.u16(b[2:]))
	if p.db.bigEndian() {
		low, high = high, low
	}
	n := node{flags: p.db.u16(b[4:]), length: high<<16 | low}
	keyLength := p.db.u16(b[6:])
	if 8+keyLength > len(b) {
		return node{}, bad(p.number, "key of node %d is out of bounds", i)
	}
	n.key, n.value = b[8:8+keyLength], b[8+keyLength:]
	n.below = uint64(n.flags)<<32 | uint64(n.length)
	return n, nil
}

func (db *DB) bigEndian() bool { return db.u16([]byte{0, 1}) == 1 }

// value returns the value of a node of a leaf.
func (p *page) value(m meta, n node) ([]byte, error) {
	switch {
	case n.flags&(nodeSub|nodeDup) != 0:
		return nil, bad(p.number, "value is a database")
	case n.length > MaxValue:
		return nil, bad(p.number, "value of %d bytes is too long", n.length)
	case n.flags&nodeLong == 0:
		if int(n.length) > len(n.value) {
			return nil, bad(p.number, "value is out of bounds")
		}
		return n.value[:n.length], nil
	case len(n.value) < 8:
		return nil, bad(p.number, "number of an overflow page is out of bounds")
	}
	return p.db.readLong(m, p.db.order.Uint64(n.value), n.length)
}

// readLong reads a value from overflow pages, which follow each other: the
// first has a header, with how many they are in place of the bounds.
func (db *DB) readLong(m meta, number uint64, length uint32) ([]byte, error) {
	at, err := db.offset(m, number)
	if err != nil {
		return nil, err
	}
	var head [headerSize]byte
	if err := readAt(db.src, head[:], at); err != nil {
		return nil, err
	}
	pages := uint64(db.u32(head[12:]))
	if db.order.Uint64(head[:]) != number || db.u16(head[10:])&^dirty != overflow ||
		pages > m.lastPage-number+1 || uint64(length)+headerSize > pages*uint64(db.pageSize) {
		return nil, bad(number, "bad overflow page")
	}
	value := make([]byte, length)
	if err := readAt(db.src, value, at+headerSize); err != nil {
		return nil, err
	}
	return value, nil
}
