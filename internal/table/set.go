package table

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unicode/utf8"

	"postlmtp/internal/table/proxymap"
	"postlmtp/internal/table/remote"
)

// A Logger takes what Postfix would log about tables. *maillog.Logger is one.
type Logger interface {
	Warningf(format string, args ...any)
	Errorf(format string, args ...any)
}

// Options is what tables depend on besides their names.
type Options struct {
	Log Logger // nil: nothing is logged

	UTF8          bool // smtputf8_enable: honour the flag UTF8, fold all letters
	OpenErrorsEnd bool // daemon_table_open_error_is_fatal: Open returns errors
	Settled       bool // a file of text counts when nobody has written to it for a second

	ProxymapSocket  string        // path of the socket of proxymap(8); empty: private/proxymap
	ProxymapService string        // proxymap_service_name, for the log; empty: proxymap
	InstanceFlags   bool          // expect the proxymap(8) of Postfix 3.11 or later
	ASCIIEntries    bool          // read texthash: and inline: as Postfix 3.11 or later
	PlainLists      bool          // read /file in a list as Postfix before 3.8
	Timeout         time.Duration // ipc_timeout, for proxymap(8); 0: an hour

	Migration *Migration // what replaces hash: and btree:; nil: nothing does

	SocketmapMaxReply int // socketmap_max_reply_size, bytes; 0: 100000
	SocketmapMaxQuery int // socketmap_max_query_size, bytes; 0: no limit
}

// A Set opens tables and knows those that are open.
type Set struct {
	opt Options

	mu      sync.Mutex
	tables  map[string]*instance // by type, name and flags
	files   []watched            // in the order of their opening
	missing []missing
	links   map[string]*remote.Link
	proxy   *proxymap.Client
}

// NewSet returns a Set without tables.
func NewSet(opt Options) *Set {
	if opt.Log == nil {
		opt.Log = silent{}
	}
	return &Set{opt: opt, tables: make(map[string]*instance), links: make(map[string]*remote.Link)}
}

// Options returns the options of the Set, for packages that build on it.
func (s *Set) Options() Options { return s.opt }

type silent struct{}

func (silent) Warningf(string, ...any) {}
func (silent) Errorf(string, ...any)   {}

// maxNesting bounds how many tables may be inside each other's names.
const maxNesting = 16

// Open opens the table that spec names as type:name, or returns the one that is
// open already. If it cannot be opened, that is logged as an error and a table
// is returned whose lookups all fail, unless OpenErrorsEnd is set: then there
// is an error and no table.
func (s *Set) Open(spec string, flags Flags) (Table, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.open(spec, flags, 0)
	if err != nil {
		return nil, err
	}
	return t, nil
}

// open is Open for callers that hold the lock; depth is how many tables the
// spec is inside of.
func (s *Set) open(spec string, flags Flags, depth int) (*instance, error) {
	kind, name, ok := strings.Cut(spec, ":")
	if !ok || kind == "" || name == "" {
		reason := fmt.Sprintf("open dictionary: expecting \"type:name\" form instead of \"%s\"", spec)
		return s.unavailable(spec, "", flags, errors.New(reason))
	}
	if t, ok := s.tables[registered(kind, name, flags)]; ok {
		return t, nil
	}
	if depth > maxNesting {
		return s.unavailable(kind, name, flags, fmt.Errorf("bad syntax: \"%s:%.100s\"; too many tables inside each other", kind, name))
	}
	if m := s.opt.Migration; m != nil && legacy(kind) {
		other, err := s.migrated(m, kind, name, depth)
		if err != nil {
			return s.unavailable(kind, name, flags, err)
		}
		t, err := s.open(other+":"+name, flags, depth)
		if err == nil {
			s.rename(registered(other, name, flags), registered(kind, name, flags))
		}
		return t, err
	}
	open := opener(kind)
	if open == nil {
		return s.unavailable(kind, name, flags, unsupported(kind, name))
	}
	b, err := open(&opening{set: s, kind: kind, name: name, flags: flags, depth: depth})
	if err != nil {
		return s.unavailable(kind, name, flags, err)
	}
	return s.register(kind, name, flags, b), nil
}

// rename gives a table that replaces another the name of that, as Postfix has
// it where it tells that a table has changed.
func (s *Set) rename(from, to string) {
	if t, ok := s.tables[from]; ok {
		s.tables[to] = t
	}
	for i := range s.files {
		if s.files[i].name == from {
			s.files[i].name = to
		}
	}
}

func (s *Set) register(kind, name string, flags Flags, b *backend) *instance {
	t := &instance{set: s, backend: b, kind: kind, name: name, flags: flags}
	if b.logName != "" {
		t.name = b.logName
	}
	id := registered(kind, name, flags)
	s.tables[id] = t
	if b.file != nil {
		s.files = append(s.files, watched{id, b.file, b.stat, b.sharedWriters, b.byHand})
	}
	return t
}

