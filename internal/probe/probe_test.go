package probe

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// site writes a small configuration, and returns a Prober for it.
func site(t *testing.T, main string) (*Prober, string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "probe") // short: sockets are in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for name, text := range map[string]string{
		"daemon/master": "\x00mail_version=3.7.11\x00", "queue/private/.keep": "",
		"main.cf": "queue_directory = DIR/queue\ndaemon_directory = DIR/daemon\nmail_owner = nobody\nmyhostname = mx.example.com\n" +
			"compatibility_level = 3.6\nlmtp_host_lookup = native\nlmtp_lhlo_timeout = 1s\n" + main,
		"master.cf": "lmtp unix - - n - - lmtp\njail unix - - y - - lmtp\npipe unix - - n - - pipe flags=R user=x argv=/bin/true\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	p, err := New(dir, "lmtp")
	if err != nil {
		t.Fatal(err)
	}
	return p, dir
}

// serve answers each connection: greeting first, then by the first word of a
// command. What it does not know is "250 ok"; after "-" it is silent.
func serve(t *testing.T, greeting string, answers map[string]string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go dialogWith(conn, greeting, answers)
		}
	}()
	return fmt.Sprintf("[127.0.0.1]:%d", l.Addr().(*net.TCPAddr).Port)
}

func dialogWith(conn net.Conn, greeting string, answers map[string]string) {
	defer conn.Close()
	say := func(text string) {
		if text != "-" {
			fmt.Fprint(conn, strings.ReplaceAll(text, "\n", "\r\n")+"\r\n")
		}
	}
	if greeting == "bye" {
		return
	}
	say(greeting)
	in, data := bufio.NewScanner(conn), false
	recipients := 0
	for in.Scan() {
		line := in.Text()
		verb, _, _ := strings.Cut(strings.ToUpper(line), " ")
		if data && line != "." {
			continue
		}
		answer, known := answers[verb]
		switch {
		case data:
			data = false
			for range recipients {
				say("250 2.0.0 stored")
			}
			continue
		case known:
		case verb == "LHLO":
			answer = "250-server\n250-PIPELINING\n250 8BITMIME"
		case verb == "DATA":
			answer, data = "354 go on", true
		case verb == "RCPT" && strings.Contains(line, "nobody"):
			answer = "550 5.1.1 User doesn't exist"
		default:
			answer = "250 2.0.0 ok"
		}
		if verb == "RCPT" && strings.HasPrefix(answer, "2") {
			recipients++
		}
		say(answer)
		if verb == "QUIT" {
			return
		}
	}
}

// find returns the first step of a name.
func find(r *Report, name string) *Step {
	for i := range r.Steps {
		if r.Steps[i].Name == name {
			return &r.Steps[i]
		}
	}
	return &Step{Name: name, Text: "there is no such step"}
}

