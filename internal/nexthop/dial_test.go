package nexthop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// shortDir is a directory whose name leaves room for a socket's.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "nh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func socket(path string) Endpoint {
	return Endpoint{Network: "unix", Host: "mail.test", Path: path, NexthopText: path}
}

func place(t *testing.T, addr net.Addr) Endpoint {
	t.Helper()
	ap, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		t.Fatal(err)
	}
	return Endpoint{Network: "tcp", Host: "host.test", Addr: ap.Addr(), Port: ap.Port()}
}

// fails dials in vain.
func fails(t *testing.T, ctx context.Context, ep Endpoint, o DialOptions) *DialError {
	t.Helper()
	conn, err := Dial(ctx, ep, o)
	if err == nil {
		conn.Close()
		t.Fatalf("%v: connected", ep)
	}
	var failure *DialError
	if !errors.As(err, &failure) || failure.Endpoint != ep || err.Error() != failure.Diagnosis.Reason {
		t.Fatalf("%v: %#v", ep, err)
	}
	return failure
}

func TestDialUnixFails(t *testing.T) {
	dir := shortDir(t)
	t.Chdir(dir)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dead, err := net.Listen("unix", "dead")
	if err != nil {
		t.Fatal(err)
	}
	dead.(*net.UnixListener).SetUnlinkOnClose(false)
	dead.Close()
	datagram, err := net.ListenPacket("unixgram", "datagram")
	if err != nil {
		t.Fatal(err)
	}
	defer datagram.Close()
	if err := os.Mkdir("dir", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/nonexistent", "link"); err != nil {
		t.Fatal(err)
	}
	long := "/" + strings.Repeat("x", maxSocketPath)
	tests := []struct {
		path, status, reason string
		hints                []string
	}{
		{"private/gone", "4.4.1", "connect to mail.test[private/gone]: No such file or directory",
			[]string{"below " + dir, "as uid ", ". drwx", "private does not exist"}},
		{filepath.Join(dir, "dir/gone"), "4.4.1", "connect to mail.test[" + dir + "/dir/gone]: No such file or directory",
			[]string{"looked for " + dir + "/dir/gone as uid", "/dir drwx------ owner", "/dir/gone does not exist; is the server running, and does it listen there?"}},
		{"link", "4.4.1", "connect to mail.test[link]: No such file or directory",
			[]string{"link is a symbolic link to /nonexistent: No such file or directory"}},
		{"file/x", "4.4.1", "connect to mail.test[file/x]: Not a directory", []string{"is not a directory"}},
		{"file", "4.4.1", "connect to mail.test[file]: Connection refused", []string{"file is a regular file, not a socket"}},
		{"dead", "4.4.1", "connect to mail.test[dead]: Connection refused", []string{"no process listens on it"}},
		{"datagram", "4.4.1", "connect to mail.test[datagram]: Protocol wrong type for socket", []string{"for datagrams"}},
		{"@name", "4.4.1", "connect to mail.test[@name]: No such file or directory", nil},
		{long, "4.3.5", "Server configuration error", []string{fmt.Sprintf("%d bytes", len(long)), "symbolic link"}},
	}
	for _, tt := range tests {
		var log lines
		e := fails(t, t.Context(), socket(tt.path), DialOptions{Log: &log})
		if e.Diagnosis.Status != tt.status || e.Diagnosis.Reason != tt.reason {
			t.Errorf("%.40s: %s %s, want %s", tt.path, e.Diagnosis.Status, e.Diagnosis.Reason, tt.reason)
		}
		for _, hint := range tt.hints {
			if !strings.Contains(e.Hint(), hint) {
				t.Errorf("%.40s: hint %q lacks %q", tt.path, e.Hint(), hint)
			}
		}
		if tt.status == "4.3.5" && !slices.Equal(log, lines{"warning: unix-domain name too long: " + long}) {
			t.Errorf("log %q", log)
		}
	}
}

// Without the right to search a directory or to write to a socket.
func TestDialUnixDenied(t *testing.T) {
	if os.Geteuid() == 0 {
		// Root may do anything; the thread of this test is nobody.
		dir := shortDir(t)
		deniedAsNobody(t, dir)
		return
	}
	denied(t, shortDir(t))
}

func deniedAsNobody(t *testing.T, dir string) {
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	prepareDenied(t, dir)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		lockedAsNobody(t, func() { checkDenied(t, dir) })
	})
}

func denied(t *testing.T, dir string) {
	prepareDenied(t, dir)
	checkDenied(t, dir)
}

