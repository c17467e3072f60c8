package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	tests := []struct {
		name   string
		args   []string
		status int
		stdout string // a part of it
		stderr string
	}{
		{"nothing", nil, exitUsage, "", "Usage: postlmtp COMMAND"},
		{"help", []string{"--help"}, exitOK, "demo", ""},
		{"help as a command", []string{"help"}, exitOK, "Commands:", ""},
		{"help of a command, in words", []string{"help", "demo"}, exitOK, "--agent FILE", ""},
		{"help of help", []string{"help", "help"}, exitOK, "Usage: postlmtp help [COMMAND]", ""},
		{"help of two", []string{"help", "demo", "probe"}, exitUsage, "", "name one command"},
		{"help of nothing", []string{"help", "frob"}, exitUsage, "", `there is no command "frob"`},
		{"version", []string{"--version"}, exitOK, "postlmtp unknown", ""},
		{"unknown command", []string{"frobnicate"}, exitUsage, "", `there is no command "frobnicate"`},
		{"unknown option", []string{"--frobnicate"}, exitUsage, "", "unknown flag"},
		{"help of a command", []string{"demo", "--help"}, exitOK, "--agent FILE", ""},
		{"unknown option of a command", []string{"demo", "--x"}, exitUsage, "", "Try: postlmtp demo --help"},
		{"argument for demo", []string{"demo", "now"}, exitUsage, "", `unexpected argument "now"`},
		{"colour for demo", []string{"demo", "--color", "red"}, exitUsage, "", "auto, always or never"},
		{"no daemon to install", []string{"install", "--program", "/nonexistent/lmtp"}, exitFail, "", "--program names another"},
		{"no daemon", []string{"demo", "--agent", "/nonexistent/lmtp"}, exitFail, "", "make build makes it; --agent names another"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if got := run(tt.args, &stdout, &stderr); got != tt.status {
				t.Errorf("status %d, want %d", got, tt.status)
			}
			check := func(name, got, want string) {
				if want == "" && got != "" || !strings.Contains(got, want) {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			check("stdout", stdout.String(), tt.stdout)
			check("stderr", stderr.String(), tt.stderr)
		})
	}
}

// Every command must be able to explain itself.
func TestCommandsHelp(t *testing.T) {
	for _, c := range commands() {
		var stdout, stderr bytes.Buffer
		if got := c.run([]string{"--help"}, &stdout, &stderr); got != exitOK {
			t.Errorf("%s --help: status %d", c.name, got)
		}
		if !strings.Contains(stdout.String(), "Usage: postlmtp "+c.name) {
			t.Errorf("%s --help does not say how it is used:\n%s", c.name, stdout.String())
		}
		for _, part := range []string{"\nExamples:\n  ", "\nThe exit status is 0"} {
			if !strings.Contains(stdout.String(), part) {
				t.Errorf("%s --help does not have %q:\n%s", c.name, part, stdout.String())
			}
		}
		var other bytes.Buffer
		if got := run([]string{"help", c.name}, &other, &stderr); got != exitOK || other.String() != stdout.String() {
			t.Errorf("help %s: status %d, and another text", c.name, got)
		}
		json := slices.ContainsFunc(c.options(), func(o option) bool { return o.long == "json" })
		if json == (c.words != nil) { // which print no report
			t.Errorf("%s: --json is %v", c.name, json)
		}
		if c.summary == "" {
			t.Errorf("%s has no summary", c.name)
		}
	}
}
