package main

import (
	"bytes"
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
		{"version", []string{"--version"}, exitOK, "postlmtp unknown", ""},
		{"unknown command", []string{"frobnicate"}, exitUsage, "", `there is no command "frobnicate"`},
		{"unknown option", []string{"--frobnicate"}, exitUsage, "", "unknown flag"},
		{"help of a command", []string{"demo", "--help"}, exitOK, "--agent FILE", ""},
		{"unknown option of a command", []string{"demo", "--x"}, exitUsage, "", "Try: postlmtp demo --help"},
		{"argument for demo", []string{"demo", "now"}, exitUsage, "", `unexpected argument "now"`},
		{"colour for demo", []string{"demo", "--color", "red"}, exitUsage, "", "auto, always or never"},
		{"no daemon", []string{"demo", "--agent", "/nonexistent/lmtp"}, exitFail, "", "make build makes it"},
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
		if c.summary == "" {
			t.Errorf("%s has no summary", c.name)
		}
	}
}
