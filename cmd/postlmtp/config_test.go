package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestConfigCommand(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"main.cf": "a = x\nlmtp_lhlo_name = $a.example\n",
		"master.cf": `lmtp unix - - n - - lmtp
  -o lmtp_tcp_port=2424
archive unix - - n - - lmtp -o { a = $service_name }
broken unix - - n - - lmtp -o max_use=none
bad unix
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name   string
		args   []string
		status int
		stdout string
		stderr string // a part of it
	}{
		{"main.cf", []string{"-c", dir, "lmtp_lhlo_name", "a", "lmtp_tcp_port"}, exitOK,
			"lmtp_lhlo_name = x.example\na = x\nlmtp_tcp_port = 24\n", ""},
		{"a service", []string{"-c", dir, "--service", "lmtp", "lmtp_tcp_port"}, exitOK,
			"lmtp_tcp_port = 2424\n", "master.cf: line 5: missing \"private\" field"},
		{"a service with its type", []string{"-c", dir, "--service=archive/unix", "lmtp_lhlo_name"}, exitOK,
			"lmtp_lhlo_name = archive.example\n", ""},
		{"no such service", []string{"-c", dir, "--service", "nosuch"}, exitFail, "", "no service named nosuch in "},
		{"mistake", []string{"-c", dir, "--service", "broken", "max_use", "max_idle"}, exitFail,
			"max_use = none\nmax_idle = 100s\n", "line 4: bad numerical configuration: max_use = none"},
		{"unknown parameter", []string{"-c", dir, "nosuch", "max_use"}, exitFail, "max_use = 100\n", "unknown parameter: nosuch"},
		{"for programs", []string{"-c", dir, "--json", "lmtp_lhlo_name", "max_use"}, exitOK, `[
  {
    "name": "lmtp_lhlo_name",
    "value": "x.example",
    "set": true,
    "file": "` + dir + `/main.cf",
    "line": 2
  },
  {
    "name": "max_use",
    "value": "100",
    "set": false
  }
]
`, ""},
		{"no directory", []string{"-c", filepath.Join(dir, "nosuch")}, exitFail, "", "no such file"},
		{"unknown option", []string{"--frob"}, exitUsage, "", "Try: postlmtp config --help"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if got := configCommand(tt.args, &stdout, &stderr); got != tt.status {
				t.Errorf("status %d, want %d: %s", got, tt.status, &stderr)
			}
			if stdout.String() != tt.stdout {
				t.Errorf("stdout %q, want %q", &stdout, tt.stdout)
			}
			if !strings.Contains(stderr.String(), tt.stderr) {
				t.Errorf("stderr %q, want %q", &stderr, tt.stderr)
			}
		})
	}
}
