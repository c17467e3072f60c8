package lmtp

import (
	"bufio"
	"context"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// A talk is a dialog that a server expects: a command, and what it answers. With
// an empty answer the server hangs up.
type talk struct{ command, answer string }

// talker serves a greeting and the given dialog, and returns what it heard.
func talker(conn net.Conn, dialog []talk) <-chan []string {
	heard := make(chan []string, 1)
	go func() {
		defer conn.Close()
		var lines []string
		defer func() { heard <- lines }()
		br := bufio.NewReader(conn)
		io.WriteString(conn, "220 fake\r\n")
		for _, step := range dialog {
			line, err := br.ReadString('\n')
			if err != nil {
				return
			}
			lines = append(lines, strings.TrimRight(line, "\r\n"))
			if !strings.HasPrefix(line, step.command) || step.answer == "" {
				return
			}
			io.WriteString(conn, strings.ReplaceAll(step.answer, "\n", "\r\n")+"\r\n")
		}
	}()
	return heard
}

func TestXClient(t *testing.T) {
	all := XClient{Session: "4Xyz-12.3", Timeout: 600 * time.Second}
	const offer = "250-fake\n250 XCLIENT ADDR PORT PROTO HELO LOGIN SESSION TTL TIMEOUT"
	for _, tc := range []struct {
		name     string
		x        XClient
		dialog   []talk
		err      string
		called   string
		pipeline bool
	}{
		{"both", all, []talk{{"LHLO", offer}, {"XCLIENT SESSION=4Xyz-12.3 TIMEOUT=600\r", "220 fake again"}, {"LHLO", "250-fake\n250 PIPELINING"}},
			"ok", "4Xyz-12.3", true},
		{"session", XClient{Session: "a=b+c"}, []talk{{"LHLO", offer}, {"XCLIENT SESSION=a+3Db+2Bc\r", "220 fake"}, {"LHLO", "250 fake"}}, "ok", "a=b+c", false},
		{"less than a second", XClient{Timeout: time.Second - 1}, []talk{{"LHLO", offer}}, "ok", "", false},
		{"not offered", all, []talk{{"LHLO", "250-fake\n250 PIPELINING"}}, "ok", "", true},
		{"other attributes offered", all, []talk{{"LHLO", "250-fake\n250 XCLIENT NAME ADDR"}}, "ok", "", false},
		{"timeout offered", all, []talk{{"LHLO", "250-fake\n250 XCLIENT timeout"}, {"XCLIENT TIMEOUT=600\r", "220 fake"}, {"LHLO", "250 fake"}}, "ok", "", false},
		{"refused", all, []talk{{"LHLO", offer}, {"XCLIENT", "550 5.7.14 You are not from trusted IP"}}, "reply xclient 550", "", false},
		{"refused for now", all, []talk{{"LHLO", offer}, {"XCLIENT", "421 4.3.2 later"}}, "reply xclient 421", "", false},
		{"lost", all, []talk{{"LHLO", offer}, {"XCLIENT", ""}}, "lost xclient", "", false},
		{"two replies", all, []talk{{"LHLO", offer}, {"XCLIENT", "220 fake\n250 and more"}}, "desync lhlo", "4Xyz-12.3", false},
		{"second LHLO refused", all, []talk{{"LHLO", offer}, {"XCLIENT", "220 fake"}, {"LHLO", "451 4.3.0 no"}}, "reply lhlo 451", "4Xyz-12.3", false},
		{"second LHLO lost", all, []talk{{"LHLO", offer}, {"XCLIENT", "220 fake"}, {"LHLO", ""}}, "lost lhlo", "4Xyz-12.3", false},
	} {
		bubble(t, tc.name, func(t *testing.T) {
			client, server := memPair(4096)
			heard := talker(server, tc.dialog)
			s, err := Open(context.Background(), client, testOptions(new(recorder)))
			if err != nil {
				t.Fatal(err)
			}
			err = s.XClient(context.Background(), tc.x)
			if got := describe(err); got != tc.err {
				t.Errorf("%q (%v), want %q", got, err, tc.err)
			}
			if s.Name() != tc.called || s.Caps().Pipelining != tc.pipeline {
				t.Errorf("name %q, pipelining %v", s.Name(), s.Caps().Pipelining)
			}
			if want := tc.err == "ok" || strings.HasPrefix(tc.err, "reply xclient"); s.Reusable() != want {
				t.Errorf("reusable %v after %v", s.Reusable(), err)
			}
			s.Close()
			if lines := <-heard; len(lines) != len(tc.dialog) && tc.name != "two replies" {
				t.Errorf("the server heard %q", lines)
			}
		})
	}
}

// TestXClientTimeout has a server that does not answer XCLIENT.
func TestXClientTimeout(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		client, server := memPair(4096)
		done := make(chan struct{})
		go func() {
			defer close(done)
			io.WriteString(server, "220 fake\r\n")
			br := bufio.NewReader(server)
			br.ReadString('\n')
			io.WriteString(server, "250-fake\r\n250 XCLIENT SESSION\r\n")
			io.Copy(io.Discard, br)
		}()
		s, err := Open(context.Background(), client, testOptions(new(recorder)))
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if got := describe(s.XClient(context.Background(), XClient{Session: "x"})); got != "timeout xclient" {
			t.Error(got)
		}
		if d := time.Since(start); d != 300*time.Second { // lmtp_lhlo_timeout
			t.Errorf("after %v", d)
		}
		server.Close()
		<-done
	})
}

