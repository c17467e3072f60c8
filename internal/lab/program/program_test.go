package program

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestWatched: a data race is noticed, whoever the program runs as and whatever
// its environment is, and the program goes on.
func TestWatched(t *testing.T) {
	reports := t.TempDir()
	path := filepath.Join(t.TempDir(), "racy")
	if err := buildWatched(path, "postlmtp/internal/lab/program/testdata/racy", reports); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "word")
	cmd.Env = []string{"LANG=C"}
	if out, err := cmd.Output(); err != nil || string(out) != "yes" {
		t.Errorf("it says %q, %v", out, err)
	}
	files, err := filepath.Glob(filepath.Join(reports, "race.*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("reports %v, %v", files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil || !strings.Contains(string(text), "WARNING: DATA RACE") {
		t.Errorf("the report: %v\n%s", err, text)
	}
}
