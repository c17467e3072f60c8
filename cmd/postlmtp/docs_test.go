package main

import (
	"os"
	"strings"
	"testing"

	"postlmtp/internal/check"
)

// The documentation has every command, option and finding.
func TestDocumented(t *testing.T) {
	read := func(path string) string {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return strings.ReplaceAll(string(data), `\-`, "-")
	}
	man, findings := read("../../docs/man/postlmtp.1"), read("../../docs/check.md")
	for _, c := range commands() {
		if !strings.Contains(man, `\fB`+c.name+`\fR`) {
			t.Errorf("the manual does not have the command %s", c.name)
		}
		for _, o := range c.options() {
			if !strings.Contains(man, "--"+o.long) {
				t.Errorf("the manual does not have --%s of %s", o.long, c.name)
			}
		}
	}
	for _, k := range check.Catalogue() {
		if !strings.Contains(findings, "\n| "+k.Number+" | "+string(k.Severity)+" | "+k.Title+" | ") {
			t.Errorf("docs/check.md does not have %s %s", k.Number, k.Title)
		}
	}
	if rows := strings.Count(findings, "\n| PL"); rows != len(check.Catalogue()) {
		t.Errorf("docs/check.md has %d findings, not %d", rows, len(check.Catalogue()))
	}
}
