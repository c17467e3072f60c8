package status

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"postlmtp/internal/metrics"
)

// state is what the state file has.
type state struct {
	Boot string `json:"boot"` // the run of the machine that it is of
	// Ended are the counters of processes that have ended, by service. They
	// also have the names that destinations are counted under.
	Ended map[string]metrics.Snapshot `json:"ended"`
	// Told are the counters that processes have told which may still live, by
	// their names. Whoever was told them has them from here, so that the sum
	// does not go back when the process is killed.
	Told map[string]told `json:"told"`
}

type told struct {
	Service string           `json:"service"`
	Counted metrics.Snapshot `json:"counted"`
}

func newState(boot string) *state {
	return &state{Boot: boot, Ended: make(map[string]metrics.Snapshot), Told: make(map[string]told)}
}

// note notes what a living process has told.
func (s *state) note(id, service string, counted metrics.Snapshot) {
	ended := s.Ended[service]
	mapped := ended.Names().Plus(counted)
	s.Ended[service] = ended.Plus(mapped.Names())
	s.Told[id] = told{service, mapped}
}

// bury adds the counters of a process that has ended: what it has left, or else
// what it had told.
func (s *state) bury(id, service string, left *metrics.Snapshot) {
	t, known := s.Told[id]
	switch {
	case left != nil:
		s.Ended[service] = s.Ended[service].Plus(*left)
	case known:
		s.Ended[t.Service] = s.Ended[t.Service].Plus(t.Counted)
	}
	delete(s.Told, id)
}

// The state is written in place, because the sandbox allows no new files: in
// one of two slots, in turn, so that the other one is whole if this one is not
// when the process is killed.
const (
	slotSize   = 16 << 20
	headerSize = 4 + 8 + 4 + 4 // magic, serial number, length, checksum
	magic      = "plm1"
)

var errNoState = errors.New("no state in this slot")

// decodeSlot reads one slot: its serial number and what is in it.
func decodeSlot(r io.Reader) (serial uint64, data []byte, err error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(r, header[:]); err != nil || string(header[:4]) != magic {
		return 0, nil, errNoState
	}
	serial = binary.BigEndian.Uint64(header[4:])
	length := binary.BigEndian.Uint32(header[12:])
	if length > slotSize-headerSize {
		return 0, nil, errNoState
	}
	if data, err = io.ReadAll(io.LimitReader(r, int64(length))); err != nil || len(data) != int(length) {
		return 0, nil, errNoState
	}
	if crc32.ChecksumIEEE(data) != binary.BigEndian.Uint32(header[16:]) {
		return 0, nil, errNoState
	}
	return serial, data, nil
}

func encodeSlot(serial uint64, data []byte) []byte {
	slot := append(make([]byte, 0, headerSize+len(data)), magic...)
	slot = binary.BigEndian.AppendUint64(slot, serial)
	slot = binary.BigEndian.AppendUint32(slot, uint32(len(data)))
	slot = binary.BigEndian.AppendUint32(slot, crc32.ChecksumIEEE(data))
	return append(slot, data...)
}

// readState returns the newest state in the file, and its serial number. A file
// without one, or with that of an earlier run of the machine, has nothing.
func readState(file io.ReaderAt, boot string) (*state, uint64) {
	var newest uint64
	var text []byte
	for i := range int64(2) {
		serial, data, err := decodeSlot(io.NewSectionReader(file, i*slotSize, slotSize))
		if err == nil && (text == nil || serial > newest) {
			newest, text = serial, data
		}
	}
	s := newState(boot)
	if text == nil || json.Unmarshal(text, s) != nil || s.Boot != boot {
		return newState(boot), newest
	}
	if s.Ended == nil || s.Told == nil { // null in the file
		return newState(boot), newest
	}
	return s, newest
}

// errLocked says that another process has the state for too long.
var errLocked = errors.New("the status file is locked")

// lockTime is how long to wait for the lock: a process that ends must not be
// held up, as "postfix stop" gives it five seconds in all.
const lockTime = 2 * time.Second

// change locks the state, changes it, and writes it.
func (d *Directory) change(change func(*state)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := lock(d.state, lockTime); err != nil {
		return err
	}
	defer func() { _ = unix.Flock(int(d.state.Fd()), unix.LOCK_UN) }()
	s, serial := readState(d.state, d.boot)
	change(s)
	data, err := json.Marshal(s)
	if err == nil && len(data) > slotSize-headerSize {
		err = errors.New("too large")
	}
	if err == nil {
		serial++
		_, err = d.state.WriteAt(encodeSlot(serial, data), int64(serial%2)*slotSize)
	}
	if err != nil {
		return fmt.Errorf("write status file %s: %w", d.file(stateFile), err)
	}
	return nil
}

// lock waits for the lock of a file, for a limited time: flock(2) itself cannot
// be told when to give up.
func lock(f *os.File, limit time.Duration) error {
	const step = 5 * time.Millisecond
	for waited := time.Duration(0); ; waited += step {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case err == unix.EINTR:
		case err != unix.EWOULDBLOCK:
			return fmt.Errorf("lock %s: %w", f.Name(), err)
		case waited >= limit:
			return errLocked
		}
		time.Sleep(step)
	}
}
