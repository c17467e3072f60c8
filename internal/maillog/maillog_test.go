package maillog

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func at(stamp string) func() time.Time {
	t, err := time.ParseInLocation("2006-01-02 15:04:05", stamp, time.Local)
	if err != nil {
		panic(err)
	}
	return func() time.Time { return t }
}

// daemon listens as syslogd or postlogd would.
func daemon(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func receive(t *testing.T, c net.Conn) string {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	buf := make([]byte, 8192)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

func open(t *testing.T, o Options, now string) *Logger {
	t.Helper()
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	l.now = at(now)
	t.Cleanup(func() { l.Close() })
	return l
}

func TestSyslogFormat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	d := daemon(t, path)
	l := open(t, Options{SyslogSocket: path}, "2026-11-02 03:04:05")
	pid := os.Getpid()
	for _, c := range []struct {
		log  func(string, ...any)
		want string
	}{
		{l.Infof, "<22>Nov  2 03:04:05 postfix/lmtp[%d]: 50%% done\a"},
		{l.Warningf, "<20>Nov  2 03:04:05 postfix/lmtp[%d]: warning: 50%% done\a"},
		{l.Errorf, "<19>Nov  2 03:04:05 postfix/lmtp[%d]: error: 50%% done\a"},
		{l.Fatalf, "<18>Nov  2 03:04:05 postfix/lmtp[%d]: fatal: 50%% done\a"},
		{l.Panicf, "<18>Nov  2 03:04:05 postfix/lmtp[%d]: panic: 50%% done\a"},
	} {
		c.log("50%% %s\a", "done")
		want := strings.ReplaceAll(fmt.Sprintf(c.want, pid), "\a", "?")
		if got := receive(t, d); got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
	local := open(t, Options{SyslogSocket: path, Facility: "local7", Tag: "postfix-out", Program: "x"}, "2026-12-24 23:59:59")
	local.Infof("hello")
	if got, want := receive(t, d), fmt.Sprintf("<190>Dec 24 23:59:59 postfix-out/x[%d]: hello", pid); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestPostlogFormat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "postlog")
	d := daemon(t, path)
	var stderr bytes.Buffer
	l := open(t, Options{PostlogSocket: path, Hostname: "mail.example.com", Copy: &stderr}, "2026-11-02 03:04:05")
	l.Warningf("a\nb")
	if got, want := receive(t, d), fmt.Sprintf("Nov 02 03:04:05 mail postfix/lmtp[%d]: warning: a?b", os.Getpid()); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got, want := stderr.String(), "postfix/lmtp: warning: a?b\n"; got != want {
		t.Errorf("copy: got %q, want %q", got, want)
	}
	nameless := open(t, Options{PostlogSocket: path}, "2026-11-02 03:04:05")
	nameless.Infof("x")
	if got := receive(t, d); !strings.HasPrefix(got, "Nov 02 03:04:05 amnesiac ") {
		t.Errorf("got %q", got)
	}
}

func TestStreamSyslog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	l := open(t, Options{SyslogSocket: path}, "2026-11-02 03:04:05")
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	l.Infof("one")
	if got, want := receive(t, conn), fmt.Sprintf("<22>Nov  2 03:04:05 postfix/lmtp[%d]: one\x00", os.Getpid()); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDaemonRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	d := daemon(t, path)
	l := open(t, Options{SyslogSocket: path}, "2026-11-02 03:04:05")
	l.Infof("one")
	receive(t, d)
	d.Close()
	os.Remove(path)
	l.now = at("2026-11-02 03:04:06")
	l.Infof("two")
	l.Infof("three")
	d = daemon(t, path)
	l.now = at("2026-11-02 03:04:07")
	l.Infof("back")
	for _, want := range []string{"06 two", "06 three", "07 back"} {
		stamp, text, _ := strings.Cut(want, " ")
		if got := receive(t, d); !strings.Contains(got, ":04:"+stamp+" ") || !strings.HasSuffix(got, ": "+text) {
			t.Errorf("got %q, want %s", got, want)
		}
	}
	if n := l.Dropped(); n != 0 {
		t.Errorf("dropped %d", n)
	}
}

// What waits is sent when the daemon is there, whether or not there is more to log.
func TestNoDaemonAtStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l := open(t, Options{SyslogSocket: path}, "2026-11-02 03:04:05")
	l.Infof("one")
	time.Sleep(2 * firstRetry) // in vain for the first time
	d := daemon(t, path)
	if got := receive(t, d); !strings.HasSuffix(got, ": one") {
		t.Errorf("got %q", got)
	}
}

// A process that ends sends what waits.
func TestFlush(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l := open(t, Options{SyslogSocket: path}, "2026-11-02 03:04:05")
	l.Infof("one")
	l.rest()
	d := daemon(t, path)
	l.Flush()
	if got := receive(t, d); !strings.HasSuffix(got, ": one") {
		t.Errorf("got %q", got)
	}
}

