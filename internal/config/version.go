package config

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
)

// maxProgram bounds how much of a program InstalledVersion reads.
const maxProgram = 16 << 20

// errNoVersion is returned for a program without a version.
var errNoVersion = errors.New("find the release of Postfix: no mail_version in the program")

// InstalledVersion returns the release of the Postfix whose daemons are in a
// directory, such as "3.7.11". The master program knows it: as the stamp
// mail_version=3.7.11 or, where a linker that drops what is not used has left
// that out (Debian's 3.11), as a text of its own, which master(8) compares
// with the setting mail_version.
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
	if version := stampedVersion(program); version != "" {
		return version, nil
	}
	if version := bareVersion(program); version != "" {
		return version, nil
	}
	return "", errNoVersion
}

// stampedVersion finds the stamp mail_version=.
func stampedVersion(program []byte) string {
	const stamp = "mail_version="
	for {
		_, after, ok := bytes.Cut(program, []byte(stamp))
		if !ok {
			return ""
		}
		n := 0
		for n < len(after) && n < 64 && (isAlnum(after[n]) || after[n] == '.' || after[n] == '-') {
			n++
		}
		if version := string(after[:n]); n > 0 {
			if _, ok := parseRelease(version); ok {
				return version
			}
		}
		program = after
	}
}

var versionText = regexp.MustCompile(`^[0-9]{1,3}\.[0-9]{1,3}(\.[0-9]{1,3})?(-RC[0-9]{1,3}|-[0-9]{8}(-[a-z]{1,16})?)?$`)

// bareVersion finds the only text of the program that looks like a version. If
// there are several, it finds none.
func bareVersion(program []byte) string {
	found := ""
	for text := range bytes.SplitSeq(program, []byte{0}) {
		if len(text) > 64 || !versionText.Match(text) || string(text) == found {
			continue
		}
		if found != "" {
			return ""
		}
		found = string(text)
	}
	return found
}
