package sasl

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TestOrder: the mechanism of each offer that is taken, as Cyrus would.
func TestOrder(t *testing.T) {
	const all = "ANONYMOUS OAUTHBEARER XOAUTH2 LOGIN PLAIN CRAM-MD5 EXTERNAL DIGEST-MD5 SCRAM-SHA-1 SCRAM-SHA-256 SCRAM-SHA-512 SCRAM-SHA-256-PLUS"
	password := Login{Username: "user", Password: "secret"}
	under := &tls.ConnectionState{Version: tls.VersionTLS13}
	for _, c := range []struct {
		offer, demand, want string
		login               Login
		peer                Peer
	}{
		{offer: all, want: "SCRAM-SHA-512"},
		{offer: "PLAIN scram-sha-1 SCRAM-SHA-256", want: "SCRAM-SHA-256"},
		{offer: "CRAM-MD5 SCRAM-SHA-1", want: "SCRAM-SHA-1"},
		{offer: "LOGIN PLAIN CRAM-MD5 EXTERNAL", want: "CRAM-MD5"},
		{offer: "EXTERNAL PLAIN", want: "PLAIN"},
		{offer: "EXTERNAL PLAIN", want: "PLAIN", peer: Peer{TLS: under, Certificate: true}},
		{offer: "EXTERNAL PLAIN CRAM-MD5", want: "EXTERNAL", peer: Peer{TLS: under, Certificate: true}, login: Login{Username: "user"}},
		{offer: "LOGIN PLAIN", want: "PLAIN"},
		{offer: "login", want: "LOGIN"},
		{offer: "OAUTHBEARER XOAUTH2 LOGIN", want: "LOGIN"},
		{offer: "OAUTHBEARER XOAUTH2", want: "XOAUTH2"},
		{offer: "OAUTHBEARER ANONYMOUS", want: "OAUTHBEARER"},
		{offer: "ANONYMOUS LOGIN", want: "LOGIN"},
		{offer: "ANONYMOUS LOGIN", want: "ANONYMOUS", demand: "noplaintext"},
		{offer: all, want: "SCRAM-SHA-512", demand: "noplaintext, noanonymous, mutual_auth, noactive"},
		{offer: "PLAIN LOGIN", demand: "noplaintext, noanonymous"},
		{offer: "PLAIN CRAM-MD5", demand: "mutual_auth"},
		{offer: "PLAIN CRAM-MD5", demand: "nodictionary"},
		{offer: all, demand: "forward_secrecy"},
		{offer: "ANONYMOUS", demand: "noanonymous"},
		{offer: "CRAM-MD5 DIGEST-MD5 SCRAM-SHA-1", want: "SCRAM-SHA-1"},
		{offer: "PLAIN CRAM-MD5 EXTERNAL DIGEST-MD5", want: "DIGEST-MD5"},
		{offer: "PLAIN CRAM-MD5 DIGEST-MD5", demand: "mutual_auth", want: "DIGEST-MD5"},
		{offer: "CRAM-MD5 DIGEST-MD5", demand: "noactive"},
		{offer: "GSSAPI NTLM"},
		{offer: ""},
	} {
		demand, err := ParseProperties(c.demand)
		if err != nil {
			t.Fatal(err)
		}
		if c.login == (Login{}) {
			c.login = password
		}
		client, err := Choose(strings.Fields(c.offer), Policy{Option: "lmtp_sasl_security_options", Demand: demand}, c.login, c.peer)
		var none *NoMechanismError
		if err != nil && !errors.As(err, &none) {
			t.Fatal(err)
		}
		got := ""
		if err == nil {
			if got, _, err = client.Start(); err != nil {
				t.Error(err)
			}
		}
		if got != c.want {
			t.Errorf("of %q with %q: got %q, want %q", c.offer, c.demand, got, c.want)
		}
	}
}

func TestNoMechanism(t *testing.T) {
	policy := Policy{Option: "lmtp_sasl_tls_security_options", Demand: NoPlaintext | NoAnonymous}
	_, err := Choose([]string{"PLAIN", "ANONYMOUS", "EXTERNAL", "XOAUTH2", "SCRAM-SHA-1-PLUS", "KERB\x07"}, policy,
		Login{Username: "user", Password: "secret"}, Peer{})
	const want = "offered PLAIN (removed by noplaintext in lmtp_sasl_tls_security_options), " +
		"ANONYMOUS (removed by noanonymous in lmtp_sasl_tls_security_options), " +
		"EXTERNAL (needs a client certificate), " +
		"XOAUTH2 (removed by noplaintext in lmtp_sasl_tls_security_options), " +
		"SCRAM-SHA-1-PLUS (channel binding is used only if lmtp_sasl_mechanism_filter asks for it), " +
		"KERB? (not known here)"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if Short(err) != "no mechanism available" {
		t.Error(Short(err))
	}
	long := strings.Fields(strings.Repeat("X-SOMETHING ", 500))
	if _, err := Choose(long, policy, Login{}, Peer{}); err == nil || len(err.Error()) > 1000 {
		t.Errorf("%d bytes", len(err.Error()))
	}
}

func TestParseProperties(t *testing.T) {
	for value, want := range map[string]string{
		"":                          "",
		"noplaintext, noanonymous":  "noplaintext, noanonymous",
		"NoAnonymous\tnoplaintext,": "noplaintext, noanonymous",
		"noactive nodictionary forward_secrecy mutual_auth": "noactive, nodictionary, forward_secrecy, mutual_auth",
		"noplaintext,nosuch": `unknown SASL security options value "nosuch" in "noplaintext,nosuch"`,
	} {
		p, err := ParseProperties(value)
		got := p.String()
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", value, got, want)
		}
	}
}

func TestParseLogin(t *testing.T) {
	for _, c := range []struct{ value, delimiter, user, password string }{
		{"user:secret", ":", "user", "secret"},
		{"user:sec:ret", ":", "user", "sec:ret"},
		{"user", ":", "user", ""},
		{"user@example.com|se:cret", "|", "user@example.com", "se:cret"},
		{":secret", ":", "", "secret"},
	} {
		if got := ParseLogin(c.value, c.delimiter); got != (Login{Username: c.user, Password: c.password}) {
			t.Errorf("%q: %q and %q", c.value, got.Username, got.Password)
		}
	}
}

// TestLoginNeverPrints: whatever is done with a login, its password stays.
func TestLoginNeverPrints(t *testing.T) {
	l := Login{Username: "user", Password: "secret", Authzid: "other"}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{l, &l, []Login{l}, struct{ L Login }{l}} {
			if text := fmt.Sprintf(verb, v); strings.Contains(text, "secret") || strings.Contains(text, "736563726574") {
				t.Errorf("%s of %T: %s", verb, v, text)
			}
		}
	}
}

func TestIdentity(t *testing.T) {
	salt := []byte("salt")
	seen := map[Identity]string{{}: "nobody"}
	for _, l := range []Login{{}, {"a", "b", ""}, {"ab", "", ""}, {"a", "b", "c"}, {"", "ab", ""}, {"a", "", "b"}, {"a", "2:b", ""}} {
		id := l.Identity(salt)
		name := l.Username + "|" + l.Password + "|" + l.Authzid
		if other, dup := seen[id]; dup {
			t.Errorf("%s is the same as %s", name, other)
		}
		seen[id] = name
		if id != l.Identity(salt) || id == l.Identity([]byte("pepper")) {
			t.Errorf("%s: the salt", name)
		}
	}
}
