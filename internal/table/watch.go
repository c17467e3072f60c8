package table

import (
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"postlmtp/internal/hotfile"
)

// watched is a file that was read: if it changes, what was read is out of date.
type watched struct {
	name          string // of the table
	file          *os.File
	stat          os.FileInfo
	sharedWriters bool // lookups see what they do
	byHand        bool // writers hold no lock
}

// reopenAfter is how long a table that could not be opened stays so. Processes of
// Postfix do not live long while they wait for tables, and the next one opens
// the table; here one process serves what a hundred of those do.
const reopenAfter = 100 * time.Second

// A missing is a table that could not be opened.
type missing struct {
	name  string
	since time.Time
	asked *atomic.Bool // it mattered
}

// Changed reports whether a file of any table is not what it was when it was
// opened, and why another process would do better, in Postfix's words:
//
//	table NAME has changed
//	table NAME could not be opened
//
// It looks at the open files, so it also works in a jail. Unlike Postfix's
// processes, which serve few requests and do not watch files of text, it looks
// at all files that tables were read from. With Settled, a file of text that
// somebody may be writing just now has not changed yet: what was read is better
// than a half.
func (s *Set) Changed() (why string, changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.files {
		if w.changed(s.opt.Settled) {
			return "table " + w.name + " has changed", true
		}
	}
	for _, m := range s.missing {
		if m.asked.Load() && time.Since(m.since) >= reopenAfter {
			return "table " + m.name + " could not be opened", true
		}
	}
	return "", false
}

func (w *watched) changed(settled bool) bool {
	now, err := w.file.Stat()
	if err != nil {
		return true
	}
	if st, ok := now.Sys().(*syscall.Stat_t); ok && st.Nlink == 0 {
		return true // replaced by a new file
	}
	if w.sharedWriters || now.ModTime().Equal(w.stat.ModTime()) && now.Size() == w.stat.Size() {
		return false
	}
	return !settled || !w.byHand || !hotfile.Hot(now.ModTime(), time.Now())
}
