package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"

	"postlmtp/internal/attr"
	"postlmtp/internal/lab"
	"postlmtp/internal/lab/program"
)

// TestDemo runs the whole demo with our daemon, or with the agent that the
// environment variable POSTLMTP_AGENT names.
func TestDemo(t *testing.T) {
	agent := os.Getenv("POSTLMTP_AGENT")
	if agent == "" {
		var err error
		if agent, err = program.Build(t.TempDir(), "lmtp"); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), demoTime)
	defer cancel()
	var out bytes.Buffer
	report, err := runDemo(ctx, agent, &printer{w: &out})
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if !report.Good {
		t.Errorf("not everybody ended as they should:\n%s", out.String())
	}
	for _, want := range []string{
		"9 recipients: 4 delivered, 2 returned to sender, 3 waiting in the queue.",
		"daemon  RCPT TO:<carla@example.net>",
		"(the message: 44 lines, 1,229 bytes)",
		"server  550 5.1.1 No such user here",
		"dsn=4.4.1",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output lacks %q", want)
		}
	}
	if len(report.Ends) != 9 || report.Delivered != 4 || report.Returned != 2 || report.Waiting != 3 {
		t.Errorf("the report for programs: %+v", report)
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("there are colours, not on a terminal")
	}
}

func TestTape(t *testing.T) {
	tp := newTape()
	tp.add('S', []byte("220 hel"))
	tp.add('S', []byte("lo\r\n"))
	tp.add('C', []byte("DATA\r\n"))
	tp.add('S', []byte("354 go\r\n"))
	tp.add('C', []byte("Subject: x\r\n\r\n..do"))
	tp.add('C', []byte("t\r\n.\r\nQUIT\r\n"))
	tp.end("over")
	var got []string
	for _, line := range tp.all() {
		got = append(got, string(line.who)+" "+line.text)
	}
	want := "S 220 hello|C DATA|S 354 go|* the message: 3 lines, 21 bytes|C .|C QUIT|* over"
	if joined := strings.Join(got, "|"); joined != want {
		t.Errorf("got  %s\nwant %s", joined, want)
	}
}

func TestJudge(t *testing.T) {
	s := scene{fates: []fate{{"a@example.net", "sent", "2.0.0"}, {"b@example.net", "bounced", "5.1.1"}}}
	line := func(to, code, word string) lab.LogLine {
		return lab.LogLine{Text: "ID: to=<" + to + ">, relay=x, delay=0, delays=0/0/0/0, dsn=" + code + ", status=" + word + " (text)"}
	}
	good := []lab.LogLine{line("a@example.net", "2.0.0", "sent"), line("b@example.net", "5.1.1", "bounced")}
	bounce := []lab.Record{{Service: "bounce", Attrs: []attr.Pair{{Name: "recipient", Value: "b@example.net"}, {Name: "status", Value: "5.1.1"}}}}
	tests := []struct {
		name     string
		log      []lab.LogLine
		told     []lab.Record
		marks    string
		problems []string
	}{
		{"as it should be", good, bounce, "DD", []string{"", ""}},
		{"no log", nil, bounce, "DD", []string{"the log does not mention it", "the log does not mention it"}},
		{"nobody told", good, nil, "DD", []string{"", `it should be known to the service "bounce", not ""`}},
		{"not marked", good, bounce, "RD", []string{"its mark in the queue file should be D, not R", ""}},
		{"another end", []lab.LogLine{good[1], line("a@example.net", "4.2.2", "deferred")}, bounce, "DD",
			[]string{"it should be sent with 2.0.0", ""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ends := judge(s, tt.log, tt.told, lab.FileState{Exists: true, Marks: []byte(tt.marks)})
			for i, e := range ends {
				if e.problem != tt.problems[i] {
					t.Errorf("%s: problem %q, want %q", e.to, e.problem, tt.problems[i])
				}
			}
		})
	}
}

func TestPlural(t *testing.T) {
	tests := map[string]string{
		plural(0, "line"):                                 "0 lines",
		plural(1, "line"):                                 "1 line",
		plural(999, "byte"):                               "999 bytes",
		plural(1000, "byte"):                              "1,000 bytes",
		plural(1234567, "byte"):                           "1,234,567 bytes",
		plural(12, "recipient"):                           "12 recipients",
		strings.Join(wrap("a bb ccc dddddddd e", 6), "|"): "a bb|ccc|dddddddd|e",
	}
	for got, want := range tests {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestPainter(t *testing.T) {
	if p, err := newPainter("always", nil); err != nil || p.paint(red, "x") != "\x1b[31mx\x1b[0m" {
		t.Error("always: no colour")
	}
	if p, err := newPainter("auto", new(bytes.Buffer)); err != nil || p.paint(red, "x") != "x" {
		t.Error("auto: colour without a terminal")
	}
}
