package lab_test

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"postlmtp/internal/attr"
	"postlmtp/internal/lab"
)

// ask sends a list to a service and returns what came back, list by list.
func ask(t *testing.T, l *lab.Lab, service string, lists ...*attr.List) [][]attr.Pair {
	t.Helper()
	c, err := net.Dial("unix", filepath.Join(l.QueueDirectory(), service))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var all []byte // in one write: a service may be gone before a second one
	for _, list := range lists {
		all = append(all, list.Bytes()...)
	}
	if _, err := c.Write(all); err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.UnixConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	var got [][]attr.Pair
	for in := attr.NewReader(c, attr.Limits{}); ; {
		pairs, err := in.All()
		if errors.Is(err, io.EOF) {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, pairs)
	}
}

func TestServices(t *testing.T) {
	one := func(name, value string) []attr.Pair { return []attr.Pair{{Name: name, Value: value}} }
	list := func() *attr.List { return new(attr.List).Int("nrequest", 0).String("recipient", "a@example.net") }
	verify := func() *attr.List {
		return new(attr.List).String("request", "update").String("address", "a@example.net")
	}
	rewrite := new(attr.List).String("request", "rewrite").String("rule", "local").String("address", "user")
	tests := []struct {
		name    string
		release string
		how     lab.Behaviour
		service string
		send    []*attr.List
		want    [][]attr.Pair
		records int
	}{
		{"bounce", "", lab.Works, "private/bounce", []*attr.List{list()},
			[][]attr.Pair{one("protocol", "delivery_status_protocol"), one("status", "0")}, 1},
		{"bounce of 3.5", "3.5", lab.Works, "private/defer", []*attr.List{list()}, [][]attr.Pair{one("status", "0")}, 1},
		{"one request only", "3.5", lab.Works, "private/trace", []*attr.List{list(), list()}, [][]attr.Pair{one("status", "0")}, 1},
		{"fails", "3.5", lab.Fails, "private/bounce", []*attr.List{list()}, [][]attr.Pair{one("status", "4294967295")}, 1},
		{"hangs up", "3.5", lab.HangsUp, "private/bounce", []*attr.List{list()}, nil, 1},
		{"garbles", "3.5", lab.Garbles, "private/bounce", []*attr.List{list()}, [][]attr.Pair{one("nonsense", "1")}, 1},
		{"bad hello", "", lab.BadHello, "private/bounce", nil, [][]attr.Pair{one("protocol", "no_such_protocol")}, 0},
		{"verify stays", "", lab.Works, "private/verify", []*attr.List{verify(), verify()},
			[][]attr.Pair{one("protocol", "address_verification_prrotocol"), one("status", "0"), one("status", "0")}, 2},
		{"flush", "3.5", lab.Works, "public/flush", []*attr.List{new(attr.List).String("request", "add")}, [][]attr.Pair{one("status", "0")}, 1},
		{"rewrite", "3.5", lab.Works, "private/rewrite", []*attr.List{rewrite},
			[][]attr.Pair{{{Name: "flags", Value: "0"}, {Name: "address", Value: "user@mail.example.com"}}}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			name := filepath.Base(tt.service)
			l := newLab(t, "deliver", lab.Options{Release: tt.release, Behaviour: map[string]lab.Behaviour{name: tt.how}})
			got := ask(t, l, tt.service, tt.send...)
			if len(got) != len(tt.want) {
				t.Fatalf("got %v, want %v", got, tt.want)
			}
			for i := range got {
				for j := range tt.want[i] {
					if j >= len(got[i]) || got[i][j] != tt.want[i][j] {
						t.Errorf("list %d: got %v, want %v", i, got[i], tt.want[i])
					}
				}
			}
			if n := len(l.Records()); n != tt.records {
				t.Errorf("%d records, want %d", n, tt.records)
			}
		})
	}
}

func TestServiceMissing(t *testing.T) {
	l := newLab(t, "deliver", lab.Options{Behaviour: map[string]lab.Behaviour{"bounce": lab.Missing}})
	if c, err := net.Dial("unix", filepath.Join(l.QueueDirectory(), "private/bounce")); err == nil {
		c.Close()
		t.Error("there is a bounce service")
	}
}

// A broken request is recorded as one.
func TestServiceBroken(t *testing.T) {
	l := newLab(t, "deliver", lab.Options{Release: "3.5"})
	c, err := net.Dial("unix", filepath.Join(l.QueueDirectory(), "private/bounce"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("nrequest\x000\x00queue_id")); err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.UnixConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
		t.Errorf("answer %q, error %v", rest, err)
	}
	c.Close()
	records := l.Records()
	if len(records) != 1 || records[0].Get("BROKEN") == "" || records[0].Get("nrequest") != "0" {
		t.Errorf("records %+v", records)
	}
}

