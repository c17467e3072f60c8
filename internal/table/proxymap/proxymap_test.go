package proxymap

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postlmtp/internal/attr"
)

// fakeServer answers requests by the first words of their attributes.
type fakeServer struct {
	greet  bool
	newer  bool              // of Postfix 3.11 or later
	answer map[string]string // by the value of "key", or "open"; ␀ stands for NUL
	once   bool              // close each connection after an answer

	mu       sync.Mutex
	requests []string
}

func (s *fakeServer) start(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "proxymap")
	l, err := net.Listen("unix", path)
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
			go s.serve(conn)
		}
	}()
	return path
}

func (s *fakeServer) serve(conn net.Conn) {
	defer conn.Close()
	if s.greet {
		new(attr.List).String("protocol", Protocol).Send(conn)
	}
	r := attr.NewReader(conn, attr.Limits{})
	for {
		pairs, err := r.All()
		if err != nil {
			return
		}
		var text []string
		key := "open"
		instance := false
		for _, p := range pairs {
			text = append(text, p.Name+"="+p.Value)
			if p.Name == "key" {
				key = p.Value
			}
			instance = instance || p.Name == "instance_flags"
		}
		s.mu.Lock()
		s.requests = append(s.requests, strings.Join(text, " "))
		s.mu.Unlock()
		reply := s.answer[key]
		if instance != s.newer {
			reply = "status␀3␀flags␀0␀␀"
		}
		if io.WriteString(conn, strings.ReplaceAll(reply, "␀", "\x00")); s.once {
			return
		}
	}
}

func (s *fakeServer) client(t *testing.T, expectNewer bool) *Client {
	c := New(Options{Socket: s.start(t), Service: "proxymap", InstanceFlags: expectNewer, Timeout: 10 * time.Second, Idle: time.Minute, TTL: time.Hour})
	t.Cleanup(func() { c.Close() })
	return c
}

func TestLookup(t *testing.T) {
	older := map[string]string{
		"open": "status␀0␀flags␀16␀␀", "a": "status␀0␀value␀1␀␀", "b": "status␀1␀value␀␀␀", "retry": "status␀2␀value␀␀␀", "bad": "status␀3␀value␀␀␀",
		"denied": "status␀4␀value␀␀␀", "config": "status␀5␀value␀␀␀", "odd": "status␀9␀value␀␀␀", "broken": "value␀x␀␀", "empty": "␀",
	}
	newer := make(map[string]string)
	for key, reply := range older {
		newer[key] = strings.Replace(reply, "value␀", "flags␀16␀value␀", 1)
	}
	for _, tt := range []struct {
		server      *fakeServer
		expectNewer bool
		requests    []string
	}{
		{&fakeServer{answer: older}, false, []string{"request=open table=hash:x flags=4", "request=lookup table=hash:x flags=64 key=a"}},
		{&fakeServer{answer: older, greet: true, once: true}, false, []string{"request=open table=hash:x flags=4", "request=lookup table=hash:x flags=64 key=a"}},
		{&fakeServer{answer: newer, greet: true, newer: true}, true,
			[]string{"request=open table=hash:x instance_flags=64", "request=lookup table=hash:x instance_flags=64 flags=64 key=a"}},
		{&fakeServer{answer: newer, greet: true, newer: true, once: true}, false,
			[]string{"request=open table=hash:x flags=4", "request=open table=hash:x instance_flags=64", "request=lookup table=hash:x instance_flags=64 flags=64 key=a"}},
		{&fakeServer{answer: older, greet: true}, true,
			[]string{"request=open table=hash:x instance_flags=64", "request=open table=hash:x flags=4", "request=lookup table=hash:x flags=64 key=a"}},
	} {
		ctx := context.Background()
		c := tt.server.client(t, tt.expectNewer)
		if flags, err := c.Open(ctx, "hash:x", 64, 4); flags != 16 || err != nil {
			t.Fatalf("open: %d, %v", flags, err)
		}
		if c.InstanceFlags() != tt.server.newer {
			t.Errorf("newer: %v", c.InstanceFlags())
		}
		value, found, err := c.Lookup(ctx, "hash:x", 64, 64, "a")
		if value != "1" || !found || err != nil {
			t.Errorf("a: %q, %v, %v", value, found, err)
		}
		if diff := cmp.Diff(tt.requests, tt.server.requests); diff != "" {
			t.Errorf("requests (-want +got):\n%s", diff)
		}
		if _, found, err := c.Lookup(ctx, "hash:x", 64, 64, "b"); found || err != nil {
			t.Errorf("b: %v, %v", found, err)
		}
		for key, want := range map[string]*Error{
			"retry":  {Text: "lookup error"},
			"config": {Text: "lookup error", Config: true},
			"denied": {Text: `proxymap service is not configured for table "hash:x"`},
			"bad":    {Text: `proxymap lookup failed for table "hash:x" key "bad": invalid request`},
			"odd":    {Text: `proxymap lookup failed for table "hash:x" key "odd": unexpected reply status 9`},
		} {
			_, found, err := c.Lookup(ctx, "hash:x", 64, 64, key)
			if e := new(Error); found || !errors.As(err, &e) || *e != *want {
				t.Errorf("%s: %v, %v", key, found, err)
			}
		}
		for _, key := range []string{"broken", "empty"} {
			_, found, err := c.Lookup(ctx, "hash:x", 64, 64, key)
			if e := new(attr.FormatError); found || !errors.As(err, &e) {
				t.Errorf("%s: %v, %v", key, found, err)
			}
		}
	}
}