// unavailable registers a table that fails.
func (s *Set) unavailable(kind, name string, flags Flags, reason error) (*instance, error) {
	if s.opt.OpenErrorsEnd {
		return nil, reason
	}
	if t, ok := s.tables[registered(kind, name, flags)]; ok {
		return t, nil
	}
	s.opt.Log.Errorf("%v", reason)
	m := missing{registered(kind, name, flags), time.Now(), new(atomic.Bool)}
	s.missing = append(s.missing, m)
	b := &backend{pattern: true}
	b.lookup = func(context.Context, string) (string, bool, error) {
		m.asked.Store(true)
		s.opt.Log.Warningf("%s:%s is unavailable. %v", kind, name, reason)
		return "", false, reason
	}
	return s.register(kind, name, flags, b), nil
}

// Unavailable returns a table that fails with the given reason: it stands for
// what could not be opened. Its kind is a word for the log.
func (s *Set) Unavailable(kind, name string, reason error) (Table, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.unavailable(kind, name, Lock|UTF8, reason)
	if err != nil {
		return nil, err
	}
	return t, nil
}

// registered is Postfix's name for a table with the flags it was opened with.
// The number stands for the open mode, which is always read-only.
func registered(kind, name string, flags Flags) string {
	return fmt.Sprintf("%s:%s(0,%v)", kind, name, flags)
}

// Close closes all tables and files. Lookups after it fail.
func (s *Set) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []error
	for _, t := range s.tables {
		if t.backend.close != nil {
			all = append(all, t.backend.close())
		}
	}
	for _, link := range s.links {
		all = append(all, link.Close())
	}
	if s.proxy != nil {
		all = append(all, s.proxy.Close())
	}
	for _, f := range s.files {
		if err := f.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			all = append(all, err)
		}
	}
	s.tables, s.links = make(map[string]*instance), make(map[string]*remote.Link)
	s.files, s.missing, s.proxy = nil, nil, nil
	return errors.Join(all...)
}

// An instance is a table of a Set.
type instance struct {
	set     *Set
	backend *backend
	kind    string
	name    string // as in the log
	flags   Flags
}

// A backend is what a type of table consists of.
type backend struct {
	lookup  func(ctx context.Context, key string) (string, bool, error)
	pattern bool         // keys are not fixed strings
	fixed   func() bool  // overrides pattern, if not nil
	inner   bool         // made of tables, which fold the key themselves
	remote  bool         // keys are folded by a server
	close   func() error // may be nil
	logName string       // the name in the log, if not the one it was opened by

	file          *os.File    // the file it was read from, to see if it changed; may be nil
	stat          os.FileInfo // as it was when it was read
	sharedWriters bool        // a change of the file is seen without a restart
	byHand        bool        // a file of text, which is written without a lock
}

// Fixed implements Table.
func (t *instance) Fixed() bool {
	if t.backend.fixed != nil {
		return t.backend.fixed()
	}
	return !t.backend.pattern
}

// String implements Table.
func (t *instance) String() string { return t.kind + ":" + t.name }

// Lookup implements Table.
func (t *instance) Lookup(ctx context.Context, key string) (string, bool, error) {
	strict := t.set.opt.UTF8 && t.flags&UTF8 != 0
	if strict && !utf8.ValidString(key) {
		t.set.opt.Log.Warningf("%s: non-UTF-8 key \"%s\": %v", t, key, errUTF8)
		return "", false, nil
	}
	if strings.IndexByte(key, 0) >= 0 {
		return "", false, nil
	}
	fold := FoldFixed
	if !t.Fixed() {
		fold = FoldPattern
	}
	if t.flags&fold != 0 && !t.backend.remote && (strict || !t.backend.inner) {
		key = Fold(key, strict)
	}
	value, found, err := t.backend.lookup(ctx, key)
	if err == nil && found && strict && !utf8.ValidString(value) {
		t.set.opt.Log.Warningf("%s: key \"%s\": non-UTF-8 value \"%s\": %v", t, key, value, errUTF8)
		err = &Error{Table: t.String(), Config: true, Err: errUTF8}
	}
	if err == nil {
		return value, found, nil
	}
	if e := new(Error); !errors.As(err, &e) {
		err = &Error{Table: t.String(), Err: err}
	}
	return "", false, err
}

// An opening is a request to open a table of a known type.
type opening struct {
	set   *Set
	kind  string
	name  string
	flags Flags
	depth int
}

// warnf logs a warning about the table.
func (o *opening) warnf(format string, args ...any) { o.set.opt.Log.Warningf(format, args...) }

// cause words an error as strerror(3) does, without the names that package os
// puts in front.
func cause(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		text := errno.Error()
		return strings.ToUpper(text[:1]) + text[1:]
	}
	return err.Error()
}
