package main

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"postlmtp/internal/probe"
)

// TestStepsAreHarmless: nothing that a server says, and no name in its
// certificate, gets through to the terminal as a command.
func TestStepsAreHarmless(t *testing.T) {
	const evil = "a\x1b]0;b\x07\u009b31m\r\n\xffc"
	var out bytes.Buffer
	p := &stepPrinter{w: &out}
	p.step(probe.Step{Name: "tls", Server: evil, Result: probe.OK, Text: evil, Facts: []string{"subject CN=" + evil},
		Cause: evil, Cure: evil, Log: []string{evil}, Dialog: []probe.Line{{Who: "server", Text: evil}}})
	if n := strings.Count(out.String(), "a?]0;b??31m???c"); n != 7 {
		t.Errorf("%d texts, not 7", n)
	}
	if strings.ContainsAny(out.String(), "\x1b\x07\r\u009b") || !utf8.ValidString(out.String()) {
		t.Errorf("%q", out.String())
	}
}
