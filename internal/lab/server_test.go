package lab_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"postlmtp/internal/lab"
)

func TestParseScript(t *testing.T) {
	tests := []struct{ name, text, problem string }{
		{"empty", "", ""},
		{"all words", "# comment\nlisten tcp 127.0.0.2\nreceive-buffer 100\nsend-buffer 100\nconnection 2\non RCPT\n 250 ok\n" +
			"wait 10ms\nsend \"x\\r\\n\"\nclose\nreset\nhalf-close\nhang\nstall\nnext\n", ""},
		{"no block", "250 ok\n", `line 1: "250" outside of a block`},
		{"block ends at connection", "on RCPT\n250 ok\nconnection 2\n250 ok\n", "line 4"},
		{"forget", "forget content\n", ""},
		{"bad listen", "listen udp\n", `cannot listen "udp"`},
		{"bad connection", "connection one\n", "line 1"},
		{"bad action", "on RCPT\nexplode\n", `unknown action "explode"`},
		{"bad wait", "on RCPT\nwait long\n", "line 2"},
		{"bad send", "on RCPT\nsend x\n", "line 2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := lab.ParseScript(tt.text)
			if tt.problem == "" && err != nil || !strings.Contains(fmt.Sprint(err), tt.problem) {
				t.Errorf("error %v, want %q", err, tt.problem)
			}
		})
	}
}

// dialog sends text to a server with a script and returns what came back.
func dialog(t *testing.T, script, send string) (reply string, srv *lab.Server) {
	t.Helper()
	parsed, err := lab.ParseScript(script)
	if err != nil {
		t.Fatal(err)
	}
	l := newLab(t, "deliver", lab.Options{})
	srv, err = l.Serve("s", parsed)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	network, address := "unix", filepath.Join(l.QueueDirectory(), "public/s")
	if srv.Port() != 0 {
		network, address = "tcp", srv.Destination()
		address = strings.NewReplacer("[", "", "]", "").Replace(address)
	}
	c, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(send)); err != nil {
		t.Fatal(err)
	}
	if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(c)
	c.Close()
	srv.WaitIdle(t.Context().Done())
	return strings.ReplaceAll(string(text), "\r\n", "|"), srv
}

