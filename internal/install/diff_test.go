package install

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestDiff(t *testing.T) {
	long := strings.Repeat("x\n", 20)
	for _, tt := range []struct{ name, a, b, want string }{
		{"equal", "a\n", "a\n", ""},
		{"added at the end", "a\n", "a\nb\n", "--- f\n+++ f\n@@ -1,1 +1,2 @@\n a\n+b\n"},
		{"from nothing", "", "a\n", "--- f\n+++ f\n@@ -0,0 +1,1 @@\n+a\n"},
		{"changed", "a\nb\nc\n", "a\nB\nc\n", "--- f\n+++ f\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n"},
		{"no newline", "a", "b", "--- f\n+++ f\n@@ -1,1 +1,1 @@\n-a\n\\ No newline at end of file\n+b\n\\ No newline at end of file\n"},
		{"two hunks", "a\n" + long + "b\n", "A\n" + long + "B\n",
			"--- f\n+++ f\n@@ -1,4 +1,4 @@\n-a\n+A\n x\n x\n x\n@@ -19,4 +19,4 @@\n x\n x\n x\n-b\n+B\n"},
	} {
		if got := Diff("f", tt.a, tt.b); got != tt.want {
			t.Errorf("%s: got\n%s\nwant\n%s", tt.name, got, tt.want)
		}
	}
}

// FuzzDiff: patch(1) makes the one text of the other.
func FuzzDiff(f *testing.F) {
	f.Add("a\nb\nc\n", "a\nc\nd\n")
	f.Add("", "x")
	f.Fuzz(func(t *testing.T, a, b string) {
		if strings.ContainsAny(a+b, "\r\x00") || len(a)+len(b) > 1000 {
			return
		}
		diff := Diff("f", a, b)
		if (diff == "") != (a == b) {
			t.Fatal("difference without a change")
		}
		patch, err := exec.LookPath("patch")
		if err != nil || diff == "" || b == "" {
			return
		}
		dir := t.TempDir()
		path := filepath.Join(dir, "f")
		if err := os.WriteFile(path, []byte(a), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(patch, "-s", path)
		cmd.Stdin = strings.NewReader(diff)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s\n%s", err, out, diff)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != b {
			t.Fatalf("got %q, want %q\n%s", got, b, diff)
		}
	})
}