// TestTrace sends TRACE with each message to a server that offers it, behind the
// RSET that would clear it.
func TestTrace(t *testing.T) {
	for _, tc := range []struct {
		name, offer, answer string
		idle                bool
		err                 string
		heard               []string
	}{
		{"offered", "250-fake\n250 TRACE", "250 2.0.0 Ok", false, "ok", []string{"TRACE 4Xyz", "MAIL"}},
		{"refused", "250-fake\n250 TRACE", "501 5.5.4 Invalid TRACE id.", false, "ok", []string{"TRACE 4Xyz", "MAIL"}},
		{"idle", "250-fake\n250 TRACE", "250 2.0.0 Ok", true, "ok", []string{"RSET", "TRACE 4Xyz", "MAIL"}},
		{"not offered", "250-fake\n250 8BITMIME", "", false, "ok", []string{"MAIL"}},
		{"lost", "250-fake\n250 TRACE", "", false, "lost trace", []string{"TRACE 4Xyz"}},
	} {
		bubble(t, tc.name, func(t *testing.T) {
			client, server := memPair(4096)
			dialog := []talk{{"LHLO", tc.offer}}
			for _, command := range tc.heard {
				answer := "250 2.0.0 Ok"
				if strings.HasPrefix(command, "TRACE") {
					answer = tc.answer
				}
				dialog = append(dialog, talk{command, answer})
			}
			dialog = append(dialog, talk{"RCPT", "250 2.1.5 Ok"}, talk{"DATA", "451 4.3.0 no"}, talk{"RSET", "250 2.0.0 Ok"})
			heard := talker(server, dialog)
			rec := new(recorder)
			s, err := Open(context.Background(), client, testOptions(rec))
			if err != nil {
				t.Fatal(err)
			}
			tr := newTransaction(1)
			tr.TraceID, tr.Idle = "4Xyz", tc.idle
			got, want := describe(s.Deliver(context.Background(), tr)), tc.err
			if want == "ok" {
				want = "reply data 451"
			}
			if got != want {
				t.Errorf("%q, want %q", got, want)
			}
			s.Close()
			var commands []string
			for _, line := range <-heard {
				verb, _, _ := strings.Cut(line, " ")
				if verb == "TRACE" {
					verb = line
				}
				commands = append(commands, verb)
			}
			if from := commands[1:]; !slices.Equal(from[:min(len(from), len(tc.heard))], tc.heard) {
				t.Errorf("the server heard %q", commands)
			}
			warned := strings.Contains(strings.Join(rec.log, "\n"), "501 5.5.4 Invalid TRACE id. (in reply to TRACE command)")
			if warned != (tc.name == "refused") {
				t.Errorf("log %q", rec.log)
			}
		})
	}
}

func TestServerID(t *testing.T) {
	for reply, want := range map[string]string{
		"250 2.0.0 <user@example.com> 8KZ1NmMB2mVnAAAAcw+/:T2:R3 Saved":           "8KZ1NmMB2mVnAAAAcw+/:T2:R3",
		`250 2.0.0 <"a> b"@example.com> ID Saved`:                                 "ID",
		"250 2.0.0 <user@example.com> two words Saved":                            "",
		"250 2.1.5 Ok SESSIONID=<cyrus-12-34-1>":                                  "cyrus-12-34-1",
		"250 2.1.5 Ok SESSIONID=<cyrus-12-34-1":                                   "cyrus-12-34-1",
		"250 2.1.5 Ok SESSIONID=<>":                                               "",
		"452 4.2.2 Over quota SESSIONID=<x>":                                      "x",
		"250 2.0.0 Ok: queued as 4XyZ1234":                                        "4XyZ1234",
		"250 2.0.0 Ok: queued as A, size 12":                                      "A",
		"250 OK id=1abcde-0001AB-2c":                                              "1abcde-0001AB-2c",
		"250 2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as 9B2": "9B2",
		"550 5.1.1 User unknown":                                                  "",
		"250 Saved":                                                               "",
		"250 2.0.0 queued as " + strings.Repeat("x", 256):                         "",
		"250 2.0.0 queued as \x01":                                                "",
		"250-2.0.0 first line\n250 2.0.0 Ok SESSIONID=<b>":                        "b",
		"250-2.0.0 SESSIONID=<a>\n250 2.0.0 Ok":                                   "a",
	} {
		if got := (Reply{Lines: strings.Split(reply, "\n")}).ServerID(); got != want {
			t.Errorf("%q: %q, want %q", reply, got, want)
		}
	}
}

func FuzzServerID(f *testing.F) {
	f.Add("250 2.0.0 <user@example.com> 8KZ1NmMB2mVnAAAAcw Saved")
	f.Add("250 2.1.5 Ok SESSIONID=<cyrus-12-34-1> queued as 12 id=3")
	f.Fuzz(func(t *testing.T, line string) {
		id := Reply{Lines: []string{line}}.ServerID()
		if len(id) > maxServerID || strings.ContainsAny(id, " \t\r\n,<>") || !strings.Contains(line, id) {
			t.Errorf("%q: %q", line, id)
		}
	})
}
