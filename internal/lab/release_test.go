package lab_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"postlmtp/internal/lab/scenario"
)

// TestEveryRelease: our agent keeps to the dialect of each release of Postfix,
// those included that no Debian release ships: the greeting, the request, the
// services' greetings (the stand-ins insist on them), the log line, the order of
// fields that flags= prepends, what is said of a server without SMTPUTF8.
func TestEveryRelease(t *testing.T) {
	agent, ours := theAgent(t)
	if !ours {
		t.Skip("Postfix's own agent is of one release")
	}
	const text = `# one of each
== agent
words: flags=DOR
== server lmtp
on RCPT TO:<bad@
  550 5.1.1 Unknown
on RCPT TO:<late@
  450 4.2.0 Later
== request
rcpt: good@example.net
== request
rcpt: bad@example.net
== request
rcpt: late@example.net
== message
Subject: second

Text.
== request
sendopts: utf8 utf8-header
rcpt: utf8@example.net
`
	const newest = "Return-Path: <sender@example.com>|X-Original-To: good@example.net|Delivered-To: good@example.net"
	for _, c := range []struct {
		release string
		tls     bool
		fields  string
		utf8    string
	}{
		{"3.5.25", false, "Delivered-To: good@example.net|X-Original-To: good@example.net|Return-Path: <sender@example.com>", "SMTPUTF8 is required, but was not offered by host "},
		{"3.6.19", false, newest, "SMTPUTF8 is required, but was not offered by host "},
		{"3.7.11", false, newest, "SMTPUTF8 is required, but was not offered by host "},
		{"3.8.16", false, newest, "SMTPUTF8 is required, but was not offered by host "},
		{"3.9.10", false, newest, "SMTPUTF8 is required, but was not offered by host "},
		{"3.10.13", false, newest, "SMTPUTF8 is required, but was not offered by host "},
		{"3.11.7", true, newest, "message requires SMTPUTF8, but no server was found that supports SMTPUTF8. "},
		{"3.12-20260821", true, newest, "message requires SMTPUTF8, but no server was found that supports SMTPUTF8. "},
	} {
		t.Run(c.release, func(t *testing.T) {
			t.Parallel()
			s, err := scenario.Parse("release", text)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), scenarioTime)
			defer cancel()
			got, err := s.Run(ctx, scenario.Config{Agent: agent, Release: c.release, Stderr: os.Stderr, User: mailOwner(),
				MainCF: []string{"postlmtp_process_concurrency = 1"}})
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range strings.Split(strings.TrimSpace(got["log"]), "\n") {
				if strings.Contains(line, ": to=<") && strings.Contains(line, ", tls=none") != c.tls {
					t.Errorf("log: %s", line)
				}
			}
			if n := strings.Count(got["log"], ": to=<"); n != 4 || !strings.Contains(got["log"], c.utf8) {
				t.Errorf("log:\n%s", got["log"])
			}
			if fields := strings.ReplaceAll("C: "+c.fields, "|", "\nC: "); !strings.Contains(got["server"], fields) {
				t.Errorf("server:\n%s", got["server"])
			}
			if strings.Contains(got["requests"], "PROBLEM") || strings.Count(got["requests"], "bounce\n") < 2 || !strings.Contains(got["requests"], "defer\n") {
				t.Errorf("requests:\n%s", got["requests"])
			}
		})
	}
}
