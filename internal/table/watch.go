package table

import (
	"os"
	"syscall"
)

// watched is a file that was read: if it changes, what was read is out of date.
type watched struct {
	name          string // of the table
	file          *os.File
	stat          os.FileInfo
	sharedWriters bool
}

func (s *Set) watch(name string, f *os.File, stat os.FileInfo, sharedWriters bool) {
	s.files = append(s.files, watched{name, f, stat, sharedWriters})
}

// Changed reports whether a file of any table is not what it was when it was
// opened, and that table as Postfix names it in
//
//	table NAME has changed -- restarting
//
// It looks at the open files, so it also works in a jail. Unlike Postfix's
// processes, which serve few requests and do not watch files of text, it looks
// at all files that tables were read from.
func (s *Set) Changed() (name string, changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.files {
		if w.changed() {
			return w.name, true
		}
	}
	return "", false
}

func (w *watched) changed() bool {
	now, err := w.file.Stat()
	if err != nil {
		return true
	}
	if st, ok := now.Sys().(*syscall.Stat_t); ok && st.Nlink == 0 {
		return true // replaced by a new file
	}
	return !w.sharedWriters && (!now.ModTime().Equal(w.stat.ModTime()) || now.Size() != w.stat.Size())
}
