package e2e

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tap stands between a client and a service of Postfix, both with sockets in
// the queue directory, and records what each side says.
type tap struct {
	mu    sync.Mutex
	conns []*exchange // in the order in which they were accepted
}

// exchange is one connection: all that each side said.
type exchange struct {
	name           string
	client, server bytes.Buffer
}

// between listens at class/tap-NAME and passes on to class/NAME.
func (tp *tap) between(t *testing.T, p *postfix, class, name string) {
	t.Helper()
	path := p.queue(class, "tap-"+name)
	l, err := net.Listen("unix", path)
	p.must(err)
	p.must(os.Chmod(path, 0o666))
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("unix", p.queue(class, name))
			if err != nil {
				client.Close()
				continue
			}
			x := &exchange{name: name}
			tp.mu.Lock()
			tp.conns = append(tp.conns, x)
			tp.mu.Unlock()
			go tp.pass(server, client, &x.client)
			go tp.pass(client, server, &x.server)
		}
	}()
}

// pass copies what one side says to the other and to the record.
func (tp *tap) pass(to, from net.Conn, record *bytes.Buffer) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		tp.mu.Lock()
		record.Write(buf[:n])
		tp.mu.Unlock()
		if err != nil {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// taken returns what was recorded since the last time, by service; connections
// without a request are left out.
func (tp *tap) taken() []*exchange {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	list := slices.DeleteFunc(tp.conns, func(x *exchange) bool { return x.client.Len() == 0 })
	tp.conns = nil
	slices.SortStableFunc(list, func(a, b *exchange) int { return strings.Compare(a.name, b.name) })
	return list
}

// What differs from run to run.
var varies = []struct {
	name *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`(?m)^(. (?:queue_id|log_ident)) [0-9A-F]+$`), "$1 1ABC0000001"},
	{regexp.MustCompile(`(?m)^(. time) [0-9]+$`), "$1 1700000000"},
	{regexp.MustCompile(`(?m)^(. log_client_port) [0-9]+$`), "$1 10025"},
	{regexp.MustCompile(`(?m)^(. size) [0-9]+$`), "$1 400"}, // the queue ID is in a field of the header
	{regexp.MustCompile(`(?m)^(. time) [A-Za-z0-9+/=]{100,}$`), "$1 TIME"},
}

// text writes an exchange as lines: "C" or "S", a name and a value for each
// attribute, and nothing behind C or S at the end of a list. What differs from
// run to run is replaced.
func (x *exchange) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "== %s\n", x.name)
	side := func(who string, data []byte) {
		words := strings.Split(string(data), "\x00")
		for i := 0; i < len(words)-1; i++ {
			switch {
			case words[i] == "":
				fmt.Fprintln(&b, who)
			case i+1 < len(words)-1:
				fmt.Fprintf(&b, "%s %s %s\n", who, words[i], words[i+1])
				i++
			}
		}
		if rest := words[len(words)-1]; rest != "" {
			fmt.Fprintf(&b, "%s INCOMPLETE %q\n", who, rest)
		}
	}
	side("C", x.client.Bytes())
	side("S", x.server.Bytes())
	text := b.String()
	for _, v := range varies {
		text = v.name.ReplaceAllString(text, v.with)
	}
	return text
}

