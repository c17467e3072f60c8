package content

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"postlmtp/internal/queuefile"
)

// recordTexts are the data of random records that are content.
var recordTexts = []string{
	"", "", ".", "..", "text", " fold", "Subject: x", "a\x00b", "--a", "cr\r", "ab.\r",
	strings.Repeat("long", 100), strings.Repeat("long", 1000), strings.Repeat("long", 16384), strings.Repeat("long", 40000),
}

// randomFile makes a queue file that is nothing but content: records of all
// kinds, pointers ahead, and at times a wrong end. It starts
// at the returned offset.
func randomFile(r *rand.Rand) (file []byte, start int64) {
	file = make([]byte, 300+r.IntN(200))
	start = int64(len(file))
	add := func(typ byte, data string) {
		file = append(file, typ)
		n := len(data)
		for ; n > 0x7f; n >>= 7 {
			file = append(file, byte(n)|0x80)
		}
		file = append(append(file, byte(n)), data...)
	}
	var places, pointers []int
	for range 3 + r.IntN(25) {
		places = append(places, len(file))
		switch r.IntN(12) {
		case 0, 1, 2:
			pointers = append(pointers, len(file))
			add(queuefile.TypePointer, fmt.Sprintf("%15d", 0))
		case 3:
			add(queuefile.TypePadding, strings.Repeat("0", r.IntN(40)))
		case 4:
			add(queuefile.TypeExtracted, "")
		case 5:
			if r.IntN(3) == 0 {
				add("EASMRD\x00\xff"[r.IntN(8)], "x=y")
			}
		case 6, 7:
			add(queuefile.TypePart, recordTexts[r.IntN(len(recordTexts))])
		default:
			add(queuefile.TypeLine, recordTexts[r.IntN(len(recordTexts))])
		}
	}
	end := len(file)
	places = append(places, end)
	if r.IntN(3) > 0 {
		add(queuefile.TypeExtracted, "")
	}
	if r.IntN(8) == 0 {
		file = append(file, []byte{'N', 0x80, 0x80, 0x80, 0x80, 1}[:1+r.IntN(6)]...)
	}
	for _, at := range pointers {
		target := places[r.IntN(len(places))]
		if target <= at { // a loop ends at the limit of jumps, which takes long
			target = end
		}
		value := fmt.Sprintf("%15d", target)
		switch r.IntN(12) {
		case 0:
			value = fmt.Sprintf("%15d", len(file)+r.IntN(100))
		case 1:
			value = fmt.Sprintf("%-15s", []string{"-1", "x", "", "99999999999999", "9 "}[r.IntN(5)])
		case 2:
			value = fmt.Sprintf("%15d", 0)
		}
		copy(file[at+2:], value)
	}
	return file, start
}

// TestRandomRecordsLikePostfix compares what is made of random queue files with
// Postfix's own client.
func TestRandomRecordsLikePostfix(t *testing.T) {
	p := newPostfix(t)
	for range *randomRuns {
		seed := rand.Uint64()
		r := rand.New(rand.NewPCG(seed, 0))
		file, start := randomFile(r)
		o := Options{LineLimit: []int{0, 40, 998, 2048}[r.IntN(4)], Downgrade: r.IntN(2) == 0}
		wire, reason := p.send(t, file, queuefile.Layout{DataOffset: start, ContentSize: 1000}, o)
		want, complete := strings.CutSuffix(wire, ".\r\n")
		complete = complete && reason != "unreadable mail queue entry"
		var got bytes.Buffer
		_, err := Copy(&got, queuefile.NewRecords(bytes.NewReader(file), start), o)
		switch {
		case complete != (err == nil), err != nil && !errors.As(err, new(*BadRecordError)):
			t.Fatalf("seed %d: error %v, want %s", seed, err, reason)
		case complete && got.String() != want:
			t.Fatalf("seed %d: %d bytes, want %d: %.500q, want %.500q", seed, got.Len(), len(want), got.String(), want)
		}
	}
}
