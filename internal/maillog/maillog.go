// Package maillog writes the mail log: Postfix's lines, in Postfix's words, on
// the transport that the operator chose for Postfix.
//
// # Purpose
//
// Every tool that reads a mail log (pflogsumm, logwatch, fail2ban, people with
// grep) counts on the tag "postfix/lmtp[123]:" and on the order of the fields
// of a delivery line. This package owns both, and nothing else: it decides no
// policy and knows no setting by name.
//
// # Transports
//
// One of these, as in Postfix:
//
//   - syslog(3) over /dev/log, a datagram socket or else a stream, when
//     maillog_file is empty;
//   - datagrams for postlogd(8) at $queue_directory/public/postlog, when
//     maillog_file is set or the environment has POSTLOG_SERVICE.
//
// Beside them an io.Writer may get a copy of each line (option -V, tests).
// The socket is connected by [Open], which belongs before chroot(2), and is
// kept. A failed write leads to one attempt to connect again at the same path;
// inside the jail that path names the jail's own dev/log, which syslogd may
// provide.
//
// # Contract
//
// A [Logger] is safe for concurrent use. An entry is one line: bytes which are
// not printable become '?', text is cut at 2000 bytes, entries never mix. The
// severities and prefixes are those of Postfix's msg(3): info, warning, error,
// fatal, panic. Fatalf and Panicf only log: to exit is the caller's business.
//
// # Failure policy
//
// Mail comes before its log. A missing log daemon is not an error. A log
// daemon that does not read delays a caller by at most [Options].WriteTimeout,
// and while it stays deaf further entries delay nobody. What the daemon does not
// take, or cannot because there is no descriptor for a connection, waits: it is
// sent with its own time before the next entry, or by itself after a while, or by
// [Logger.Flush]. At most a thousand entries wait. Further ones are dropped and
// counted, and a warning with their number comes behind those that waited.
//
// # Known limits
//
// A TZ variable in the POSIX form ("CET-1CEST") is not understood by Go and
// counts as UTC, unless a zoneinfo file has that name. The 13-errors rule of
// msg(3) (a process ends after its 13th "error:" entry) is not imitated.
package maillog

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"time"
)

// Options says where and how to log. The zero value logs to syslog as
// "postfix/lmtp", facility mail, ASCII only, with whole seconds in delays.
type Options struct {
	// Program is the second half of the tag; empty means "lmtp". It is
	// deliberately not derived from the name of the executable file.
	Program string
	// Tag is the first half of the tag: MAIL_LOGTAG or syslog_name. Empty
	// means "postfix".
	Tag string
	// Facility is the value of syslog_facility; empty means "mail".
	Facility string
	// PostlogSocket, if not empty, is the path of the datagram socket of
	// postlogd(8) and turns syslog off. It is $queue_directory/public/
	// $postlog_service_name where maillog_file is set.
	PostlogSocket string
	// Hostname is the value of myhostname, for postlogd only. Empty means
	// "amnesiac", as in Postfix.
	Hostname string
	// UTF8 keeps valid UTF-8 in entries (smtputf8_enable); otherwise every
	// byte outside ASCII becomes '?'.
	UTF8 bool
	// DelayResolution is delay_logging_resolution_limit: the most decimals
	// in delay= and delays=, 0 to 6. Postfix's default is 2.
	DelayResolution int
	// Copy, if not nil, gets every entry as well: "tag: text" and a newline.
	Copy io.Writer
	// SyslogSocket replaces /dev/log.
	SyslogSocket string
	// WriteTimeout bounds how long one entry may wait for the log daemon;
	// zero means [DefaultWriteTimeout].
	WriteTimeout time.Duration
}

// Defaults of [Options].
const (
	DefaultProgram      = "lmtp"
	DefaultTag          = "postfix"
	DefaultFacility     = "mail"
	DefaultSyslogSocket = "/dev/log"
	DefaultWriteTimeout = 2 * time.Second
	defaultResolution   = 2
)

