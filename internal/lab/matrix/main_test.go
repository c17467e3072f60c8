package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPage(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"old/versions": "postfix 3.5.25-1\ndovecot 2.3\npostlmtp abc\nrun 2026-11-22 23:05\n",
		"old/scenarios.txt": "auth-plain: server same, log same\nauth-login: server same, log documented\n" +
			"tls-may: server DIFFERENT, log same\n-to=<a>: server x\n 1A: to=<a>\ndeliver: CANNOT RUN: why\ndsn-a: server same, log same STALE\n3 scenarios in 4 s\n",
		"old/e2e.txt": "--- PASS: TestWire (1.00s)\n    --- FAIL: TestWire/x (0s)\n--- FAIL: TestKill (2.00s)\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "upgrade.txt"),
		[]byte("    upgrade_test.go:97: 437 messages while 3.10 became 3.11\n--- PASS: TestPostfixUpgrade (12.84s)\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if up, err := upgrade(dir); err != nil || !strings.Contains(up, ": passed; 437 messages while 3.10 became 3.11.\n") {
		t.Errorf("%q, %v", up, err)
	}
	var columns []*results
	for _, release := range []string{"old", "new"} {
		r, err := read(filepath.Join(dir, release), release)
		if err != nil {
			t.Fatal(err)
		}
		columns = append(columns, r)
	}
	got := page(columns)
	for _, want := range []string{
		"All columns are of one run.\n", "| run | 2026-11-22 23:05 | – |\n", "| dsn | 0, **1 different** | – |\n",
		"|  | old | new |\n", "| postfix | 3.5.25-1 | – |\n", "| auth | 1 + 1 | – |\n", "| tls | 0, **1 different** | – |\n",
		"| deliver | 0, **1 different** | – |\n", "| Wire | passed | – |\n", "| Kill | **failed** | – |\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no line %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "to=") || strings.Contains(got, "Wire/x") {
		t.Errorf("too much in\n%s", got)
	}
}

// TestOrigin: columns of several runs or commits are not taken for one run.
func TestOrigin(t *testing.T) {
	column := func(commit, run string) *results {
		return &results{versions: map[string]string{"postlmtp": commit, "run": run}, tests: map[string]string{"Wire": "PASS"}}
	}
	empty := &results{versions: map[string]string{"postfix": "not tested"}}
	for _, c := range []struct {
		name    string
		columns []*results
		one     bool
	}{
		{"one run", []*results{column("a", "1"), column("a", "1"), empty}, true},
		{"another commit", []*results{column("a", "1"), column("b", "1")}, false},
		{"once more", []*results{column("a", "1"), column("a", "2")}, false},
		{"a run without a date", []*results{column("a", "1"), column("a", "")}, false},
	} {
		if got := origin(c.columns); strings.Contains(got, "one run") != c.one || strings.Contains(got, "several runs") == c.one {
			t.Errorf("%s: %s", c.name, got)
		}
	}
}
