package report

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postlmtp/internal/attr"
	"postlmtp/internal/dsn"
	"postlmtp/internal/maillog"
	"postlmtp/internal/request"
)

// The columns of the table.
const (
	sent   = "sent"
	bounce = "bounce"
	defers = "defer"
)

var (
	final     = Result{Final: true}
	finalSent = Result{Final: true, Sent: true}
	stays     = Result{}
)

// TestColumns covers what sent.c, bounce.c and defer.c of Postfix do in each case, with
// servers that greet and with servers that do not.
func TestColumns(t *testing.T) {
	type options = func(*Options)
	soft := func(o *Options) { o.SoftBounce = true }
	noNegative := func(o *Options) { o.NegativeCache = false }
	fast := func(o *Options) { o.FastFlush = func(d string) bool { return d == "example.org" } }
	filter := func(status, text string) options {
		return func(o *Options) {
			o.Filter = func(string, string) (string, string, bool) { return status, text, true }
		}
	}
	type broken = map[string]behaviour

	tests := []struct {
		name    string
		column  string
		flags   request.Flags
		notify  request.Notify
		status  string // of the diagnosis; empty: X.1.1 of the column
		options options
		broken  broken
		want    Result
		events  []string
	}{
		// Normal mail.
		{name: "sent", column: sent, flags: 3, want: finalSent, events: []string{
			"log 2.1.1 sent (text)"}},
		{name: "bounce", column: bounce, want: final, events: []string{
			"bounce 0 5.1.1 failed text",
			"log 5.1.1 bounced (text)"}},
		{name: "defer", column: defers, want: stays, events: []string{
			"defer 0 4.1.1 delayed text",
			"log 4.1.1 deferred (text)"}},

		// Codes that are not of the class.
		{name: "sent, bad code", column: sent, status: "4.0.0", want: finalSent, events: []string{
			`warning: sent: ignoring dsn code "4.0.0"`,
			"log 2.0.0 sent (text)"}},
		{name: "bounce, bad code", column: bounce, status: "5.1", want: final, events: []string{
			`warning: bounce_append: ignoring dsn code "5.1"`,
			"bounce 0 5.0.0 failed text",
			"log 5.0.0 bounced (text)"}},
		{name: "defer, bad code", column: defers, status: "5.1.1", want: stays, events: []string{
			`warning: defer_append: ignoring dsn code "5.1.1"`,
			"defer 0 4.0.0 delayed text",
			"log 4.0.0 deferred (text)"}},

		// The filter.
		{name: "sent, filter", column: sent, options: filter("2.5.5", "new"), want: finalSent, events: []string{
			"log 2.5.5 sent (new)"}},
		{name: "sent, filter to failure", column: sent, options: filter("5.5.5", "new"), want: finalSent, events: []string{
			"warning: smtp_delivery_status_filter: bad status code: 5.5.5 new",
			"log 2.1.1 sent (text)"}},
		{name: "bounce, filter", column: bounce, options: filter("5.5.5", ""), want: final, events: []string{
			"bounce 0 5.5.5 failed text",
			"log 5.5.5 bounced (text)"}},
		{name: "bounce, filter to defer", column: bounce, options: filter("4.4.4", "new"), want: stays, events: []string{
			"defer 0 4.4.4 delayed new",
			"log 4.4.4 deferred (new)"}},
		{name: "bounce, filter to success", column: bounce, options: filter("2.0.0", ""), want: final, events: []string{
			"warning: smtp_delivery_status_filter: bad status code: 2.0.0",
			"bounce 0 5.1.1 failed text",
			"log 5.1.1 bounced (text)"}},
		{name: "defer, filter to bounce", column: defers, options: filter("5.5.5", "new"), want: final, events: []string{
			"bounce 0 5.5.5 failed new",
			"log 5.5.5 bounced (new)"}},
		{name: "defer, filter nonsense", column: defers, options: filter("no code", ""), want: stays, events: []string{
			"warning: smtp_delivery_status_filter: bad status code: no code",
			"defer 0 4.1.1 delayed text",
			"log 4.1.1 deferred (text)"}},

		// Soft bounces: a deferral for the services, but with its own word.
		{name: "soft bounce", column: bounce, options: soft, want: stays, events: []string{
			"defer 0 4.1.1 delayed text",
			"log 4.1.1 SOFTBOUNCE (text)"}},
		{name: "soft bounce, defer down", column: bounce, options: soft, broken: broken{"defer": refuses}, want: stays, events: []string{
			"defer 0 4.1.1 delayed text",
			"defer 0 4.3.0 delayed bounce or trace service failure",
			"warning: A1: defer service failure",
			"log 4.3.0 deferred (bounce or trace service failure)"}},
		{name: "soft bounce, filter to bounce", column: defers, options: func(o *Options) { soft(o); filter("5.5.5", "new")(o) },
			want: stays, events: []string{
				"defer 0 4.5.5 delayed new",
				"log 4.5.5 SOFTBOUNCE (new)"}},

		// Services that fail.
		{name: "bounce refused", column: bounce, broken: broken{"bounce": refuses}, want: stays, events: []string{
			"bounce 0 5.1.1 failed text",
			"defer 0 4.3.0 delayed bounce or trace service failure",
			"log 4.3.0 deferred (bounce or trace service failure)"}},
		{name: "bounce died", column: bounce, broken: broken{"bounce": dies}, want: stays, events: []string{
			"bounce 0 5.1.1 failed text",
			"warning: write/read private/bounce socket: unexpected end-of-input",
			"defer 0 4.3.0 delayed bounce or trace service failure",
			"log 4.3.0 deferred (bounce or trace service failure)"}},
		{name: "bounce absent", column: bounce, broken: broken{"bounce": absent}, want: stays, events: []string{
			"warning: connect to private/bounce: No such file or directory",
			"defer 0 4.3.0 delayed bounce or trace service failure",
			"log 4.3.0 deferred (bounce or trace service failure)"}},
		{name: "defer absent", column: defers, broken: broken{"defer": absent}, want: stays, events: []string{
			"warning: connect to private/defer: No such file or directory",
			"warning: A1: defer service failure",
			"log 4.1.1 deferred (text)"}},

		// sendmail -v.
		{name: "sent, recorded", column: sent, flags: request.Record, want: finalSent, events: []string{
			"log 2.1.1 sent (text)",
			"trace 1024 2.1.1 relayed delivery via mx[192.0.2.1]:24: text"}},
		{name: "sent, recorded, trace down", column: sent, flags: request.Record, broken: broken{"trace": refuses}, want: finalSent, events: []string{
			"log 2.1.1 sent (text)",
			"trace 1024 2.1.1 relayed delivery via mx[192.0.2.1]:24: text",
			"warning: A1: trace service failure",
			"warning: A1: recipient <user@example.org> is delivered, but the record for the sender is lost"}},
		{name: "bounce, recorded", column: bounce, flags: request.Record, want: final, events: []string{
			"bounce 1024 5.1.1 failed text",
			"log 5.1.1 bounced (text)",
			"trace 1024 5.1.1 failed delivery via mx[192.0.2.1]:24: text"}},
		{name: "soft bounce, recorded", column: bounce, flags: request.Record, options: soft, want: stays, events: []string{
			"defer 1024 4.1.1 delayed text",
			"log 4.1.1 SOFTBOUNCE (text)",
			"trace 1024 4.1.1 delayed delivery via mx[192.0.2.1]:24: text"}},
		{name: "bounce, recorded, trace down", column: bounce, flags: request.Record, broken: broken{"trace": dies}, want: final, events: []string{
			"bounce 1024 5.1.1 failed text",
			"log 5.1.1 bounced (text)",
			"trace 1024 5.1.1 failed delivery via mx[192.0.2.1]:24: text",
			"warning: write/read private/trace socket: unexpected end-of-input",
			"warning: A1: trace service failure",
			"warning: A1: recipient <user@example.org> is bounced, but the record for the sender is lost"}},
		{name: "defer, recorded", column: defers, flags: request.Record, want: stays, events: []string{
			"defer 1024 4.1.1 delayed text",
			"log 4.1.1 deferred (text)",
			"trace 1024 4.1.1 delayed delivery via mx[192.0.2.1]:24: text"}},

		// Success after a delay that was reported.
		{name: "sent, delayed", column: sent, flags: request.RecordDelayed, want: finalSent, events: []string{
			"log 2.1.1 sent (text)",
			"trace 8192 2.1.1 relayed delivery via mx[192.0.2.1]:24: text"}},
		{name: "sent, delayed, NOTIFY=DELAY", column: sent, flags: request.RecordDelayed, notify: request.NotifyDelay | request.NotifyFailure,
			want: finalSent, events: []string{
				"log 2.1.1 sent (text)",
				"trace 8192 2.1.1 relayed delivery via mx[192.0.2.1]:24: text"}},
		{name: "sent, delayed, NOTIFY=NEVER", column: sent, flags: request.RecordDelayed, notify: request.NotifyNever, want: finalSent, events: []string{
			"log 2.1.1 sent (text)"}},
		{name: "bounce, delayed", column: bounce, flags: request.RecordDelayed, want: final, events: []string{
			"bounce 8192 5.1.1 failed text",
			"log 5.1.1 bounced (text)"}},

		// NOTIFY=SUCCESS.
		{name: "sent, NOTIFY=SUCCESS", column: sent, notify: request.NotifySuccess, want: finalSent, events: []string{
			"log 2.1.1 sent (text)",
			"trace 0 2.1.1 relayed delivery via mx[192.0.2.1]:24: text"}},
		{name: "sent, recorded, NOTIFY=SUCCESS", column: sent, flags: request.Record, notify: request.NotifySuccess, want: finalSent, events: []string{
			"log 2.1.1 sent (text)",
			"trace 1024 2.1.1 relayed delivery via mx[192.0.2.1]:24: text",
			"trace 1024 2.1.1 relayed delivery via mx[192.0.2.1]:24: text"}},
		{name: "sent, NOTIFY=SUCCESS, trace absent", column: sent, notify: request.NotifySuccess, broken: broken{"trace": absent},
			want: finalSent, events: []string{
				"log 2.1.1 sent (text)",
				"warning: connect to private/trace: No such file or directory",
				"warning: A1: trace service failure",
				"warning: A1: recipient <user@example.org> is delivered, but the record for the sender is lost"}},
		{name: "bounce, NOTIFY=SUCCESS,NEVER", column: bounce, notify: request.NotifySuccess | request.NotifyNever, want: final, events: []string{
			"bounce 0 5.1.1 failed text",
			"log 5.1.1 bounced (text)"}},

		// Fast flush.
		{name: "defer, fast flush", column: defers, options: fast, want: stays, events: []string{
			"defer 0 4.1.1 delayed text",
			"log 4.1.1 deferred (text)",
			"flush add example.org A1"}},
		{name: "defer, fast flush refused", column: defers, options: fast, broken: broken{"flush": refuses}, want: stays, events: []string{
			"defer 0 4.1.1 delayed text",
			"log 4.1.1 deferred (text)",
			"flush add example.org A1",
			"warning: A1: flush service failure"}},
		{name: "defer, fast flush absent", column: defers, options: fast, broken: broken{"flush": absent}, want: stays, events: []string{
			"defer 0 4.1.1 delayed text",
			"log 4.1.1 deferred (text)",
			"warning: connect to public/flush: No such file or directory",
			"warning: A1: flush service failure"}},
		{name: "soft bounce, no fast flush", column: bounce, options: func(o *Options) { soft(o); fast(o) }, want: stays, events: []string{
			"defer 0 4.1.1 delayed text",
			"log 4.1.1 SOFTBOUNCE (text)"}},

		// Probes of the mail system.
		{name: "sent, verify", column: sent, flags: request.MTAVerify, want: finalSent, events: []string{
			"verify update alias@example.com 0 text",
			"verify update user@example.org 0 text",
			"log 2.1.1 deliverable (text)"}},
		{name: "bounce, verify", column: bounce, flags: request.MTAVerify, want: final, events: []string{
			"verify update alias@example.com 2 text",
			"verify update user@example.org 2 text",
			"log 5.1.1 undeliverable (text)"}},
		{name: "bounce, verify, soft bounce", column: bounce, flags: request.MTAVerify, options: soft, want: final, events: []string{
			"verify update alias@example.com 2 text",
			"verify update user@example.org 2 text",
			"log 5.1.1 undeliverable (text)"}},
		{name: "defer, verify", column: defers, flags: request.MTAVerify, options: fast, want: final, events: []string{
			"verify update alias@example.com 1 text",
			"verify update user@example.org 1 text",
			"log 4.1.1 undeliverable (text)"}},
		{name: "bounce, verify, filter to defer", column: bounce, flags: request.MTAVerify, options: filter("4.4.4", "new"), want: final, events: []string{
			"verify update alias@example.com 1 new",
			"verify update user@example.org 1 new",
			"log 4.4.4 undeliverable (new)"}},
		{name: "bounce, verify, no negative cache", column: bounce, flags: request.MTAVerify, options: noNegative, want: final, events: []string{
			"log 5.1.1 undeliverable-but-not-cached (text)"}},
		{name: "defer, verify, no negative cache", column: defers, flags: request.MTAVerify, options: noNegative, want: final, events: []string{
			"log 4.1.1 undeliverable-but-not-cached (text)"}},
		{name: "sent, verify, no negative cache", column: sent, flags: request.MTAVerify, options: noNegative, want: finalSent, events: []string{
			"verify update alias@example.com 0 text",
			"verify update user@example.org 0 text",
			"log 2.1.1 deliverable (text)"}},
		{name: "sent, verify refused", column: sent, flags: request.MTAVerify, broken: broken{"verify": refuses}, want: stays, events: []string{
			"verify update alias@example.com 0 text",
			"warning: A1: verify service failure"}},
		{name: "both probes, verify wins", column: sent, flags: request.MTAVerify | request.UserVerify, want: finalSent, events: []string{
			"verify update alias@example.com 0 text",
			"verify update user@example.org 0 text",
			"log 2.1.1 deliverable (text)"}},

		// Probes of a user: sendmail -bv.
		{name: "sent, user probe", column: sent, flags: request.UserVerify, notify: request.NotifySuccess, want: finalSent, events: []string{
			"trace 512 2.1.1 deliverable delivery via mx[192.0.2.1]:24: text",
			"log 2.1.1 deliverable (text)"}},
		{name: "bounce, user probe", column: bounce, flags: request.UserVerify, options: soft, want: final, events: []string{
			"trace 512 5.1.1 undeliverable delivery via mx[192.0.2.1]:24: text",
			"log 5.1.1 undeliverable (text)"}},
		{name: "defer, user probe", column: defers, flags: request.UserVerify | request.Record, want: final, events: []string{
			"trace 1536 4.1.1 undeliverable delivery via mx[192.0.2.1]:24: text",
			"log 4.1.1 undeliverable (text)"}},
		{name: "bounce, user probe, trace refused", column: bounce, flags: request.UserVerify, broken: broken{"trace": refuses}, want: stays, events: []string{
			"trace 512 5.1.1 undeliverable delivery via mx[192.0.2.1]:24: text",
			"warning: A1: trace service failure"}},
	}
	for _, tt := range tests {
		for _, greet := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/greet=%v", tt.name, greet), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, greet, tt.broken)
				o := Options{Services: Services{Dir: w.dir}, Timeout: time.Minute, NegativeCache: true, Log: w}
				if tt.options != nil {
					tt.options(&o)
				}
				r := New(o)
				defer r.Close()
				got := run(r, tt.column, tt.flags, tt.notify, tt.status)
				if got != tt.want {
					t.Errorf("result %+v, want %+v", got, tt.want)
				}
				if diff := cmp.Diff(tt.events, w.take()); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// run reports one recipient.
func run(r *Reporter, column string, flags request.Flags, notify request.Notify, status string) Result {
	class := map[string]string{sent: "2", bounce: "5", defers: "4"}[column]
	if status == "" {
		status = class + ".1.1"
	}
	req := &request.Request{QueueID: "A1", Flags: flags}
	rcpt := request.Recipient{Offset: 77, Address: "user@example.org", Original: "alias@example.com", Notify: notify}
	at := request.Attempt{Relay: "mx[192.0.2.1]:24"}
	d := dsn.Diagnosis{Status: status, Reason: "text"}
	switch column {
	case sent:
		d.Action = "relayed"
		return r.Sent(req, rcpt, at, d)
	case bounce:
		return r.Bounce(req, rcpt, at, d)
	}
	return r.Defer(req, rcpt, at, d)
}

// TestWire compares the bytes of a command with captured ones of Postfix, and
// checks the log line with all its fields.
func TestWire(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "private"), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "private", "bounce"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		buf := make([]byte, 4096)
		n, _ := c.Read(buf)
		got <- string(buf[:n])
		new(attr.List).Int(attr.Status, 0).Send(c)
	}()

	var log strings.Builder
	r := New(Options{Services: Services{Dir: dir}, Log: maillog.ToWriter(&log, "postfix/lmtp"),
		AddressFormat: func(a string) string { return strings.ToUpper(a) }})
	start := time.Unix(1700000000, 0)
	req := &request.Request{QueueID: "A6D8C9EE74C", Flags: request.MarkDone | request.Bounce | request.ConnLoad}
	rcpt := request.Recipient{Offset: 669, Address: "u1@example.net"}
	at := request.Attempt{Relay: "mx.example[192.0.2.1]:24", TLS: "none", Stamps: request.Stamps{
		IncomingArrival: start,
		ActiveArrival:   start.Add(time.Second),
		AgentHandoff:    start.Add(3 * time.Second),
		ConnSetupDone:   start.Add(7 * time.Second),
		DeliverDone:     start.Add(15 * time.Second),
		ReuseCount:      2,
	}}
	d := dsn.Diagnosis{Status: "5.1.1", Reason: "host mx.example[192.0.2.1] said: 550 5.1.1 nope",
		DiagType: "smtp", DiagText: "550 5.1.1 nope", MTAType: "dns", MTAName: "mx.example"}
	if res := r.Bounce(req, rcpt, at, d); res != final {
		t.Errorf("result %+v", res)
	}

	want := strings.ReplaceAll("nrequest␀0␀flags␀0␀queue_id␀A6D8C9EE74C␀original_recipient␀␀recipient␀u1@example.net␀offset␀669␀dsn_orig_rcpt␀␀"+
		"notify_flags␀0␀status␀5.1.1␀diag_type␀smtp␀diag_text␀550 5.1.1 nope␀mta_type␀dns␀mta_mname␀mx.example␀"+
		"action␀failed␀reason␀host mx.example[192.0.2.1] said: 550 5.1.1 nope␀␀", "␀", "\x00")
	if diff := cmp.Diff(want, <-got); diff != "" {
		t.Errorf("command (-want +got):\n%s", diff)
	}
	_, line, _ := strings.Cut(strings.TrimSuffix(log.String(), "\n"), "]: ")
	want = "A6D8C9EE74C: to=<U1@EXAMPLE.NET>, relay=mx.example[192.0.2.1]:24, conn_use=3, delay=15, delays=1/2/4/8, " +
		"tls=none, dsn=5.1.1, status=bounced (host mx.example[192.0.2.1] said: 550 5.1.1 nope)"
	if diff := cmp.Diff(want, line); diff != "" {
		t.Errorf("log line (-want +got):\n%s", diff)
	}
}

