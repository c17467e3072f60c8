package content

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postlmtp/internal/lab/lacking"
	"postlmtp/internal/queuefile"
)

// postfix is a private instance with nothing but Postfix's own lmtp(8), which
// is given one request at a time on its standard input (option -S). It needs
// root, as any Postfix daemon.
type postfix struct {
	program string
	minor   int // the second number of the release 3
	dir     string
	more    string // lines of main.cf
}

// newPostfix uses the Postfix of this machine, 3.7 or later: older ones have no
// tables of patterns in settings. Without it the test ends.
func newPostfix(t *testing.T) *postfix {
	t.Helper()
	lacking.Root(t)
	out, err := exec.Command("postconf", "-dh", "daemon_directory", "mail_version").Output()
	if err != nil {
		lacking.Stop(t, "Postfix: "+err.Error())
	}
	p := new(postfix)
	words := strings.Fields(string(out))
	if len(words) != 2 {
		t.Fatalf("postconf says %q", out)
	}
	p.program = filepath.Join(words[0], "lmtp")
	if _, err := fmt.Sscanf(words[1], "3.%d", &p.minor); err != nil || p.minor < 7 {
		t.Skip("about Postfix 3.7 and later, not " + words[1])
	}
	dir, err := os.MkdirTemp("", "pf") // short: it has a socket in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, sub := range []string{"etc", "q/active", "q/private", "q/public", "q/pid", "data"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("unix", filepath.Join(dir, "q/private/bounce"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go serveBounce(l)
	r, err := net.Listen("unix", filepath.Join(dir, "q/private/rewrite"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	go serveRewrite(r)
	p.dir = dir
	return p
}

// serveBounce is the bounce service, as far as needed to be told something.
func serveBounce(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		io.WriteString(c, "protocol\x00delivery_status_protocol\x00\x00")
		readUntil(c, "\x00reason\x00")
		io.WriteString(c, "status\x000\x00\x00")
		c.Close()
	}
}

// serveRewrite is trivial-rewrite(8) for addresses that are complete.
func serveRewrite(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		io.WriteString(c, "protocol\x00trivial_rewrite_protocol\x00\x00")
		for {
			request := readUntil(c, "address\x00")
			_, address, found := strings.Cut(request, "address\x00")
			if !found {
				break
			}
			io.WriteString(c, "flags\x000\x00address\x00"+strings.TrimRight(address, "\x00")+"\x00\x00")
		}
		c.Close()
	}
}

// send delivers a queue file and returns all that came between the reply to
// DATA and the end, the final dot included, and the reason of a failure.
func (p *postfix) send(t *testing.T, file []byte, layout queuefile.Layout, o Options) (wire, reason string) {
	t.Helper()
	p.configure(t, o)
	path := filepath.Join(p.dir, "q/active", testQueueID)
	if err := os.WriteFile(path, file, 0o700); err != nil {
		t.Fatal(err)
	}
	// The program marks a file that it cannot read.
	if owner, err := user.Lookup("postfix"); err == nil {
		uid, _ := strconv.Atoi(owner.Uid)
		os.Chown(path, uid, -1)
	}
	socket := filepath.Join(p.dir, "s")
	os.Remove(socket)
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	data := make(chan string, 1)
	go func() { data <- serve(l, o.Downgrade) }()

	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	child, queueManager := os.NewFile(uintptr(fds[0]), "child"), os.NewFile(uintptr(fds[1]), "qmgr")
	defer queueManager.Close()
	flags := "flags="
	for _, h := range o.Prepend {
		flags += map[string]string{"Return-Path": "R", "X-Original-To": "O", "Delivered-To": "D"}[h.Name]
	}
	args := []string{"-S", "-n", "lmtp", "-t", "unix", "-V"}
	if len(o.Prepend) > 0 {
		args = append(args, flags)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.program, args...)
	cmd.Env = []string{"MAIL_CONFIG=" + filepath.Join(p.dir, "etc"), "LANG=C"}
	cmd.Stdin, cmd.Stdout = child, child
	var logged bytes.Buffer
	cmd.Stderr = &logged
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	child.Close()
	if _, err := io.WriteString(queueManager, p.request(socket, layout)); err != nil {
		t.Fatal(err)
	}
	// The request socket is closed by us after the reply, as the queue manager
	// does; the program waits for that.
	reply := readUntil(queueManager, "reason\x00\x00status\x00")
	queueManager.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%s: %v\n%s", p.program, err, &logged)
	}
	l.Close()
	wire = <-data
	for line := range strings.Lines(logged.String()) {
		if _, text, found := strings.Cut(line, "status="); found {
			_, reason, _ = strings.Cut(strings.TrimSpace(text), "(")
			reason = strings.TrimSuffix(reason, ")")
		}
	}
	if !strings.HasSuffix(wire, ".\r\n") && reason == "" {
		t.Fatalf("no final dot and no reason; reply %q, log\n%s", reply, &logged)
	}
	return wire, reason
}

