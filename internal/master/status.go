package master

import (
	"encoding/binary"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// availability is what a status message says.
type availability int32

const (
	taken availability = 0
	avail availability = 1
)

// notify tells master(8) of a change: pid, generation and state in native byte
// order, in one write. It fails when master is gone or has been reloaded.
func (inv Invocation) notify(state availability) error {
	message := make([]byte, 0, 12)
	message = binary.NativeEndian.AppendUint32(message, uint32(os.Getpid()))
	message = binary.NativeEndian.AppendUint32(message, inv.Generation)
	message = binary.NativeEndian.AppendUint32(message, uint32(state))
	for {
		n, err := unix.Write(statusSocket, message)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return fmt.Errorf("notify master: %w", err)
		case n != len(message):
			return fmt.Errorf("notify master: wrote %d of %d bytes", n, len(message))
		}
		return nil
	}
}
