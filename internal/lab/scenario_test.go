package lab_test

import (
	"context"
	"debug/buildinfo"
	"flag"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"testing"
	"time"

	"postlmtp/internal/lab/lacking"
	"postlmtp/internal/lab/program"
	"postlmtp/internal/lab/scenario"
)

var update = flag.Bool("update", false, "rewrite what the scenarios expect from what the agent does")

// scenarioTime bounds the run of one scenario.
const scenarioTime = 20 * time.Second

// TestScenarios runs every scenario against our agent, or against the one that
// the environment variable POSTLMTP_AGENT names. What Postfix's own agent does
// is in the "expect" sections of a file, and what ours does in place of it, on
// purpose, in its "ours" sections.
func TestScenarios(t *testing.T) {
	agent, ours := theAgent(t)
	cfg := scenario.Config{Agent: agent, Stderr: os.Stderr, User: mailOwner()}
	if ours {
		cfg.MainCF = []string{"postlmtp_process_concurrency = 1"}
	}
	files, err := filepath.Glob("../../testdata/scenarios/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("no scenarios")
	}
	if os.Geteuid() != 0 {
		fmt.Fprintf(os.Stderr, "\n*** NOT TESTED: the scenarios that need root, and giving up privileges in the others\n\n")
	}
	for _, path := range files {
		s, err := scenario.Load(path)
		if err != nil {
			t.Error(err)
			continue
		}
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			runScenario(t, s, path, cfg, ours)
		})
	}
}

func runScenario(t *testing.T, s *scenario.Scenario, path string, cfg scenario.Config, ours bool) {
	if s.NeedsRoot() {
		lacking.Root(t)
	}
	ctx, cancel := context.WithTimeout(t.Context(), scenarioTime)
	defer cancel()
	got, err := s.Run(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if ours && s.Differs() == "" {
			t.Fatal("-update with our agent wants a \"differs\" section with the reason")
		}
		if err := os.WriteFile(path, []byte(s.Update(got, ours)), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want := s.Expected(ours)
	for _, facet := range scenario.Facets() {
		if diff := scenario.Diff(want[facet], got[facet]); diff != "" {
			t.Errorf("%s: - expected, + seen:\n%s", facet, diff)
		}
	}
}

// mailOwner returns the user to run agents as: for root the one that Postfix
// would use, so that agents give their privileges up as in real life.
func mailOwner() string {
	if os.Geteuid() != 0 {
		return ""
	}
	if _, err := user.Lookup("postfix"); err != nil {
		return ""
	}
	return "postfix"
}

// theAgent returns the agent to run and whether it is ours.
func theAgent(t *testing.T) (path string, ours bool) {
	t.Helper()
	if path = os.Getenv("POSTLMTP_AGENT"); path != "" {
		_, err := buildinfo.ReadFile(path) // ours is the one that is written in Go
		return path, err == nil
	}
	path, err := program.Build(t.TempDir(), "lmtp")
	if err != nil {
		t.Fatal(err)
	}
	return path, true
}
