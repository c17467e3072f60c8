// Package samples holds the sample configurations, for the tests that verify
// them.
package samples

import "embed"

// Files are the samples.
//
//go:embed dovecot cyrus mailman
var Files embed.FS

// Read returns one of the samples, such as dovecot/main.cf.
func Read(name string) (string, error) {
	data, err := Files.ReadFile(name)
	return string(data), err
}
