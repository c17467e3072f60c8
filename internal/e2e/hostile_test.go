package e2e

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestGarbageOnSocket: clients of the request socket that are not the queue
// manager. Each is told of in the log; none disturbs a delivery.
func TestGarbageOnSocket(t *testing.T) {
	t.Parallel()
	p := startPostfix(t, options{})
	s := unixSink(t, p, "sink").run()
	to := "rcpt@sink.lmtp.sock.test"
	// The first client of a process decides whether the command is taken for a
	// bad installation: let that be a good one.
	_, queueID := p.sendSmall(t, "", to)
	p.log.delivered(t, 0, queueID, to, "sent")

	random := make([]byte, 4096)
	for i := range random {
		random[i] = byte(i*i>>3 + i*7)
	}
	cases := []struct {
		name   string
		send   []byte
		silent bool // nothing to warn of
		open   bool // the client does not close
	}{
		{name: "nothing", silent: true},
		{name: "nothing, stays", silent: true, open: true},
		{name: "random bytes", send: random},
		{name: "text", send: []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")},
		{name: "wrong attribute", send: []byte("queue_id\x00ABC\x00\x00")},
		{name: "wrong value", send: []byte("flags\x00many\x00\x00")},
		{name: "cut", send: []byte("flags\x003\x00queue_name\x00act")},
		{name: "bad queue name", send: request("../../etc", "passwd")},
		{name: "absent file", send: request("active", "0123456789A"), silent: true},
		{name: "a megabyte without end", send: bytes.Repeat([]byte("x"), 1<<20)},
	}
	for _, c := range cases {
		mark := p.log.mark()
		conn, err := net.Dial("unix", p.queue("private", "lmtp"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(soon))
		// The agent speaks first; who hangs up before is no concern of it.
		if _, err := conn.Read(make([]byte, 512)); err != nil {
			t.Fatalf("%s: no greeting: %v", c.name, err)
		}
		conn.Write(c.send) // what is not read to the end fails here: as it should
		if !c.open {
			conn.(*net.UnixConn).CloseWrite()
			if _, err := io.Copy(io.Discard, conn); err != nil && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("%s: the agent does not hang up: %v", c.name, err)
			}
		}
		if !c.silent {
			if !within(soon, func() bool { return len(p.log.find(mark, `postfix/lmtp\[\d+\]: (warning|error|fatal): `)) > 0 }) {
				t.Errorf("%s: no clear log line", c.name)
			} else {
				t.Logf("%s: %s", c.name, p.log.find(mark, `postfix/lmtp\[\d+\]: (warning|error|fatal): `)[0])
			}
		}
		id, queueID := p.sendSmall(t, "", to)
		p.log.delivered(t, mark, queueID, to, "sent")
		if n := s.times(id, to); n != 1 {
			t.Errorf("%s: a message is delivered %d times", c.name, n)
		}
	}
	p.empty()
}

// request is a delivery request for one recipient as the queue manager of
// Postfix 3.7 writes it.
func request(queue, id string) []byte {
	stats := base64.StdEncoding.EncodeToString(make([]byte, 88))
	var b bytes.Buffer
	for _, list := range []string{
		"flags=3 queue_name=" + queue + " queue_id=" + id + " offset=100 size=100 nexthop=unix:private/sink" +
			" encoding=7bit smtputf8=0 sender= envelope_id= ret_flags=0 time=" + stats + " log_client_name=x" +
			" log_client_address=127.0.0.1 log_client_port=1 log_protocol_name=SMTP log_helo_name=x" +
			" sasl_method= sasl_username= sasl_sender= log_ident=x rewrite_context=local recipient_count=1",
		"original_recipient= recipient=rcpt@sink.lmtp.sock.test offset=50 dsn_orig_rcpt= notify_flags=0",
	} {
		for _, field := range strings.Fields(list) {
			name, value, _ := strings.Cut(field, "=")
			b.WriteString(name + "\x00" + value + "\x00")
		}
		b.WriteByte(0)
	}
	return b.Bytes()
}

// TestDamagedQueueFile: the content of a queue file is damaged while it waits
// or in the middle of a delivery. The log tells of the message, which is set
// aside in the corrupt queue and not delivered; the others go on.
func TestDamagedQueueFile(t *testing.T) {
	t.Parallel()
	p := startPostfix(t, options{main: []string{"queue_run_delay = 300s", "minimal_backoff_time = 300s"}})
	s := unixSink(t, p, "sink")
	var let atomic.Bool // the mail for hold@ pass
	s.onRcpt = func(_ *transaction, rcpt string) string {
		if strings.HasPrefix(rcpt, "hold") && !let.Load() {
			return "450 4.2.0 not now"
		}
		return ""
	}
	reached, truncated := make(chan struct{}), make(chan struct{})
	s.onData = func(tx *transaction) {
		if strings.HasPrefix(tx.rcpts[0], "cut") {
			close(reached)
			s.wait(truncated)
		}
	}
	s.run()
	corrupt := map[string]string{} // queue ID to what was done

	for _, c := range []struct {
		name     string
		distance int // from the text of the record
		bytes    string
	}{
		{"unknown record", -2, "!"},
		{"length beyond all bounds", -1, "\xff\xff\xff\xff\x7f"},
		{"length beyond the file", -1, "\xff\x7f"},
	} {
		to := "hold@sink.lmtp.sock.test"
		queueID := p.submit(envelope{to: []string{to}}, message(newID("damage"), "", to, "before\ndamage me\nafter\n"))
		p.log.delivered(t, 0, queueID, to, "deferred")
		eventually(t, soon, "the deferred file", func() bool { return strings.Contains(p.file(queueID), "/deferred/") })
		p.must(damage(p.file(queueID), "damage me", c.distance, c.bytes))
		corrupt[queueID] = c.name
	}
	let.Store(true)
	p.flush()

	to := "cut@sink.lmtp.sock.test"
	queueID := p.submit(envelope{to: []string{to}}, message(newID("cut"), "", to, strings.Repeat("text\n", 200000)))
	<-reached
	p.must(os.Truncate(p.file(queueID), 4096))
	close(truncated)
	corrupt[queueID] = "truncated in the middle of a delivery"

	for queueID, what := range corrupt {
		p.log.wait(t, 0, `postfix/lmtp\[\d+\]: warning: .*\b`+queueID+`\b`)
		p.log.wait(t, 0, `qmgr\[\d+\]: warning: saving corrupt file "`+queueID+`"`)
		if !strings.Contains(p.file(queueID), "/corrupt/") {
			t.Errorf("%s: the file is %s", what, p.file(queueID))
		}
		if sent := p.log.find(0, queueID+": to=.*status=sent"); len(sent) > 0 {
			t.Errorf("%s: %s", what, sent[0])
		}
	}
	if n := s.count(); n != 0 {
		t.Errorf("%d damaged messages were delivered", n)
	}
	_, queueID = p.sendSmall(t, "", "rcpt@sink.lmtp.sock.test")
	p.log.delivered(t, 0, queueID, "rcpt@sink.lmtp.sock.test", "sent")
}

// TestImpossibleSetting: a value that is none. The log has Postfix's words, no
// mail is lost, and once it is mended and Postfix is reloaded, mail flows.
func TestImpossibleSetting(t *testing.T) {
	t.Parallel()
	p := startPostfix(t, options{})
	s := unixSink(t, p, "sink").run()
	to := "rcpt@sink.lmtp.sock.test"
	for _, c := range []struct{ setting, mended, text string }{
		{"lmtp_line_length_limit = foo", "998", "bad numerical configuration: lmtp_line_length_limit = foo"},
		{"lmtp_connect_timeout = 5q", "0s", "parameter lmtp_connect_timeout: bad time value or unit: 5q"},
		{"lmtp_send_xforward_command = perhaps", "no", "bad boolean configuration: lmtp_send_xforward_command = perhaps"},
	} {
		name, _, _ := strings.Cut(c.setting, " ")
		mark := p.log.mark()
		p.set(c.setting)
		p.reloaded()
		id, queueID := p.sendSmall(t, "", to)
		p.log.wait(t, mark, `postfix/lmtp\[\d+\]: fatal: `+regexp.QuoteMeta(c.text))
		p.set(name + " = " + c.mended)
		p.reloaded()
		eventually(t, later, "the delivery", func() bool {
			p.flush()
			return within(time.Second, func() bool { return s.times(id, to) == 1 })
		})
		p.log.delivered(t, mark, queueID, to, "sent")
	}
	p.empty()
}

// damage overwrites bytes of a file at a distance from a text in it.
func damage(path, text string, distance int, with string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	at := bytes.Index(data, []byte(text))
	if at < 0 {
		return fmt.Errorf("damage %s: no %q in it", path, text)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte(with), int64(at+distance))
	return errors.Join(err, f.Close())
}
