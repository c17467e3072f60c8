// Package permit tells whether an account may reach a file, and which part of
// the way is closed to it: each directory needs the right to search it, a
// socket at the end the right to write to it.
//
// # Contract
//
// [Look] walks a path from the root, or from a directory, follows symbolic
// links as the kernel would, and returns every part of the way with its owner
// and mode. The verdict is computed from the mode bits, so that root can tell
// what another account sees. Inside a chroot jail, paths and absolute links
// begin at the jail's root.
//
// # Limits
//
// Access control lists, mount options and security modules (SELinux, AppArmor)
// are not looked at: an account that the mode bits let in may still be refused.
// At most 40 links are followed, as by Linux.
package permit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// An Account is who wants to get through.
type Account struct {
	Name   string
	UID    int
	Groups []int // all of its groups
}

// String names the account and its numbers.
func (a Account) String() string {
	gids := strings.Trim(fmt.Sprint(a.Groups), "[]")
	return fmt.Sprintf("%s (uid %d, gid %s)", a.Name, a.UID, gids)
}

// A Part is one step of the way.
type Part struct {
	Path   string      `json:"path"` // as seen from outside of a jail
	Kind   string      `json:"kind"` // directory, socket, file, link, other; missing
	Mode   fs.FileMode `json:"-"`
	Octal  string      `json:"mode"` // "0755"
	UID    int         `json:"uid"`
	GID    int         `json:"gid"`
	Target string      `json:"target,omitempty"` // of a link
	// Need is the right that the account needs here, "x" or "w"; Open tells
	// whether it has it.
	Need string `json:"need,omitempty"`
	Open bool   `json:"open"`
}

// A Walk is the way to a file.
type Walk struct {
	Account Account
	Parts   []Part
	// Err is why the way ends before its end: fs.ErrNotExist, ENOTDIR, or
	// that we, who look, may not look further.
	Err error
}

// maxLinks is Linux's limit.
const maxLinks = 40

// Look looks at the way to a path. Root is the jail, "/" or empty for none; dir
// is where a relative path begins, as seen from outside of the jail.
func Look(a Account, root, dir, path string) Walk {
	if root == "" {
		root = "/"
	}
	w := &walker{account: a, root: filepath.Clean(root)}
	at := filepath.Clean(dir)
	if filepath.IsAbs(path) {
		at = w.root
	}
	// The way to where it begins is not walked by a process that is there.
	if w.part(at, false) {
		w.walk(at, path)
	}
	return w.Walk()
}

type walker struct {
	account Account
	root    string
	parts   []Part
	links   int
	err     error
}

// Walk returns what was found.
func (w *walker) Walk() Walk { return Walk{Account: w.account, Parts: w.parts, Err: w.err} }

// walk goes on from a directory, and returns where it got to.
func (w *walker) walk(at, rest string) (string, bool) {
	names := strings.FieldsFunc(rest, func(r rune) bool { return r == '/' })
	for i, name := range names {
		if name == "." {
			continue
		}
		if name == ".." {
			if at != w.root {
				at = filepath.Dir(at)
			}
			continue
		}
		next := filepath.Join(at, name)
		info, err := os.Lstat(next)
		if err == nil && info.Mode()&fs.ModeSymlink != 0 {
			var ok bool
			if at, ok = w.follow(at, next, info); !ok {
				return at, false
			}
			continue
		}
		if !w.part(next, i == len(names)-1) {
			return next, false
		}
		at = next
	}
	return at, true
}

// follow goes through a symbolic link.
func (w *walker) follow(at, link string, info fs.FileInfo) (string, bool) {
	target, err := os.Readlink(link)
	if w.links++; err == nil && w.links > maxLinks {
		err = syscall.ELOOP
	}
	p := describe(link, info)
	p.Target, p.Open = target, true
	w.parts = append(w.parts, p)
	if err != nil {
		w.err = err
		return at, false
	}
	if filepath.IsAbs(target) {
		at = w.root
	}
	return w.walk(at, target)
}

// part adds one part, and tells whether the way goes on behind it.
func (w *walker) part(path string, last bool) bool {
	info, err := os.Stat(path)
	if err != nil {
		kind := "missing"
		if !errors.Is(err, fs.ErrNotExist) {
			kind = "out of reach"
		}
		w.parts = append(w.parts, Part{Path: path, Kind: kind})
		w.err = errors.Unwrap(err)
		return false
	}
	p := describe(path, info)
	p.Need = "x"
	if !info.IsDir() && last {
		p.Need = "w"
	}
	p.Open = w.account.may(p)
	if !info.IsDir() && !last {
		p.Open = false
		w.err = syscall.ENOTDIR
	}
	w.parts = append(w.parts, p)
	return w.err == nil
}

func describe(path string, info fs.FileInfo) Part {
	p := Part{Path: path, Kind: "other", Mode: info.Mode(), Octal: fmt.Sprintf("%04o", info.Mode().Perm())}
	switch {
	case info.IsDir():
		p.Kind = "directory"
	case info.Mode()&fs.ModeSocket != 0:
		p.Kind = "socket"
	case info.Mode()&fs.ModeSymlink != 0:
		p.Kind = "link"
	case info.Mode().IsRegular():
		p.Kind = "file"
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		p.UID, p.GID = int(st.Uid), int(st.Gid)
	}
	return p
}

// may tells whether the mode bits give the account the right that it needs.
func (a Account) may(p Part) bool {
	bit := fs.FileMode(1)
	if p.Need == "w" {
		bit = 2
	}
	switch {
	case a.UID == 0:
		return true
	case a.UID == p.UID:
		bit <<= 6
	case slices.Contains(a.Groups, p.GID):
		bit <<= 3
	}
	return p.Mode.Perm()&bit != 0
}

// Closed returns the first part that is closed to the account, nil if the way
// is open as far as it goes.
func (w Walk) Closed() *Part {
	for i := range w.Parts {
		if p := &w.Parts[i]; p.Kind != "missing" && p.Kind != "out of reach" && !p.Open {
			return p
		}
	}
	return nil
}

// End returns the last part.
func (w Walk) End() Part { return w.Parts[len(w.Parts)-1] }

// Missing tells whether a part of the way does not exist.
func (w Walk) Missing() bool { return w.End().Kind == "missing" }

// Reaches tells whether the account gets to the end of the way.
func (w Walk) Reaches() bool { return w.Err == nil && w.Closed() == nil }
