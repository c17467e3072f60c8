package table

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"postlmtp/internal/hotfile"
)

// maxText bounds a table of text and a file of a match list, in bytes.
const maxText = 256 << 20

// A line is a logical line of a text file: physical lines that start with white
// space continue the one before; comments and empty lines are skipped.
type line struct {
	text   string
	number int // of its first physical line
}

// logicalLines takes text apart. path is for warnings.
func logicalLines(text []byte, path string, log Logger) []line {
	var all []line
	var b []byte
	first := 0
	flush := func() {
		if len(b) > 0 {
			all = appendLine(all, line{string(b), first}, path, log)
		}
		b = b[:0]
	}
	for number := 1; len(text) > 0; number++ {
		physical, rest, _ := bytes.Cut(text, []byte("\n"))
		text = rest
		if len(b) > 0 && !(len(physical) > 0 && (isSpace(physical[0]) || physical[0] == '#')) && !blank(physical) {
			flush()
		}
		if bytes.IndexByte(physical, 0) >= 0 {
			log.Warningf("%s, line %d: text after null byte may be ignored", path, number)
		}
		if blank(physical) || bytes.TrimLeft(physical, spaces)[0] == '#' {
			continue
		}
		if len(b) == 0 {
			first = number
		}
		b = append(b, physical...)
	}
	flush()
	return all
}

func blank(physical []byte) bool { return len(bytes.TrimLeft(physical, spaces)) == 0 }

// appendLine adds a line, unless it continues nothing.
func appendLine(all []line, l line, path string, log Logger) []line {
	// What follows a NUL byte does not exist for the code that reads lines.
	l.text, _, _ = strings.Cut(l.text, "\x00")
	if l.text != "" && isSpace(l.text[0]) {
		shown := l.text
		if len(shown) > 30 {
			shown = shown[:30] + "..."
		}
		log.Warningf("%s: logical line must not start with whitespace: \"%s\"", path, shown)
		return all
	}
	return append(all, l)
}

// A text is what a table of text consists of, wherever it comes from.
type text struct {
	lines []line
	file  *os.File // nil: the rules were in the name of the table
	stat  os.FileInfo
}

// readText reads the rules of a table: a file, or rules in the name of the
// table, each in braces inside of braces.
func (o *opening) readText() (*text, error) {
	if o.name[0] == '{' {
		rules, err := inlineRules(o.name)
		if err != nil {
			return nil, fmt.Errorf("%s map: %v", o.kind, err)
		}
		return &text{lines: logicalLines([]byte(rules), o.name, o.set.opt.Log)}, nil
	}
	t, err := o.set.readFile(o.name)
	if err != nil {
		return nil, fmt.Errorf("open %s: %s", o.name, cause(err))
	}
	return t, nil
}

// inlineRules returns the rules of "{ {rule}, {rule} }" as lines.
func inlineRules(name string) (string, error) {
	inner, err := unbrace(name)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, rule := range Split(inner) {
		rule, err := unbrace(rule)
		if err != nil {
			return "", err
		}
		b.WriteString(trim(rule) + "\n")
	}
	return b.String(), nil
}

// readFile reads the logical lines of a file and keeps it open. With Settled, one
// that somebody may be writing is read again, as Postfix does with texthash:, but
// not for ever: Changed sees later changes.
func (s *Set) readFile(path string) (*text, error) {
	t, err := hotfile.Read(path, maxText, s.opt.Settled)
	if err != nil {
		return nil, err
	}
	return &text{lines: logicalLines(t.Data, path, s.opt.Log), file: t.File, stat: t.Stat}, nil
}

// ReadList returns the lines of a file that a list in main.cf includes as
// /file/name, without comments: logical ones, or physical ones with PlainLists,
// where white space at the start means nothing. Changed looks at the file from now on.
func (s *Set) ReadList(path string) ([]string, error) {
	t, err := hotfile.Read(path, maxText, s.opt.Settled)
	if err != nil {
		return nil, fmt.Errorf("open file %s: %s", path, cause(err))
	}
	s.mu.Lock()
	s.files = append(s.files, watched{name: path, file: t.File, stat: t.Stat, byHand: true})
	s.mu.Unlock()
	var lines []string
	if s.opt.PlainLists {
		for line := range strings.Lines(string(t.Data)) {
			if line, _, _ = strings.Cut(line, "\x00"); !strings.HasPrefix(line, "#") {
				lines = append(lines, line)
			}
		}
		return lines, nil
	}
	for _, l := range logicalLines(t.Data, path, s.opt.Log) {
		lines = append(lines, l.text)
	}
	return lines, nil
}
