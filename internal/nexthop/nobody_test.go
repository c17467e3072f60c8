package nexthop

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// lockedAsNobody runs f on a thread of its own without root's rights. The
// thread ends with the goroutine, which must be one of its own.
func lockedAsNobody(t *testing.T, f func()) {
	runtime.LockOSThread()
	// The raw calls, which change this thread only.
	const nobody = 65534
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), nobody, ^uintptr(0)); errno != 0 {
		t.Errorf("setresuid: %v", errno)
		return
	}
	f()
}