// A daemon that does not read must not hold up deliveries: one entry waits for
// the time limit, all others for the daemon, as many as there is room for.
func TestDeafDaemon(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	d := daemon(t, path)
	l := open(t, Options{SyslogSocket: path, WriteTimeout: 20 * time.Millisecond}, "2026-11-02 03:04:05")
	const entries = 3000 + maxWaiting // more than the queue of any datagram socket here
	var wg sync.WaitGroup
	start := time.Now()
	for range 10 {
		wg.Go(func() {
			for range entries / 10 {
				l.Infof("%s", strings.Repeat("x", 1000))
			}
		})
	}
	wg.Wait()
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("logging took %v", took)
	}
	dropped := l.Dropped()
	if dropped == 0 {
		t.Fatal("nothing was dropped: the test proves nothing")
	}
	for range entries - int(dropped) - maxWaiting {
		receive(t, d)
	}
	end := make(chan struct{})
	defer close(end)
	go func() { // the rest goes as the test makes room
		for {
			select {
			case <-end:
				return
			case <-time.After(time.Millisecond):
				l.Flush()
			}
		}
	}()
	for range maxWaiting {
		receive(t, d)
	}
	l.Infof("again")
	if got, want := receive(t, d), fmt.Sprintf("warning: %d entries", dropped); !strings.Contains(got, want) {
		t.Errorf("got %q, want it to have %q", got, want)
	}
	if got := receive(t, d); !strings.HasSuffix(got, ": again") {
		t.Errorf("got %q", got)
	}
}

func TestClosed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	daemon(t, path)
	l := open(t, Options{SyslogSocket: path}, "2026-11-02 03:04:05")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l.Infof("nobody hears this")
	if l.Dropped() != 1 {
		t.Errorf("dropped %d, want 1", l.Dropped())
	}
}

func TestOpenErrors(t *testing.T) {
	for _, o := range []Options{{Facility: "nonsense"}, {DelayResolution: 7}, {DelayResolution: -1}} {
		if l, err := Open(o); err == nil {
			l.Close()
			t.Errorf("%+v: no error", o)
		}
	}
}

func TestToWriter(t *testing.T) {
	var out bytes.Buffer
	l := ToWriter(&out, "demo/lmtp")
	l.Infof("100%")
	l.Errorf("käse %d", 5)
	Discard().Errorf("not here")
	pid := os.Getpid()
	want := fmt.Sprintf("demo/lmtp[%d]: 100%%\ndemo/lmtp[%d]: error: käse 5\n", pid, pid)
	if got := out.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPrintable(t *testing.T) {
	for _, c := range []struct{ in, ascii, utf8 string }{
		{"plain ~ text", "plain ~ text", "plain ~ text"},
		{"a\x00b\tc\x7fd", "a?b?c?d", "a?b?c?d"},
		{"na\xc3\xafve", "na??ve", "na\xc3\xafve"},
		{"na\xc3ve", "na?ve", "na?ve"},
		{"\xe4\xb8\xad\xe5\xe4\xba\x92", "???????", "\xe4\xb8\xad?\xe4\xba\x92"},
		{"end \xe4\xb8", "end ??", "end ??"},
		{"\xed\xa0\x80", "???", "???"},
		{"\xef\xbf\xbd", "???", "\xef\xbf\xbd"},
		{"", "", ""},
	} {
		if got := printable(c.in, false); got != c.ascii {
			t.Errorf("%q: got %q, want %q", c.in, got, c.ascii)
		}
		if got := printable(c.in, true); got != c.utf8 {
			t.Errorf("%q with UTF-8: got %q, want %q", c.in, got, c.utf8)
		}
	}
}

func TestLongText(t *testing.T) {
	var out bytes.Buffer
	l := ToWriter(&out, "t")
	l.Warningf("%s", strings.Repeat("x", 5000))
	_, text, _ := strings.Cut(out.String(), ": ")
	if want := "warning: " + strings.Repeat("x", 2000) + "\n"; text != want {
		t.Errorf("got %d bytes, want %d", len(text), len(want))
	}
	out.Reset()
	l.Infof("%s", "x"+strings.Repeat("ä", 1500))
	if _, text, _ = strings.Cut(out.String(), ": "); text != "x"+strings.Repeat("ä", 999)+"\n" {
		t.Errorf("cut inside a character: %d bytes", len(text))
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add("na\xc3\xafve\x00", true)
	f.Fuzz(func(t *testing.T, in string, allow bool) {
		out := cut(printable(in, allow), maxText)
		for i := 0; i < len(out); i++ {
			if c := out[i]; c < ' ' || c == 0x7f || (!allow && c > '~') {
				t.Fatalf("%q: byte %#x remains", in, c)
			}
		}
		if strings.ToValidUTF8(out, "") != out || len(out) > maxText {
			t.Fatalf("%q: not clean: %q", in, out)
		}
	})
}
