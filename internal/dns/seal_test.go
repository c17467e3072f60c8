package dns

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"postlmtp/internal/lab/lacking"
	"postlmtp/internal/sandbox"
)

// sealedVariable makes TestSealed the process in the sandbox.
const sealedVariable = "DNS_TEST_SEALED"

// TestSealed: in the sandbox a file that is written in place is read again. One
// that is put in its place cannot be read: the old content stays, and Stale says
// that another process is needed.
func TestSealed(t *testing.T) {
	if sandbox.ABI() == 0 {
		lacking.Stop(t, "a kernel with Landlock")
	}
	dir := os.Getenv(sealedVariable)
	if dir == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestSealed$", "-test.v")
		cmd.Env = append(os.Environ(), sealedVariable+"="+t.TempDir())
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	file := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file("resolv.conf", "nameserver 192.0.2.1")
	file("aside", "nameserver 192.0.2.333")
	s, err := NewSystem(dir)
	if err != nil {
		t.Fatal(err)
	}
	replace := replacer(t, dir)
	if err := sandbox.Enter(sandbox.Rules{Read: s.Seal()}); err != nil {
		t.Fatal(err)
	}
	expect := func(what, servers, stale string) {
		t.Helper()
		s.mu.Lock()
		s.checked = time.Time{} // look again, now; files that were just written wait
		s.mu.Unlock()
		file, _ := s.Stale()
		if got := fmt.Sprint(s.Current().Config.Servers); got != servers || file != stale {
			t.Errorf("%s: servers %s, want %s; stale %q, want %q", what, got, servers, file, stale)
		}
	}
	expect("as it was", "[192.0.2.1:53]", "")
	replace("in place")
	expect("written in place", "[192.0.2.22:53]", "")
	replace("renamed")
	expect("replaced", "[192.0.2.22:53]", filepath.Join(dir, "resolv.conf"))
}

// replacer starts a shell outside of the sandbox that changes the file.
func replacer(t *testing.T, dir string) func(how string) {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", `cd "$1" && while read how rest; do
		case $how in
		in) echo nameserver 192.0.2.22 >resolv.conf; touch -d '1 hour ago' resolv.conf;;
		renamed) touch -d '2 hours ago' aside; mv aside resolv.conf;;
		esac; echo done; done`, "sh", dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	return func(how string) {
		fmt.Fprintln(in, how)
		if _, err := out.Read(make([]byte, 16)); err != nil {
			t.Fatal(err)
		}
	}
}
