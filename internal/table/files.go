package table

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"postlmtp/internal/table/bdb"
	"postlmtp/internal/table/cdb"
	"postlmtp/internal/table/lmdb"
)

// getter finds the value of a key in a file.
type getter interface {
	Get(key []byte) (value []byte, found bool, err error)
}

// An indexed is a table in a file that postmap(1) made. The file stays open,
// and each lookup reads what it needs: no table is too large, and what was
// opened before the jail can be read in the jail.
type indexed struct {
	path string
	file *os.File
	lock bool // lock the file for each lookup
	open func(file *os.File, stat os.FileInfo) (getter, error)

	turn  chan struct{} // holds one value while nobody uses what follows
	get   getter
	stat  os.FileInfo // when get was opened; nil: it sees changes
	nulls nulls
}

// openIndexed opens the file of a table. If lock is set, writers change the
// file in place, and hold a lock while they do.
func (o *opening) openIndexed(suffix string, lock bool, open func(*os.File, os.FileInfo) (getter, error)) (*indexed, error) {
	path := o.name + suffix
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open database %s: %s", path, cause(err))
	}
	t := &indexed{path: path, file: file, lock: lock, open: open, nulls: nulls{try: o.flags & (TryNull | TryNoNull)}, turn: make(chan struct{}, 1)}
	t.turn <- struct{}{}
	err = t.locked(context.Background(), t.reopen)
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("open database %s: %s", path, cause(err))
	}
	o.warnIfOlder(path, t.stat)
	return t, nil
}

// warnIfOlder warns about an index that was not made again after a change of
// its source, unless the change is so recent that this may be under way.
func (o *opening) warnIfOlder(path string, index os.FileInfo) {
	source, err := os.Stat(o.name)
	if err != nil {
		return
	}
	changed := source.ModTime().Unix()
	if changed > index.ModTime().Unix() && changed < time.Now().Unix()-100 {
		o.warnf("database %s is older than source file %s", path, o.name)
	}
}

// reopen reads the head of the file.
func (t *indexed) reopen() error {
	stat, err := t.file.Stat()
	if err != nil {
		return err
	}
	get, err := t.open(t.file, stat)
	if err != nil {
		return err
	}
	t.get, t.stat = get, stat
	return nil
}

// changed reports whether the file was written to since the last reopen.
func (t *indexed) changed() bool {
	now, err := t.file.Stat()
	return err != nil || now.Size() != t.stat.Size() || !now.ModTime().Equal(t.stat.ModTime())
}

// locked calls f while it holds a shared lock of the file, if it takes one.
func (t *indexed) locked(ctx context.Context, f func() error) error {
	if !t.lock {
		return f()
	}
	if err := lockShared(ctx, t.file); err != nil {
		return err
	}
	defer unix.Flock(int(t.file.Fd()), unix.LOCK_UN)
	return f()
}

// lockShared waits for a shared lock, as long as ctx allows.
func lockShared(ctx context.Context, f *os.File) error {
	const first, most = 2 * time.Millisecond, 100 * time.Millisecond
	for wait := first; ; wait = min(2*wait, most) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// lookup finds a key. One lookup at a time: a lock of the file belongs to all of
// the process.
func (t *indexed) lookup(ctx context.Context, key string) (value string, found bool, err error) {
	select {
	case <-t.turn:
		defer func() { t.turn <- struct{}{} }()
	case <-ctx.Done():
		return "", false, &readError{t.path, ctx.Err()}
	}
	err = t.locked(ctx, func() error {
		if t.lock && t.changed() {
			if err := t.reopen(); err != nil {
				return err
			}
		}
		value, found, err = t.nulls.lookup(key, t.get.Get)
		return err
	})
	if err != nil {
		return "", false, &readError{t.path, err}
	}
	return value, found, nil
}

// readError words an error as Postfix does.
type readError struct {
	path string
	err  error
}

func (e *readError) Error() string { return "error reading " + e.path + ": " + cause(e.err) }
func (e *readError) Unwrap() error { return e.err }

func (t *indexed) backend(logName string, sharedWriters bool) *backend {
	return &backend{lookup: t.lookup, logName: logName, file: t.file, stat: t.stat, sharedWriters: sharedWriters}
}

// openHash opens hash:/file/name, the file /file/name.db.
func openHash(o *opening) (*backend, error) { return openBerkeley(o, bdb.Hash) }

// openBtree opens btree:/file/name, the file /file/name.db.
func openBtree(o *opening) (*backend, error) { return openBerkeley(o, bdb.Btree) }

func openBerkeley(o *opening, kind bdb.Kind) (*backend, error) {
	t, err := o.openIndexed(".db", true, func(f *os.File, stat os.FileInfo) (getter, error) {
		return bdb.Open(f, stat.Size(), kind)
	})
	if err != nil {
		return nil, err
	}
	return t.backend(t.path, false), nil
}

// openCDB opens cdb:/file/name, the file /file/name.cdb. It is never changed,
// only replaced.
func openCDB(o *opening) (*backend, error) {
	t, err := o.openIndexed(".cdb", false, func(f *os.File, stat os.FileInfo) (getter, error) {
		return cdb.Open(f, stat.Size())
	})
	if err != nil {
		return nil, err
	}
	return t.backend(t.path, false), nil
}

// openLMDB opens lmdb:/file/name, the file /file/name.lmdb. Lookups see what
// its writers do.
func openLMDB(o *opening) (*backend, error) {
	t, err := o.openIndexed(".lmdb", false, func(f *os.File, _ os.FileInfo) (getter, error) {
		return lmdb.Open(f)
	})
	if err != nil {
		return nil, err
	}
	return t.backend("", true), nil
}

// nulls tries keys with and without a NUL byte at the end: which of them a file
// has depends on the system where it was made. What is found once is what is
// tried from then on.
type nulls struct{ try Flags }

func (n *nulls) lookup(key string, get func([]byte) ([]byte, bool, error)) (string, bool, error) {
	if n.try == 0 {
		n.try = TryNull | TryNoNull
	}
	for _, way := range []Flags{TryNull, TryNoNull} {
		if n.try&way == 0 {
			continue
		}
		b := []byte(key)
		if way == TryNull {
			b = append(b, 0)
		}
		value, found, err := get(b)
		if err != nil {
			return "", false, err
		}
		if found {
			n.try = way
			text, _, _ := strings.Cut(string(value), "\x00")
			return text, true, nil
		}
	}
	return "", false, nil
}
