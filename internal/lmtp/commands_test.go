package lmtp

import (
	"errors"
	"testing"
)

func TestCommands(t *testing.T) {
	all := Capabilities{EightBitMIME: true, SizeOffered: true, DSN: true, SMTPUTF8: true, RequireTLS: true, Auth: "PLAIN"}
	for _, tc := range []struct {
		name       string
		caps       Capabilities
		t          Transaction
		r          Recipient
		unquoted   bool
		mail, rcpt string
	}{
		{name: "null sender", r: Recipient{Address: "a@b"}, mail: "MAIL FROM:<>", rcpt: "RCPT TO:<a@b>"},
		{name: "everything", caps: all, t: Transaction{Sender: "a b@c", Size: 77, Encoding: "8bit", EnvID: "x+y=z", Ret: RetFull,
			SMTPUTF8: true, RequireTLS: true, EmptyAuth: true},
			r:    Recipient{Address: `"q@c`, ORcpt: "rfc822;o+1@c", Notify: NotifySuccess | NotifyFailure | NotifyDelay},
			mail: `MAIL FROM:<"a b"@c> SIZE=77 BODY=8BITMIME ENVID=x+2By+3Dz RET=FULL SMTPUTF8 REQUIRETLS AUTH=<>`,
			rcpt: `RCPT TO:<"\"q"@c> ORCPT=rfc822;o+2B1@c NOTIFY=SUCCESS,FAILURE,DELAY`},
		{name: "nothing offered", t: Transaction{Sender: "a@c", Size: 77, Encoding: "8bit", EnvID: "x", Ret: RetHeaders,
			SMTPUTF8: true, RequireTLS: true, EmptyAuth: true}, r: Recipient{Address: "r@c", ORcpt: "rfc822;o", Notify: NotifyNever},
			mail: "MAIL FROM:<a@c>", rcpt: "RCPT TO:<r@c>"},
		{name: "ORCPT anyway", t: Transaction{ORcptAnyway: true, UTF8ORcpt: true}, r: Recipient{Address: "r@c", Original: "o@c", Notify: NotifySuccess},
			mail: "MAIL FROM:<>", rcpt: "RCPT TO:<r@c> ORCPT=rfc822;o@c"},
		{name: "nothing wanted", caps: all, t: Transaction{Sender: "a@c", Size: -1}, r: Recipient{Address: "r@c", Notify: NotifyNever},
			mail: "MAIL FROM:<a@c>", rcpt: "RCPT TO:<r@c> NOTIFY=NEVER"},
		{name: "downgrade", caps: Capabilities{SizeOffered: true}, t: Transaction{Sender: "a@c", Size: 9, Downgrade: true},
			r: Recipient{Address: "r@c"}, mail: "MAIL FROM:<a@c>", rcpt: "RCPT TO:<r@c>"},
		{name: "7bit", caps: all, t: Transaction{Encoding: "7bit", Ret: RetHeaders}, r: Recipient{Address: "r@c", Original: "O x@c"},
			mail: "MAIL FROM:<> SIZE=0 BODY=7BIT RET=HDRS", rcpt: `RCPT TO:<r@c> ORCPT=rfc822;"O+20x"@c`},
		{name: "REQUIRETLS not offered", caps: Capabilities{DSN: true}, t: Transaction{RequireTLS: true, Ret: RetFull},
			r: Recipient{Address: "r@c"}, mail: "MAIL FROM:<> RET=HDRS", rcpt: "RCPT TO:<r@c>"},
		{name: "unquoted", t: Transaction{Sender: "a b@c"}, r: Recipient{Address: "c d@e"}, unquoted: true,
			mail: "MAIL FROM:<a b@c>", rcpt: "RCPT TO:<c d@e>"},
	} {
		c := &commander{caps: &tc.caps, opt: &Options{Unquoted: tc.unquoted}, t: &tc.t}
		if got := string(c.mail(nil)); got != tc.mail {
			t.Errorf("%s: %s\nwant %s", tc.name, got, tc.mail)
		}
		if got := string(c.rcpt(nil, &tc.r)); got != tc.rcpt {
			t.Errorf("%s: %s\nwant %s", tc.name, got, tc.rcpt)
		}
	}
}

func TestUnknownEncoding(t *testing.T) {
	rec := new(recorder)
	c := &commander{caps: &Capabilities{EightBitMIME: true}, opt: &Options{Hooks: Hooks{Log: rec, QueueID: "ABC"}},
		t: &Transaction{Encoding: "binary"}}
	if got := string(c.mail(nil)); got != "MAIL FROM:<>" || len(rec.log) != 1 ||
		rec.log[0] != "warning: ABC: unknown content encoding: binary" {
		t.Errorf("%s, log %q", got, rec.log)
	}
}

func TestXForwardCommand(t *testing.T) {
	for _, tc := range []struct {
		x             *XForward
		offered       XForwardSet
		first, second string
	}{
		{nil, 0xff, "", ""},
		{&XForward{Name: "a"}, 0, "", ""},
		{&XForward{Name: "UNKNOWN", Addr: "", Port: "unknown", Proto: "unknown"}, 0xff, "", ""},
		{&XForward{Name: "n", Helo: "unknown", RewriteContext: "local"}, 0xff, "XFORWARD NAME=n", "XFORWARD HELO=unknown SOURCE=LOCAL"},
		{&XForward{Name: "n", Addr: "a", Port: "1", RewriteContext: "x"}, XForwardPort | XForwardSource, "XFORWARD PORT=1", "XFORWARD SOURCE=REMOTE"},
	} {
		c := &commander{caps: &Capabilities{XForward: tc.offered}, opt: new(Options), t: &Transaction{XForward: tc.x}}
		first, second := string(c.xforward(nil, StageXForwardNameAddr)), string(c.xforward(nil, StageXForwardProto))
		if first != tc.first || second != tc.second {
			t.Errorf("%+v: %q, %q", tc.x, first, second)
		}
	}
}

// TestInjection has line ends in addresses: nothing at all is sent.
func TestInjection(t *testing.T) {
	for _, addr := range []string{"a\nRSET@x", "a\rb@x", "a\x00b@x"} {
		bubble(t, "", func(t *testing.T) {
			s := &fakeServer{}
			tr := newTransaction(2)
			tr.Recipients[1].Address = addr
			res := deliver(t, s, 64, tr, nil)
			res.expect(t, "local rcpt", ", ")
			if len(s.lines) != 1 {
				t.Errorf("sent %q", s.lines)
			}
			if err := CheckAddress(addr); err == nil {
				t.Error("CheckAddress says nothing")
			}
		})
	}
	bubble(t, "sender", func(t *testing.T) {
		tr := newTransaction(1)
		tr.Sender = "a\r\nQUIT@x"
		res := deliver(t, &fakeServer{}, 64, tr, nil)
		res.expect(t, "local mail", "")
	})
	bubble(t, "name", func(t *testing.T) {
		res := deliver(t, &fakeServer{}, 64, newTransaction(1), func(o *Options) { o.LHLOName = "a\nb" })
		var local *LocalError
		if !errors.As(res.openErr, &local) {
			t.Errorf("%v", res.openErr)
		}
	})
}
