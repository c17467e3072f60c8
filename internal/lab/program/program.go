// Package program builds the programs of this module for tests, as they are
// shipped: static, without cgo. It needs the go command. An error has what the
// go command said.
//
// With the environment variable POSTLMTP_RACE set to a directory, the daemon is
// built with the race detector instead, for which a C compiler is needed too.
// Each of its processes that sees a data race leaves a file there, race.PID,
// whatever became of the process and of the test: who sets the variable looks
// for such files at the end. Everybody must be able to write to the directory,
// because the daemon gives up its privileges. See make race.
package program

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Build builds cmd/NAME into dir and returns its path.
func Build(dir, name string) (string, error) {
	pkg := "postlmtp/cmd/" + name
	path := filepath.Join(dir, name)
	if reports := os.Getenv("POSTLMTP_RACE"); reports != "" && name == "lmtp" {
		return path, buildWatched(path, pkg, reports)
	}
	return path, build(path, pkg, "CGO_ENABLED=0")
}

// buildWatched builds pkg with the race detector, and at path a program that
// runs it. The packages net and os/user stay those that are shipped.
func buildWatched(path, pkg, reports string) error {
	reports, err := filepath.Abs(reports)
	if err != nil {
		return err
	}
	if err := build(path+".race", pkg, "CGO_ENABLED=1", "-race", "-tags=netgo,osusergo"); err != nil {
		return err
	}
	words := fmt.Sprintf("-ldflags=-X main.program=%s.race -X main.reports=%s", path, filepath.Join(reports, "race"))
	return build(path, "postlmtp/internal/lab/program/watched", "CGO_ENABLED=0", words)
}

// build runs the go command, with one more variable in its environment.
func build(path, pkg, variable string, words ...string) error {
	cmd := exec.Command("go", append(append([]string{"build", "-o", path}, words...), pkg)...)
	cmd.Env = append(os.Environ(), variable)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, bytes.TrimSpace(out))
	}
	return nil
}
