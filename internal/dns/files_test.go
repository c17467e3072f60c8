package dns

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestParseConfig(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"empty", "", "{Servers:[127.0.0.1:53] Search:[example.org] NDots:1 Timeout:5s Attempts:2}"},
		{"plain", "# c\n; c\nnameserver 192.0.2.1\nsearch a.test b.test.\n",
			"{Servers:[192.0.2.1:53] Search:[a.test b.test] NDots:1 Timeout:5s Attempts:2}"},
		{"last search counts", "search a.test\ndomain b.test c.test\n",
			"{Servers:[127.0.0.1:53] Search:[b.test] NDots:1 Timeout:5s Attempts:2}"},
		{"too many servers", strings.Repeat("nameserver ::1\n", 5),
			"{Servers:[[::1]:53 [::1]:53 [::1]:53] Search:[example.org] NDots:1 Timeout:5s Attempts:2}"},
		{"options", "options ndots:20 timeout:99 attempts:9 rotate use-vc edns0 trust-ad no-aaaa",
			"{Servers:[127.0.0.1:53] Search:[example.org] NDots:15 Timeout:30s Attempts:5 Rotate TCP EDNS0 TrustAD NoAAAA}"},
		{"nonsense", "nameserver example.org\nsearch -x-\noptions ndots:x timeout:-1 attempts:0 what\nnameserver\n\x00\n",
			"{Servers:[127.0.0.1:53] Search:[] NDots:1 Timeout:5s Attempts:1}"},
	}
	for _, tt := range tests {
		c, err := ParseConfig(strings.NewReader(tt.text), "host.example.org")
		if got := show(c); err != nil || got != tt.want {
			t.Errorf("%s: got %s, %v\nwant %s", tt.name, got, err, tt.want)
		}
	}
}

func show(c Config) string {
	s := fmt.Sprintf("{Servers:%v Search:%v NDots:%d Timeout:%v Attempts:%d", c.Servers, c.Search, c.NDots, c.Timeout, c.Attempts)
	for _, f := range []struct {
		on   bool
		name string
	}{{c.Rotate, "Rotate"}, {c.TCP, "TCP"}, {c.EDNS0, "EDNS0"}, {c.TrustAD, "TrustAD"}, {c.NoAAAA, "NoAAAA"}} {
		if f.on {
			s += " " + f.name
		}
	}
	return s + "}"
}

func TestParseHosts(t *testing.T) {
	h, err := ParseHosts(strings.NewReader(`
127.0.0.1	localhost   me # comment
::1 localhost
127.0.0.1 localhost
# 192.0.2.1 commented
nonsense name
192.0.2.2
192.0.2.3 Dovecot.LAN. dovecot#x
`))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"localhost": "[127.0.0.1 ::1]", "ME": "[127.0.0.1]", "dovecot.lan": "[192.0.2.3]",
		"dovecot": "[192.0.2.3]", "commented": "[]", "name": "[]", "": "[]",
	} {
		if got := fmt.Sprint(h.Lookup(name)); got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
	if (*Hosts)(nil).Lookup("x") != nil {
		t.Error("the nil file has a host")
	}
}

func TestParseServices(t *testing.T) {
	s, err := ParseServices(strings.NewReader("lmtp 24/tcp mail-lmtp # x\nlmtp 25/tcp\nlmtp 26/udp\nbad x/tcp\nworse 99999/tcp\nhalf 1\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, protocol string
		port           uint16
	}{
		{"lmtp", "tcp", 24}, {"mail-lmtp", "tcp", 24}, {"lmtp", "udp", 26}, {"LMTP", "tcp", 0},
		{"bad", "tcp", 0}, {"worse", "tcp", 0}, {"half", "tcp", 0}, {"24/tcp", "tcp", 0},
	} {
		if port, ok := s.Port(tt.name, tt.protocol); port != tt.port || ok != (tt.port != 0) {
			t.Errorf("%s/%s: %d %v, want %d", tt.name, tt.protocol, port, ok, tt.port)
		}
	}
}

func TestNames(t *testing.T) {
	long := strings.Repeat("a", 63)
	for name, want := range map[string]bool{
		"a": true, "a.b": true, "a_b-c.1": true, "_24._tcp.x": true, "1x": true, long + ".x": true,
		"": false, ".": false, "a.": false, ".a": false, "a..b": false, "-a": false, "a-": false, "a.-b": false,
		"1": false, "1.2": false, "192.0.2.1": false, "::1": false, "a b": false, "ä": false, "*.a": false,
		long + "a": false, strings.Repeat(long+".", 4) + "x": false,
	} {
		if ValidName(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
	if !validName("*.a", true) || validName("*", true) || validName("a.*", true) {
		t.Error("wildcards")
	}
	for s, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "0.0.0.0": "0.0.0.0", "::1": "::1", "2001:DB8::1": "2001:db8::1",
		"0.1.2.3": "", "192.0.2.01": "", "192.0.2": "", "fe80::1%lo": "", "[::1]": "", "": "",
	} {
		a, ok := ParseAddr(s)
		if ok != (want != "") || ok && a != netip.MustParseAddr(want) {
			t.Errorf("%q: %v %v", s, a, ok)
		}
	}
}

func write(t *testing.T, dir, name, text string, modified time.Time) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, modified, modified); err != nil {
		t.Fatal(err)
	}
}

