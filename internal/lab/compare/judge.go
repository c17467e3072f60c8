package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"postlmtp/internal/lab/scenario"
)

// An outcome is what came of one scenario.
type outcome struct {
	text       string // to be printed
	documented bool
	different  bool
	stale      bool
	skipped    bool
	broken     bool
}

func failed(name string, err error) outcome {
	return outcome{text: fmt.Sprintf("%s: CANNOT RUN: %v\n", name, err), broken: true}
}

// judge compares what was seen of both agents with each other and with what the
// file expects. Under another release than the one that it is written for,
// Postfix's agent may leave it. Then, in a facet in which the agents differ on
// purpose, what ours does cannot be foretold either.
func judge(s *scenario.Scenario, theirs, ours scenario.Observed, release string, verbose bool) outcome {
	native := scenario.Native(release)
	var o outcome
	var verdicts []string
	var diffs strings.Builder
	expect, own := s.Expected(false), s.Ours(release)
	for _, facet := range scenario.Facets() {
		verdict := "same"
		diff := scenario.Unified("postfix "+facet, theirs[facet], "ours "+facet, ours[facet])
		switch {
		case diff != "" && s.Differs() != "" && ours[facet] == own[facet],
			diff != "" && s.Differs() != "" && !native && expect[facet] != own[facet] && theirs[facet] != expect[facet],
			diff != "" && s.DiffersIn(release, facet):
			verdict, o.documented = "documented", true
			if !verbose {
				diff = ""
			}
		case diff != "":
			verdict, o.different = "DIFFERENT", true
		}
		diffs.WriteString(diff)
		if native && theirs[facet] != expect[facet] {
			verdict, o.stale = verdict+" STALE", true
			diffs.WriteString(scenario.Unified("file "+facet, expect[facet], "postfix "+facet, theirs[facet]))
		}
		verdicts = append(verdicts, facet+" "+verdict)
	}
	o.text = s.Name + ": " + strings.Join(verdicts, ", ") + "\n" + diffs.String()
	return o
}

// update writes the expectations of a file anew.
func update(s *scenario.Scenario, path string, theirs, ours scenario.Observed) outcome {
	text := s.Update(theirs, false)
	if s.Differs() != "" {
		again, err := scenario.Parse(s.Name, text)
		if err != nil {
			return failed(s.Name, err)
		}
		text = again.Update(ours, true)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return failed(s.Name, err)
	}
	return outcome{text: s.Name + ": written\n"}
}

// A summary counts outcomes.
type summary struct {
	scenarios, documented, different, stale, skipped, broken int
	elapsed                                                  time.Duration
}

func (s *summary) add(o *outcome) {
	count := func(n *int, yes bool) {
		if yes {
			*n++
		}
	}
	s.scenarios++
	count(&s.documented, o.documented && !o.different)
	count(&s.different, o.different)
	count(&s.stale, o.stale)
	count(&s.skipped, o.skipped)
	count(&s.broken, o.broken)
}

func (s summary) bad() bool { return s.scenarios == 0 || s.different+s.stale+s.broken > 0 }

func (s summary) String() string {
	same := s.scenarios - s.documented - s.different - s.skipped - s.broken
	return fmt.Sprintf("%d scenarios in %.0f s: %d same, %d with documented differences, %d different, "+
		"%d stale, %d skipped, %d cannot run", s.scenarios, s.elapsed.Seconds(),
		same, s.documented, s.different, s.stale, s.skipped, s.broken)
}
