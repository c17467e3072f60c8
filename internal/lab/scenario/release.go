package scenario

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Native tells whether a release of Postfix is the one that the files are written
// for, 3.7. The empty string stands for it.
func Native(release string) bool { return release == "" || minor(release) == 7 }

// DiffersIn tells whether the agents are to differ in a facet under a release
// of Postfix that the file is not written for, by a section "differs until
// RELEASE FACET..." or "differs from RELEASE FACET...".
func (s *Scenario) DiffersIn(release, facet string) bool {
	for _, sec := range s.sections {
		words := strings.Fields(sec.head)
		if len(words) < 4 || words[0] != "differs" || !slices.Contains(words[3:], facet) {
			continue
		}
		limit, is := minor(words[2]), minor(release)
		if is == 0 {
			return false
		}
		if words[1] == "until" && is <= limit || words[1] == "from" && is >= limit {
			return true
		}
	}
	return false
}

// Ours returns the text of each facet that is to be seen of our agent under a
// release of Postfix. A section "ours FACET from RELEASE" takes the place of
// "ours FACET" from that release on, but for the one that the file is written for.
func (s *Scenario) Ours(release string) Observed {
	want := s.Expected(true)
	if Native(release) {
		return want
	}
	best := make(map[string]int)
	for _, sec := range s.sections {
		words := strings.Fields(sec.head)
		if len(words) != 4 || words[0] != "ours" {
			continue
		}
		facet, from := words[1], minor(words[3])
		if from <= minor(release) && from > best[facet] {
			best[facet], want[facet] = from, sec.body
		}
	}
	return want
}

// checkExpectation checks the head of a section of what is to be seen.
func checkExpectation(head string) error {
	words := strings.Fields(head)
	later := len(words) == 4 && words[0] == "ours" && words[2] == "from" && minor(words[3]) > 0
	if len(words) != 2 && !later || !slices.Contains(Facets(), words[1]) {
		return fmt.Errorf("%q: want expect FACET, ours FACET or ours FACET from RELEASE", head)
	}
	return nil
}

// minor is the second number of a release of Postfix 3.
func minor(release string) (n int) {
	fmt.Sscanf(release, "3.%d", &n) // 0 is none of them
	return n
}

// checkDiffers checks the head of a section about differences.
func checkDiffers(head string) error {
	words := strings.Fields(head)
	if len(words) == 1 {
		return nil
	}
	if len(words) < 4 || words[1] != "until" && words[1] != "from" || minor(words[2]) == 0 {
		return fmt.Errorf("%q: want differs, differs until RELEASE FACET... or differs from RELEASE FACET", head)
	}
	for _, facet := range words[3:] {
		if !slices.Contains(Facets(), facet) {
			return fmt.Errorf("%q: unknown facet %q", head, facet)
		}
	}
	return nil
}

// inlinePattern finds tables of patterns that are written into a setting, which
// Postfix reads from 3.7 on.
var inlinePattern = regexp.MustCompile(`\b(regexp|pcre|cidr):\{\s*\{`)

// Lacks tells what a release of Postfix lacks that the scenario needs, or "".
func (s *Scenario) Lacks(release string) string {
	if n := minor(release); n == 0 || n >= 7 {
		return ""
	}
	if slices.ContainsFunc(s.plan.settings, inlinePattern.MatchString) {
		return "tables of patterns in settings"
	}
	return ""
}
