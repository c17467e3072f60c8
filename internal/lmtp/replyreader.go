package lmtp

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"postlmtp/internal/dsn"
)

const (
	// defaultLineLimit is Postfix's default of line_length_limit.
	defaultLineLimit = 2048
	// minLineLimit is Postfix's lower bound of line_length_limit.
	minLineLimit = 512
	// maxReplyBytes bounds what is read in the hope of the end of one reply.
	maxReplyBytes = 1 << 20
	// maxComplaints bounds the lines of one reply that the log complains of: a
	// megabyte of empty lines would be a log of some hundred megabytes.
	maxComplaints = 20
)

// errLocal marks a failure on our side.
type errLocal struct{ err error }

func (e *errLocal) Error() string { return e.err.Error() }

// replyReader reads replies off the wire. It looks neither at their meaning
// nor at the clock.
type replyReader struct {
	opt      *Options
	limit    int // line_length_limit
	br       *bufio.Reader
	consumed int64             // bytes taken from br
	off      bool              // the server sent a line without end: nothing more is read
	end      error             // the end of the connection, if fill came to it
	pipeline bool              // the server offered PIPELINING: garbage deserves a warning
	strange  func(line string) // Hooks.Strange, while the greeting is awaited; else nil
	secrets  []string          // what we sent that nobody may see, if the server repeats it
}

func newReplyReader(r io.Reader, opt *Options) *replyReader {
	limit := opt.LineLimit
	if limit == 0 {
		limit = defaultLineLimit
	}
	limit = max(limit, minLineLimit)
	// A line and what may be skipped of it fill the buffer exactly.
	return &replyReader{opt: opt, limit: limit, br: bufio.NewReaderSize(r, 2*limit)}
}

// line returns the next line without its end, made printable. A line beyond
// the limit is cut. The bytes are valid until the next call.
func (r *replyReader) line() ([]byte, error) {
	if r.off {
		return nil, io.EOF
	}
	raw, err := r.br.ReadSlice('\n')
	r.consumed += int64(len(raw))
	endless := errors.Is(err, bufio.ErrBufferFull)
	if err != nil && !endless {
		return nil, err // what there was of the line is not used
	}
	if line, ok := trimLine(raw, r.limit); ok {
		return conceal(printable(line, r.opt.UTF8), r.secrets), nil
	}
	line := conceal(printable(raw[:r.limit], r.opt.UTF8), r.secrets)
	if endless {
		r.opt.warningf("disabling input from %s", r.opt.PeerPort)
		r.off = true
	}
	r.opt.warningf("%s: response longer than %d: %s...", r.opt.PeerPort, r.limit, cut(line, 30))
	return line, nil
}

// trimLine removes LF and all CR before it. It is false for a line that is
// longer than limit, CR not counted if it is the only byte too much.
func trimLine(raw []byte, limit int) ([]byte, bool) {
	if len(raw) == 0 || raw[len(raw)-1] != '\n' {
		return nil, false
	}
	if len(raw) > limit && !(len(raw) == limit+1 && raw[limit-1] == '\r') {
		return nil, false
	}
	return bytes.TrimRight(raw[:len(raw)-1], "\r"), true
}

// printable replaces in place what is neither printable ASCII nor, if utf8ok,
// valid UTF-8 beyond ASCII. A NUL ends the line, as in Postfix. Characters
// that command terminals and readers of logs are replaced, too, which Postfix
// lets pass: U+009B is what ESC [ is, and others break lines or turn the
// direction of writing.
func printable(line []byte, utf8ok bool) []byte {
	if i := bytes.IndexByte(line, 0); i >= 0 {
		line = line[:i]
	}
	for i := 0; i < len(line); {
		switch c := line[i]; {
		case c >= ' ' && c < 0x7f:
			i++
		case c >= utf8.RuneSelf && utf8ok:
			if r, size := utf8.DecodeRune(line[i:]); size > 1 && !commands(r) {
				i += size
				continue
			}
			fallthrough
		default:
			line[i] = '?'
			i++
		}
	}
	return line
}