// TestExchanges: on every internal socket the daemon says, byte for byte, what
// the installed release's own agent says: the greeting and the final status to
// the queue manager, the requests to bounce(8), defer(8), trace(8), verify(8)
// and flush(8).
//
// With POSTLMTP_E2E_RECORD=FILE what Postfix's own said is written there: the
// files of testdata/wire are made so.
func TestExchanges(t *testing.T) {
	t.Parallel()
	want := exchanges(t, postfixAgent())
	if file := os.Getenv("POSTLMTP_E2E_RECORD"); file != "" {
		if err := os.WriteFile(file, []byte(strings.Join(want, "")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got := exchanges(t, underTest(t))
	if diff := cmp.Diff(strings.Split(strings.Join(want, ""), "\n"), strings.Split(strings.Join(got, ""), "\n")); diff != "" {
		t.Errorf("-postfix +ours\n%s", diff)
	}
	t.Logf("%d exchanges", len(want))
}

// exchanges has an agent deliver one message of each kind, and returns all that
// was said.
func exchanges(t *testing.T, a agent) []string {
	t.Helper()
	taps := []string{"bounce", "defer", "trace"}
	words := "y 1 -o address_verify_service_name=tap-verify -o flush_service_name=tap-flush"
	for _, name := range taps {
		words += " -o " + name + "_service_name=tap-" + name
	}
	p := startPostfix(t, options{agent: a, services: map[string]string{"far": words},
		smtpd: map[string]string{"strict": "-o smtpd_recipient_restrictions=reject_unverified_recipient"},
		main:  []string{"address_verify_map =", "address_verify_poll_delay = 1s", "address_verify_poll_count = 20", "maximal_backoff_time = 4000s", "minimal_backoff_time = 4000s", "fast_flush_domains = test"}})
	tp := new(tap)
	tp.between(t, p, "private", "far")
	tp.between(t, p, "private", "verify")
	tp.between(t, p, "public", "flush")
	for _, name := range taps {
		tp.between(t, p, "private", name)
	}
	s := unixSink(t, p, "sink")
	s.onRcpt = func(_ *transaction, rcpt string) string {
		switch {
		case strings.HasPrefix(rcpt, "unknown"):
			return "550 5.1.1 <" + rcpt + "> no such user"
		case strings.HasPrefix(rcpt, "later"):
			return "450 4.2.1 <" + rcpt + "> not now"
		}
		return ""
	}
	s.run()
	const domain = "@sink.tap-far.sock.test"
	from := "sender@none.lmtp.sock.test"
	var list []string
	step := func(name string, e envelope, extra ...string) {
		t.Helper()
		e.from = from
		queueID := p.submit(e, message("exchange-"+name, from, e.to[0], "text\n", extra...))
		for _, to := range e.to {
			p.log.wait(t, 0, queueID+": to=<"+regexp.QuoteMeta(to)+">.* status=")
		}
		list = append(list, tp.after(t, p, queueID)...)
	}
	step("plain", envelope{to: []string{"one" + domain, "two" + domain}})
	step("refused", envelope{to: []string{"one" + domain, "unknown" + domain}})
	step("deferred", envelope{to: []string{"later" + domain}})
	step("all", envelope{to: []string{"later" + domain, "one" + domain, "unknown" + domain},
		fromArgs: " RET=HDRS ENVID=e2e+2B1 BODY=8BITMIME", toArgs: " NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;original@elsewhere.test"})
	step("never", envelope{to: []string{"unknown" + domain}, toArgs: " NOTIFY=NEVER"})
	step("utf8", envelope{to: []string{"one" + domain}, fromArgs: " SMTPUTF8 BODY=8BITMIME"}, "X-Word: Grüße")
	mark := p.log.mark()
	p.run("sendmail", "-C", p.conf(), "-f", from, "-bv", "one"+domain, "unknown"+domain)
	m := p.log.wait(t, mark, `: ([0-9A-F]+): to=<unknown.*status=undeliverable `)
	list = append(list, tp.after(t, p, m[1])...)

	mark = p.log.mark()
	c, err := p.dial("strict")
	p.must(err)
	defer c.close()
	for _, command := range []string{"MAIL FROM:<>", "RCPT TO:<one" + domain + ">"} {
		_, err := c.cmd(250, "%s", command)
		p.must(err)
	}
	m = p.log.wait(t, mark, `: ([0-9A-F]+): to=<one.*status=deliverable `)
	return append(list, tp.after(t, p, m[1])...)
}

// after returns what was said about a message, when all has been said.
func (tp *tap) after(t *testing.T, p *postfix, queueID string) (list []string) {
	t.Helper()
	// The queue manager has heard of the end when it has closed the connection,
	// and then it removes the message or puts it aside.
	eventually(t, soon, "the queue manager to be done with "+queueID, func() bool {
		return !strings.Contains(p.file(queueID), string(filepath.Separator)+"active"+string(filepath.Separator))
	})
	for _, x := range tp.taken() {
		if x.name == "verify" || bytes.Contains(x.client.Bytes(), []byte(queueID)) {
			list = append(list, x.text())
		}
	}
	return evenOffsets(list)
}

var offset = regexp.MustCompile(`(?m)^(. offset) ([0-9]+)$`)

// evenOffsets replaces the places in a queue file, which depend on port and
// process numbers, by others of which the same are the same.
func evenOffsets(list []string) []string {
	known := map[string]string{}
	for i, text := range list {
		list[i] = offset.ReplaceAllStringFunc(text, func(line string) string {
			m := offset.FindStringSubmatch(line)
			if known[m[2]] == "" {
				known[m[2]] = fmt.Sprint(700 + 10*len(known))
			}
			return m[1] + " " + known[m[2]]
		})
	}
	return list
}
