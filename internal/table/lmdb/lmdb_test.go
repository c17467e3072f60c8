package lmdb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

func load(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile("../../../testdata/tables/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// entries returns what is in the golden file, where postmap wrote a NUL at the
// end of each key and value.
func entries(t testing.TB) map[string]string {
	all := make(map[string]string)
	for line := range strings.Lines(string(load(t, "golden.txt"))) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		all[key+"\x00"] = value + "\x00"
	}
	return all
}

func someKeys(t testing.TB) [][]byte {
	keys := [][]byte{{}, []byte("none"), bytes.Repeat([]byte("x"), 5000)}
	for key := range entries(t) {
		keys = append(keys, []byte(key), []byte(key[:len(key)-1]))
	}
	return keys
}

// read looks for keys in whatever data is. Errors are fine, if they are those
// of this package.
func read(t *testing.T, data []byte, keys [][]byte) {
	t.Helper()
	format := new(FormatError)
	db, err := Open(bytes.NewReader(data))
	if err != nil {
		if !errors.As(err, &format) {
			t.Errorf("error of type %T: %v", err, err)
		}
		return
	}
	for _, key := range keys {
		value, found, err := db.Get(key)
		if err != nil && (!errors.As(err, &format) && err.Error() != "EOF" || found || value != nil) {
			t.Errorf("%q, %v, %v", value, found, err)
		}
	}
}

func TestTruncated(t *testing.T) {
	data, keys := load(t, "golden.lmdb"), someKeys(t)
	for n := 0; n < len(data); n += 97 {
		read(t, data[:n], keys[:20])
	}
}

func TestDamaged(t *testing.T) {
	good, keys := load(t, "golden.lmdb"), someKeys(t)
	random := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		data := bytes.Clone(good)
		for range 1 + random.IntN(50) {
			at := random.IntN(len(data))
			if random.IntN(2) == 0 {
				at = at/4096*4096 + random.IntN(200)
			}
			data[at] = [...]byte{0, 1, 2, 0xff, 0x7f, byte(random.IntN(256))}[random.IntN(6)]
		}
		read(t, data, keys)
	}
}

// swap turns the golden file into that of a machine with the other byte order.
func swap(data []byte) []byte {
	le, be := binary.LittleEndian, binary.BigEndian
	out := bytes.Clone(data)
	move := func(at, size int) {
		for i := range size {
			out[at+i] = data[at+size-1-i]
		}
	}
	for page := 0; page < len(data); page += 4096 {
		p := data[page:]
		flags := le.Uint16(p[10:])
		move(page, 8)
		move(page+8, 2)
		move(page+10, 2)
		if flags&overflow != 0 {
			move(page+12, 4)
			page += (int(le.Uint32(p[12:])) - 1) * 4096
			continue
		}
		move(page+12, 2)
		move(page+14, 2)
		if flags&0x08 != 0 {
			for _, field := range [][2]int{{16, 4}, {20, 4}, {24, 8}, {32, 8}, {136, 8}, {144, 8}} {
				move(page+field[0], field[1])
			}
			for _, db := range []int{40, 88} {
				for _, field := range [][2]int{{0, 4}, {4, 2}, {6, 2}, {8, 8}, {16, 8}, {24, 8}, {32, 8}, {40, 8}} {
					move(page+db+field[0], field[1])
				}
			}
			continue
		}
		for i := range (int(le.Uint16(p[12:])) - headerSize) / 2 {
			at := int(le.Uint16(p[headerSize+2*i:]))
			move(page+headerSize+2*i, 2)
			node := p[at:]
			be.PutUint32(out[page+at:], le.Uint32(node))
			move(page+at+4, 2)
			move(page+at+6, 2)
			if flags&leaf != 0 && le.Uint16(node[4:])&nodeLong != 0 {
				move(page+at+8+int(le.Uint16(node[6:])), 8)
			}
		}
	}
	return out
}

// TestByteOrders: the file of a machine of either kind.
func TestByteOrders(t *testing.T) {
	good := load(t, "golden.lmdb")
	for name, data := range map[string][]byte{"little": good, "big": swap(good)} {
		db, err := Open(bytes.NewReader(data))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for key, want := range entries(t) {
			value, found, err := db.Get([]byte(key))
			if err != nil || !found || string(value) != want {
				t.Fatalf("%s: %.50q: %.50q, %v, %v", name, key, value, found, err)
			}
		}
	}
}

// changing is a file in which a transaction is completed at each look at the
// second meta page, up to a number of times.
type changing struct {
	data        []byte
	times       int
	transaction uint64
}

func (c *changing) ReadAt(p []byte, at int64) (int, error) {
	n, err := bytes.NewReader(c.data).ReadAt(p, at)
	if at == 4096 && len(p) == metaSize && c.times > 0 {
		c.times--
		c.transaction++
		meta := c.data[4096*(c.transaction%2):]
		binary.LittleEndian.PutUint64(meta[144:], c.transaction+1000)
	}
	return n, err
}

// TestChanging: a lookup starts again when a transaction was completed, but not
// for ever.
func TestChanging(t *testing.T) {
	for times, want := range map[int]error{0: nil, 1: nil, 10: nil, 1 << 30: ErrBusy} {
		file := &changing{data: bytes.Clone(load(t, "golden.lmdb"))}
		// Both meta pages refer to the same state.
		copy(file.data[16:152], file.data[4096+16:4096+152])
		db, err := Open(file)
		if err != nil {
			t.Fatal(err)
		}
		file.times = times
		_, found, err := db.Get([]byte("z\x00"))
		if !errors.Is(err, want) || found != (want == nil) {
			t.Errorf("%d: %v, %v", times, found, err)
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

func FuzzGet(f *testing.F) {
	good := load(f, "golden.lmdb")
	f.Add([]byte{0, 0, 40, 9, 0, 10, 3, 4}, []byte("z\x00"))
	f.Fuzz(func(t *testing.T, patches, key []byte) {
		read(t, patch(good, patches), [][]byte{key, []byte("long-value\x00")})
	})
}
