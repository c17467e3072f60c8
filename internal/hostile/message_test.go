package hostile

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/emersion/go-smtp"

	"postlmtp/internal/lab"
)

// A strict or lenient reader is a server with its own idea of the end of a line.
// It takes messages and keeps what it was told.
type reader struct {
	lenient bool // LF ends a line, with or without CR; else CR LF does, and nothing else
	refuse8 bool // 8BITMIME is not offered

	mu       sync.Mutex
	commands []string
	messages []string // with LF at the line ends, without the extra dots
}

// line reads one line, without its end.
func (r *reader) line(in *bufio.Reader) (string, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == bufio.ErrBufferFull:
		case err != nil:
			return "", err
		case bytes.HasSuffix(line, []byte("\r\n")):
			return string(line[:len(line)-2]), nil
		case r.lenient:
			return string(line[:len(line)-1]), nil
		}
	}
}

func (r *reader) serve(conn net.Conn) {
	in := bufio.NewReaderSize(conn, 64<<10)
	say := func(text string) { io.WriteString(conn, text+"\r\n") }
	say("220 reader")
	for {
		command, err := r.line(in)
		if err != nil {
			return
		}
		r.mu.Lock()
		r.commands = append(r.commands, command)
		r.mu.Unlock()
		verb, _, _ := strings.Cut(command, " ")
		switch verb {
		case "LHLO":
			if r.refuse8 {
				say("250 reader")
			} else {
				say("250-reader\r\n250 8BITMIME")
			}
		case "DATA":
			say("354 go on")
			if err := r.message(in); err != nil {
				return
			}
			say("250 2.0.0 stored")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

func (r *reader) message(in *bufio.Reader) error {
	var text strings.Builder
	for {
		line, err := r.line(in)
		if err != nil {
			return err
		}
		if line == "." {
			break
		}
		text.WriteString(strings.TrimPrefix(line, ".") + "\n")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.messages = append(r.messages, text.String())
	return nil
}

// smuggled is what an attacker would have a server take for a second message.
var smuggled = []string{"MAIL FROM:<root@example.com>", "RCPT TO:<victim@example.net>", "DATA", "Subject: smuggled", "", "smuggled", "."}

// tricks are the ways to make the end of a message appear in its middle.
func tricks() map[string][]lab.QueueRecord {
	n := func(texts ...string) (records []lab.QueueRecord) {
		for _, text := range texts {
			records = append(records, lab.QueueRecord{Type: 'N', Data: text})
		}
		return records
	}
	l := func(text string) lab.QueueRecord { return lab.QueueRecord{Type: 'L', Data: text} }
	body := func(records ...lab.QueueRecord) []lab.QueueRecord {
		return append(n("Subject: x", "", "before"), append(records, n(smuggled...)...)...)
	}
	all := map[string][]lab.QueueRecord{
		"a lone dot":                           body(n(".")...),
		"dots":                                 body(n(".", "..", "...", ". ", ".\t", ".\x00", "\x00.")...),
		"a line feed in a record":              body(n("a\n.\nb")...),
		"a line feed at both ends":             body(n("\n.\n")...),
		"CR LF in a record":                    body(n("a\r\n.\r\nb")...),
		"CR LF . LF":                           body(n("a\r\n.\nb")...),
		"LF . CR LF":                           body(n("a\n.\r\nb")...),
		"LF . CR":                              body(n("a\n.\rb")...),
		"CR . CR":                              body(n("a\r.\rb")...),
		"CR . CR LF":                           body(n("a\r.\r\nb")...),
		"CR . LF":                              body(n("a\r.\nb")...),
		"CR CR LF . CR CR LF":                  body(n("a\r\r\n.\r\r\nb")...),
		"a record that ends with CR":           body(n("a\r", ".", "b")...),
		"a dot and CR":                         body(n("a", ".\r", "b")...),
		"a part that ends with CR":             body(l("a\r"), l("\n.\r"), l("\nb"), n("")[0]),
		"a dot in pieces":                      body(l("a"), n("")[0], l("."), n("")[0], l("b"), n("")[0]),
		"a dot after an empty part":            body(l(""), l("."), l(""), n("")[0]),
		"a long line up to the dot":            body(l(strings.Repeat("x", 997)), l("."), n("")[0], n(strings.Repeat("x", 998) + ".")[0], n(strings.Repeat("x", 998) + "\n.")[0]),
		"a dot where the buffer ends":          body(append(n(strings.Repeat(strings.Repeat("x", 62)+"\n", 520)), n(".")...)...),
		"a dot in the header":                  n("Subject: x\n.\nMAIL FROM:<root@example.com>", ".", "", "b"),
		"a dot as header":                      n(".", "Subject: x", "", "b"),
		"a folded dot":                         n("Subject: x", " .", "\t.", ".", "", "b"),
		"no end of line at the end":            append(n("Subject: x", "", "b"), l(".")),
		"a dot without an end of line, CR":     append(n("Subject: x", "", "b"), l(".\r")),
		"CR at the very end":                   append(n("Subject: x", "", "b"), l("b\r")),
		"NUL everywhere":                       body(n("\x00", "a\x00.\x00", "\x00\n.\x00\n")...),
		"nothing":                              {},
		"a dot and nothing else":               n("."),
		"a part of a dot and nothing else":     {l(".")},
		"8-bit line ends":                      body(n("a\xc2\x85.\xc2\x85b\xe2\x80\xa8.\xe2\x80\xa8", "\x8d\x8a.\x8d\x8a")...),
		"commands as content":                  body(n("QUIT", "RSET", "LHLO x", "BDAT 0 LAST", "XCLIENT ADDR=127.0.0.1")...),
		"commands behind a MIME end":           n("Content-Type: multipart/mixed; boundary=.", "", "--.", "", ".", "--.--", ".", "QUIT"),
		"a boundary with line feeds":           n("Content-Type: multipart/mixed;\n boundary=\"a\n.\n\"", "", "--a", ".", "--a--"),
		"header and body without an empty one": n("Subject: x", ".", "no header", "."),
	}
	rnd := rand.New(rand.NewPCG(7, 7))
	pieces := []string{"\r", "\n", ".", "\r\n", "a", "", "\x00", "\r\n.\r\n", ": ", strings.Repeat("x", 990)}
	for i := range 40 {
		var records []lab.QueueRecord
		for range 1 + rnd.IntN(20) {
			var data string
			for range rnd.IntN(6) {
				data += pieces[rnd.IntN(len(pieces))]
			}
			records = append(records, lab.QueueRecord{Type: "NNL"[rnd.IntN(3)], Data: data})
		}
		all[fmt.Sprintf("random %d", i)] = records
	}
	return all
}

// text is what a server is to get: the content of the records, every LF the end
// of a line, the last line complete.
func text(records []lab.QueueRecord) string {
	var b strings.Builder
	for _, r := range records {
		b.WriteString(r.Data)
		if r.Type == 'N' {
			b.WriteByte('\n')
		}
	}
	if len(records) > 0 && records[len(records)-1].Type == 'L' {
		b.WriteByte('\n')
	}
	return b.String()
}

// The ways through the daemon: as it comes, with lines broken, with headers and
// bodies checked, and converted for a server that takes 7 bits.
func ways() map[string][]string {
	return map[string][]string{
		"plain":     {"lmtp_line_length_limit = 0"},
		"folded":    nil,
		"checked":   {"lmtp_line_length_limit = 0", "lmtp_header_checks = regexp:{ {/^X-Never:/ REJECT} }", "lmtp_body_checks = regexp:{ {/^never$$/ REJECT} }"},
		"converted": {"lmtp_line_length_limit = 0"},
	}
}

// TestMessages delivers each trick to servers that read lines in different ways.
// Each must see one message, and no command in it.
func TestMessages(t *testing.T) {
	for way, settings := range ways() {
		t.Run(way, func(t *testing.T) {
			w := newWorld(t, settings...)
			for name, records := range tricks() {
				for _, lenient := range []bool{false, true} {
					r := &reader{lenient: lenient, refuse8: way == "converted"}
					server := fmt.Sprintf("r%p", r)
					served := w.listen(server, r.serve)
					msg := lab.Message{Records: records}
					w.send(server, msg, 1)
					served()
					r.check(t, fmt.Sprintf("%s, lenient %v", name, lenient))
					if !lenient && len(r.messages) == 1 {
						r.compare(t, name, way, text(records))
					}
				}
			}
		})
	}
}

// compare holds what the server got to the content of the queue file, in the ways
// that leave it as it is. Where headers are looked at, an empty line goes before
// the first line among them that is none (Postfix's mime_state does so).
func (r *reader) compare(t *testing.T, name, way, want string) {
	t.Helper()
	got := r.messages[0]
	if got == want || way == "folded" || way == "converted" {
		return
	}
	header, _, _ := strings.Cut("\n"+want, "\n\n")
	for at := range strings.Count(header, "\n") {
		lines := strings.SplitAfterN(want, "\n", at+1)
		if way == "checked" && got == strings.Join(lines[:at], "")+"\n"+lines[at] {
			return
		}
	}
	t.Errorf("%s: got %q, want %q", name, got, want)
}

// check holds the dialog to that of one message.
func (r *reader) check(t *testing.T, name string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.messages) != 1 {
		t.Errorf("%s: %d messages: %q", name, len(r.messages), r.messages)
	}
	var verbs []string
	for _, c := range r.commands {
		verb, _, _ := strings.Cut(c, " ")
		verbs = append(verbs, verb)
	}
	if got := strings.Join(verbs, " "); !strings.HasPrefix("LHLO MAIL RCPT DATA QUIT", got) || !strings.HasPrefix(got, "LHLO MAIL RCPT DATA") {
		t.Errorf("%s: commands %q", name, r.commands)
	}
}

// goBackend is the backend of a go-smtp server.
type goBackend struct {
	mu       sync.Mutex
	messages []string
	senders  []string
}

type goSession struct{ *goBackend }

func (b *goBackend) NewSession(*smtp.Conn) (smtp.Session, error) { return goSession{b}, nil }

func (s goSession) Reset()        {}
func (s goSession) Logout() error { return nil }
func (s goSession) Mail(from string, _ *smtp.MailOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.senders = append(s.senders, from)
	return nil
}
func (s goSession) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (s goSession) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, string(b))
	return err
}

// TestMessagesGoSMTP delivers the tricks to a server that others wrote. It does
// not see the end of a message whose last line ends with CR CR LF: that message
// stays in the queue, and is still one.
func TestMessagesGoSMTP(t *testing.T) {
	w := newWorld(t, "lmtp_line_length_limit = 0", "lmtp_data_done_timeout = 2s")
	for name, records := range tricks() {
		if len(records) == 0 {
			continue
		}
		b := new(goBackend)
		server := smtp.NewServer(b)
		server.LMTP, server.Domain = true, "go"
		server.MaxLineLength = 1 << 20
		server.ErrorLog = discard{}
		socket := fmt.Sprintf("g%p", b)
		served := w.listen(socket, func(conn net.Conn) { server.Serve(newOnce(conn)) })
		w.send(socket, lab.Message{Records: records}, 1)
		served()
		b.mu.Lock()
		if len(b.messages) != 1 || len(b.senders) != 1 || b.senders[0] != "sender@example.com" {
			t.Errorf("%s: messages %q from %q", name, b.messages, b.senders)
		}
		b.mu.Unlock()
	}
}

type discard struct{}

func (discard) Printf(string, ...any) {}
func (discard) Println(...any)        {}

// once is a listener of one connection; it ends when that is closed.
type once struct {
	conns chan net.Conn
	addr  net.Addr
}

type tracked struct {
	net.Conn
	closed func()
}

func (c tracked) Close() error {
	c.closed()
	return c.Conn.Close()
}

func newOnce(conn net.Conn) *once {
	o := &once{conns: make(chan net.Conn, 1), addr: conn.LocalAddr()}
	o.conns <- tracked{conn, sync.OnceFunc(func() { close(o.conns) })}
	return o
}

func (o *once) Accept() (net.Conn, error) {
	conn, ok := <-o.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}
func (o *once) Close() error   { return nil }
func (o *once) Addr() net.Addr { return o.addr }

// TestSizes delivers messages that are large in every way, with all that looks
// into them switched on. Time and memory stay bounded, other mail goes on, and
// the server gets one message of the right number of lines, or the sender gets it
// back.
func TestSizes(t *testing.T) {
	nested := func(depth int) string {
		var b strings.Builder
		for i := range depth {
			fmt.Fprintf(&b, "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"b%d\"\n\n--b%d\n", i, i)
		}
		return "MIME-Version: 1.0\n" + b.String() + "Content-Type: text/plain\n\nb\xe4h\n"
	}
	rfc822 := "MIME-Version: 1.0\n" + strings.Repeat("Content-Type: message/rfc822\n\n", 10000) + "Subject: x\n\nb\xe4h\n"
	for _, c := range []struct {
		name    string
		lines   int // as Postfix's own agent sends it: long headers cut off, long lines broken; 0: bounced
		content string
	}{
		{"1,000,000 header lines", 1000002, strings.Repeat("X-Header: value\n", 1e6) + "\nbody\n"},
		{"1,000,000 lines of one header", 12802, "X-Header: value\n" + strings.Repeat(" folded\n", 1e6) + "\nbody\n"},
		{"a header line of 50 MB", 105, "X-Header: " + strings.Repeat("x", 50<<20) + "\n\nbody\n"},
		{"a header name of 10 MB", 10521, strings.Repeat("X", 10<<20) + ": value\n\nbody\n"},
		{"a body line of 50 MB", 1416998, "MIME-Version: 1.0\nContent-Transfer-Encoding: 8bit\n\n" + strings.Repeat("x\xe4", 25<<20) + "\n"},
		{"10,000 levels of multipart", 0, nested(10000)},
		{"10,000 levels of message", 20004, rfc822},
		{"a boundary of 1 MB", 108, "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"" + strings.Repeat("b", 1<<20) + "\"\n\n--b\n\nb\xe4h\n"},
		{"100,000 parameters", 17068, "MIME-Version: 1.0\nContent-Transfer-Encoding: 8bit\nContent-Type: text/plain" + strings.Repeat(";\n a=b", 100000) + "\n\nb\xe4h\n"},
		{"100,000 parts", 500004, "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\nContent-Type: text/plain\nContent-Transfer-Encoding: 8bit\n\nb\xe4h\n", 100000) + "--b--\n"},
		{"100,000 comments", 20583, "To: " + strings.Repeat("(", 100000) + "\n" + "From: " + strings.Repeat("(a)\n ", 100000) + "x@example.com\n\nbody\n"},
		{"100,000 addresses", 1554, "To: " + strings.Repeat("\"a\" <a@example.com>,\n ", 100000) + "b@example.com\n\nbody\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t,
				"lmtp_header_checks = regexp:{ {/^X-Never:/ REJECT} }", "lmtp_nested_header_checks = regexp:{ {/^X-Never:/ REJECT} }",
				"lmtp_mime_header_checks = regexp:{ {/^X-Never:/ REJECT} }", "lmtp_body_checks = regexp:{ {/^never$$/ REJECT} }",
				"lmtp_generic_maps = inline:{a@example.com=b@example.org}")
			if _, err := w.Serve("good", &lab.Script{}); err != nil {
				t.Fatal(err)
			}
			w.send("good", lab.Message{Content: "hello\n"}, 1)
			r := &reader{refuse8: true}
			served := w.listen("reader", r.serve)
			var elapsed, others time.Duration
			var status int
			memory := w.memory(func() {
				var all sync.WaitGroup
				all.Go(func() {
					_, res := w.send("reader", lab.Message{Content: c.content}, 1)
					elapsed, status = res.Elapsed, res.Status
				})
				all.Go(func() { others = w.others(t) })
				all.Wait()
			})
			served()
			r.mu.Lock()
			defer r.mu.Unlock()
			t.Logf("%d bytes in %v, status %d, the slowest of the others %v, %d KB of memory", len(c.content), elapsed.Round(time.Millisecond), status, others.Round(time.Millisecond), memory)
			if memory > maxMemory || memory == 0 {
				t.Errorf("%d KB of memory", memory)
			}
			bounces := len(w.Grep("status=bounced"))
			if status != 0 || len(r.messages)+bounces != 1 || (bounces == 1) != (c.lines == 0) {
				t.Errorf("status %d, %d messages, %d bounces", status, len(r.messages), bounces)
			}
			for _, m := range r.messages {
				if n := strings.Count(m, "\n"); n != c.lines {
					t.Errorf("%d lines, want %d", n, c.lines)
				}
				// What is not said to be 8-bit text is not converted, as in Postfix.
				eight := strings.IndexFunc(m, func(c rune) bool { return c > unicode.MaxASCII })
				if strings.Contains(c.content, "Encoding: 8bit") && eight >= 0 {
					t.Errorf("8-bit text reaches a server that takes 7 bits: %.40q", m[max(0, eight-20):])
				}
			}
		})
	}
}
