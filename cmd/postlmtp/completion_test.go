package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func completion(t *testing.T, shell string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if status := run([]string{"completion", shell}, &stdout, &stderr); status != exitOK {
		t.Fatalf("status %d: %s", status, &stderr)
	}
	return stdout.String()
}

// Every command and option is in every script, and the shells that are here can
// read it.
func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		text := completion(t, shell)
		for _, c := range commands() {
			if !strings.Contains(text, c.name) {
				t.Errorf("%s: no %s", shell, c.name)
			}
			for _, o := range c.options() {
				if !strings.Contains(text, o.long) {
					t.Errorf("%s: no --%s of %s", shell, o.long, c.name)
				}
			}
		}
		program, err := exec.LookPath(shell)
		if err != nil {
			continue
		}
		path := filepath.Join(t.TempDir(), "script")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(program, "-n", path).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", shell, err, out)
		}
	}
	var stdout, stderr bytes.Buffer
	if status := run([]string{"completion", "tcsh"}, &stdout, &stderr); status != exitUsage {
		t.Errorf("status %d", status)
	}
}

func TestCompletionBash(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash")
	}
	for _, tt := range []struct{ line, want string }{
		{"pro", "probe"}, {"probe --as", "--as-daemon"}, {"completion z", "zsh"}, {"hel", "help"}, {"help pro", "probe"}, {"install --dry", "--dry-run"},
	} {
		words := strings.Fields("postlmtp " + tt.line)
		script := completion(t, "bash") + "\nCOMP_WORDS=(" + strings.Join(words, " ") + ")\nCOMP_CWORD=$((${#COMP_WORDS[@]}-1))\n_postlmtp\necho \"${COMPREPLY[@]}\"\n"
		out, err := exec.Command(bash, "-c", script).CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != tt.want {
			t.Errorf("%q: %q %v, want %q", tt.line, out, err, tt.want)
		}
	}
}