func (p *postfix) configure(t *testing.T, o Options) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "compatibility_level = 3.6\nqueue_directory = %[1]s/q\ndata_directory = %[1]s/data\n"+
		"myhostname = mx.test.example\nmydestination =\nmaillog_file_prefixes = /tmp, /var\n"+
		"lmtp_line_length_limit = %[2]d\nnotify_classes =\n%[3]s", p.dir, o.LineLimit, p.more)
	for name, value := range map[string]int{
		"mime_nesting_limit": o.MIME.Nesting, "mime_boundary_length_limit": o.MIME.Boundary,
		"header_size_limit": o.MIME.Header,
	} {
		if value != 0 {
			fmt.Fprintf(&b, "%s = %d\n", name, value)
		}
	}
	for _, name := range []string{"main.cf", "master.cf"} {
		path := filepath.Join(p.dir, "etc", name)
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		// Postfix waits until a file that was just changed is stable.
		if err := os.Chtimes(path, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
}

// request is what the queue manager sends.
func (p *postfix) request(socket string, layout queuefile.Layout) string {
	options := "smtputf8"
	if p.minor >= 10 {
		options = "sendopts"
	}
	stamps := make([]byte, 88) // arrival and entry into the active queue
	now := uint64(time.Now().Unix())
	binary.NativeEndian.PutUint64(stamps, now)
	binary.NativeEndian.PutUint64(stamps[16:], now)
	var b strings.Builder
	for _, pair := range [][2]any{
		{"flags", 0}, {"queue_name", "active"}, {"queue_id", testQueueID},
		{"offset", layout.DataOffset}, {"size", layout.ContentSize}, {"nexthop", "unix:" + socket},
		{"encoding", "8bit"}, {options, 0}, {"sender", testSender}, {"envelope_id", ""}, {"ret_flags", 0},
		{"time", base64.StdEncoding.EncodeToString(stamps)},
		{"log_client_name", ""}, {"log_client_address", ""}, {"log_client_port", ""},
		{"log_protocol_name", ""}, {"log_helo_name", ""}, {"sasl_method", ""}, {"sasl_username", ""},
		{"sasl_sender", ""}, {"log_ident", testQueueID}, {"rewrite_context", "local"}, {"recipient_count", 1},
	} {
		fmt.Fprintf(&b, "%v\x00%v\x00", pair[0], pair[1])
	}
	b.WriteByte(0)
	fmt.Fprintf(&b, "original_recipient\x00%s\x00recipient\x00%s\x00offset\x00-1\x00dsn_orig_rcpt\x00\x00notify_flags\x000\x00\x00",
		testRecipient, testRecipient)
	return b.String()
}

// readUntil reads up to the end of the list that has the text in it, or to the
// end of the connection.
func readUntil(r io.Reader, text string) string {
	var b []byte
	one := make([]byte, 1)
	for {
		if n, err := r.Read(one); n == 0 || err != nil {
			return string(b)
		}
		b = append(b, one...)
		if i := bytes.Index(b, []byte(text)); i >= 0 && bytes.HasSuffix(b[i+len(text):], []byte("\x00\x00")) {
			return string(b)
		}
	}
}

// serve is an LMTP server for one message. It offers nothing but, unless the
// message must be downgraded, 8BITMIME.
func serve(l net.Listener, downgrade bool) string {
	c, err := l.Accept()
	if err != nil {
		return ""
	}
	defer c.Close()
	r := bufio.NewReader(c)
	say := func(s string) { io.WriteString(c, s+"\r\n") }
	say("220 sink LMTP")
	var data strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return data.String()
		}
		switch verb, _, _ := strings.Cut(strings.ToUpper(strings.TrimSpace(line)), " "); verb {
		case "LHLO":
			if !downgrade {
				say("250-sink\r\n250 8BITMIME")
			} else {
				say("250 sink")
			}
		case "DATA":
			say("354 go")
			atStart := true
			for {
				text, err := r.ReadString('\n')
				data.WriteString(text)
				if err != nil {
					return data.String()
				}
				if atStart && text == ".\r\n" {
					break
				}
				atStart = strings.HasSuffix(text, "\r\n")
			}
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return data.String()
		default:
			say("250 ok")
		}
	}
}
