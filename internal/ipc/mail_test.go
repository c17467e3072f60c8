package ipc

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postlmtp/internal/attr"
)

func TestRewriter(t *testing.T) {
	s := serve(t,
		script{greeting: TrivialRewrite, answers: []string{"flags␀0␀address␀a@here␀␀", "flags␀1␀address␀b@here␀␀", "flags␀0␀address␀never␀␀"}},
		script{answers: []string{"flags␀0␀address␀c@here␀␀"}})
	s.svc.Protocol = TrivialRewrite
	r := NewRewriter(s.svc, Settings{Timeout: time.Minute, Idle: time.Minute, TTL: time.Hour})
	defer r.Close()
	// The second "a" is remembered; after "b" the server wants a new connection.
	for _, addr := range []string{"a", "a", "b", "c"} {
		if got, err := r.Complete(t.Context(), addr); got != addr+"@here" || err != nil {
			t.Errorf("%s: %q, %v", addr, got, err)
		}
	}
	if conns, commands := s.seen(); conns != 2 || commands != "rewrite rewrite rewrite" {
		t.Errorf("%d connections, commands %q", conns, commands)
	}
}

// cleanup is a service that takes one mail, and returns what it got.
func cleanup(t *testing.T, hello, answer string) (Service, <-chan string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "q")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	svc := Service{Dir: dir, Class: "public", Name: "cleanup", Protocol: MailCleanup}
	if err := os.Mkdir(filepath.Join(dir, "public"), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", svc.path())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	got := make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		c.Write([]byte(nul(hello)))
		br := bufio.NewReader(c)
		in := attr.NewReader(br, attr.Limits{})
		pairs, _ := in.All()
		text := ""
		for _, p := range pairs {
			text = p.Name + "=" + p.Value + " "
		}
		for !strings.HasSuffix(text, "E\x00") {
			b, err := br.ReadByte()
			if err != nil {
				break
			}
			text += string(b)
		}
		c.Write([]byte(nul(answer)))
		got <- text
		io.Copy(io.Discard, c)
	}()
	return svc, got
}

func TestPost(t *testing.T) {
	compose := func(id string) []Record {
		return []Record{{'N', id}, {'N', strings.Repeat("x", 200)}, {'X', ""}, {'E', ""}}
	}
	want := "flags=32 N\x03ABCN\u00c8\x01" + strings.Repeat("x", 200) + "X\x00E\x00"
	for _, hello := range []string{"queue_id␀ABC␀␀", "protocol␀cleanup_protocol␀queue_id␀ABC␀␀"} {
		svc, got := cleanup(t, hello, "status␀0␀reason␀␀␀")
		if err := Post(t.Context(), svc, time.Minute, 32, compose); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(want, <-got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", hello, diff)
		}
	}
	svc, _ := cleanup(t, "queue_id␀ABC␀␀", "status␀4␀␀")
	var refused *PostError
	if err := Post(t.Context(), svc, time.Minute, 32, compose); !errors.As(err, &refused) || refused.Status != 4 {
		t.Error(err)
	}
	var failed *Error
	svc, _ = cleanup(t, "protocol␀other␀queue_id␀ABC␀␀", "")
	if err := Post(t.Context(), svc, time.Minute, 32, compose); !errors.As(err, &failed) || failed.Step != Read {
		t.Error(err)
	}
	if err := Post(t.Context(), Service{Dir: "/nowhere", Class: "public", Name: "cleanup"}, time.Minute, 32, compose); !errors.As(err, &failed) || failed.Step != Connect || failed.Cause() != "No such file or directory" {
		t.Error(err)
	}
}
