package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	"postlmtp/internal/check"
)

// terminal opens a pseudo-terminal and returns the side that programs see.
func terminal(t *testing.T) *os.File {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	side, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { side.Close() })
	return side
}

// Colours are for terminals, and for those who do not refuse them.
func TestColours(t *testing.T) {
	tty := terminal(t)
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, tt := range []struct {
		when, noColor, term string
		tty, want           bool
	}{
		{"auto", "", "xterm", true, true},
		{"auto", "", "xterm", false, false},
		{"auto", "1", "xterm", true, false},
		{"auto", "", "dumb", true, false},
		{"always", "1", "dumb", false, true},
		{"never", "", "xterm", true, false},
	} {
		t.Setenv("NO_COLOR", tt.noColor)
		t.Setenv("TERM", tt.term)
		w := file
		if tt.tty {
			w = tty
		}
		if paint, err := newPainter(tt.when, w); err != nil || paint.on != tt.want {
			t.Errorf("%+v: %v %v", tt, paint.on, err)
		}
	}
}

// The exit status is the same for all commands, and that of check says how bad
// the worst is.
func TestWorst(t *testing.T) {
	finding := func(s check.Severity) check.Finding { return check.Finding{Severity: s} }
	for _, tt := range []struct {
		list []check.Finding
		want int
	}{
		{nil, exitOK},
		{[]check.Finding{finding(check.Note)}, exitOK},
		{[]check.Finding{finding(check.Warning), finding(check.Note)}, exitWarnings},
		{[]check.Finding{finding(check.Error), finding(check.Warning)}, exitFail},
	} {
		if got := worst(tt.list); got != tt.want {
			t.Errorf("%v: %d, want %d", tt.list, got, tt.want)
		}
	}
}

// Whoever is not root cannot become the daemon, and is told so.
func TestAsDaemonNeedsRoot(t *testing.T) {
	dir := t.TempDir()
	for path := dir; path != os.TempDir() && path != "/"; path = filepath.Dir(path) {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"main.cf":   "mail_owner = nobody\nqueue_directory = " + dir + "\ndaemon_directory = " + dir + "\ncommand_directory = " + dir + "\nmyhostname = mx.example.com\n",
		"master.cf": "lmtp unix - - n - - lmtp\n",
		"master":    "\x00mail_version=3.7.11\x00",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if os.Geteuid() == 0 {
		const nobody = 65534
		if err := syscall.Seteuid(nobody); err != nil {
			t.Fatal(err)
		}
		defer syscall.Seteuid(0)
	}
	for _, args := range [][]string{
		{"probe", "-c", dir, "--as-daemon", "unix:x"},
		{"probe", "-c", dir, "--as-daemon", "--json", "unix:x"},
	} {
		var stdout, stderr bytes.Buffer
		if status := run(args, &stdout, &stderr); status != exitFail || stdout.Len() > 0 ||
			!strings.Contains(stderr.String(), "--as-daemon: needs root") {
			t.Errorf("%v: status %d, stdout %q, stderr %q", args, status, &stdout, &stderr)
		}
	}
}
