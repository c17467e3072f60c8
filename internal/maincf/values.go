package maincf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sort"

	"postlmtp/internal/hotfile"
)

// An Entry is the raw, unexpanded value of one parameter and where it was
// set. File is empty for a value that no file set (a command-line option or
// a built-in value); Line is then zero.
type Entry struct {
	Text string
	File string
	Line int
}

// Values holds the raw values of parameters by name. The zero value is not
// ready for use: call NewValues. Values is not safe for concurrent writing.
type Values struct {
	entries map[string]Entry
}

// NewValues returns an empty set of values.
func NewValues() *Values { return &Values{entries: make(map[string]Entry)} }

// Get returns the entry of a parameter, and whether there is one.
func (v *Values) Get(name string) (Entry, bool) {
	e, ok := v.entries[name]
	return e, ok
}

// Set stores a value; the later one wins.
func (v *Values) Set(name string, e Entry) { v.entries[name] = e }

// Names returns the names of all parameters that have a value, sorted.
func (v *Values) Names() []string {
	names := make([]string, 0, len(v.entries))
	for name := range v.entries {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// ReadFile adds the settings of a main.cf file to v. It returns warnings
// (a line that continues nothing, a parameter that is set twice to different
// values) and the first error: one of package os, or a *FileError.
//
// A file that changes while it is being read is read again.
func (v *Values) ReadFile(path string) ([]Warning, error) { return v.readFile(path, false) }

// ReadSettled is ReadFile for a program that acts on the settings for a long
// time. Somebody may be writing the file piece by piece: as Postfix does, it
// waits until the file was left alone for a second, but not for ever.
func (v *Values) ReadSettled(path string) ([]Warning, error) { return v.readFile(path, true) }

func (v *Values) readFile(path string, settled bool) ([]Warning, error) {
	data, err := readWhole(path, settled)
	if err != nil {
		return nil, err
	}
	return v.Parse(bytes.NewReader(data), path)
}

// readWhole returns the contents of a file that did not change meanwhile.
func readWhole(path string, settled bool) ([]byte, error) {
	text, err := hotfile.Read(path, MaxFileSize, settled)
	var failure *fs.PathError
	switch {
	case errors.As(err, &failure):
		return nil, err
	case err != nil:
		return nil, &FileError{File: path, Text: fmt.Sprintf("%s: %v", path, err)}
	}
	text.File.Close()
	return text.Data, nil
}

// Parse is like ReadFile and reads from r; path is for messages.
func (v *Values) Parse(r io.Reader, path string) ([]Warning, error) {
	lines := newLineReader(r, path)
	for {
		l, err := lines.next()
		if err == io.EOF {
			return lines.warnings, nil
		}
		if err != nil {
			return lines.warnings, err
		}
		name, value, err := SplitNameValue(l.text)
		if err != nil {
			text := fmt.Sprintf("%s, line %d: %v: \"%s\"", path, l.first, err, l.text)
			return lines.warnings, &FileError{path, l.first, text}
		}
		if old, ok := v.Get(name); ok && old.Text != value {
			lines.warn(l.first, "%s, line %d: overriding earlier entry: %s=%s", path, l.first, name, old.Text)
		}
		v.Set(name, Entry{value, path, l.first})
	}
}

// Mistakes that SplitNameValue reports, in Postfix's words.
var (
	errNoName   = errors.New("missing attribute name")
	errNoEquals = errors.New("missing '=' after attribute name")
)

// SplitNameValue splits "name = value" and removes white space around both.
// The value may be empty.
func SplitNameValue(text string) (name, value string, err error) {
	i := 0
	for i < len(text) && isSpace(text[i]) {
		i++
	}
	start := i
	for i < len(text) && !isSpace(text[i]) && text[i] != '=' {
		i++
	}
	if i == start {
		return "", "", errNoName
	}
	name = text[start:i]
	for i < len(text) && isSpace(text[i]) {
		i++
	}
	if i == len(text) || text[i] != '=' {
		return "", "", errNoEquals
	}
	return name, trimSpace(text[i+1:]), nil
}

// An Override is one "-o name=value" option. File and Line are set when it
// was found in master.cf rather than on a command line.
type Override struct {
	Name, Value string
	File        string
	Line        int
}

// ParseOverride parses the argument of an -o option: "name=value" or, since
// master.cf may write it as "{ name = value }", with white space around name
// and value. The error is in Postfix's words.
func ParseOverride(text string) (Override, error) {
	name, value, err := SplitNameValue(text)
	if err != nil {
		return Override{}, fmt.Errorf("invalid \"-o %s\" option value: %v", text, err)
	}
	return Override{Name: name, Value: value}, nil
}
