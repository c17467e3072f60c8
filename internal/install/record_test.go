package install

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReverse(t *testing.T) {
	const before, after = "a\nlmtp  x lmtp\nb\n", "a\nlmtp x ours\nb\nnew\n"
	for _, tt := range []struct {
		name, now, want string
		ok              bool
	}{
		{"untouched", after, before, true},
		{"other lines", "0\n" + after + "end\n", "0\n" + before + "end\n", true},
		{"our line changed", strings.Replace(after, "x ours", "y ours", 1), "", false},
		{"our line is there twice", after + "z\nnew\n", "", false},
		{"never made", before, before, true},
		{"goes on", after + "# c\n\n -o x\n", "", false}, // or -o x would go to the service in front
		{"goes on, replaced", strings.Replace(after, "x ours\n", "x ours\n -o x\n", 1), strings.Replace(before, "x lmtp\n", "x lmtp\n -o x\n", 1), true},
		{"another follows", after + "# c\nother\n -o x\n", before + "# c\nother\n -o x\n", true},
	} {
		if got, ok := reverse(before, after, tt.now); got != tt.want || ok != tt.ok {
			t.Errorf("%s: %q %v", tt.name, got, ok)
		}
	}
}

// postconf -F may move a line of several parts.
func TestReverseMoved(t *testing.T) {
	const before, after = "a\nlmtp lmtp\n\n", "a\n\nlmtp ours\n -o x\n"
	if got, ok := reverse(before, after, "0\n"+after+"more\n"); got != "0\n"+before+"more\n" || !ok {
		t.Errorf("%q %v", got, ok)
	}
}

func TestState(t *testing.T) {
	dir := t.TempDir()
	if s, err := readState(dir); err != nil || len(s.Records) > 0 {
		t.Fatal(s, err)
	}
	if err := writeState(dir, State{Records: []Record{{Service: "x"}}}); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, stateFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal(info, err)
	}
	if list, err := Installed(dir); err != nil || len(list) != 1 || list[0] != "x" {
		t.Fatal(list, err)
	}
	if err := writeState(dir, State{}); err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) > 0 {
		t.Error(entries)
	}
	if err := os.WriteFile(filepath.Join(dir, stateFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readState(dir); err == nil {
		t.Error("no error for a damaged record")
	}
}

func TestNotOurs(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"main.cf": "daemon_directory = " + dir + "\nmyhostname = a.example\n", "master.cf": "lmtp unix - - n - - lmtp\n", "program": "#!/bin/sh\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Prepare(Options{Dir: dir, Program: filepath.Join(dir, "program"), Name: "postlmtp-lmtp", Service: "x", Like: "lmtp"})
	if err == nil || !strings.Contains(err.Error(), "is not the daemon") {
		t.Error(err)
	}
	if _, err := Prepare(Options{Dir: dir, Name: "../lmtp", Service: "x"}); err == nil || !strings.Contains(err.Error(), "no good name") {
		t.Error(err)
	}
	if _, err := Removal(dir, "x"); err == nil || !strings.Contains(err.Error(), "was not installed") {
		t.Error(err)
	}
}
