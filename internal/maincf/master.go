package maincf

import (
	"bytes"
	"fmt"
	"io"
	"path"
	"strings"
)

// A Switch is a column of master.cf that is "y", "n" or "-" for the default.
type Switch int

// Values of a Switch.
const (
	Unset Switch = iota // "-"
	Yes
	No
)

// Or returns the switch as a truth value, def if it is unset.
func (s Switch) Or(def bool) bool {
	switch s {
	case Yes:
		return true
	case No:
		return false
	}
	return def
}

// DefaultMaxProc is the MaxProc of a service whose column says "-": it
// follows the parameter default_process_limit.
const DefaultMaxProc = -1

// A Service is one entry of master.cf, see master(5).
type Service struct {
	Name, Type   string // "lmtp" "unix"; "127.0.0.1:smtp" "inet"
	Private      Switch // default yes
	Unprivileged Switch // default yes
	Chroot       Switch // default no, yes at compatibility_level 0
	Wakeup       int    // seconds; 0 = never, also for "-"
	WakeupIfUsed bool   // "60?": not before the first use
	MaxProc      int    // processes; 0 = no limit, DefaultMaxProc = "-"
	Command      string // relative to daemon_directory
	Args         []string

	File string
	Line int
}

// ReadMaster reads a master.cf file. Entries that have a mistake are left
// out, with a warning in the words of the master daemon. The error is one of
// package os, or a *FileError for a file that cannot be taken as a list of
// entries at all.
func ReadMaster(path string) ([]Service, []Warning, error) {
	data, err := readWhole(path, false)
	if err != nil {
		return nil, nil, err
	}
	return ParseMaster(bytes.NewReader(data), path)
}

// ParseMaster is like ReadMaster and reads from r; path is for messages.
func ParseMaster(r io.Reader, path string) ([]Service, []Warning, error) {
	lines := newLineReader(r, path)
	var services []Service
	for {
		l, err := lines.next()
		if err == io.EOF {
			return services, lines.warnings, nil
		}
		if err != nil {
			return services, lines.warnings, err
		}
		s, err := parseService(l.text)
		if err != nil {
			lines.warn(l.first, "%s: line %d: %v", path, l.first, err)
			continue
		}
		s.File, s.Line = path, l.first
		services = append(services, s)
	}
}

// FindService returns the service of that name and type. An empty type
// stands for any. If there are several the last one counts, as for master(8).
func FindService(services []Service, name, typ string) (Service, bool) {
	for i := len(services) - 1; i >= 0; i-- {
		if s := services[i]; s.Name == name && (typ == "" || s.Type == typ) {
			return s, true
		}
	}
	return Service{}, false
}

// Overrides returns the parameters that the service's words set: those of
// -o, and max_idle and max_use, which -i and -m stand for. Later ones win.
func (s Service) Overrides() ([]Override, error) {
	return ArgOverrides(s.Args, s.File, s.Line)
}

// withArgument lists the daemon options that take an argument.
const withArgument = "imnorst"

// ArgOverrides is like Service.Overrides for a list of daemon arguments.
// Options end at the first word that is none, as with POSIX getopt.
func ArgOverrides(args []string, file string, line int) ([]Override, error) {
	var all []Override
	for i := 0; i < len(args); i++ {
		word := args[i]
		if word == "--" || len(word) < 2 || word[0] != '-' {
			break
		}
		at := strings.IndexAny(word[1:], withArgument) + 1
		if at == 0 {
			continue
		}
		value := word[at+1:]
		if value == "" {
			if i++; i == len(args) {
				return all, fmt.Errorf("option requires an argument: -%c", word[at])
			}
			value = args[i]
		}
		o := Override{Value: value}
		switch word[at] {
		case 'i':
			o.Name = "max_idle"
		case 'm':
			o.Name = "max_use"
		case 'o':
			var err error
			if o, err = ParseOverride(value); err != nil {
				return all, err
			}
		default:
			continue
		}
		o.File, o.Line = file, line
		all = append(all, o)
	}
	return all, nil
}

