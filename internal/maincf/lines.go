package maincf

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Bounds on configuration files. Postfix has none; these are far above any
// file that a person or a tool writes.
const (
	MaxFileSize   = 16 << 20 // bytes in one file
	MaxLineLength = 1 << 20  // bytes in one logical line
)

// A Warning is a remark on configuration text that does not prevent its use.
// Text is complete as it should be logged; File and Line say where to look
// and are empty and zero when the text did not come from a file.
type Warning struct {
	File string
	Line int
	Text string
}

// String returns the text to log.
func (w Warning) String() string { return w.Text }

// A FileError is a mistake in a configuration file that prevents its use.
// Text is complete, in Postfix's own words.
type FileError struct {
	File string
	Line int
	Text string
}

// Error returns the text to log.
func (e *FileError) Error() string { return e.Text }

// errTooLong is wrapped into a FileError by lineReader.
var errTooLong = errors.New("logical line too long")

// logicalLine is one logical line: physical lines joined without their line
// ends, comments and blank lines left out.
type logicalLine struct {
	text  string
	first int // number of the first physical line that has text
}

// lineReader cuts a file into logical lines.
type lineReader struct {
	in       *bufio.Reader
	path     string
	line     int // number of the last physical line read
	warnings []Warning
}

func newLineReader(r io.Reader, path string) *lineReader {
	return &lineReader{in: bufio.NewReader(io.LimitReader(r, MaxFileSize+1)), path: path}
}

// next returns the next logical line, or io.EOF.
//
// A line that starts with white space continues the line before it, even
// when comments or empty lines stand between them. Text after a null byte is
// not seen by Postfix and is dropped here, too.
func (r *lineReader) next() (logicalLine, error) {
	for {
		l, err := r.join()
		if err != nil {
			return l, err
		}
		if text, _, found := strings.Cut(l.text, "\x00"); found {
			r.warn(l.first, "%s, line %d: text after null byte may be ignored", r.path, l.first)
			l.text = text
		}
		if l.text != "" && isSpace(l.text[0]) {
			// Nothing to continue: ignored, as Postfix does.
			head, more := l.text, ""
			if len(head) > 30 {
				head, more = head[:30], "..."
			}
			r.warn(l.first, "%s: logical line must not start with whitespace: \"%s%s\"", r.path, head, more)
			continue
		}
		return l, nil
	}
}

// join reads physical lines up to the start of the next logical line. The
// result has at least one byte of text.
func (r *lineReader) join() (logicalLine, error) {
	var text strings.Builder
	var first int
	for {
		physical, err := r.physical()
		if err != nil && err != io.EOF {
			return logicalLine{}, err
		}
		if !blankOrComment(physical) {
			if text.Len() == 0 {
				first = r.line
			}
			text.WriteString(physical)
			if text.Len() > MaxLineLength {
				return logicalLine{}, &FileError{r.path, first, fmt.Sprintf("%s, line %d: %v", r.path, first, errTooLong)}
			}
		}
		if err == io.EOF {
			break
		}
		if text.Len() > 0 && !r.continues() {
			break
		}
	}
	if text.Len() == 0 {
		return logicalLine{}, io.EOF
	}
	return logicalLine{text.String(), first}, nil
}

// physical reads one line without its newline. With io.EOF it may also
// return text: a last line without a newline.
func (r *lineReader) physical() (string, error) {
	var b strings.Builder
	for {
		part, err := r.in.ReadSlice('\n')
		b.Write(part)
		if b.Len() > MaxLineLength+1 {
			return "", &FileError{r.path, r.line + 1, fmt.Sprintf("%s, line %d: %v", r.path, r.line+1, errTooLong)}
		}
		if err == bufio.ErrBufferFull {
			continue
		}
		if b.Len() > 0 {
			r.line++
		}
		return strings.TrimSuffix(b.String(), "\n"), err
	}
}

// continues reports whether the next physical line belongs to the current
// logical line: it does when it starts with white space or is a comment.
func (r *lineReader) continues() bool {
	next, err := r.in.Peek(1)
	return err == nil && (next[0] == '#' || isSpace(next[0]))
}

func (r *lineReader) warn(line int, format string, args ...any) {
	r.warnings = append(r.warnings, Warning{r.path, line, fmt.Sprintf(format, args...)})
}

func blankOrComment(line string) bool {
	for i := 0; i < len(line); i++ {
		if !isSpace(line[i]) {
			return line[i] == '#'
		}
	}
	return true
}

// isSpace is isspace(3) of the C locale.
func isSpace(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }

func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// trimSpace removes what isspace(3) says, which unlike strings.TrimSpace
// leaves non-ASCII space alone.
func trimSpace(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return r < 0x80 && isSpace(byte(r)) })
}