func prepareDenied(t *testing.T, dir string) {
	t.Helper()
	if err := os.Mkdir(filepath.Join(dir, "closed"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"closed/socket", "socket"} {
		l, err := net.Listen("unix", filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
	}
	if err := os.Chmod(filepath.Join(dir, "closed"), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(filepath.Join(dir, "closed"), 0o700) })
	if err := os.Chmod(filepath.Join(dir, "socket"), 0); err != nil {
		t.Fatal(err)
	}
}

func checkDenied(t *testing.T, dir string) {
	for path, hint := range map[string]string{
		dir + "/closed/socket": dir + "/closed d--------- owner 0:0 is not ours to search; the directory has to let others pass (chmod o+x), or",
		dir + "/socket":        dir + "/socket S--------- owner 0:0 is not ours to write to; the server has to let this uid or gid in: in Dovecot, by user, group and mode",
	} {
		hint = strings.ReplaceAll(hint, "0:0", fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid()))
		conn, err := Dial(t.Context(), socket(path), DialOptions{})
		if err == nil {
			conn.Close()
			t.Errorf("%s: connected", path)
			continue
		}
		var e *DialError
		if want := "connect to mail.test[" + path + "]: Permission denied"; !errors.As(err, &e) || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
			continue
		}
		if !strings.Contains(e.Hint(), hint) || !strings.HasPrefix(e.Hint(), "refused on the way along ") {
			t.Errorf("hint %q lacks %q", e.Hint(), hint)
		}
	}
}