// Program returns the name under which the service logs: the last part of
// its command.
func (s Service) Program() string { return path.Base(s.Command) }

// columns takes the words of a master.cf entry one by one.
type columns struct {
	rest string
	err  error
}

func parseService(line string) (Service, error) {
	c := columns{rest: line}
	s := Service{Name: c.word("service name", ""), Type: c.word("transport type", "")}
	if c.err == nil {
		switch s.Type {
		case "inet", "unix", "unix-dgram", "fifo", "pass":
		default:
			return s, fmt.Errorf("bad transport type: %s", s.Type)
		}
	}
	s.Private = c.yesNo("private")
	if c.err == nil && s.Type == "inet" && s.Private.Or(true) {
		return s, fmt.Errorf("inet service cannot be private")
	}
	s.Unprivileged = c.yesNo("unprivileged")
	s.Chroot = c.yesNo("chroot")
	var word string
	s.Wakeup, word = c.number("wakeup_time", 0)
	s.WakeupIfUsed = s.Wakeup > 0 && strings.HasSuffix(word, "?")
	s.MaxProc, _ = c.number("max_proc", DefaultMaxProc)
	s.Command = c.word("command", "")
	if c.err != nil {
		return s, c.err
	}
	args, err := splitArgs(c.rest)
	s.Args = args
	return s, err
}

// word returns the next column. An empty def means that the column has no
// default, so that "-" is a mistake.
func (c *columns) word(name, def string) string {
	if c.err != nil {
		return ""
	}
	c.rest = skipBlanks(c.rest)
	if c.rest == "" {
		c.err = fmt.Errorf("missing \"%s\" field", name)
		return ""
	}
	n := strings.IndexAny(c.rest, blanks)
	if n < 0 {
		n = len(c.rest)
	}
	word := c.rest[:n]
	c.rest = c.rest[n:]
	if word == "-" && def == "" && name != "service name" {
		c.err = fmt.Errorf("field \"%s\" has no default value", name)
	}
	return word
}

func (c *columns) yesNo(name string) Switch {
	switch word := c.word(name, "-"); word {
	case "y":
		return Yes
	case "n":
		return No
	case "-", "":
	default:
		c.bad(name, word)
	}
	return Unset
}

// number returns the number that a column starts with, and the column.
func (c *columns) number(name string, def int) (int, string) {
	word := c.word(name, "-")
	if word == "-" || word == "" {
		return def, word
	}
	n, _, ok := cLong(word)
	if word[0] < '0' || word[0] > '9' || !ok || n > 1<<31-1 {
		c.bad(name, word)
	}
	return int(n), word
}

func (c *columns) bad(name, word string) {
	c.err = fmt.Errorf("field \"%s\": bad value: \"%s\"", name, word)
}

// splitArgs splits the words of a command. A word that starts with an
// opening brace may contain white space up to the closing one, and is taken
// without its braces and without white space next to them (since 3.0).
func splitArgs(s string) ([]string, error) {
	var args []string
	for {
		s = skipBlanks(s)
		if s == "" {
			return args, nil
		}
		n := wordLength(s)
		word := s[:n]
		s = s[n:]
		if word[0] == '{' {
			end := balanced(word)
			if end == 0 {
				return args, fmt.Errorf("missing '}' in \"%s\"", word)
			}
			if end < len(word) {
				return args, fmt.Errorf("syntax error after '}' in \"%s\"", word)
			}
			word = trimSpace(word[1 : end-1])
		}
		args = append(args, word)
	}
}

// wordLength returns how much of s is its first word. White space inside
// braces does not end a word.
func wordLength(s string) int {
	level := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '{':
			level++
		case c == '}' && level > 0:
			level--
		case level == 0 && strings.IndexByte(blanks, c) >= 0:
			return i
		}
	}
	return len(s)
}
