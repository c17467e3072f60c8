package agent

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

// Release is the release of the installed Postfix, such as 3.7.11: which
// hello, which log line and which texts it expects depends on it.
type Release struct {
	Major, Minor, Patch int
	// Text is the version as the program carries it, "3.7.11".
	Text string
}

// AtLeast tells whether the release is major.minor or later.
func (r Release) AtLeast(major, minor int) bool {
	return r.Major > major || r.Major == major && r.Minor >= minor
}

// maxProgram bounds how much of a Postfix program is read for its version:
// master(8) is well below 1 MB even when linked statically.
const maxProgram = 16 << 20

var versionStamp = regexp.MustCompile(`mail_version=([0-9]+)\.([0-9]+)([-.0-9A-Za-z]*)`)

// detectRelease finds the release of Postfix. Each of Postfix's own programs
// carries the text mail_version=…; master(8) is the one that runs us. Where
// that fails (a build without the stamp, a file that cannot be read), a server
// tells by its first byte: from 3.6 on servers greet, before they are silent.
func detectRelease(daemonDir, queueDir, rewriteService string) (Release, error) {
	r, err := releaseOfProgram(filepath.Join(daemonDir, "master"))
	if err == nil {
		return r, nil
	}
	greets, gerr := serverGreets(filepath.Join(queueDir, "private", rewriteService))
	if gerr != nil {
		return Release{}, fmt.Errorf("find the release of Postfix: %w", errors.Join(err, gerr))
	}
	if greets {
		return Release{Major: 3, Minor: 6, Text: "3.6"}, nil
	}
	return Release{Major: 3, Minor: 5, Text: "3.5"}, nil
}

func releaseOfProgram(path string) (Release, error) {
	f, err := os.Open(path)
	if err != nil {
		return Release{}, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxProgram))
	if err != nil {
		return Release{}, fmt.Errorf("read %s: %w", path, err)
	}
	r, ok := parseStamp(text)
	if !ok {
		return Release{}, fmt.Errorf("%s carries no mail_version", path)
	}
	return r, nil
}

// parseStamp finds the first complete mail_version=… in a program text.
func parseStamp(text []byte) (Release, bool) {
	// The plain search first: a regular expression over a whole program
	// takes longer than everything else at start-up.
	at := bytes.Index(text, []byte("mail_version="))
	for at >= 0 {
		end := min(at+64, len(text))
		if m := versionStamp.FindSubmatch(text[at:end]); m != nil {
			return releaseOf(m), true
		}
		next := bytes.Index(text[at+1:], []byte("mail_version="))
		if next < 0 {
			break
		}
		at += 1 + next
	}
	return Release{}, false
}

// releaseOf reads the match of versionStamp. Snapshots are named
// 3.12-20260821: their patch level is 0.
func releaseOf(m [][]byte) Release {
	var r Release
	r.Major, _ = strconv.Atoi(string(m[1]))
	r.Minor, _ = strconv.Atoi(string(m[2]))
	if rest, ok := bytes.CutPrefix(m[3], []byte(".")); ok {
		digits := rest
		for i, c := range rest {
			if c < '0' || c > '9' {
				digits = rest[:i]
				break
			}
		}
		r.Patch, _ = strconv.Atoi(string(digits))
	}
	r.Text = string(m[1]) + "." + string(m[2]) + string(m[3])
	return r
}

// greetWait is how long a server of Postfix 3.6 may take to greet. They do it
// at once; only a machine under heavy load takes longer than a moment.
const greetWait = 2 * time.Second

// serverGreets tells whether the server at a socket speaks first.
func serverGreets(path string) (bool, error) {
	conn, err := net.DialTimeout("unix", path, greetWait)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(greetWait)); err != nil {
		return false, err
	}
	var b [1]byte
	_, err = io.ReadFull(conn, b[:])
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return false, nil
	}
	return err == nil, err
}
