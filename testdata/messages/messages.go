// Package messages holds real-looking mail messages for the demo and for
// tests: plain text with lines that start with a dot, MIME with 8-bit text and
// an attachment, quoted-printable, and what a cron job sends. Lines end with
// LF.
package messages

import "embed"

//go:embed *.eml
var files embed.FS

// Read returns the message of that name, such as "letter".
func Read(name string) (string, error) {
	text, err := files.ReadFile(name + ".eml")
	return string(text), err
}