func TestOpen(t *testing.T) {
	for reply, want := range map[string]string{
		"status␀3␀flags␀0␀␀":                 `proxymap open failed for table "hash:x": invalid request`,
		"status␀4␀flags␀0␀␀":                 `proxymap service is not configured for table "hash:x"`,
		"status␀7␀flags␀0␀␀":                 `proxymap open failed for table "hash:x": unexpected status 7`,
		"protocol␀other␀␀status␀0␀flags␀1␀␀": `unexpected protocol "other" (expected: proxymap_protocol)`,
	} {
		server := &fakeServer{answer: map[string]string{"open": reply}}
		if _, err := server.client(t, false).Open(context.Background(), "hash:x", 0, 0); err == nil || err.Error() != want {
			t.Errorf("%s: %v", reply, err)
		}
	}
	c := New(Options{Socket: filepath.Join(t.TempDir(), "none"), Timeout: time.Second})
	if _, err := c.Open(context.Background(), "hash:x", 0, 0); err == nil {
		t.Error("no server, no error")
	}
}

// TestUpdate: what is sent to change a table, and what the answers stand for.
func TestUpdate(t *testing.T) {
	ctx := context.Background()
	for _, newer := range []bool{false, true} {
		flags, with := "", ""
		if newer {
			flags, with = "flags␀16␀", "instance_flags=64 "
		}
		server := &fakeServer{greet: true, newer: newer, answer: map[string]string{
			"ok": "status␀0␀" + flags + "␀", "none": "status␀1␀" + flags + "␀", "denied": "status␀4␀" + flags + "␀", "broken": "flags␀1␀␀"}}
		c := server.client(t, newer)
		if err := c.Update(ctx, "btree:x", 64, 16, "ok", "a value"); err != nil {
			t.Error(err)
		}
		for key, want := range map[string]string{
			"none":   `proxymap update failed for table "btree:x" key "none": unexpected reply status 1`,
			"denied": `proxymap service is not configured for table "btree:x"`,
		} {
			if err := c.Update(ctx, "btree:x", 64, 16, key, ""); err == nil || err.Error() != want {
				t.Errorf("%s: %v", key, err)
			}
		}
		for _, key := range []string{"ok", "none"} {
			if err := c.Delete(ctx, "btree:x", 64, 16, key); err != nil {
				t.Errorf("delete %s: %v", key, err)
			}
		}
		for _, key := range []string{"denied", "broken"} {
			if err := c.Delete(ctx, "btree:x", 64, 16, key); err == nil {
				t.Errorf("delete %s: no error", key)
			}
		}
		want := []string{"request=update table=btree:x " + with + "flags=16 key=ok value=a value"}
		if diff := cmp.Diff(want, server.requests[:1]); diff != "" {
			t.Errorf("requests (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff("request=delete table=btree:x "+with+"flags=16 key=ok", server.requests[3]); diff != "" {
			t.Errorf("requests (-want +got):\n%s", diff)
		}
	}
}
