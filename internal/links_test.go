package internal

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestLinks: what a page links to is there, the heading included, and make install
// puts it beside the page.
func TestLinks(t *testing.T) {
	pages := map[string]string{"README.md": readPage(t, "../README.md")}
	err := filepath.WalkDir("../docs", func(path string, d fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".md" {
			pages[strings.TrimPrefix(path, "../")] = readPage(t, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for page, text := range pages {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			path, heading, _ := strings.Cut(m[1], "#")
			target := page
			if path != "" {
				target = filepath.Join(filepath.Dir(page), path)
			}
			if !installed(target) {
				t.Errorf("%s: %s is not among what is installed", page, m[1])
			} else if _, err := os.Stat(filepath.Join("..", target)); err != nil {
				t.Errorf("%s: %v", page, err)
			}
			if heading != "" && !hasHeading(pages[target], heading) {
				t.Errorf("%s: %s has no heading %s", page, target, heading)
			}
		}
	}
}

func readPage(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// installed tells whether make install copies a file beside the pages.
func installed(path string) bool {
	switch path {
	case "README.md", "LICENSE":
		return true
	}
	return strings.HasPrefix(path, "docs/") && !strings.HasPrefix(path, "docs/man/") && filepath.Ext(path) != ".go"
}

// hasHeading tells whether a page has the heading that a link names: in small
// letters, without signs, and with hyphens for blanks.
func hasHeading(text, name string) bool {
	signs := regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
	for line := range strings.Lines(text) {
		title := strings.TrimLeft(line, "#")
		if title != line && strings.ReplaceAll(signs.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), ""), " ", "-") == name {
			return true
		}
	}
	return false
}
