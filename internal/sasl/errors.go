package sasl

import (
	"encoding/base64"
	"errors"
	"strings"
)

// The causes of an Error, in the words of the Cyrus SASL library.
const (
	noMechanism   = "no mechanism available"
	badProtocol   = "bad protocol / cancel"
	cutChallenge  = "another step is needed in authentication"
	outOfTurn     = "generic failure"
	badAuth       = "authentication failure"
	badServer     = "server failed mutual authentication step"
	badParameter  = "invalid parameter supplied"
	errorMaxBytes = 200
)

// An Error says why a mechanism gave up.
type Error struct {
	Mechanism string
	Short     string // in the words of the Cyrus library: for the bounce
	Detail    string // what happened, made printable: for the log
}

func (e *Error) Error() string { return e.Mechanism + ": " + e.Short + ": " + e.Detail }

// Short returns the words of the Cyrus library for an error of this package or
// of a client; "generic failure" if there are no others.
func Short(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Short
	}
	if errors.As(err, new(*NoMechanismError)) {
		return noMechanism
	}
	return outOfTurn
}

// Challenge decodes the text of a 334 reply (RFC 4954 section 4).
func Challenge(mechanism, text string) ([]byte, error) {
	challenge, err := base64.StdEncoding.Strict().DecodeString(text)
	if err == nil && !strings.ContainsAny(text, "\r\n") {
		return challenge, nil
	}
	short := badProtocol
	if len(text)%4 != 0 && strings.Trim(text, alphabet) == "" {
		short = cutChallenge
	}
	return nil, &Error{mechanism, short, "the challenge is not base64: " + printable(text)}
}

// alphabet is that of base64 (RFC 4648 section 4).
const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// printable makes a server's text fit for the log.
func printable(text string) string {
	if len(text) > errorMaxBytes {
		text = text[:errorMaxBytes] + "..."
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
}
