// Package dsn holds the enhanced status codes of RFC 3463 and the diagnosis
// that travels with them between an agent, the queue manager and the bounce
// daemons.
//
// A code is kept as its text, "5.1.1": it is compared, printed and sent as
// text everywhere, and a text of the wrong shape can be seen and replaced by
// whoever has a better one. Valid says whether a text has the right shape.
//
// The package knows the shape of codes, not their meaning, and it knows no
// wire format: package request sends a Diagnosis, package report logs it.
package dsn

import "strings"

// A Diagnosis says why a recipient has the status it has. Its fields are the
// seven diagnostic attributes of a delivery status report in Postfix's order
// (RFC 3464 section 2.3). The empty string stands for "not known" in each.
type Diagnosis struct {
	Status   string // the enhanced status code, such as "5.1.1"
	Action   string // "failed", "delayed", "delivered", "relayed"…; empty for the usual one
	Reason   string // for people: the text in the log and in the bounce message
	DiagType string // type of DiagText, such as "smtp"
	DiagText string // what the remote server said
	MTAType  string // type of MTAName, such as "dns"
	MTAName  string // the remote server
}

// The classes of a status code: the byte before its first dot.
const (
	Success   = '2' // RFC 3463 section 2: success
	Transient = '4' // persistent transient failure
	Permanent = '5' // permanent failure
)

// Valid says whether code is an enhanced status code and nothing else: class
// 2, 4 or 5, then subject and detail of one to three digits each (RFC 3463
// section 2).
func Valid(code string) bool {
	return code != "" && prefix(code) == len(code)
}

// Class returns the class of a valid code: '2', '4' or '5'. It is 0 for
// anything that is not a valid code.
func Class(code string) byte {
	if !Valid(code) {
		return 0
	}
	return code[0]
}

// WithClass returns code with its class digit replaced: "5.1.1" with class '4'
// is "4.1.1". A code that is not valid, or a class that is none, gives
// class.0.0 or code as it was.
func WithClass(code string, class byte) string {
	switch {
	case !isClass(class):
		return code
	case !Valid(code):
		return string(class) + ".0.0"
	}
	return string(class) + code[1:]
}

// Split takes the code off the front of text: "5.1.1 no such user" is "5.1.1"
// and "no such user". The code must be followed by white space or by the end;
// the rest starts after that white space and may be empty. Without a code in
// front ok is false and rest is the whole text.
func Split(text string) (code, rest string, ok bool) {
	n := prefix(text)
	if n == 0 || n < len(text) && !isSpace(text[n]) {
		return "", text, false
	}
	return text[:n], strings.TrimLeft(text[n:], " \t\r\n\v\f"), true
}

// prefix returns the length of the code that text starts with, or 0. A third
// number that runs on ("5.1.1234") is no code.
func prefix(text string) int {
	if text == "" || !isClass(text[0]) {
		return 0
	}
	n := 1
	for range 2 { // the subject, then the detail
		if n >= len(text) || text[n] != '.' {
			return 0
		}
		digits := countDigits(text[n+1:])
		if digits < 1 || digits > 3 {
			return 0
		}
		n += 1 + digits
	}
	return n
}

func countDigits(s string) int {
	n := 0
	for n < len(s) && '0' <= s[n] && s[n] <= '9' {
		n++
	}
	return n
}

func isClass(b byte) bool { return b == Success || b == Transient || b == Permanent }

func isSpace(b byte) bool { return b == ' ' || '\t' <= b && b <= '\r' }