func TestCleanup(t *testing.T) {
	l := newLab(t, "deliver", lab.Options{})
	c, err := net.Dial("unix", filepath.Join(l.QueueDirectory(), "public/cleanup"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	in := attr.NewReader(c, attr.Limits{})
	if hello := in.String("protocol"); hello != "cleanup_protocol" {
		t.Errorf("protocol %q", hello)
	}
	in.String("queue_id")
	if err := in.End(); err != nil {
		t.Fatal(err)
	}
	if err := new(attr.List).Int("flags", 32).Send(c); err != nil {
		t.Fatal(err)
	}
	long := string(make([]byte, 300))
	if _, err := c.Write([]byte("S\x00R\x01aM\x00N\xac\x02" + long + "X\x00E\x00")); err != nil {
		t.Fatal(err)
	}
	if status := in.Int("status"); status != 0 {
		t.Errorf("status %d", status)
	}
	in.String("reason")
	if err := in.End(); err != nil {
		t.Fatal(err)
	}
	records := l.Records()
	if len(records) != 1 || records[0].Mail == nil || records[0].Mail.Flags != 32 || len(records[0].Mail.Records) != 6 {
		t.Fatalf("records %+v", records)
	}
	if n := records[0].Mail.Records[3]; n.Type != 'N' || n.Data != long {
		t.Errorf("content record %c of %d bytes", n.Type, len(n.Data))
	}
}

// A service changes its ways while the lab runs, and comes back from being gone.
func TestBehave(t *testing.T) {
	l := newLab(t, "deliver", lab.Options{Behaviour: map[string]lab.Behaviour{"bounce": lab.Missing}})
	status := func() string {
		lists := ask(t, l, "private/bounce", new(attr.List).Int("nrequest", 0))
		if len(lists) < 2 {
			return "none"
		}
		return lists[1][0].Value
	}
	connects := func(path string) bool {
		c, err := net.Dial("unix", filepath.Join(l.QueueDirectory(), path))
		if err == nil {
			c.Close()
		}
		return err == nil
	}
	behave := func(service string, how lab.Behaviour) {
		t.Helper()
		if err := l.Behave(service, how); err != nil {
			t.Fatal(err)
		}
	}
	if connects("private/bounce") {
		t.Error("a service that is missing can be reached")
	}
	for _, c := range []struct {
		how  lab.Behaviour
		want string
	}{{lab.Works, "0"}, {lab.Fails, "4294967295" /* -1 */}, {lab.HangsUp, "none"}, {lab.Slow, "0"}} {
		behave("bounce", c.how)
		if got := status(); got != c.want {
			t.Errorf("%q: status %s, want %s", c.how, got, c.want)
		}
	}
	if err := l.Behave("nobody", lab.Works); err == nil {
		t.Error("there is a service nobody")
	}
	for _, how := range []lab.Behaviour{lab.Missing, lab.Silent, lab.Works} {
		behave("postlog", how)
	}
	if len(l.Log()) != 0 {
		t.Error("somebody logged")
	}
}

// Records are in the order of what the clients did, also where one of them went
// on to another service before its request was read. A verify service that asks
// twice on one connection has each request at its own place.
func TestServicesOrder(t *testing.T) {
	l := newLab(t, "deliver", lab.Options{Behaviour: map[string]lab.Behaviour{"bounce": lab.BadHello}})
	dial := func(service string) (net.Conn, *attr.Reader) {
		c, err := net.Dial("unix", filepath.Join(l.QueueDirectory(), service))
		if err != nil {
			t.Fatal(err)
		}
		in := attr.NewReader(c, attr.Limits{})
		if _, err := in.All(); err != nil {
			t.Fatal(err)
		}
		return c, in
	}
	send := func(c net.Conn, in *attr.Reader) {
		if err := new(attr.List).String("request", "update").Send(c); err != nil {
			t.Fatal(err)
		}
		if in == nil {
			c.Close()
		} else if _, err := in.All(); err != nil {
			t.Fatal(err)
		}
	}
	verify, verifyIn := dial("private/verify")
	send(verify, verifyIn)
	bounce, _ := dial("private/bounce")
	deferred, deferredIn := dial("private/defer")
	send(deferred, deferredIn)
	send(verify, verifyIn)
	send(bounce, nil)
	deferred.Close()
	verify.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := l.Retire(ctx); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range l.Records() {
		got = append(got, r.Service)
	}
	if want := []string{"verify", "bounce", "defer", "verify"}; !slices.Equal(got, want) {
		t.Errorf("order %v, want %v", got, want)
	}
}