// Logger writes entries. Its methods may be called by any number of
// goroutines. Get one from [Open], [ToWriter] or [Discard].
type Logger struct {
	tag        string // "postfix/lmtp"
	pid        string // "[123]"
	host       string // first label, for postlog
	facility   int
	postlog    bool
	utf8       bool
	resolution int
	now        func() time.Time

	mu      sync.Mutex
	sock    *socket   // nil: none wanted
	entry   []byte    // the memory of frame
	copy    io.Writer // nil: none wanted
	copyPID bool      // the copy is all there is, and has the pid
	waiting [][]byte  // entries that the daemon has not taken yet, as frame made them
	lost    uint64    // dropped since the last warning about that
	dropped uint64    // dropped in all
	retry   *time.Timer
	pause   time.Duration // that retry has; 0: it is not running
}

// maxWaiting bounds the entries that wait for the log daemon: 2 MB, if each is as
// long as can be.
const maxWaiting = 1000

// Pauses between attempts to send what waits, while there is nothing new to log.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = time.Minute
)

// Open returns a logger for o and connects it. An unreachable log daemon is no
// error: the connection is tried again with later entries. The only error is
// an option which makes no sense.
func Open(o Options) (*Logger, error) {
	facility, ok := facilityCode(orElse(o.Facility, DefaultFacility))
	if !ok {
		return nil, fmt.Errorf("open mail log: unknown syslog facility %q", o.Facility)
	}
	if o.DelayResolution < 0 || o.DelayResolution > maxResolution {
		return nil, fmt.Errorf("open mail log: delay resolution %d is not 0 to %d", o.DelayResolution, maxResolution)
	}
	timeout := o.WriteTimeout
	if timeout <= 0 {
		timeout = DefaultWriteTimeout
	}
	l := &Logger{
		tag:        printable(orElse(o.Tag, DefaultTag)+"/"+orElse(o.Program, DefaultProgram), o.UTF8),
		pid:        pidSuffix(),
		host:       firstLabel(o.Hostname),
		facility:   facility,
		postlog:    o.PostlogSocket != "",
		utf8:       o.UTF8,
		resolution: o.DelayResolution,
		now:        time.Now,
		copy:       o.Copy,
	}
	if l.postlog {
		l.sock = postlogSocket(o.PostlogSocket, timeout)
	} else {
		l.sock = syslogSocket(orElse(o.SyslogSocket, DefaultSyslogSocket), timeout)
	}
	// The time zone is read from files on first use: now, before the jail.
	_ = l.now().Local().Format(time.Stamp)
	_ = l.sock.connect()
	return l, nil
}

// ToWriter returns a logger whose entries go to w only, each as
// "tag[pid]: text" and a newline, with UTF-8 allowed. It is for tests, for the
// demo and for options that ask for standard error.
func ToWriter(w io.Writer, tag string) *Logger {
	return &Logger{
		tag:        printable(tag, true),
		pid:        pidSuffix(),
		utf8:       true,
		resolution: defaultResolution,
		now:        time.Now,
		copy:       w,
		copyPID:    true,
	}
}

// Discard returns a logger that drops everything, uncounted.
func Discard() *Logger { return ToWriter(nil, "discard") }

// Infof logs at severity info, without a prefix.
func (l *Logger) Infof(format string, args ...any) { l.log(info, format, args) }

// Warningf logs "warning: …": something is wrong, mail goes on.
func (l *Logger) Warningf(format string, args ...any) { l.log(warning, format, args) }

// Errorf logs "error: …": an operation failed, the process goes on.
func (l *Logger) Errorf(format string, args ...any) { l.log(failure, format, args) }

// Fatalf logs "fatal: …". It does not exit: the caller does, after it has
// released what it holds.
func (l *Logger) Fatalf(format string, args ...any) { l.log(fatal, format, args) }