func TestRun(t *testing.T) {
	smtp := map[string]string{"LHLO": "500 5.5.2 unknown command"}
	loginCF := "lmtp_sasl_auth_enable = yes\nlmtp_sasl_password_maps = static:jim:secret\n"
	auth := map[string]string{"LHLO": "250-server\n250 AUTH PLAIN LOGIN", "AUTH": "235 2.7.0 welcome"}
	refuser := map[string]string{"LHLO": "250-server\n250 AUTH PLAIN", "AUTH": "535 5.7.8 no"}
	tests := []struct {
		name, main  string
		greeting    string
		answers     map[string]string
		destination string // instead of the server
		recipients  []string
		good        bool
		step        string
		result      Result
		parts       []string // of the step's JSON
	}{
		{name: "good", greeting: "220 server LMTP", recipients: []string{"jim@example.com"}, good: true, step: "recipients", result: OK,
			parts: []string{"1 of 1 recipient accepted", "jim@example.com: accepted"}},
		{name: "nothing asked", greeting: "220 server LMTP", good: true, step: "offer", result: Warning, parts: []string{"no SMTPUTF8", "no DSN", "no SIZE"}},
		{name: "unknown user", greeting: "220 server LMTP", recipients: []string{"nobody@x", "jim@x"}, step: "recipients", result: Failed,
			parts: []string{"5.1.1", "no such mailbox", "jim@x: accepted"}},
		{name: "SMTP", greeting: "220 mx ESMTP", answers: smtp, step: "hello", result: Failed, parts: []string{"an SMTP server", "name the port"}},
		{name: "IMAP", greeting: "* OK IMAP4rev1 ready", answers: map[string]string{"LHLO": "LHLO BAD"}, step: "hello", result: Failed, parts: []string{"an IMAP server"}},
		{name: "busy", greeting: "421 4.3.2 too many connections", step: "hello", result: Failed, parts: []string{"does not want to talk now"}},
		{name: "silent", greeting: "-", step: "hello", result: Failed, parts: []string{"nobody says anything", "lmtp_tls_wrappermode"}},
		{name: "hangs up", greeting: "bye", step: "hello", result: Failed, parts: []string{"without a word"}},
		{name: "refused", destination: "[127.0.0.1]:1", step: "connect", result: Failed, parts: []string{"ECONNREFUSED", "ss -ltn", "4.4.1"}},
		{name: "unknown host", destination: "host.invalid:24", main: "lmtp_dns_support_level = disabled\n", step: "resolve", result: Failed, parts: []string{"hosts file (used): does not have host.invalid", "DNS (not used"}},
		{name: "no destination", destination: "[::1", step: "destination", result: Failed, parts: []string{"a destination is", "4.3.5"}},
		{name: "no socket", destination: "unix:private/none", step: "way", result: Failed, parts: []string{"does not exist", "unix_listener"}},
		{name: "TLS wanted", main: "lmtp_tls_security_level = encrypt\n", greeting: "220 server LMTP", step: "tls", result: Failed, parts: []string{"not offered", "4.7.4"}},
		{name: "login", main: loginCF + "lmtp_sasl_security_options =\n", greeting: "220 server LMTP", answers: auth, good: true, step: "login", result: OK, parts: []string{"logged in as jim by PLAIN"}},
		{name: "login refused", main: loginCF + "lmtp_sasl_security_options =\n", greeting: "220 server LMTP", answers: refuser, step: "login", result: Failed, parts: []string{"does not take this name"}},
		{name: "no mechanism", main: loginCF, greeting: "220 server LMTP", answers: auth, step: "login", result: Failed, parts: []string{"none of the mechanisms", "noplaintext", "offered: PLAIN LOGIN"}},
		{name: "no AUTH", main: loginCF, greeting: "220 server LMTP", good: true, step: "login", result: Warning, parts: []string{"does not offer AUTH"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, _ := site(t, tt.main)
			destination := tt.destination
			if destination == "" {
				destination = serve(t, tt.greeting, tt.answers)
			}
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			r := p.Run(ctx, Options{Destination: destination, Recipients: tt.recipients})
			text, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			if r.Good != tt.good {
				t.Errorf("good: %v\n%s", r.Good, text)
			}
			s := find(r, tt.step)
			step, _ := json.Marshal(s)
			if s.Result != tt.result {
				t.Errorf("step %s: %s", tt.step, step)
			}
			for _, part := range tt.parts {
				if !strings.Contains(strings.ReplaceAll(string(step), `\"`, `"`), part) {
					t.Errorf("no %q in %s", part, step)
				}
			}
			if strings.Contains(string(text), "secret") || strings.Contains(string(text), "c2VjcmV0") {
				t.Error("the password is in the report")
			}
		})
	}
}

// A service in a jail has its absolute paths below the queue directory.
func TestJailSeenFromOutside(t *testing.T) {
	_, dir := site(t, "")
	l, err := net.Listen("unix", filepath.Join(dir, "lmtp"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p, err := New(dir, "jail")
	if err != nil {
		t.Fatal(err)
	}
	r := p.Run(context.Background(), Options{Destination: "unix:" + filepath.Join(dir, "lmtp")})
	if s := find(r, "way"); r.Good || s.Result != Failed || !strings.Contains(s.Cause, "the socket is outside") {
		t.Errorf("%+v", s)
	}
	if s := find(r, "connect"); s.Errno != "ENOENT" {
		t.Errorf("%+v", s)
	}
}

// TestDirectory: nobody is told to remove the directory of the sockets.
func TestDirectory(t *testing.T) {
	p, _ := site(t, "")
	for _, destination := range []string{"unix:private/", "unix:."} {
		r := p.Run(t.Context(), Options{Destination: destination})
		if s := find(r, "way"); s == nil || s.Result != Failed || strings.Contains(s.Cure, "remove") {
			t.Errorf("%s: %+v", destination, s)
		}
	}
}

func TestSend(t *testing.T) {
	p, dir := site(t, "")
	m, err := Text(strings.NewReader("Subject: x\n\n.text\n"), "s@x", []string{"a@x", "b@x"})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	r := p.Run(context.Background(), Options{Destination: serve(t, "220 server LMTP", nil), Message: m})
	if s := find(r, "message"); !r.Good || !strings.Contains(s.Text, "2 of 2 recipients delivered") {
		t.Errorf("%+v", s)
	}
	if _, err := Queued(dir); err == nil {
		t.Error("a directory is no queue file")
	}
	if _, err := Queued(filepath.Join(dir, "main.cf")); err == nil {
		t.Error("main.cf is no queue file")
	}
}

func TestNew(t *testing.T) {
	_, dir := site(t, "")
	for service, want := range map[string]string{"none": "no service named none", "pipe": "service pipe runs pipe"} {
		if _, err := New(dir, service); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", service, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "main.cf"), []byte("lmtp_mail_timeout = x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(dir, "lmtp"); err == nil || !strings.Contains(err.Error(), "lmtp_mail_timeout") {
		t.Error(err)
	}
}
