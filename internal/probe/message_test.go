package probe

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// What is no file is refused at once: nobody may ever write into a FIFO.
func TestQueuedIsAFile(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, fifo, "/dev/null"} {
		if _, err := Queued(path); err == nil || !strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("%s: %v", path, err)
		}
	}
}
