package lab_test

import (
	"net"
	"path/filepath"
	"testing"

	"postlmtp/internal/attr"
	"postlmtp/internal/lab"

	"golang.org/x/sys/unix"
)

// A descriptor goes into the stand-in for scache(8) and comes out once, by the
// label of the destination.
func TestScache(t *testing.T) {
	agent, _ := theAgent(t)
	l, err := lab.New("", lab.Options{Agent: agent})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("unix", filepath.Join(l.QueueDirectory(), "private", "scache"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	conn := c.(*net.UnixConn)
	in := attr.NewReader(single{conn}, attr.Limits{})
	list := func() map[string]string {
		pairs, err := in.All()
		if err != nil {
			t.Fatal(err)
		}
		m := make(map[string]string)
		for _, p := range pairs {
			m[p.Name] += p.Value
		}
		return m
	}
	if got := list()["protocol"]; got != "connection_cache_protocol" {
		t.Fatalf("greeting %q", got)
	}
	send := func(l *attr.List) {
		if err := l.Send(conn); err != nil {
			t.Fatal(err)
		}
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[1])
	send(new(attr.List).String("request", "save_dest").Int("ttl", 2).String("label", "dest").
		String("property", "d").String("label", "endp"))
	list()
	send(new(attr.List).String("request", "save_endp").Int("ttl", 2).String("label", "endp").String("property", "e"))
	list()
	if _, _, err := conn.WriteMsgUnix([]byte{0}, unix.UnixRights(fds[0]), nil); err != nil {
		t.Fatal(err)
	}
	unix.Close(fds[0])
	if got := list()["status"]; got != "0" {
		t.Fatalf("status %q of save_endp", got)
	}
	find := func() map[string]string {
		send(new(attr.List).String("request", "find_dest").String("label", "dest"))
		return list()
	}
	if got := find(); got["status"] != "0" || got["property"] != "de" {
		t.Fatalf("find_dest: %v", got)
	}
	send(new(attr.List).String("dummy", ""))
	var data [1]byte
	oob := make([]byte, unix.CmsgSpace(4))
	if _, n, _, _, err := conn.ReadMsgUnix(data[:], oob); err != nil || n == 0 {
		t.Fatalf("no descriptor: %v", err)
	}
	send(new(attr.List).String("dummy", ""))
	if got := find(); got["status"] != "2" {
		t.Errorf("found twice: %v", got)
	}
}

// single reads single bytes, because a descriptor rides on one between lists.
type single struct{ c *net.UnixConn }

func (s single) Read(p []byte) (int, error) { return s.c.Read(p[:min(len(p), 1)]) }
