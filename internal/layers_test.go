// Package internal holds the packages of postlmtp to the layers of
// docs/architecture.md: this test reads layers.txt and asks the go command
// what the packages really import.
package internal

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "postlmtp/internal/"

// grants reads layers.txt: for each package, the packages it may import.
func grants(t *testing.T) map[string][]string {
	t.Helper()
	f, err := os.Open("layers.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m := make(map[string][]string)
	for sc := bufio.NewScanner(f); sc.Scan(); {
		fields := strings.Fields(sc.Text())
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if _, dup := m[fields[0]]; dup {
			t.Errorf("layers.txt: %s is listed twice", fields[0])
		}
		m[fields[0]] = fields[1:]
	}
	return m
}

type goPackage struct {
	ImportPath string
	Doc        string
	GoFiles    []string
	Imports    []string
}

func list(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Doc,GoFiles,Imports", "./...")
	cmd.Dir = ".."
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var pkgs []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

// layerOf returns the listed package that an import path belongs to: a
// sub-package belongs to its parent (table/hash to table).
func layerOf(importPath string) string {
	rest, ok := strings.CutPrefix(importPath, module)
	if !ok {
		return ""
	}
	top, _, _ := strings.Cut(rest, "/")
	return top
}

func TestLayers(t *testing.T) {
	granted := grants(t)
	seen := make(map[string]bool)
	for _, p := range list(t) {
		if len(p.GoFiles) > 0 && p.Doc == "" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
		layer := layerOf(p.ImportPath)
		if layer == "" {
			continue
		}
		seen[layer] = true
		may, listed := granted[layer]
		if !listed {
			t.Errorf("%s is not in layers.txt", layer)
			continue
		}
		if slices.Contains(may, "*") {
			continue
		}
		for _, imp := range p.Imports {
			if on := layerOf(imp); on != "" && on != layer && !slices.Contains(may, on) {
				t.Errorf("%s imports %s, which layers.txt does not grant", p.ImportPath, imp)
			}
		}
	}
	for layer, may := range granted {
		if !seen[layer] {
			t.Errorf("layers.txt lists %s, which does not exist", layer)
		}
		for _, on := range may {
			if _, ok := granted[on]; on != "*" && !ok {
				t.Errorf("layers.txt grants %s an unknown package %s", layer, on)
			}
		}
	}
}