// Panicf logs "panic: …": an internal inconsistency. It does not panic.
func (l *Logger) Panicf(format string, args ...any) { l.log(panicked, format, args) }

// Dropped returns how many entries never reached the log daemon.
func (l *Logger) Dropped() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dropped
}

// Flush sends what waits for the log daemon, as far as it takes it now. It is for
// the end of a process.
func (l *Logger) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sock != nil {
		l.catchUp()
	}
}

// Close flushes the log and closes the connection to the log daemon. Entries after
// it, and what still waits, are dropped.
func (l *Logger) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sock == nil {
		return nil
	}
	l.catchUp()
	l.dropped += uint64(len(l.waiting))
	l.waiting = nil
	l.rest()
	return l.sock.close()
}

func (l *Logger) log(s severity, format string, args []any) {
	if l.sock == nil && l.copy == nil {
		return
	}
	text := format
	if len(args) > 0 {
		text = fmt.Sprintf(format, args...)
	}
	l.write(s, text)
}

// write makes one entry of text, which is not trusted.
func (l *Logger) write(s severity, text string) {
	text = s.prefix() + cut(printable(text, l.utf8), maxText)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writeCopy(text)
	if l.sock == nil {
		return
	}
	ready := l.catchUp()
	if entry := l.frame(s, text); !ready || l.sock.send(entry) != nil {
		l.keep(entry)
	}
}

// catchUp sends what waits, and says how much more there was. It returns false if
// the daemon does not take it.
func (l *Logger) catchUp() bool {
	for len(l.waiting) > 0 {
		if l.sock.send(l.waiting[0]) != nil {
			return false
		}
		l.waiting = l.waiting[1:]
	}
	l.waiting = nil
	if l.lost > 0 {
		report := fmt.Sprintf("%s%d entries of the mail log were lost: the log daemon did not take them", warning.prefix(), l.lost)
		if l.sock.send(l.frame(warning, report)) != nil {
			return false
		}
		l.lost = 0
	}
	l.rest()
	return true
}

// rest stops the attempts to send what waits.
func (l *Logger) rest() {
	if l.pause > 0 {
		l.retry.Stop()
		l.pause = 0
	}
}

// keep has an entry wait, if there is room.
func (l *Logger) keep(entry []byte) {
	if l.sock.closed || len(l.waiting) == maxWaiting {
		l.lost++
		l.dropped++
		return
	}
	l.waiting = append(l.waiting, bytes.Clone(entry))
	if l.pause == 0 {
		l.pause = firstRetry
		l.retry = time.AfterFunc(l.pause, l.tryAgain)
	}
}

// tryAgain sends what waits, and comes back, later and later, until it is sent.
func (l *Logger) tryAgain() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sock.closed || l.catchUp() {
		return
	}
	l.pause = min(2*l.pause, lastRetry)
	l.retry.Reset(l.pause)
}

func (l *Logger) writeCopy(text string) {
	if l.copy == nil {
		return
	}
	tag := l.tag
	if l.copyPID {
		tag += l.pid
	}
	_, _ = io.WriteString(l.copy, tag+": "+text+"\n")
}

// frame puts text into the form of the transport. The bytes are valid until
// the next call.
func (l *Logger) frame(s severity, text string) []byte {
	now, b := l.now().Local(), l.entry[:0]
	if l.postlog {
		b = append(now.AppendFormat(b, "Jan 02 15:04:05"), ' ')
		b = append(append(b, l.host...), ' ')
	} else {
		b = strconv.AppendInt(append(b, '<'), int64(l.facility|s.level()), 10)
		b = append(now.AppendFormat(append(b, '>'), time.Stamp), ' ')
	}
	b = append(append(append(b, l.tag...), l.pid...), ": "...)
	l.entry = append(b, text...)
	return l.entry
}

func pidSuffix() string { return fmt.Sprintf("[%d]", os.Getpid()) }

func orElse(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}
