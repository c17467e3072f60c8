package config

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
)

// maxProgram bounds how much of a program InstalledVersion reads.
const maxProgram = 16 << 20

// errNoVersion is returned for a program without a version.
var errNoVersion = errors.New("find the release of Postfix: no mail_version in the program")

// InstalledVersion returns the release of the Postfix whose daemons are in a
// directory, such as "3.7.11". Each of its programs carries it as text.
func InstalledVersion(daemonDirectory string) (string, error) {
	f, err := os.Open(filepath.Join(daemonDirectory, "master"))
	if err != nil {
		return "", err
	}
	defer f.Close()
	program, err := io.ReadAll(io.LimitReader(f, maxProgram))
	if err != nil {
		return "", err
	}
	const stamp = "mail_version="
	for {
		_, after, ok := bytes.Cut(program, []byte(stamp))
		if !ok {
			return "", errNoVersion
		}
		n := 0
		for n < len(after) && n < 64 && (isAlnum(after[n]) || after[n] == '.' || after[n] == '-') {
			n++
		}
		if version := string(after[:n]); n > 0 {
			if _, ok := parseRelease(version); ok {
				return version, nil
			}
		}
		program = after
	}
}
