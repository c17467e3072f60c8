package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// AdoptOrphans makes this process the parent of descendants that lose theirs,
// so that their processor time is not lost: our daemon's worker outlives its
// parent when it drains.
func AdoptOrphans() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("adopt orphans: %w", err)
	}
	return nil
}

// A family is all processes that work in a directory, which no others enter.
type family struct {
	dir    string
	waited func() map[int]bool // those that somebody else waits for
	known  map[int]bool        // pids seen
}

// pids lists the living processes.
func (f *family) pids() []int {
	var pids []int
	links, _ := filepath.Glob("/proc/[0-9]*/cwd")
	for _, link := range links {
		cwd, err := os.Readlink(link)
		if err != nil || cwd != f.dir {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link)))
		if err == nil && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

// cpu returns the processor time of the living processes and of all children of
// this process that were waited for. It has meaning as a difference only, while
// no other children end.
func (f *family) cpu() time.Duration {
	var total time.Duration
	for _, pid := range f.pids() {
		if f.known == nil {
			f.known = make(map[int]bool)
		}
		f.known[pid] = true
	}
	waited := f.waited()
	for pid := range f.known {
		if !waited[pid] {
			f.reap(pid)
		}
		t, err := processTime(pid)
		if err != nil { // waited for: it is in the sum below
			delete(f.known, pid)
		}
		total += t
	}
	var dead unix.Rusage
	if unix.Getrusage(unix.RUSAGE_CHILDREN, &dead) == nil {
		total += time.Duration(dead.Utime.Nano() + dead.Stime.Nano())
	}
	return total
}

// reap waits for a process if it is an orphan, has come to us, and has ended.
func (f *family) reap(pid int) { _, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil) }

// processTime returns the processor time of all threads of a process, to the
// nanosecond, by the clock that clock_getcpuclockid(3) names.
func processTime(pid int) (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|2), &ts); err != nil {
		return 0, err
	}
	return time.Duration(ts.Nano()), nil
}

// A Memory is what processes hold.
type Memory struct {
	PSS       int64 // bytes
	Processes int
}

// memory adds the proportional set sizes of the living processes up.
func (f *family) memory() Memory {
	var m Memory
	for _, pid := range f.pids() {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			continue // gone meanwhile
		}
		lines := bufio.NewScanner(bytes.NewReader(data))
		for lines.Scan() {
			rest, ok := strings.CutPrefix(lines.Text(), "Pss:")
			if !ok {
				continue
			}
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 64)
			if err == nil {
				m.PSS += kb << 10
				m.Processes++
			}
		}
	}
	return m
}
