package request

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// stampsData builds the C structure with the given width of a number.
func stampsData(width int, pairs [5][2]int64, reuse int32) []byte {
	var data []byte
	for _, p := range pairs {
		for _, v := range p {
			if width == 8 {
				data = binary.NativeEndian.AppendUint64(data, uint64(v))
			} else {
				data = binary.NativeEndian.AppendUint32(data, uint32(v))
			}
		}
	}
	data = binary.NativeEndian.AppendUint32(data, uint32(reuse))
	if width == 8 {
		data = append(data, 0xde, 0xad, 0xbe, 0xef) // padding is not defined
	}
	return data
}

func TestDecodeStamps(t *testing.T) {
	pairs := [5][2]int64{{1700000000, 1}, {1700000001, 999999}, {0, 0}, {0, 5}, {1700000002, 0}}
	want := Stamps{
		IncomingArrival: time.Unix(1700000000, 1000),
		ActiveArrival:   time.Unix(1700000001, 999999000),
		DeliverDone:     time.Unix(1700000002, 0),
		ReuseCount:      4,
	}
	for _, width := range []int{8, 4} {
		got, err := decodeStamps(stampsData(width, pairs, 4))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("width %d (-want +got):\n%s", width, diff)
		}
	}
	if len(want.encode()) != 88 {
		t.Errorf("encoded in %d bytes", len(want.encode()))
	}
	for name, data := range map[string][]byte{
		"nothing":       nil,
		"a byte short":  stampsData(8, pairs, 0)[:87],
		"a byte long":   append(stampsData(8, pairs, 0), 0),
		"microseconds":  stampsData(8, [5][2]int64{{1, 1000000}}, 0),
		"negative µs":   stampsData(4, [5][2]int64{{1, -1}}, 0),
		"far, far away": stampsData(8, [5][2]int64{{1 << 60, 0}}, 0),
	} {
		if s, err := decodeStamps(data); err == nil {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

func TestDelays(t *testing.T) {
	start := time.Unix(1700000000, 0)
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	never := time.Time{}
	for _, tt := range []struct {
		name                                       string
		incoming, active, handoff, connected, done time.Time
		now                                        time.Time
		total, a, b, c, d                          int // seconds
	}{
		{"all", at(0), at(1), at(3), at(7), at(15), at(99), 15, 1, 2, 4, 8},
		{"not done", at(0), at(1), at(3), at(7), never, at(15), 15, 1, 2, 4, 8},
		{"no connection", at(0), at(1), at(3), never, never, at(15), 15, 1, 2, 0, 12},
		{"no connection, done", at(0), at(1), at(3), never, at(10), at(15), 10, 1, 2, 0, 7},
		{"no agent", at(0), at(1), never, never, never, at(15), 15, 1, 14, 0, 0},
		{"no queue manager", at(0), never, at(3), at(7), never, at(15), 15, 15, 0, 0, 0},
		{"clock set back", at(20), at(10), at(12), at(11), never, at(15), 0, 0, 2, 0, 4},
		{"no arrival", never, at(1), at(3), at(7), never, at(15), 0, 0, 2, 4, 8},
	} {
		s := Stamps{IncomingArrival: tt.incoming, ActiveArrival: tt.active, AgentHandoff: tt.handoff,
			ConnSetupDone: tt.connected, DeliverDone: tt.done}
		var got [5]time.Duration
		got[0], got[1], got[2], got[3], got[4] = s.Delays(tt.now)
		for i, want := range []int{tt.total, tt.a, tt.b, tt.c, tt.d} {
			if got[i] != time.Duration(want)*time.Second {
				t.Errorf("%s: %v, want %d %d %d %d %d", tt.name, got, tt.total, tt.a, tt.b, tt.c, tt.d)
				break
			}
		}
	}
}
