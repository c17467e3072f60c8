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
		"old/versions": "postfix 3.5.25-1\ndovecot 2.3\n",
		"old/scenarios.txt": "auth-plain: server same, log same\nauth-login: server same, log documented\n" +
			"tls-may: server DIFFERENT, log same\n-to=<a>: server x\n 1A: to=<a>\ndeliver: CANNOT RUN: why\n3 scenarios in 4 s\n",
		"run":         "date 2026-11-22\n",
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
	day, err := date(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := page(columns, day)
	for _, want := range []string{
		"The run of 2026-11-22.\n", "|  | old | new |\n", "| postfix | 3.5.25-1 | – |\n", "| auth | 1 + 1 | – |\n", "| tls | 0, **1 different** | – |\n",
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