func servers(s *System) string { return fmt.Sprint(s.Current().Config.Servers) }

// Changes are seen after a while, in the time of the test.
func TestSystemFollowsFiles(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		s, err := NewSystem(dir)
		if err != nil {
			t.Fatal(err)
		}
		if got := servers(s); got != "[127.0.0.1:53]" {
			t.Errorf("without resolv.conf: %s", got)
		}
		write(t, dir, "resolv.conf", "nameserver 192.0.2.1", now)
		write(t, dir, "hosts", "192.0.2.1 a", now)
		write(t, dir, "services", "lmtp 2003/tcp", now)
		before := s.Current()
		time.Sleep(recheck)
		if got := servers(s); got != "[192.0.2.1:53]" {
			t.Errorf("with resolv.conf: %s", got)
		}
		if port, _ := s.Current().Services.Port("lmtp", "tcp"); port != 2003 || len(s.Current().Hosts.Lookup("a")) != 1 {
			t.Errorf("hosts or services: %+v", s.Current())
		}
		if before.Hosts.Lookup("a") != nil {
			t.Error("an old snapshot changed")
		}
		write(t, dir, "resolv.conf", "nameserver 192.0.2.22", now.Add(-time.Hour)) // an old file is put back
		time.Sleep(recheck)
		if got := servers(s); got != "[192.0.2.22:53]" {
			t.Errorf("after a change: %s", got)
		}
		if err := os.Remove(filepath.Join(dir, "resolv.conf")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(recheck)
		if got := servers(s); got != "[192.0.2.22:53]" {
			t.Errorf("after removal: %s", got)
		}
	})
}

// A file that somebody is writing at the moment waits for the next look: a hosts
// file without its second half is no reason to return mail.
func TestSystemHalfWritten(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		write(t, dir, "hosts", "192.0.2.1 a\n192.0.2.2 b\n", time.Now())
		s, err := NewSystem(dir)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(recheck)
		write(t, dir, "hosts", "192.0.2.9 a\n", time.Now())
		if h := s.Current().Hosts; len(h.Lookup("b")) != 1 {
			t.Error("half a file is used")
		}
		write(t, dir, "hosts", "192.0.2.9 a\n192.0.2.2 b\n", time.Now())
		time.Sleep(recheck)
		if h := s.Current().Hosts; len(h.Lookup("b")) != 1 || fmt.Sprint(h.Lookup("a")) != "[192.0.2.9]" {
			t.Errorf("the new file is not used: %v", h)
		}
	})
}

// In a jail there is another directory under the same name: only newer files
// of it count.
func TestSystemInJail(t *testing.T) {
	etc := filepath.Join(t.TempDir(), "etc")
	mkdir := func() {
		if err := os.Mkdir(etc, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		mkdir()
		write(t, etc, "resolv.conf", "nameserver 192.0.2.1", now)
		s, err := NewSystem(etc)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(etc, etc+".outside"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(recheck)
		if got := servers(s); got != "[192.0.2.1:53]" {
			t.Errorf("in an empty jail: %s", got)
		}
		mkdir()
		write(t, etc, "resolv.conf", "nameserver 192.0.2.2", now.Add(-time.Hour))
		time.Sleep(recheck)
		if got := servers(s); got != "[192.0.2.1:53]" {
			t.Errorf("with a stale copy: %s", got)
		}
		write(t, etc, "resolv.conf", "nameserver 192.0.2.3", now.Add(time.Hour))
		time.Sleep(recheck)
		if got := servers(s); got != "[192.0.2.3:53]" {
			t.Errorf("with a new copy: %s", got)
		}
	})
}

func TestLoadUnreadable(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "hosts"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "resolv.conf", "nameserver 192.0.2.1\n"+strings.Repeat("x", maxLine+1), time.Now())
	s, err := Load(dir)
	if err == nil || !strings.Contains(err.Error(), "hosts") || !strings.Contains(err.Error(), "resolv.conf") {
		t.Errorf("error: %v", err)
	}
	if want := netip.MustParseAddrPort("192.0.2.1:53"); !slices.Contains(s.Config.Servers, want) {
		t.Errorf("snapshot: %+v", s.Config)
	}
}