// TestProbeAddresses: verify(8) is told about each address once, and never
// about an empty one.
func TestProbeAddresses(t *testing.T) {
	for _, tt := range []struct {
		original string
		want     []string
	}{
		{"", []string{"verify update user@example.org 0 text"}},
		{"user@example.org", []string{"verify update user@example.org 0 text"}},
		{"User@example.org", []string{"verify update User@example.org 0 text", "verify update user@example.org 0 text"}},
	} {
		w := newWorld(t, true, nil)
		r := New(Options{Services: Services{Dir: w.dir}, NegativeCache: true, Log: w})
		r.Sent(&request.Request{QueueID: "A1", Flags: request.MTAVerify},
			request.Recipient{Address: "user@example.org", Original: tt.original},
			request.Attempt{Relay: "none"}, dsn.Diagnosis{Status: "2.1.5", Reason: "text"})
		r.Close()
		want := append(tt.want, "log 2.1.5 deliverable (text)")
		if diff := cmp.Diff(want, w.take()); diff != "" {
			t.Errorf("original %q (-want +got):\n%s", tt.original, diff)
		}
	}
}

// TestNoRelay: the reason for trace(8) has no prefix without a relay, and
// domains without a name are not for flush(8).
func TestNoRelay(t *testing.T) {
	w := newWorld(t, true, nil)
	r := New(Options{Services: Services{Dir: w.dir}, Log: w,
		FastFlush: func(d string) bool { w.add("asked about %q", d); return false }})
	for _, address := range []string{"user", "user@", "a@b@c"} {
		r.Defer(&request.Request{QueueID: "A1", Flags: request.Record}, request.Recipient{Address: address},
			request.Attempt{Relay: "none"}, dsn.Diagnosis{Status: "4.4.1", Reason: "text"})
	}
	one := []string{"defer 1024 4.4.1 delayed text", "log 4.4.1 deferred (text)", "trace 1024 4.4.1 delayed text"}
	want := append(append(append(append([]string{}, one...), one...), one...), `asked about "c"`)
	if diff := cmp.Diff(want, w.take()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestLookup(t *testing.T) {
	table := map[string]string{
		"5.1.1 a": "4.7.7   later, please",
		"5.1.1 b": "5.7.7",
		"5.1.1 c": "oops",
	}
	f := Lookup(func(key string) (string, bool) { v, ok := table[key]; return v, ok })
	for _, tt := range []struct {
		reason, status, text string
		ok                   bool
	}{
		{"a", "4.7.7", "later, please", true},
		{"b", "5.7.7", "", true},
		{"c", "oops", "", true},
		{"d", "", "", false},
	} {
		status, text, ok := f("5.1.1", tt.reason)
		if status != tt.status || text != tt.text || ok != tt.ok {
			t.Errorf("%s: %q %q %v", tt.reason, status, text, ok)
		}
	}
}
