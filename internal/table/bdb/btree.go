package bdb

import "bytes"

// btreeMeta reads the part of the meta page that is special to btrees: 48
// flags, 88 the page of the root.
func (db *DB) btreeMeta(meta []byte) error {
	const recno, subdatabases, compressed = 0x02, 0x20, 0x80
	switch flags := db.u32(meta[48:]); {
	case flags&recno != 0:
		return bad(0, "file has record numbers for keys")
	case flags&subdatabases != 0:
		return bad(0, "file has several databases")
	case flags&compressed != 0:
		return bad(0, "file is compressed")
	}
	if db.root = db.u32(meta[88:]); db.root == 0 {
		return bad(0, "no root")
	}
	return nil
}

// Types of items on the pages of a btree: the third byte, after a length.
const (
	keyData    = 1 // length (2), type, data
	keyDup     = 2 // 2 unused, type, 1 unused, page (4), length (4)
	keyLong    = 3 // the same
	keyDeleted = 0x80
)

// An entry is an item on the page of a btree.
type entry struct {
	kind    byte
	deleted bool
	data    []byte // of keyData
	long    long   // of keyLong; first is the page of keyDup
}

// entry reads an item whose data starts at the given distance: 3, but 12 on an
// inner page, where the page below (4) and a number of records (4) come first.
func (p *page) entry(i, distance int) (e entry, at int, err error) {
	if at, err = p.offset(i); err != nil {
		return e, 0, err
	}
	head, err := p.slice(at, 3)
	if err != nil {
		return e, 0, err
	}
	e.kind, e.deleted = head[2]&^keyDeleted, head[2]&keyDeleted != 0
	switch {
	case e.kind == keyData:
		e.data, err = p.slice(at+distance, p.db.u16(head))
		return e, at, err
	case e.kind != keyDup && e.kind != keyLong:
		return e, at, bad(p.number, "item of unexpected type %d", e.kind)
	case distance == 12:
		at += 12 // the whole item is the data
	}
	body, err := p.slice(at, 12)
	if err != nil {
		return e, 0, err
	}
	e.long = long{p.db.u32(body[4:]), p.db.u32(body[8:])}
	return e, at, nil
}

func (p *page) compare(key []byte, e entry) (int, error) {
	if e.kind == keyLong {
		return p.db.compareLong(key, e.long)
	}
	return bytes.Compare(key, e.data), nil
}

func (db *DB) getBtree(key []byte) ([]byte, bool, error) {
	p, err := db.leaf(db.root, func(p *page) (int, error) { return p.child(key) })
	if err != nil {
		return nil, false, err
	}
	if p.kind() != pageLeaf {
		return nil, false, bad(p.number, "unexpected page type %d", p.kind())
	}
	for i := 0; i+1 < p.entries(); i += 2 {
		k, _, err := p.entry(i, 3)
		if err != nil {
			return nil, false, err
		}
		order, err := p.compare(key, k)
		if err != nil || order < 0 {
			return nil, false, err
		}
		if order > 0 {
			continue
		}
		v, _, err := p.entry(i+1, 3)
		if err != nil {
			return nil, false, err
		}
		if v.deleted || k.deleted {
			continue // perhaps a duplicate follows
		}
		value, err := p.value(v)
		return value, err == nil, err
	}
	return nil, false, nil
}

func (p *page) value(e entry) ([]byte, error) {
	switch e.kind {
	case keyLong:
		return p.db.read(e.long)
	case keyDup:
		return p.db.firstDuplicate(e.long.first)
	}
	return e.data, nil
}

// leaf goes down a tree to a leaf; choose says which entry of an inner page to
// follow. Each page must be one level below the last.
func (db *DB) leaf(number uint32, choose func(*page) (int, error)) (*page, error) {
	p, err := db.page(number)
	if err != nil {
		return nil, err
	}
	for level := p.level(); p.kind() == pageInternal || p.kind() == pageRecnoInner; {
		if p.entries() == 0 || level < 2 {
			return nil, bad(p.number, "inner page at level %d with %d entries", level, p.entries())
		}
		i, err := choose(p)
		if err != nil {
			return nil, err
		}
		if number, err = p.below(i); err != nil {
			return nil, err
		}
		if p, err = db.page(number); err != nil {
			return nil, err
		}
		if level--; p.level() != level {
			return nil, bad(number, "at level %d in place of %d", p.level(), level)
		}
	}
	return p, nil
}

// below returns the page that an entry of an inner page leads to.
func (p *page) below(i int) (uint32, error) {
	at, err := p.offset(i)
	if err != nil {
		return 0, err
	}
	if p.kind() == pageInternal {
		at += 4
	}
	number, err := p.slice(at, 4)
	if err != nil {
		return 0, err
	}
	return p.db.u32(number), nil
}

// child returns the last entry of an inner page that is not behind the key. The
// first one is in front of everything, whatever it says.
func (p *page) child(key []byte) (int, error) {
	if p.kind() != pageInternal {
		return 0, bad(p.number, "unexpected page type %d", p.kind())
	}
	low, high := 1, p.entries()
	for low < high {
		middle := (low + high) / 2
		e, _, err := p.entry(middle, 12)
		if err != nil {
			return 0, err
		}
		order, err := p.compare(key, e)
		if err != nil {
			return 0, err
		}
		if order < 0 {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return low - 1, nil
}

// firstDuplicate returns the first of the values in a tree of duplicates.
func (db *DB) firstDuplicate(root uint32) ([]byte, error) {
	p, err := db.leaf(root, func(*page) (int, error) { return 0, nil })
	if err != nil {
		return nil, err
	}
	if p.kind() != pageDupLeaf && p.kind() != pageRecnoLeaf {
		return nil, bad(p.number, "unexpected page type %d", p.kind())
	}
	for i := range p.entries() {
		e, _, err := p.entry(i, 3)
		switch {
		case err != nil:
			return nil, err
		case e.kind == keyDup:
			return nil, bad(p.number, "duplicate of duplicates")
		case !e.deleted:
			return p.value(e)
		}
	}
	return nil, bad(p.number, "no duplicate")
}
