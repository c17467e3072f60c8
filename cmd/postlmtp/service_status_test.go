package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postlmtp/internal/install"
)

func TestServiceStatus(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"main.cf":   "daemon_directory = " + dir + "\nmyhostname = mx.example.com\n",
		"master.cf": "lmtp unix - - n - - lmtp\ngone unix - - n - - postlmtp-lmtp\n",
		"lmtp":      "",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		args   []string
		status int
		parts  []string
	}{
		{[]string{"status", "--service", "-c", dir}, exitFail, []string{"lmtp/unix  " + dir + "/master.cf:1: lmtp", "Postfix's own", "postlmtp-lmtp does not exist", "No service runs this daemon"}},
		{[]string{"status", "--service", "--json", "-c", dir}, exitFail, []string{`"service": "gone"`, `"missing": true`}},
	} {
		var stdout, stderr bytes.Buffer
		if got := run(tt.args, &stdout, &stderr); got != tt.status {
			t.Errorf("%v: status %d: %s", tt.args, got, &stderr)
		}
		for _, part := range tt.parts {
			if !strings.Contains(stdout.String(), part) {
				t.Errorf("%v: no %q in\n%s", tt.args, part, &stdout)
			}
		}
	}
	ours := func(same, missing bool) install.Service {
		return install.Service{Ours: true, Program: &install.Binary{Same: same, Missing: missing}}
	}
	for _, tt := range []struct {
		list []install.Service
		want int
	}{
		{nil, exitOK}, {[]install.Service{ours(true, false)}, exitOK},
		{[]install.Service{ours(false, false)}, exitWarnings}, {[]install.Service{ours(false, false), ours(true, true)}, exitFail},
	} {
		if got := serviceStatus(tt.list); got != tt.want {
			t.Errorf("%d, want %d", got, tt.want)
		}
	}
}
