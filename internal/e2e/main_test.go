package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"postlmtp/internal/lab/lacking"
	"postlmtp/internal/lab/program"
)

func TestMain(m *testing.M) {
	if os.Getenv(confinedEnv) != "" {
		fmt.Fprintln(os.Stderr, "confine:", becomeConfined(os.Args[1:]))
		os.Exit(1)
	}
	code := m.Run()
	if buildDir != "" {
		os.RemoveAll(buildDir)
	}
	os.Exit(code)
}

// agent is one delivery agent that the tests can put into master.cf.
type agent struct {
	name string // "ours" or "postfix"
	file string // its file name in daemon_directory
	path string // the binary; "" for a program of the machine's Postfix
}

// ours reports whether the agent is the daemon of this tree.
func (a agent) ours() bool { return a.name == "ours" }

// postfixAgent is Postfix's own lmtp program.
func postfixAgent() agent { return agent{name: "postfix", file: "lmtp"} }

// ourAgent is the daemon of this tree, under a file name of its own.
func ourAgent(t *testing.T) agent {
	t.Helper()
	path, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	return agent{name: "ours", file: "postlmtp-lmtp", path: path}
}

// underTest is the agent that the environment selects.
func underTest(t *testing.T) agent {
	t.Helper()
	switch v := os.Getenv("POSTLMTP_E2E_AGENT"); v {
	case "", "ours":
		return ourAgent(t)
	case "postfix":
		return postfixAgent()
	default:
		t.Fatalf("POSTLMTP_E2E_AGENT=%s: want ours or postfix", v)
		return agent{}
	}
}

// The binary is built once for all tests; TestMain removes it.
var (
	buildDir  string
	buildOnce = sync.OnceValues(build)
)

// build compiles the daemon as it is shipped: static, without cgo. With
// POSTLMTP_E2E_BINARY set, that file is tested as it is.
func build() (string, error) {
	if path := os.Getenv("POSTLMTP_E2E_BINARY"); path != "" {
		return filepath.Abs(path)
	}
	dir, err := os.MkdirTemp("", "plbin")
	if err != nil {
		return "", err
	}
	buildDir = dir
	return program.Build(dir, "lmtp")
}

// need stops a test that this machine cannot run: loudly, and with CI=true as
// a failure.
func need(t *testing.T, files ...string) {
	t.Helper()
	var absent []string
	if os.Geteuid() != 0 {
		absent = append(absent, "root")
	}
	for _, f := range append([]string{"/usr/sbin/postfix", "/usr/sbin/postconf"}, files...) {
		if _, err := os.Stat(f); err != nil {
			absent = append(absent, f)
		}
	}
	if len(absent) > 0 {
		lacking.Stop(t, strings.Join(absent, ", ")+"; run .ci/install as root")
	}
}

// tempDir makes a directory with a short name (UNIX-domain socket paths are
// limited to 107 bytes) that other users can enter, and removes it at the end.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ple")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if os.Getenv("E2E_KEEP") != "" {
			t.Logf("kept %s", dir)
			return
		}
		os.RemoveAll(dir)
	})
	return dir
}

// eventually polls until ok says yes, and fails the test after the limit. The
// limits are generous: they end a test that hangs, they measure nothing.
func eventually(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	if !within(limit, ok) {
		t.Fatalf("after %v still waiting for %s", limit, what)
	}
}

// within polls until ok says yes, and reports whether it did in time.
func within(limit time.Duration, ok func() bool) bool {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(limit); ; <-tick.C {
		if ok() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}

// The limits that tests wait for: a thing that should happen at once, and one
// that takes work.
const (
	soon  = 20 * time.Second
	later = 60 * time.Second
)