func TestDialUnix(t *testing.T) {
	t.Chdir(shortDir(t))
	for _, path := range []string{"socket", "./@at", strings.Repeat("x", maxSocketPath)} {
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		conn, err := Dial(t.Context(), socket(strings.TrimPrefix(path, "./")), DialOptions{Timeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
}

// full makes a socket whose queue of waiting connections is full.
func full(t *testing.T, path string) (accept func()) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: path}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	for {
		conn, err := net.Dial("unix", path)
		if errors.Is(err, syscall.EAGAIN) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
	}
	return func() {
		if n, _, err := unix.Accept(fd); err != nil {
			t.Error(err)
		} else {
			unix.Close(n)
		}
	}
}

// A full queue is waited for.
func TestDialUnixBusy(t *testing.T) {
	path := filepath.Join(shortDir(t), "socket")
	accept := full(t, path)
	e := fails(t, t.Context(), socket(path), DialOptions{Timeout: 20 * time.Millisecond})
	if want := "connect to mail.test[" + path + "]: Resource temporarily unavailable"; e.Diagnosis.Reason != want {
		t.Errorf("%s", e.Diagnosis.Reason)
	}
	if !strings.Contains(e.Hint(), "queue of waiting connections is full") {
		t.Errorf("hint %q", e.Hint())
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(accept)
	conn, err := Dial(t.Context(), socket(path), DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestDialTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ep := place(t, l.Addr())
	sources := func(o DialOptions) (string, []string) {
		t.Helper()
		var log lines
		o.Log = &log
		conn, err := Dial(t.Context(), ep, o)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.LocalAddr().(*net.TCPAddr).IP.String(), log
	}
	ip := netip.MustParseAddr
	nowhere := []string{"warning: smtp_connect_addr: bind 192.0.2.1: Cannot assign requested address"}
	tests := []struct {
		name string
		o    DialOptions
		want string
		log  []string
	}{
		{"plain", DialOptions{}, "127.0.0.1", nil},
		{"bound", DialOptions{BindAddress4: ip("127.0.0.2"), Enforce: true, TCPWindow: 65536}, "127.0.0.2", nil},
		{"other family", DialOptions{BindAddress6: ip("2001:db8::1"), Enforce: true}, "127.0.0.1", nil},
		{"in vain", DialOptions{BindAddress4: ip("192.0.2.1")}, "127.0.0.1", nowhere},
		{"wrong family", DialOptions{BindAddress4: ip("::1")}, "127.0.0.1",
			[]string{"warning: smtp_connect_addr: bind ::1: Address family not supported by protocol"}},
		{"own address in vain", DialOptions{Own: []netip.Addr{ip("192.0.2.1"), ip("::1")}, Enforce: true}, "127.0.0.1", nowhere},
		{"own loopback", DialOptions{Own: []netip.Addr{ip("127.0.0.3")}}, "127.0.0.1", nil},
		{"two of its own", DialOptions{Own: []netip.Addr{ip("192.0.2.1"), ip("192.0.2.2")}}, "127.0.0.1", nil},
		{"bind address before own", DialOptions{BindAddress4: ip("127.0.0.4"), Own: []netip.Addr{ip("192.0.2.1")}}, "127.0.0.4", nil},
	}
	for _, tt := range tests {
		if got, log := sources(tt.o); got != tt.want || !slices.Equal(log, tt.log) {
			t.Errorf("%s: from %s, log %q", tt.name, got, log)
		}
	}

	e := fails(t, t.Context(), ep, DialOptions{BindAddress4: ip("192.0.2.1"), Enforce: true})
	if e.Diagnosis.Status != "4.4.0" || e.Diagnosis.Reason != "server configuration error" ||
		!strings.Contains(e.Hint(), "bind 192.0.2.1") {
		t.Errorf("%+v, %s", e, e.Hint())
	}

	l.Close()
	e = fails(t, t.Context(), ep, DialOptions{})
	want := fmt.Sprintf("connect to host.test[127.0.0.1]:%d: Connection refused", ep.Port)
	if e.Diagnosis.Status != "4.4.1" || e.Diagnosis.Reason != want || !strings.Contains(e.Hint(), "no server listens on port") {
		t.Errorf("%+v, %s", e, e.Hint())
	}
}

func TestDialIPv6(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Logf("this machine has no IPv6: %v", err)
		return
	}
	defer l.Close()
	conn, err := Dial(t.Context(), place(t, l.Addr()), DialOptions{BindAddress6: netip.IPv6Loopback(), Enforce: true})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

// Time limits look like those of the system, an end of the work does not.
func TestDialEnds(t *testing.T) {
	ep := Endpoint{Network: "tcp", Host: "h", Addr: netip.MustParseAddr("127.0.0.1"), Port: 9}
	expired, cancel := context.WithDeadline(t.Context(), time.Unix(1, 0))
	defer cancel()
	if e := fails(t, expired, ep, DialOptions{}); e.Diagnosis.Reason != "connect to h[127.0.0.1]:9: Connection timed out" {
		t.Error(e)
	}
	canceled, cancel2 := context.WithCancel(t.Context())
	cancel2()
	if e := fails(t, canceled, ep, DialOptions{}); e.Diagnosis.Reason != "connect to h[127.0.0.1]:9: Operation canceled" {
		t.Error(e)
	}
}

func TestErrorText(t *testing.T) {
	for errno, want := range map[syscall.Errno]string{
		syscall.ECONNREFUSED: "Connection refused", syscall.ETIMEDOUT: "Connection timed out",
		syscall.EHOSTUNREACH: "No route to host", syscall.ENETUNREACH: "Network is unreachable",
		syscall.ECONNRESET: "Connection reset by peer", syscall.EIO: "Input/output error",
		syscall.EMFILE: "Too many open files", syscall.Errno(4000): "Errno 4000",
	} {
		if got := errorText(fmt.Errorf("dial: %w", os.NewSyscallError("connect", errno))); got != want {
			t.Errorf("%d: %s, want %s", errno, got, want)
		}
	}
	if got := errorText(errors.New("other")); got != "other" {
		t.Error(got)
	}
}

func TestParseBindAddress(t *testing.T) {
	for value, want := range map[string]string{
		"": "invalid IP", "192.0.2.1": "192.0.2.1", "[192.0.2.1]": "192.0.2.1", "[2001:db8::1]": "2001:db8::1",
		"[192.0.2.1":   "smtp_connect_addr: malformed lmtp_bind_address parameter: [192.0.2.1",
		"[192.0.2.1]x": "smtp_connect_addr: malformed lmtp_bind_address parameter: [192.0.2.1]x",
		"host":         "smtp_connect_addr: bad lmtp_bind_address parameter: host: Name or service not known",
	} {
		a, err := ParseBindAddress("lmtp_bind_address", value)
		got := a.String()
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
}

func TestOwnAddresses(t *testing.T) {
	lookup := func(_ context.Context, host string) ([]netip.Addr, error) {
		if host != "known" {
			return nil, errors.New("no such host")
		}
		return []netip.Addr{netip.MustParseAddr("192.0.2.7")}, nil
	}
	for value, want := range map[string]string{
		"192.0.2.1, [2001:db8::1] known,192.0.2.1": "[192.0.2.1 2001:db8::1 192.0.2.7]",
		"":             "[]",
		"known, gone":  "config variable inet_interfaces: host not found: gone: no such host",
		"all, 1.2.3.4": "config variable inet_interfaces: host not found: all: no such host",
	} {
		own, err := OwnAddresses(t.Context(), value, lookup)
		got := fmt.Sprint(own)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
	all, err := OwnAddresses(t.Context(), "ALL", lookup)
	loopback, err2 := OwnAddresses(t.Context(), "loopback-only", lookup)
	if err != nil || err2 != nil || len(loopback) == 0 || len(all) < len(loopback) {
		t.Errorf("all %v, loopback %v, %v %v", all, loopback, err, err2)
	}
	for _, a := range loopback {
		if !a.IsLoopback() || !slices.Contains(all, a) {
			t.Errorf("loopback-only has %v", a)
		}
	}
}

// TestJailed: the hint speaks of the jail only where the process is in one: a
// directory that does not exist for it stands for its root here.
func TestJailed(t *testing.T) {
	dir := shortDir(t)
	t.Chdir(dir)
	outside := "/var/spool/none/such"
	for _, tt := range []struct{ path, jail, want string }{
		{"/run/gone", dir, "looked for /run/gone as uid"},
		{"/run/gone", outside, "; pathnames begin at the jail: let the server listen on " + outside + "/run/gone, or run the service without chroot"},
		{outside + "/private/gone", outside, "; pathnames begin at the jail: write unix:private/gone"},
		{"gone", outside, "looked for gone below " + outside + dir + " in the chroot jail " + outside + " as uid"},
	} {
		e := fails(t, t.Context(), socket(tt.path), DialOptions{Jail: tt.jail})
		if hint := e.Hint(); !strings.Contains(hint, tt.want) || strings.Contains(hint, "jail") != (tt.jail == outside) {
			t.Errorf("%s: hint %q lacks %q", tt.path, hint, tt.want)
		}
	}
}
