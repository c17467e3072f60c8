package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// AdoptOrphans makes this process the parent of descendants that lose theirs,
// so that their processor time is not lost (lab.Lab.ProcessorTime): our daemon's
// worker outlives its parent when it drains.
func AdoptOrphans() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("adopt orphans: %w", err)
	}
	return nil
}

// A family is all processes that work in a directory, which no others enter.
type family struct{ dir string }

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
