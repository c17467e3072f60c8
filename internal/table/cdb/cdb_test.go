package cdb

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

func someKeys(t testing.TB) [][]byte {
	keys := [][]byte{{}, []byte("none"), bytes.Repeat([]byte("x"), 5000)}
	for line := range strings.Lines(string(load(t, "golden.txt"))) {
		key, _, _ := strings.Cut(line, " ")
		keys = append(keys, []byte(key))
	}
	return keys
}

// read looks for keys in whatever data is. Errors are fine, if they are those
// of this package.
func read(t *testing.T, data []byte, keys [][]byte) {
	t.Helper()
	db, err := Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		if !errors.Is(err, ErrFormat) {
			t.Errorf("error %v", err)
		}
		return
	}
	for _, key := range keys {
		value, found, err := db.Get(key)
		if err != nil && (!errors.Is(err, ErrFormat) || found || value != nil) {
			t.Errorf("%q, %v, %v", value, found, err)
		}
	}
}

func TestTruncated(t *testing.T) {
	data, keys := load(t, "golden.cdb"), someKeys(t)
	for n := 0; n < len(data); n += 37 {
		read(t, data[:n], keys[:20])
	}
}

func TestDamaged(t *testing.T) {
	good, keys := load(t, "golden.cdb"), someKeys(t)
	random := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		data := bytes.Clone(good)
		for range 1 + random.IntN(50) {
			at := random.IntN(len(data))
			switch random.IntN(3) {
			case 0:
				at = random.IntN(headSize)
			case 1:
				at = len(data) - 1 - random.IntN(3000)
			}
			data[at] = [...]byte{0, 1, 0xff, 0x7f, byte(random.IntN(256))}[random.IntN(5)]
		}
		read(t, data, keys)
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
	good := load(f, "golden.cdb")
	f.Add([]byte{0, 0, 40, 9, 0, 10, 3, 4}, []byte("z"))
	f.Fuzz(func(t *testing.T, patches, key []byte) {
		read(t, patch(good, patches), [][]byte{key, []byte("long-value")})
	})
}
