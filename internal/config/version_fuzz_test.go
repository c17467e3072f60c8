package config

import "testing"

// FuzzVersion looks for the release in a program, which can be any file.
func FuzzVersion(f *testing.F) {
	f.Add([]byte("\x00mail_version=3.7.11\x00"))
	f.Add([]byte("mail_version=\x00mail_version=3.12-20260821\x00"))
	f.Add([]byte("\x003.11.0\x003.11.0\x00"))
	f.Fuzz(func(t *testing.T, program []byte) {
		for _, version := range []string{stampedVersion(program), bareVersion(program)} {
			if _, ok := parseRelease(version); version != "" && !ok {
				t.Errorf("%q is taken for a release", version)
			}
		}
	})
}