// commands tells whether a character beyond ASCII is an order rather than text.
func commands(r rune) bool {
	return r < 0xa0 || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
}

func cut[T []byte | string](s T, n int) T {
	if len(s) > n {
		return s[:n]
	}
	return s
}

// read returns the next reply (RFC 5321 section 4.2, with Postfix's tolerance):
// a line that does not look like one of a reply is kept, and reading goes on.
func (r *replyReader) read() (Reply, error) {
	var reply Reply
	start := r.consumed
	size := 0 // of the text kept
	odd := 0  // lines that are none of a reply
	skipped := false
	for {
		raw, err := r.line()
		if err != nil {
			return Reply{Malformed: reply.Malformed}, err
		}
		if r.consumed-start > maxReplyBytes {
			return Reply{}, ErrReplyTooLong
		}
		line := string(raw)
		keep := size < r.limit
		if !keep && !skipped {
			skipped = true
			r.opt.warningf("%s: multi-line response longer than %d %s...",
				r.opt.PeerPort, r.limit, cut(strings.Join(reply.Lines, "\n"), 30))
		}
		r.opt.trace(TraceEvent{Kind: TraceReply, Line: line, Excess: !keep})
		if line, err = r.filter(line, keep); err != nil {
			return Reply{}, err
		}
		if keep {
			if size == 0 {
				reply.Lines = reply.Lines[:0] // empty lines in front leave no trace
			} else {
				size++ // what joins the lines
			}
			size += len(line)
			reply.Lines = append(reply.Lines, line)
		}
		more, ok := continues(line)
		if ok && !more {
			reply.Code, reply.Enhanced = codes(line)
			return reply, nil
		}
		if !ok {
			if r.strange != nil && !reply.Malformed {
				r.strange(line)
			}
			reply.Malformed = true
			if odd++; odd <= maxComplaints {
				r.complain(line)
			}
		}
	}
}

// filter applies lmtp_reply_filter.
func (r *replyReader) filter(line string, keep bool) (string, error) {
	if r.opt.ReplyFilter == nil {
		return line, nil
	}
	repl, ok, err := r.opt.ReplyFilter(line)
	if err != nil {
		return "", &errLocal{err}
	}
	if !ok {
		return line, nil
	}
	r.opt.infof("%s: replacing server reply \"%s\" with \"%s\"", r.opt.PeerPort, line, repl)
	r.opt.trace(TraceEvent{Kind: TraceReplaced, Line: repl, Excess: !keep})
	return repl, nil
}

// complain logs a line that is not one of a reply. It matters with PIPELINING,
// where whoever counts lines in another way loses step.
func (r *replyReader) complain(line string) {
	if !r.pipeline {
		return
	}
	r.opt.warningf("%snon-LMTP response from %s: %s", r.opt.prefix(), r.opt.PeerPort, cut(line, 100))
	if r.opt.HelpfulWarnings {
		r.opt.warningf("to prevent loss of mail, turn off command pipelining for %s with the %s parameter",
			r.opt.Addr, "lmtp_discard_lhlo_keyword_address_maps")
	}
}

// continues says whether a line is one of a reply, three digits and then "-",
// a space or the end, and whether others follow.
func continues(line string) (more, ok bool) {
	if len(line) < 3 || !digits(line[:3]) {
		return false, false
	}
	if len(line) == 3 {
		return false, true
	}
	return line[3] == '-', line[3] == '-' || line[3] == ' '
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// codes returns the reply code of the last line of a reply and its enhanced
// status code (RFC 2034): one whose class is not that of the reply code does
// not count, and replies that are no 2xx, 4xx or 5xx have none.
func codes(line string) (code int, enhanced string) {
	code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	class := line[0]
	if class != dsn.Success && class != dsn.Transient && class != dsn.Permanent {
		return code, "5.5.0"
	}
	if enh, _, ok := dsn.Split(strings.TrimLeft(line[3:], " ")); ok && enh[0] == class {
		return code, enh
	}
	return code, string(class) + ".0.0"
}
