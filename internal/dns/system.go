package dns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// A Snapshot is what the files of an /etc directory say about names. It is
// never changed: later content is another Snapshot.
type Snapshot struct {
	Config   Config
	Hosts    *Hosts
	Services *Services
}

// Load reads resolv.conf, hosts and services of the directory. A file that is
// missing counts as empty. The snapshot can be used even if err is not nil:
// err names the files that could not be read or not to their end.
func Load(etcDir string) (*Snapshot, error) {
	s, _, err := load(etcDir)
	return s, err
}

// The files of a snapshot, by their index in a stamps array.
const (
	resolvFile = iota
	hostsFile
	servicesFile
	fileCount
)

func fileName(i int) string {
	return [fileCount]string{"resolv.conf", "hosts", "services"}[i]
}

// stamps is what the files were when they were read; nil for a missing one.
type stamps [fileCount]fs.FileInfo

func load(etcDir string) (*Snapshot, stamps, error) {
	config, _ := ParseConfig(strings.NewReader(""), localHostname())
	s := &Snapshot{Config: config}
	var st stamps
	var errs []error
	for i := range fileCount {
		info, err := s.read(i, filepath.Join(etcDir, fileName(i)))
		if err != nil {
			errs = append(errs, err)
		}
		st[i] = info
	}
	return s, st, errors.Join(errs...)
}

// read takes file i into the snapshot.
func (s *Snapshot) read(i int, path string) (fs.FileInfo, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read name service file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read name service file: %w", err)
	}
	switch i {
	case resolvFile:
		s.Config, err = ParseConfig(f, localHostname())
	case hostsFile:
		s.Hosts, err = ParseHosts(f)
	case servicesFile:
		s.Services, err = ParseServices(f)
	}
	if err != nil {
		return info, fmt.Errorf("read %s: %w", path, err)
	}
	return info, nil
}

// recheck is how often the files are looked at again.
const recheck = 5 * time.Second

// settle is how long a file has to be left alone before it is read again: it may
// be half written until then.
const settle = time.Second

// A System follows the files of an /etc directory. It reads them when it is
// made, which a daemon does before it enters its jail, and takes over later
// changes of files that it can still see: the path is looked up anew, so that
// in a jail it is the copy in the jail that counts.
//
// In the directory that was read first, any change of a file counts. In
// another one, the jail's, a file counts only if it is newer than what is
// held, because copies in a jail are often out of date. A file that is
// missing or cannot be read leaves what was read before.
type System struct {
	etcDir string
	home   fs.FileInfo // the directory that was read first; nil if there was none

	mu       sync.Mutex
	snapshot *Snapshot
	stamps   stamps
	checked  time.Time
	sealed   bool   // by Seal
	atSeal   stamps // the files that were there then
	stale    string // the file of Stale
}

// NewSystem reads the files of the directory. The System can be used even if
// err is not nil, see [Load].
func NewSystem(etcDir string) (*System, error) {
	s, st, err := load(etcDir)
	home, statErr := os.Stat(etcDir)
	if statErr != nil {
		home = nil // a missing directory is an empty one
	}
	return &System{etcDir: etcDir, home: home, snapshot: s, stamps: st, checked: time.Now()}, err
}

// Current returns what the files say now, or said a few seconds ago.
func (s *System) Current() *Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.Sub(s.checked) >= recheck {
		s.checked = now
		s.refresh()
	}
	return s.snapshot
}

// refresh reads the files that have changed, and that nobody is changing now. The
// caller holds the lock.
func (s *System) refresh() {
	dir, err := os.Stat(s.etcDir)
	if err != nil {
		return
	}
	atHome := s.home != nil && os.SameFile(dir, s.home)
	next := *s.snapshot
	for i := range fileCount {
		path := filepath.Join(s.etcDir, fileName(i))
		info, err := os.Stat(path)
		if err != nil || !changed(s.stamps[i], info, atHome) || s.busy(info) {
			continue
		}
		fresh := Snapshot{}
		read, err := fresh.read(i, path)
		if errors.Is(err, fs.ErrPermission) {
			s.note(i, path, info)
		}
		if err != nil || read == nil {
			continue // as long as it is unreadable, it is tried again
		}
		if after, err := os.Stat(path); err != nil || changed(read, after, true) {
			continue
		}
		s.stamps[i] = read
		switch i {
		case resolvFile:
			next.Config = fresh.Config
		case hostsFile:
			next.Hosts = fresh.Hosts
		case servicesFile:
			next.Services = fresh.Services
		}
	}
	s.snapshot = &next
}

// busy tells whether a file was written a moment ago, by the clock of the look.
func (s *System) busy(info fs.FileInfo) bool {
	age := s.checked.Sub(info.ModTime())
	return age >= 0 && age < settle
}

// changed says whether a file counts in place of the one that is held.
func changed(held, info fs.FileInfo, atHome bool) bool {
	if held == nil {
		return true
	}
	if !atHome {
		return info.ModTime().After(held.ModTime())
	}
	return !os.SameFile(held, info) || !info.ModTime().Equal(held.ModTime()) || info.Size() != held.Size()
}

// Seal is called before the process enters a sandbox that lets it read, of the
// three files, only those that are there now. It returns their names. What is
// put in their place later cannot be read any more: see [System.Stale].
func (s *System) Seal() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sealed = true
	var names []string
	for i := range fileCount {
		path := filepath.Join(s.etcDir, fileName(i))
		if info, err := os.Stat(path); err == nil {
			s.atSeal[i] = info
			names = append(names, path)
		}
	}
	return names
}

// note remembers a file that cannot be read. If it was there when the System
// was sealed, its own mode is why, and another process would fare no better.
func (s *System) note(i int, path string, info fs.FileInfo) {
	if s.sealed && (s.atSeal[i] == nil || !os.SameFile(s.atSeal[i], info)) {
		s.stale = path
	}
}

// Stale names a file whose new content only another process can read, one that
// is not sealed yet.
func (s *System) Stale() (file string, stale bool) {
	s.Current()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stale, s.stale != ""
}
