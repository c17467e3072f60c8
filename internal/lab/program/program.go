// Package program builds the programs of this module for tests, as they are
// shipped: static, without cgo. It needs the go command. An error has what the
// go command said.
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
	path := filepath.Join(dir, name)
	cmd := exec.Command("go", "build", "-o", path, "postlmtp/cmd/"+name)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build cmd/%s: %w\n%s", name, err, bytes.TrimSpace(out))
	}
	return path, nil
}
