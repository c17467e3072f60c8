package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"postlmtp/internal/maincf"
)

// A Kind is the grammar of a parameter's value.
type Kind int

// Kinds of parameters.
const (
	Text   Kind = iota // anything; bounds are on the length
	List               // words, separated by commas or white space
	Number             // decimal, 32 bits (64 bits for an int64 field)
	Time               // number and unit s, m, h, d or w; bounds are in seconds
	YesNo              // yes or no
)

// String names the kind as the documentation does.
func (k Kind) String() string {
	return [...]string{"text", "list", "number", "time", "yes/no"}[k]
}

// A Param is one row of the table of parameters.
type Param struct {
	Name     string
	Kind     Kind
	Min, Max int    // zero means no bound, as in Postfix
	Since    string // release of Postfix that introduced it; empty: before 2.1
	Doc      string // what it does, one line
	Missing  string // why nothing can act on it, for the log; empty: something does
	NoEffect bool   // nothing to act on: see the package comment

	field  any    // pointer to the field of Config
	newest string // default of the newest release
	found  string // how the default is found, where it is no text of the table
	older  []olderDefault
}

// olderDefault is the default of releases before the one named.
type olderDefault struct {
	before release
	text   string
}

// Default returns the unexpanded default for a release of Postfix, such as
// "3.7.11"; that of the newest if the release is empty or not a release. It
// is empty for values that are computed, such as myhostname.
func (p *Param) Default(mailVersion string) string {
	r, _ := parseRelease(mailVersion)
	return p.defaultFor(r)
}

func (p *Param) defaultFor(r release) string {
	for _, o := range p.older {
		if r != (release{}) && r.less(o.before) {
			return o.text
		}
	}
	return p.newest
}

// The following make rows: name, field, default, documentation.

func text(name string, field *string, def, doc string) *Param {
	return &Param{Name: name, Kind: Text, field: field, newest: def, Doc: doc}
}

func list(name string, field *[]string, def, doc string) *Param {
	return &Param{Name: name, Kind: List, field: field, newest: def, Doc: doc}
}

func number(name string, field *int, def, doc string) *Param {
	return &Param{Name: name, Kind: Number, field: field, newest: def, Doc: doc}
}

func long(name string, field *int64, def, doc string) *Param {
	return &Param{Name: name, Kind: Number, field: field, newest: def, Doc: doc}
}

func period(name string, field *time.Duration, def, doc string) *Param {
	return &Param{Name: name, Kind: Time, field: field, newest: def, Doc: doc}
}

func yesno(name string, field *bool, def, doc string) *Param {
	return &Param{Name: name, Kind: YesNo, field: field, newest: def, Doc: doc}
}

// The following modify the row that they are called on, and return it.

func (p *Param) min(n int) *Param      { p.Min = n; return p }
func (p *Param) max(n int) *Param      { p.Max = n; return p }
func (p *Param) since(v string) *Param { p.Since = v; return p }
func (p *Param) noEffect() *Param      { p.NoEffect = true; return p }

// computed says, for the documentation, how the default is found.
func (p *Param) computed(how string) *Param { p.found = how; return p }

// missing says why the program cannot do what the parameter asks for.
func (p *Param) missing(why string) *Param { p.Missing = why; return p }

// before sets the default of releases before the given one. Call it with
// ascending releases.
func (p *Param) before(version, def string) *Param {
	r, ok := parseRelease(version)
	if !ok {
		panic("config: bad release " + version + " in row " + p.Name)
	}
	p.older = append(p.older, olderDefault{r, def})
	return p
}

// parse checks the expanded text and stores it in the field. The error is in
// Postfix's words. unit is the default unit of a time.
func (p *Param) parse(text string, unit byte) error {
	switch field := p.field.(type) {
	case *string:
		*field = text
		return p.checkLength(text)
	case *[]string:
		*field = words(text)
		return p.checkLength(text)
	case *bool:
		b, err := maincf.ParseBool(text)
		if err != nil {
			return fmt.Errorf("bad boolean configuration: %s = %s", p.Name, text)
		}
		*field = b
	case *int:
		n, err := maincf.ParseInt(text)
		if err != nil {
			return fmt.Errorf("bad numerical configuration: %s = %s", p.Name, text)
		}
		*field = n
		return p.checkNumber(int64(n))
	case *int64:
		n, err := maincf.ParseLong(text)
		if err != nil {
			return fmt.Errorf("bad numerical configuration: %s = %s", p.Name, text)
		}
		*field = n
		return p.checkNumber(n)
	case *time.Duration:
		d, err := maincf.ParseTime(text, unit)
		if err != nil {
			return fmt.Errorf("parameter %s: bad time value or unit: %s", p.Name, text)
		}
		*field = d
		return p.checkTime(int(d / time.Second))
	}
	return nil
}

func (p *Param) checkLength(text string) error {
	if p.Min != 0 && len(text) < p.Min {
		return fmt.Errorf("bad string length %d < %d: %s = %s", len(text), p.Min, p.Name, text)
	}
	if p.Max != 0 && len(text) > p.Max {
		return fmt.Errorf("bad string length %d > %d: %s = %s", len(text), p.Max, p.Name, text)
	}
	return nil
}

func (p *Param) checkNumber(n int64) error {
	if p.Min != 0 && n < int64(p.Min) {
		return fmt.Errorf("invalid %s parameter value %d < %d", p.Name, n, p.Min)
	}
	if p.Max != 0 && n > int64(p.Max) {
		return fmt.Errorf("invalid %s parameter value %d > %d", p.Name, n, p.Max)
	}
	return nil
}

func (p *Param) checkTime(seconds int) error {
	if p.Min != 0 && seconds < p.Min {
		return fmt.Errorf("invalid %s: %d (min %d)", p.Name, seconds, p.Min)
	}
	if p.Max != 0 && seconds > p.Max {
		return fmt.Errorf("invalid %s: %d (max %d)", p.Name, seconds, p.Max)
	}
	return nil
}

// words splits a list as Postfix does: by commas and white space.
func words(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) })
}

// release is a release of Postfix: major, minor, patch level.
type release [3]int

// parseRelease parses what mail_version contains: "3.7.11",
// "3.12-20260821", "3.11-RC1".
func parseRelease(s string) (release, bool) {
	s, _, _ = strings.Cut(s, "-")
	var r release
	parts := strings.Split(s, ".")
	if len(parts) < 2 || len(parts) > 3 {
		return release{}, false
	}
	for i, part := range parts {
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 {
			return release{}, false
		}
		r[i] = n
	}
	return r, true
}

func (r release) less(o release) bool {
	for i := range r {
		if r[i] != o[i] {
			return r[i] < o[i]
		}
	}
	return false
}
