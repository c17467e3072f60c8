package agent

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"postlmtp/internal/config"
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

// Repaired tells whether the release has a repair that came with the patch
// levels given for each release of its time, {minor, patch} in their order, and
// with all later releases.
func (r Release) Repaired(in ...[2]int) bool {
	for _, f := range in {
		if r.Major == 3 && r.Minor == f[0] {
			return r.Patch >= f[1]
		}
	}
	last := in[len(in)-1]
	return r.AtLeast(3, last[0]+1)
}

var releaseText = regexp.MustCompile(`^([0-9]+)\.([0-9]+)(?:\.([0-9]+))?`)

// parseRelease reads a version as a program of Postfix carries it: 3.7.11, or
// 3.12-20260821 for a snapshot, whose patch level is 0.
func parseRelease(text string) (Release, error) {
	m := releaseText.FindStringSubmatch(text)
	if m == nil {
		return Release{}, fmt.Errorf("%q is no version of Postfix", text)
	}
	r := Release{Text: text}
	for i, n := range []*int{&r.Major, &r.Minor, &r.Patch} {
		if m[i+1] == "" {
			continue
		}
		var err error
		if *n, err = strconv.Atoi(m[i+1]); err != nil {
			return Release{}, fmt.Errorf("%q is no version of Postfix: %w", text, err)
		}
	}
	return r, nil
}

// detectRelease finds the release of Postfix. Each of Postfix's own programs
// carries the text mail_version=…; master(8) is the one that runs us. Where
// that fails (a build without the stamp, a file that cannot be read), a server
// tells by its first byte: from 3.6 on servers greet, before they are silent.
func detectRelease(daemonDir, queueDir, rewriteService string) (Release, error) {
	text, err := config.InstalledVersion(daemonDir)
	if err == nil {
		return parseRelease(text)
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
