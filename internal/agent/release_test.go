package agent

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

func TestParseRelease(t *testing.T) {
	tests := []struct {
		text string
		want Release
		ok   bool
	}{
		{"3.7.11", Release{3, 7, 11, "3.7.11"}, true},
		{"3.12-20260821", Release{3, 12, 0, "3.12-20260821"}, true},
		{"3.11.0-RC2", Release{3, 11, 0, "3.11.0-RC2"}, true},
		{"3.", Release{}, false},
		{"99999999999999999999.1", Release{}, false},
		{"", Release{}, false},
	}
	for _, tt := range tests {
		got, err := parseRelease(tt.text)
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("parseRelease(%q) = %+v, %v; want %+v, %v", tt.text, got, err, tt.want, tt.ok)
		}
	}
}

func TestAtLeast(t *testing.T) {
	r := Release{Major: 3, Minor: 7}
	for _, tt := range []struct {
		major, minor int
		want         bool
	}{{3, 5, true}, {3, 7, true}, {3, 8, false}, {2, 11, true}, {4, 0, false}} {
		if got := r.AtLeast(tt.major, tt.minor); got != tt.want {
			t.Errorf("3.7 at least %d.%d: %v", tt.major, tt.minor, got)
		}
	}
}

// Without a stamped program, a server that greets means 3.6, a silent one 3.5.
func TestDetectReleaseBySocket(t *testing.T) {
	for _, tt := range []struct {
		name   string
		greets bool
		want   string
	}{{"greets", true, "3.6"}, {"silent", false, "3.5"}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "private"), 0o700); err != nil {
				t.Fatal(err)
			}
			l, err := net.Listen("unix", filepath.Join(dir, "private", "rewrite"))
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				if tt.greets {
					conn.Write([]byte("protocol\x00trivial_rewrite_protocol\x00\x00"))
				}
				conn.Read(make([]byte, 1)) // until the client has gone
			}()
			r, err := detectRelease(dir, dir, "rewrite")
			if err != nil || r.Text != tt.want {
				t.Errorf("got %q, %v; want %q", r.Text, err, tt.want)
			}
		})
	}
}

func TestDetectReleaseOfProgram(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "master"), []byte("ELF…mail_version=3.10.4\x00…"), 0o700); err != nil {
		t.Fatal(err)
	}
	r, err := detectRelease(dir, "/nonexistent", "rewrite")
	if err != nil || !r.AtLeast(3, 10) || r.Text != "3.10.4" {
		t.Errorf("got %+v, %v", r, err)
	}
	if _, err := detectRelease("/nonexistent", "/nonexistent", "rewrite"); err == nil {
		t.Error("no program and no server: want an error")
	}
}

func TestRepaired(t *testing.T) {
	in := [][2]int{{7, 17}, {8, 12}, {10, 5}}
	for _, c := range []struct {
		text string
		want bool
	}{
		{"3.5.25", false}, {"3.7.11", false}, {"3.7.17", true}, {"3.8.12", true}, {"3.8.3", false},
		{"3.10.4", false}, {"3.10.13", true}, {"3.11.0", true}, {"3.12-20260821", true}, {"4.0.0", true},
	} {
		r, err := parseRelease(c.text)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Repaired(in...); got != c.want {
			t.Errorf("%s: %v", c.text, got)
		}
	}
}
