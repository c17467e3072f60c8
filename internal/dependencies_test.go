package internal

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var updateDependencies = flag.Bool("update-dependencies", false, "write docs/dependencies.md")

const dependenciesPage = "../docs/dependencies.md"

const dependenciesHead = `# Dependencies

What is compiled into the two programs besides Go's standard library, pinned by go.mod and go.sum, and what only
the tests need. ` + "`make dependencies`" + ` writes this page from the modules themselves; a test fails when it is
out of date. The licences are told from the text of each module's licence file.

`

// dependency is one line of the page.
type dependency struct{ path, version, dir string }

// modulesOf are the modules whose packages the given ones consist of.
func modulesOf(t *testing.T, args ...string) []dependency {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Version}}\t{{.Dir}}{{end}}{{end}}"}, args...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, complaints.String())
	}
	var all []dependency
	for line := range strings.Lines(string(out)) {
		if f := strings.Split(strings.TrimSpace(line), "\t"); len(f) == 3 {
			all = append(all, dependency{f[0], f[1], f[2]})
		}
	}
	slices.SortFunc(all, func(a, b dependency) int { return strings.Compare(a.path, b.path) })
	return slices.Compact(all)
}

// licence tells a licence by its text.
func licence(t *testing.T, m dependency) string {
	t.Helper()
	for _, name := range []string{"LICENSE", "LICENSE.txt", "LICENSE.md", "License", "COPYING"} {
		text, err := os.ReadFile(filepath.Join(m.dir, name))
		if err != nil {
			continue
		}
		words := strings.Join(strings.Fields(string(text)), " ")
		switch {
		case strings.Contains(words, "Apache License Version 2.0"):
			return "Apache-2.0"
		case strings.Contains(words, "GNU GENERAL PUBLIC") || strings.Contains(words, "GPL"):
			if strings.Contains(words, "Redistributions of source code") {
				return "BSD-3-Clause or GPL-2.0"
			}
		case strings.Contains(strings.ToLower(words), "permission is hereby granted, free of charge"):
			return "MIT"
		case strings.Contains(words, "Redistributions of source code") && strings.Contains(words, "Neither the name"):
			return "BSD-3-Clause"
		case strings.Contains(words, "Redistributions of source code"):
			return "BSD-2-Clause"
		}
		t.Errorf("%s: the licence in %s is not known to this test", m.path, name)
		return "?"
	}
	t.Errorf("%s: no licence file", m.path)
	return "?"
}

// TestDependencies holds docs/dependencies.md to go.mod.
func TestDependencies(t *testing.T) {
	daemon := modulesOf(t, "../cmd/lmtp")
	tool := modulesOf(t, "../cmd/postlmtp")
	all := modulesOf(t, "-test", "../...")
	var b strings.Builder
	b.WriteString(dependenciesHead)
	b.WriteString("| module | version | licence | daemon | tool | tests |\n|---|---|---|---|---|---|\n")
	mark := func(list []dependency, m dependency) string {
		if slices.Contains(list, m) {
			return "yes"
		}
		return ""
	}
	for _, m := range all {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | yes |\n", m.path, m.version, licence(t, m), mark(daemon, m), mark(tool, m))
	}
	if *updateDependencies {
		if err := os.WriteFile(dependenciesPage, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(dependenciesPage)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != b.String() {
		t.Errorf("%s is out of date: make dependencies", dependenciesPage)
	}
}
