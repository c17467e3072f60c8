package bdb

import "bytes"

// Types of pages.
const (
	pageInvalid      = 0 // allocated and not used so far
	pageHashUnsorted = 2
	pageInternal     = 3 // of a btree
	pageRecnoInner   = 4
	pageLeaf         = 5 // of a btree
	pageRecnoLeaf    = 6
	pageOverflow     = 7
	pageDupLeaf      = 12
	pageHash         = 13
)

// headerSize is the length of a page's header:
//
//	0 lsn (8), 8 number, 12 previous, 16 next, 20 entries (2),
//	22 high offset or length of data (2), 24 level (1), 25 type (1)
const headerSize = 26

// A page is a page that was read. The offsets of its items follow the header;
// the items are at the end.
type page struct {
	db     *DB
	number uint32
	buf    []byte
}

func (p *page) kind() byte      { return p.buf[25] }
func (p *page) level() byte     { return p.buf[24] }
func (p *page) next() uint32    { return p.db.u32(p.buf[16:]) }
func (p *page) entries() int    { return p.db.u16(p.buf[20:]) }
func (p *page) dataLength() int { return p.db.u16(p.buf[22:]) }

// page reads a page.
func (db *DB) page(number uint32) (*page, error) {
	if number >= db.pages {
		return nil, bad(number, "beyond the end of the file")
	}
	p := &page{db: db, number: number, buf: make([]byte, db.pageSize)}
	if _, err := db.src.ReadAt(p.buf, int64(number)*int64(db.pageSize)); err != nil {
		return nil, err
	}
	if p.kind() == pageInvalid {
		return p, nil
	}
	if n := db.u32(p.buf[8:]); n != number {
		return nil, bad(number, "has the number of page %d", n)
	}
	if p.kind() != pageOverflow && headerSize+2*p.entries() > db.pageSize {
		return nil, bad(number, "%d entries do not fit", p.entries())
	}
	return p, nil
}

// offset returns the place of an item.
func (p *page) offset(i int) (int, error) {
	n := p.entries()
	at := p.db.u16(p.buf[headerSize+2*i:])
	if at < headerSize+2*n || at >= p.db.pageSize {
		return 0, bad(p.number, "item %d is out of bounds", i)
	}
	return at, nil
}

// slice returns n bytes of the page.
func (p *page) slice(at, n int) ([]byte, error) {
	if n < 0 || at+n > p.db.pageSize {
		return nil, bad(p.number, "item at %d is out of bounds", at)
	}
	return p.buf[at : at+n], nil
}

// A long is a key or a value that is in a chain of overflow pages.
type long struct {
	first  uint32
	length uint32
}

// read returns the bytes of the chain.
func (db *DB) read(l long) ([]byte, error) {
	if l.length > MaxValue || int64(l.length) > int64(db.pages)*int64(db.pageSize) {
		return nil, bad(l.first, "item of %d bytes is too long", l.length)
	}
	data := make([]byte, 0, l.length)
	for number := l.first; uint32(len(data)) < l.length; {
		p, err := db.page(number)
		if err != nil {
			return nil, err
		}
		n := p.dataLength()
		if p.kind() != pageOverflow || n == 0 || headerSize+n > db.pageSize || len(data)+n > int(l.length) {
			return nil, bad(number, "bad page in a chain of overflow pages")
		}
		data = append(data, p.buf[headerSize:headerSize+n]...)
		number = p.next()
	}
	return data, nil
}

// compareLong compares a key with one that is in overflow pages.
func (db *DB) compareLong(key []byte, l long) (int, error) {
	data, err := db.read(l)
	if err != nil {
		return 0, err
	}
	return bytes.Compare(key, data), nil
}
