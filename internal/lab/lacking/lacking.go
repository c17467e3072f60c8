// Package lacking ends tests that cannot run on a machine: aloud, so that nobody
// takes what is left for all of it, and as failures where the environment has
// CI=true.
package lacking

import (
	"fmt"
	"os"
	"testing"
)

// Stop ends a test for the want of something, such as a program.
func Stop(t testing.TB, what string) {
	t.Helper()
	text := "cannot run here: needs " + what
	if os.Getenv("CI") == "true" {
		t.Fatal(text)
	}
	fmt.Fprintf(os.Stderr, "\n*** NOT TESTED: %s %s\n\n", t.Name(), text)
	t.Skip(text)
}

// Root ends a test for anybody but root.
func Root(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Stop(t, "root")
	}
}
