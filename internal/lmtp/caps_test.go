package lmtp

import (
	"reflect"
	"strings"
	"testing"
)

func parseCaps(reply string, tls bool, discard string) (Capabilities, *recorder) {
	rec := new(recorder)
	opt := &Options{Peer: "h[a]", PeerPort: "h[a]:24", Discard: ParseDiscard(discard), Hooks: Hooks{Log: rec}}
	c := parseCapabilities(Reply{Lines: strings.Split(reply, "\n")}, tls, opt)
	c.Keywords = nil
	return c, rec
}

func TestCapabilities(t *testing.T) {
	for _, tc := range []struct {
		name, reply string
		tls         bool
		discard     string
		want        Capabilities
		log         []string
	}{
		{name: "none", reply: "250 h", want: Capabilities{ServerName: "h"}},
		{name: "all", reply: "250-srv.example hello\n250-8bitmime\n250-PIPELINING\n250-Size 1000 x\n250-STARTTLS\n" +
			"250-REQUIRETLS\n250-AUTH PLAIN LOGIN\n250-DSN\n250-SMTPUTF8\n250-XFORWARD name ADDR\n250 XFORWARD SOURCE junk",
			want: Capabilities{ServerName: "srv.example", EightBitMIME: true, Pipelining: true, SizeOffered: true,
				SizeLimit: 1000, StartTLS: true, Auth: "PLAIN LOGIN", AuthLists: []string{"PLAIN LOGIN"}, DSN: true, SMTPUTF8: true,
				XForward: XForwardName | XForwardAddr | XForwardSource}},
		{name: "under TLS", reply: "250-h\n250 REQUIRETLS", tls: true, want: Capabilities{ServerName: "h", RequireTLS: true}},
		{name: "first word is a name", reply: "250-PIPELINING\n250 DSN", want: Capabilities{ServerName: "PIPELINING", DSN: true}},
		{name: "empty first line", reply: "250-\n250-h\n250 DSN", want: Capabilities{ServerName: "h", DSN: true}},
		{name: "old AUTH", reply: "250-h\n250-AUTH=PLAIN\n250-AUTH LOGIN\n250 AUTH login",
			want: Capabilities{ServerName: "h", Auth: "PLAIN LOGIN login", AuthLists: []string{"PLAIN", "LOGIN", "login"}}},
		{name: "same AUTH twice", reply: "250-h\n250-AUTH=PLAIN LOGIN\n250 AUTH plain login",
			want: Capabilities{ServerName: "h", Auth: "PLAIN LOGIN", AuthLists: []string{"PLAIN LOGIN", "plain login"}}},
		{name: "bad SIZE", reply: "250-h\n250 SIZE 1k", want: Capabilities{ServerName: "h", SizeOffered: true},
			log: []string{`warning: bad EHLO SIZE limit "1k" from h[a]:24`}},
		{name: "SIZE without limit", reply: "250-h\n250 SIZE", want: Capabilities{ServerName: "h", SizeOffered: true}},
		{name: "huge SIZE", reply: "250-h\n250 SIZE 99999999999999999999", want: Capabilities{ServerName: "h", SizeOffered: true}},
		{name: "UTF8 alone", reply: "250-h\n250 SMTPUTF8", want: Capabilities{ServerName: "h", SMTPUTF8: true, EightBitMIME: true},
			log: []string{"info: host h[a] offers SMTPUTF8 support, but not 8BITMIME"}},
		{name: "discarded", reply: "250-h\n250-DSN\n250-SIZE x\n250-AUTH x\n250-XFORWARD NAME\n250-STARTTLS\n250 PIPELINING",
			discard: "dsn, size auth\txforward,bogus STARTTLS", want: Capabilities{ServerName: "h", Pipelining: true},
			log: []string{"info: discarding EHLO keywords: AUTH SIZE XFORWARD STARTTLS DSN"}},
		{name: "discarded silently", reply: "250-h\n250 DSN", discard: "silent-discard,dsn", want: Capabilities{ServerName: "h"}},
		{name: "garbage", reply: "garbage\n250-h DSN\nxyz DSN\n-- ==\n250 =SIZE=7",
			want: Capabilities{ServerName: "h", DSN: true, SizeOffered: true, SizeLimit: 7}},
	} {
		got, rec := parseCaps(tc.reply, tc.tls, tc.discard)
		if !reflect.DeepEqual(got, tc.want) || !reflect.DeepEqual(rec.log, tc.log) {
			t.Errorf("%s: %+v %q\nwant %+v %q", tc.name, got, rec.log, tc.want, tc.log)
		}
	}
}

func FuzzCapabilities(f *testing.F) {
	f.Add("250-srv\n250-AUTH=PLAIN\n250-SIZE 12\n250 XFORWARD NAME", "dsn,SIZE", true)
	f.Add("\n\n- =\n250", "", false)
	f.Fuzz(func(t *testing.T, reply, discard string, tls bool) {
		if len(reply) > 4096 {
			return
		}
		d := ParseDiscard(discard)
		if ParseDiscard(d.String()) != d {
			t.Fatalf("discard %q: %s", discard, d)
		}
		c, _ := parseCaps(reply, tls, discard)
		if c.SizeLimit < 0 || c.RequireTLS && !tls || c.SMTPUTF8 && !c.EightBitMIME || d.has(kwDSN) && c.DSN {
			t.Fatalf("%q: %+v", reply, c)
		}
		if len(c.Auth) > len(reply)+strings.Count(reply, "\n") {
			t.Fatalf("auth %q out of %q", c.Auth, reply)
		}
	})
}
