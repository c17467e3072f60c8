package request

import (
	"encoding/binary"
	"fmt"
	"time"
)

// The stamps travel as the C structure that the queue manager has in memory:
// five pairs of seconds and microseconds, then the reuse count, in the byte
// order of the machine. Its size tells the width of time on this system.
const (
	stampsSize64 = 5*16 + 8 // 64-bit time: the count is padded to 8 bytes
	stampsSize32 = 5*8 + 4  // 32-bit time
)

// moments lists the stamps in the order of the structure.
func (s *Stamps) moments() [5]*time.Time {
	return [...]*time.Time{&s.IncomingArrival, &s.ActiveArrival, &s.AgentHandoff, &s.ConnSetupDone, &s.DeliverDone}
}

// encode returns the structure for 64-bit time.
func (s Stamps) encode() []byte {
	data := make([]byte, 0, stampsSize64)
	for _, t := range s.moments() {
		var sec, usec uint64
		if !t.IsZero() {
			sec, usec = uint64(t.Unix()), uint64(t.Nanosecond()/1000)
		}
		data = binary.NativeEndian.AppendUint64(data, sec)
		data = binary.NativeEndian.AppendUint64(data, usec)
	}
	data = binary.NativeEndian.AppendUint32(data, uint32(s.ReuseCount))
	return binary.NativeEndian.AppendUint32(data, 0) // padding
}

// decodeStamps reads the structure in either layout.
func decodeStamps(data []byte) (Stamps, error) {
	var s Stamps
	var word func([]byte) int64
	var width int
	switch len(data) {
	case stampsSize64:
		width, word = 8, func(b []byte) int64 { return int64(binary.NativeEndian.Uint64(b)) }
	case stampsSize32:
		width, word = 4, func(b []byte) int64 { return int64(int32(binary.NativeEndian.Uint32(b))) }
	default:
		return s, fmt.Errorf("time stamps of %d bytes, want %d", len(data), stampsSize64)
	}
	for _, t := range s.moments() {
		sec, usec := word(data), word(data[width:])
		data = data[2*width:]
		if sec <= 0 { // not set, as Postfix sees it
			continue
		}
		if sec > maxSeconds || usec < 0 || usec >= 1e6 {
			return Stamps{}, fmt.Errorf("time stamp %d.%06d out of range", sec, usec)
		}
		*t = time.Unix(sec, usec*1000)
	}
	s.ReuseCount = max(int(int32(binary.NativeEndian.Uint32(data))), 0)
	return s, nil
}

// maxSeconds is the end of the year 9999: later moments are nonsense, and
// differences to them do not fit into a time.Duration.
const maxSeconds = 253402300799

// Delays returns the numbers of the delay= and delays=a/b/c/d fields of the
// log: all of it; before the active queue; in it; connection setup;
// transmission. The end is DeliverDone if set, else now. What did not happen
// takes no time, and its share is counted for the last stage that did happen.
// A clock that was set back gives 0.
func (s Stamps) Delays(now time.Time) (total, a, b, c, d time.Duration) {
	if !s.DeliverDone.IsZero() {
		now = s.DeliverDone
	}
	total = between(s.IncomingArrival, now)
	switch {
	case s.ActiveArrival.IsZero(): // no queue manager
		a = total
		return
	case s.AgentHandoff.IsZero(): // no agent
		a = between(s.IncomingArrival, s.ActiveArrival)
		b = between(s.ActiveArrival, now)
		return
	}
	a = between(s.IncomingArrival, s.ActiveArrival)
	b = between(s.ActiveArrival, s.AgentHandoff)
	if s.ConnSetupDone.IsZero() { // no connection
		d = between(s.AgentHandoff, now)
		return
	}
	c = between(s.AgentHandoff, s.ConnSetupDone)
	d = between(s.ConnSetupDone, now)
	return
}

// between returns the time from one moment to another, never negative, and 0
// where the first is not known. It is in whole microseconds, like the stamps.
func between(from, to time.Time) time.Duration {
	if from.IsZero() {
		return 0
	}
	return max(to.Sub(from), 0).Truncate(time.Microsecond)
}