func TestServer(t *testing.T) {
	tests := []struct{ name, script, send, want string }{
		{"friendly", "", "LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a>\r\nRCPT TO:<b>\r\nDATA\r\nx\r\n.\r\nRSET\r\nNOOP\r\nQUIT\r\n",
			"220 lmtp.example.com LMTP ready|250-lmtp.example.com|250-PIPELINING|250-8BITMIME|250 ENHANCEDSTATUSCODES|" +
				"250 2.1.0 Ok|250 2.1.5 Ok|250 2.1.5 Ok|354 Go ahead|250 2.0.0 Ok: stored 1|250 2.0.0 Ok: stored 2|250 2.0.0 Ok|250 2.0.0 Ok|221 2.0.0 Bye|"},
		{"tcp", "listen tcp\non connect\n220 hi\n", "HELP\r\n", "220 hi|502 5.5.2 What?|"},
		{"no recipients", "on connect\n220 hi\n", "DATA\r\n", "220 hi|503 5.5.1 No valid recipients|"},
		{"longest start wins", "on connect\nnext\non RCPT\n250 any\non RCPT TO:<b\n550 b\n", "RCPT TO:<a>\r\nrcpt to:<B>\r\n", "250 any|550 b|"},
		{"blocks in turn", "on connect\nnext\non RCPT\n250 1\non RCPT\n250 2\n", "RCPT\r\nRCPT\r\nRCPT\r\n", "250 1|250 2|250 2|"},
		{"for one connection", "on connect\n220 any\nconnection 1\non connect\n220 first\n", "", "220 first|"},
		{"send", "on connect\nsend \"2\"\nsend \"20 x\\n\"\n", "", "220 x\n"},
		{"close", "on connect\n220 x\nclose\n", "", "220 x|"},
		{"half close", "on connect\n220 x\nhalf-close\n", "LHLO\r\n", "220 x|"},
		{"hang", "on connect\n220 x\nhang\n", "LHLO\r\nMAIL\r\n", "220 x|"},
		{"dot in a line", "on connect\nnext\non RCPT\n250 y\non DATA\n354 z\n", "RCPT\r\nDATA\r\na.\r\n.\n..\r\n.\r\nNOOP\r\n",
			"250 y|354 z|250 2.0.0 Ok: stored 1|250 2.0.0 Ok|"},
		{"body", "on connect\nnext\non RCPT\n250 y\non DATA\n354 z\non body 3\n451 early\nclose\n", "RCPT\r\nDATA\r\nabcdef\r\n.\r\n", "250 y|354 z|451 early|"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, _ := dialog(t, tt.script, tt.send); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// What the server got is on the tape, and nothing after a close.
func TestServerRecords(t *testing.T) {
	_, srv := dialog(t, "on connect\n220 x\non MAIL\n421 bye\nclose\n", "LHLO\r\nMAIL\r\nRCPT\r\n")
	all := srv.Dialogs()
	if len(all) != 1 || !all[0].Ended || all[0].Number != 1 {
		t.Fatalf("dialogs %+v", all)
	}
	if got := all[0].Received(); !bytes.Equal(got, []byte("LHLO\r\nMAIL\r\n")) {
		t.Errorf("received %q", got)
	}
	last := all[0].Events[len(all[0].Events)-1]
	if last.Kind != lab.End || string(last.Data) != "closed by server" {
		t.Errorf("last event %c %q", last.Kind, last.Data)
	}
}

func TestServerPlaces(t *testing.T) {
	l := newLab(t, "deliver", lab.Options{})
	for how, refused := range map[string]bool{"refused": true, "missing": true, "stale": true, "unix": false, "tcp": false} {
		srv, err := l.Serve(how, &lab.Script{Listen: how, Address: "127.0.0.1"})
		if err != nil {
			t.Fatal(err)
		}
		defer srv.Close()
		network, address := "unix", filepath.Join(l.QueueDirectory(), "public", how)
		if srv.Port() != 0 {
			network, address = "tcp", fmt.Sprintf("127.0.0.1:%d", srv.Port())
		}
		c, err := net.Dial(network, address)
		if err == nil {
			c.Close()
		}
		if (err != nil) != refused {
			t.Errorf("%s: error %v", how, err)
		}
	}
}

func FuzzParseScript(f *testing.F) {
	f.Add("listen tcp\non RCPT\n250 ok\n")
	f.Add("connection 2\non body 12\nsend \"x\"\nwait 1s\nclose\n")
	f.Fuzz(func(t *testing.T, text string) {
		script, err := lab.ParseScript(text)
		if err == nil && script == nil {
			t.Error("neither script nor error")
		}
	})
}

// What a client sends before it goes away without waiting for replies is in the
// dialog.
func TestServerClientGone(t *testing.T) {
	script, err := lab.ParseScript("on connect\n220 x\nwait 20ms\n220 late\n")
	if err != nil {
		t.Fatal(err)
	}
	l := newLab(t, "deliver", lab.Options{})
	srv, err := l.Serve("s", script)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("unix", filepath.Join(l.QueueDirectory(), "public/s"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, len("220 x\r\n"))); err != nil {
		t.Fatal(err)
	}
	const sent = "LHLO a\r\nNOOP\r\nQUIT\r\nrest"
	if _, err := io.WriteString(c, sent); err != nil {
		t.Fatal(err)
	}
	c.Close()
	srv.WaitIdle(t.Context().Done())
	d := srv.Dialogs()[0]
	if got := string(d.Received()); got != sent {
		t.Errorf("received %q, want %q", got, sent)
	}
	if last := d.Events[len(d.Events)-1]; last.Kind != lab.End || string(last.Data) != "broken off by client" {
		t.Errorf("last event %c %q", last.Kind, last.Data)
	}
}
