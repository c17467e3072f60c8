package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postlmtp/internal/metrics"
	"postlmtp/internal/status"
)

// exampleView is a service in trouble.
func exampleView(now time.Time) status.View {
	set := metrics.NewSet()
	good, bad := set.Destination("unix:private/dovecot-lmtp"), set.Destination("inet:[192.0.2.1]:24\x1b[2J")
	for range 30 {
		good.Settled(metrics.Sent, "2.0.0")
		good.Final(40 * time.Millisecond)
	}
	bad.Settled(metrics.Deferred, "4.4.1")
	bad.Failed(metrics.Refused)
	bad.Unconfirmed(2)
	after := status.Collection{
		Services: map[string]metrics.Service{"lmtp": {Counted: set.Snapshot(), Processes: 1, Slots: 20, InFlight: map[string]int{"final": 1}}},
		Reports: []status.Report{{Service: "lmtp", PID: 77, Started: now.Add(-time.Hour), Deliveries: []status.Delivery{
			{QueueID: "4bKxyz0abcz1", Destination: "unix:private/dovecot-lmtp", Server: "mx[private/dovecot-lmtp]", Recipients: 2, Size: 1000,
				Stage: "final", Since: now.Add(-50 * time.Second), StageSince: now.Add(-40 * time.Second)}},
			Pool:   []status.Pooled{{Server: "mx[private/dovecot-lmtp]", Sessions: 3}},
			Errors: []status.Error{{Destination: "inet:[192.0.2.1]:24", Text: "Connection \x1b]refused\u009b", At: now.Add(-3 * time.Minute), Count: 4}}}},
		Unreachable: []string{"lmtp.78.x"},
	}
	before := status.Collection{Services: map[string]metrics.Service{"lmtp": {}}}
	return status.NewView(after, now, before, now.Add(-10*time.Second))
}

func TestStatusPage(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	page := statusPage{width: endless, at: now}
	got := string(page.print(exampleView(now)))
	want := `postlmtp  2026-11-22 12:00:00  rates of the last 10.0 s

lmtp: 1 of 20 slots busy, process 77 (60m)
  DESTINATION               SENT/s DEFER/s  BNC/s     SENT DEFERRED BOUNCED UNCONF    p50    p99
  unix:private/dovecot-lmtp    3.0       -      -       30        0       0      0 37.5ms 49.8ms
  inet:[192.0.2.1]:24?[2J        -     0.1      -        0        1       0      2      -      -
  QUEUE ID         SERVER                             RCPTS      SIZE STAGE         FOR    AGE
  4bKxyz0abcz1     mx[private/dovecot-lmtp]               2      1000 final         40s    50s
  OPEN SESSIONS WITHOUT WORK                             COUNT
  mx[private/dovecot-lmtp]                                   3
  LAST       TIMES DESTINATION              ERROR
  3m ago         4 inet:[192.0.2.1]:24      Connection ?]refused?

No answer from lmtp.78.x
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	narrow := statusPage{width: 40, at: now, paint: painter{true}}
	for line := range strings.Lines(string(narrow.print(exampleView(now)))) {
		plain := strings.NewReplacer("\x1b[31m", "", "\x1b[33m", "", "\x1b[0m", "", "\x1b[1m", "", "\x1b[1;36m", "").Replace(line)
		if strings.Contains(plain, "\x1b") || len([]rune(plain)) > 41 {
			t.Errorf("%q", line)
		}
	}
	if screen := string(onScreen([]byte("a\nb\nc\nd\n"), 3)); screen != "\x1b[Ha\x1b[K\r\nb\x1b[K\r\n...\x1b[K\x1b[J" {
		t.Errorf("%q", screen)
	}
}

// confDir makes a configuration directory and its queue directory, for a user
// without rights.
func confDir(t *testing.T, settings string) string {
	t.Helper()
	dir := t.TempDir()
	queue := filepath.Join(dir, "queue")
	if err := os.Mkdir(queue, 0o755); err != nil {
		t.Fatal(err)
	}
	text := "queue_directory = " + queue + "\nmail_owner = root\nmyhostname = mx.example.com\n" + settings
	if err := os.WriteFile(filepath.Join(dir, "main.cf"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestStatusCommand(t *testing.T) {
	run := func(args ...string) (int, string) {
		var stdout, stderr bytes.Buffer
		return run(args, &stdout, &stderr), stdout.String() + stderr.String()
	}
	for _, c := range []struct {
		args   []string
		status int
		text   string
	}{
		{[]string{"status", "x"}, exitUsage, "unexpected argument"},
		{[]string{"status", "--watch", "--service"}, exitUsage, "exclude each other"},
		{[]string{"status", "--watch", "--interval=0"}, exitUsage, "must be a time"},
		{[]string{"metrics", "--listen=0.0.0.0:9154"}, exitUsage, "loopback"},
		{[]string{"metrics", "--listen=unix:x"}, exitUsage, "takes ADDRESS:PORT"},
		{[]string{"metrics", "--listen=127.0.0.1:9154", "--json"}, exitUsage, "exclude each other"},
		{[]string{"status", "-c", confDir(t, "postlmtp_status_directory =\n")}, exitFail, "cannot be asked"},
		{[]string{"status", "-c", confDir(t, "")}, exitFail, "no process of the daemon has run so far"},
		{[]string{"metrics", "-c", confDir(t, "")}, exitFail, "no process of the daemon has run so far"},
	} {
		if got, text := run(c.args...); got != c.status || !strings.Contains(text, c.text) {
			t.Errorf("%v: status %d, %s", c.args, got, text)
		}
	}

	dir := confDir(t, "")
	path := filepath.Join(dir, "queue", "postlmtp")
	p, err := status.Prepare(status.Options{Directory: path, UID: os.Geteuid(), GID: os.Getegid(), Service: "lmtp", Stages: []string{"final"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Open(); err != nil {
		t.Fatal(err)
	}
	p.Serve()
	p.Counters("somewhere").Settled(metrics.Sent, "2.0.0")
	if got, text := run("status", "-c", dir, "--interval=1ms"); got != exitOK || !strings.Contains(text, "lmtp: 0 of 0 slots busy, process ") || !strings.Contains(text, "somewhere") {
		t.Errorf("status %d, %s", got, text)
	}
	got, text := run("status", "-c", dir, "--interval=0", "--json")
	var view status.View
	if err := json.Unmarshal([]byte(text), &view); err != nil || got != exitOK || view.Services[0].Destinations[0].Sent != 1 {
		t.Errorf("status %d, %v, %s", got, err, text)
	}
	if got, text := run("metrics", "-c", dir); got != exitOK || !strings.Contains(text, `postlmtp_deliveries_total{service="lmtp",destination="somewhere",result="sent",status="2.0"} 1`) {
		t.Errorf("status %d, %s", got, text)
	}
	if got, text := run("metrics", "-c", dir, "--json"); got != exitOK || !json.Valid([]byte(text)) {
		t.Errorf("status %d, %s", got, text)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if got, text := run("status", "-c", dir, "--interval=0"); got != exitOK || !strings.Contains(text, "lmtp: no process, as there is no mail") {
		t.Errorf("status %d, %s", got, text)
	}
}
