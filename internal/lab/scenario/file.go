package scenario

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Facets lists the names of the facets in their order.
func Facets() []string {
	return []string{"server", "log", "requests", "status", "file", "process"}
}

// A Scenario is one file, taken apart.
type Scenario struct {
	Name     string // of the file, without directory and extension
	Title    string // the comment at its top
	sections []section
	plan     plan
}

// A section is a part of the file.
type section struct {
	head string // "request", "server lmtp", "expect log"
	body string // without blank lines at the end; lines end with LF
	line int    // in the file
}

// Load reads a scenario file.
func Load(path string) (*Scenario, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("load scenario: %w", err)
	}
	name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	return Parse(name, string(text))
}

// Parse takes the text of a scenario file apart.
func Parse(name, text string) (*Scenario, error) {
	s := &Scenario{Name: name}
	var title []string
	var current *section
	for i, line := range strings.SplitAfter(text, "\n") {
		if head, ok := strings.CutPrefix(strings.TrimRight(line, "\r\n"), "== "); ok {
			s.sections = append(s.sections, section{head: strings.TrimSpace(head), line: i + 1})
			current = &s.sections[len(s.sections)-1]
			continue
		}
		if current != nil {
			current.body += line
			continue
		}
		if rest, ok := strings.CutPrefix(line, "#"); ok {
			title = append(title, strings.TrimSpace(rest))
		} else if strings.TrimSpace(line) != "" {
			return nil, fmt.Errorf("scenario %s: line %d: text before the first section", name, i+1)
		}
	}
	s.Title = strings.Join(title, "\n")
	for i := range s.sections {
		s.sections[i].body = trimEnd(s.sections[i].body)
	}
	if err := s.plan.read(s.sections); err != nil {
		return nil, fmt.Errorf("scenario %s: %w", name, err)
	}
	return s, nil
}

// trimEnd takes blank lines from the end and makes sure of a last LF.
func trimEnd(body string) string {
	body = strings.TrimRight(body, "\r\n")
	if body == "" {
		return ""
	}
	return body + "\n"
}

// find returns the body of a section, and whether there is one.
func (s *Scenario) find(head string) (string, bool) {
	for _, sec := range s.sections {
		if sec.head == head {
			return sec.body, true
		}
	}
	return "", false
}

// Differs returns the reason why our agent is to do something else than
// Postfix's, or "".
func (s *Scenario) Differs() string {
	text, _ := s.find("differs")
	return strings.TrimSpace(text)
}

// NeedsRoot tells whether the scenario wants what only root can do.
func (s *Scenario) NeedsRoot() bool {
	return s.plan.options.Hosts != "" || s.plan.options.Chroot
}

// Expected returns the text of each facet that is to be seen, of Postfix's
// agent or of ours.
func (s *Scenario) Expected(ours bool) Observed {
	want := make(Observed)
	for _, facet := range Facets() {
		want[facet], _ = s.find("expect " + facet)
		if text, ok := s.find("ours " + facet); ok && ours {
			want[facet] = text
		}
	}
	return want
}

// Update returns the text of the file with new expectations: of Postfix's
// agent in the "expect" sections, of ours, where they differ from those, in the
// "ours" sections.
func (s *Scenario) Update(got Observed, ours bool) string {
	prefix := "expect "
	if ours {
		prefix = "ours "
	}
	sections := slices.Clone(s.sections)
	for _, facet := range Facets() {
		head := prefix + facet
		text := got[facet]
		at := slices.IndexFunc(sections, func(sec section) bool { return sec.head == head })
		base, _ := s.find("expect " + facet)
		drop := text == "" && !ours || ours && text == base
		switch {
		case at >= 0 && drop:
			sections = slices.Delete(sections, at, at+1)
		case at >= 0:
			sections[at].body = text
		case !drop:
			sections = insert(sections, section{head: head, body: text})
		}
	}
	return s.render(sections)
}

// insert puts an expectation at its place: "expect" before "ours" sections,
// each kind in the order of Facets.
func insert(sections []section, sec section) []section {
	rank := func(head string) int {
		words := strings.Fields(head + " -")
		kind, order := words[0], slices.Index(Facets(), words[1])
		switch kind {
		case "expect":
			return 100 + order
		case "ours":
			return 200 + order
		case "differs":
			return 199
		}
		return 0
	}
	at := len(sections)
	for at > 0 && rank(sections[at-1].head) > rank(sec.head) {
		at--
	}
	return slices.Insert(sections, at, sec)
}

// render writes a file.
func (s *Scenario) render(sections []section) string {
	var b strings.Builder
	for _, line := range strings.Split(s.Title, "\n") {
		b.WriteString(strings.TrimRight("# "+line, " ") + "\n")
	}
	for _, sec := range sections {
		fmt.Fprintf(&b, "\n== %s\n%s", sec.head, sec.body)
	}
	return b.String()
}
