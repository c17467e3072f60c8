package bdb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// files are the golden files that can be read.
func files() map[string]Kind {
	return map[string]Kind{
		"hash": Hash, "hash-big-endian": Hash, "hash-512": Hash, "hash-duplicates": Hash, "hash-sorted": Hash,
		"btree": Btree, "btree-big-endian": Btree, "btree-512": Btree, "btree-duplicates": Btree, "btree-sorted": Btree,
	}
}

func load(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../../../testdata/tables", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// someKeys are keys that the files have, and others.
func someKeys(t testing.TB) [][]byte {
	keys := [][]byte{{}, []byte("few"), []byte("many"), []byte("one"), []byte("none"), bytes.Repeat([]byte("x"), 5000)}
	for i, line := range strings.Split(string(load(t, "golden.txt")), "\n") {
		key, _, _ := strings.Cut(line, " ")
		if i%8 == 0 || len(key) > 30 || !strings.HasPrefix(key, "user") {
			keys = append(keys, []byte(key), []byte(key+"\x00"))
		}
	}
	return keys
}

// read looks for keys in whatever data is. Errors are fine, if they are those
// of this package.
func read(t *testing.T, data []byte, kind Kind, keys [][]byte) {
	t.Helper()
	db, err := Open(bytes.NewReader(data), int64(len(data)), kind)
	if err != nil {
		expectFormatError(t, err)
		return
	}
	for _, key := range keys {
		value, found, err := db.Get(key)
		if err != nil {
			expectFormatError(t, err)
			if found || value != nil {
				t.Errorf("error with a value: %v", err)
			}
		}
	}
}

func expectFormatError(t *testing.T, err error) {
	t.Helper()
	if format := new(FormatError); !errors.As(err, &format) {
		t.Errorf("error of type %T: %v", err, err)
	}
}

// TestTruncated: files that end too early.
func TestTruncated(t *testing.T) {
	keys := someKeys(t)[:30]
	for name, kind := range files() {
		data := load(t, name+".db")
		for n := 0; n < len(data); n += 1 + len(data)/300 {
			read(t, data[:n], kind, keys)
		}
	}
}

// TestDamaged: files with wrong bytes anywhere, many of them in the headers of
// pages.
func TestDamaged(t *testing.T) {
	keys := someKeys(t)
	random := rand.New(rand.NewPCG(1, 2))
	for name, kind := range files() {
		good := load(t, name+".db")
		pageSize := 4096
		if strings.Contains(name, "512") {
			pageSize = 512
		}
		for range 300 {
			data := bytes.Clone(good)
			for range 1 + random.IntN(20) {
				at := random.IntN(len(data))
				if random.IntN(2) == 0 {
					at = at/pageSize*pageSize + random.IntN(60)
				}
				data[at] = [...]byte{0, 1, 3, 0xff, 0x7f, data[at] + 1, byte(random.IntN(256))}[random.IntN(7)]
			}
			read(t, data, kind, keys)
		}
	}
}

// page makes a page of 512 bytes.
func rawPage(number, next uint32, kind, level byte, items ...[]byte) []byte {
	p := make([]byte, 512)
	le := binary.LittleEndian
	le.PutUint32(p[8:], number)
	le.PutUint32(p[16:], next)
	le.PutUint16(p[20:], uint16(len(items)))
	p[24], p[25] = level, kind
	at := len(p)
	for i, item := range items {
		at -= len(item)
		copy(p[at:], item)
		le.PutUint16(p[headerSize+2*i:], uint16(at))
	}
	return p
}

// rawFile makes a file of those pages after the first one.
func rawFile(kind Kind, pages ...[]byte) []byte {
	meta := make([]byte, 512)
	le := binary.LittleEndian
	le.PutUint32(meta[12:], hashMagic)
	le.PutUint32(meta[16:], 9)
	le.PutUint32(meta[20:], 512)
	le.PutUint32(meta[32:], uint32(len(pages)))
	meta[25] = typeHashMeta
	if kind == Btree {
		le.PutUint32(meta[12:], btreeMagic)
		meta[25] = typeBtreeMeta
		le.PutUint32(meta[88:], 1)
	} else {
		le.PutUint32(meta[92:], hashOf([]byte(check)))
		le.PutUint32(meta[96:], 1)
	}
	return append(meta, bytes.Join(pages, nil)...)
}

// TestLoops: chains and trees that lead back to where they come from.
func TestLoops(t *testing.T) {
	long := func(kind byte, number, length uint32) []byte {
		item := make([]byte, 12)
		item[0] = kind
		binary.LittleEndian.PutUint32(item[4:], number)
		binary.LittleEndian.PutUint32(item[8:], length)
		return item
	}
	key := append([]byte{itemData}, "key"...)
	inner := func(below uint32) []byte {
		item := make([]byte, 13)
		item[0], item[2] = 1, keyData
		binary.LittleEndian.PutUint32(item[4:], below)
		return item
	}
	for name, tt := range map[string]struct {
		kind Kind
		data []byte
		want string
	}{
		"bucket":        {Hash, rawFile(Hash, rawPage(1, 1, pageHash, 0)), "page 1: endless chain of pages"},
		"overflow":      {Hash, rawFile(Hash, rawPage(1, 0, pageHash, 0, key, long(itemLong, 1, 900))), "page 1: bad page in a chain of overflow pages"},
		"long":          {Hash, rawFile(Hash, rawPage(1, 0, pageHash, 0, key, long(itemLong, 1, 1<<31))), "page 1: item of 2147483648 bytes is too long"},
		"duplicates":    {Hash, rawFile(Hash, rawPage(1, 0, pageHash, 0, key, long(itemDupPages, 1, 0))), "page 1: unexpected page type 13"},
		"tree":          {Btree, rawFile(Btree, rawPage(1, 0, pageInternal, 2, inner(1))), "page 1: at level 2 in place of 1"},
		"level":         {Btree, rawFile(Btree, rawPage(1, 0, pageInternal, 1, inner(1))), "page 1: inner page at level 1 with 1 entries"},
		"no entries":    {Btree, rawFile(Btree, rawPage(1, 0, pageInternal, 3)), "page 1: inner page at level 3 with 0 entries"},
		"beyond":        {Btree, rawFile(Btree, rawPage(1, 0, pageInternal, 2, inner(7))), "page 7: beyond the end of the file"},
		"deep":          {Btree, rawFile(Btree, rawPage(1, 0, pageRecnoInner, 2, inner(7))), "page 1: unexpected page type 4"},
		"wrong number":  {Btree, rawFile(Btree, rawPage(9, 0, pageLeaf, 1)), "page 1: has the number of page 9"},
		"meta as page":  {Btree, rawFile(Btree, rawPage(1, 0, pageInternal, 2, inner(0))), "page 0: 512 entries do not fit"},
		"unused bucket": {Hash, rawFile(Hash, rawPage(1, 0, pageInvalid, 0)), ""},
	} {
		db, err := Open(bytes.NewReader(tt.data), int64(len(tt.data)), tt.kind)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_, found, err := db.Get([]byte("key"))
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != tt.want || found {
			t.Errorf("%s: %q, %v, want %q", name, got, found, tt.want)
		}
	}
}

// patch changes single bytes of a file: three bytes of patches tell the place,
// the fourth what to write.
func patch(data, patches []byte) []byte {
	data = bytes.Clone(data)
	for ; len(patches) >= 4; patches = patches[4:] {
		data[int(binary.BigEndian.Uint32(patches)>>8)%len(data)] = patches[3]
	}
	return data
}

func fuzz(f *testing.F, kind Kind) {
	good := load(f, map[Kind]string{Hash: "hash-512.db", Btree: "btree-512.db"}[kind])
	f.Add(true, []byte{0, 2, 20, 9}, []byte("long-value"))
	f.Add(false, rawFile(kind, rawPage(1, 0, pageHash, 0, append([]byte{itemData}, "key"...), append([]byte{itemData}, "value"...))), []byte("key"))
	f.Add(false, rawFile(kind, rawPage(1, 0, pageLeaf, 1, []byte("\x03\x00\x01key"), []byte("\x05\x00\x01value"))), []byte("key"))
	f.Fuzz(func(t *testing.T, patched bool, data, key []byte) {
		if patched {
			data = patch(good, data)
		}
		read(t, data, kind, [][]byte{key, []byte("key"), []byte("long-value")})
	})
}

func FuzzHash(f *testing.F)  { fuzz(f, Hash) }
func FuzzBtree(f *testing.F) { fuzz(f, Btree) }
