package table

import (
	"os"
	"syscall"
	"time"
)

// watched is a file that was read: if it changes, what was read is out of date.
type watched struct {
	name          string // of the table
	file          *os.File
	stat          os.FileInfo
	sharedWriters bool // lookups see what they do
	byHand        bool // writers hold no lock
}

// Changed reports whether a file of any table is not what it was when it was
// opened, and that table as Postfix names it in
//
//	table NAME has changed -- restarting
//
// It looks at the open files, so it also works in a jail. Unlike Postfix's
// processes, which serve few requests and do not watch files of text, it looks
// at all files that tables were read from. With Settled, a file of text that
// somebody may be writing just now has not changed yet: what was read is better
// than a half.
func (s *Set) Changed() (name string, changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.files {
		if w.changed(s.opt.Settled) {
			return w.name, true
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
	return !settled || !w.byHand || !hot(now, time.Now())
}

// hot reports whether somebody may still be writing a file: it was changed since
// the second before the given time. A time in the future says nothing.
func hot(f os.FileInfo, since time.Time) bool {
	changed := f.ModTime().Unix()
	return changed >= since.Unix()-1 && changed <= time.Now().Unix()
}
