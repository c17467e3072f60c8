package sasl

import (
	"errors"
	"strings"
	"testing"
)

// TestDigest: the example of RFC 2831 section 4, and servers that go astray.
func TestDigest(t *testing.T) {
	const challenge = `realm="elwood.innosoft.com",nonce="OA6MG9tEQGm2hh",qop="auth",algorithm=md5-sess,charset=utf-8`
	const proof = "rspauth=ea40f60335c427b5527b84dbabcdfffd"
	start := func() *digestClient {
		return &digestClient{login: Login{Username: "chris", Password: "secret"}, uri: "imap/elwood.innosoft.com", cnonce: "OA6MHXh6VqTrRk"}
	}
	c := start()
	got, err := c.Next([]byte(challenge))
	const want = `charset=utf-8,username="chris",realm="elwood.innosoft.com",nonce="OA6MG9tEQGm2hh",cnonce="OA6MHXh6VqTrRk",` +
		`nc=00000001,qop=auth,digest-uri="imap/elwood.innosoft.com",response=d388dad90d4bbd760a152321f2143af7`
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v", got, err)
	}
	var e *Error
	if err := c.Finish(); !errors.As(err, &e) || e.Short != badServer {
		t.Errorf("welcomed without a proof: %v", err)
	}
	if got, err := c.Next([]byte(proof)); err != nil || len(got) != 0 || c.Finish() != nil {
		t.Errorf("the proof: %q, %v, %v", got, err, c.Finish())
	}
	if _, err := c.Next([]byte(proof)); err == nil {
		t.Error("a step too many")
	}

	for _, bad := range []string{
		"", "nonce", "nonce=", `nonce="a`, `nonce="a\`, `nonce="a"b,algorithm=md5-sess`, `=x`, "nonce=a",
		"algorithm=md5-sess", "nonce=a,algorithm=md5", "nonce=a,nonce=b,algorithm=md5-sess",
		`nonce=a,algorithm=md5-sess,qop="auth-int,auth-conf"`, `no nce=a,algorithm=md5-sess`,
		"nonce=" + strings.Repeat("a", 2048) + ",algorithm=md5-sess",
	} {
		if got, err := start().Next([]byte(bad)); err == nil {
			t.Errorf("%q: %s", bad, got)
		}
	}
	for _, bad := range []string{"", "rspauth=", "rspauth=00", "rspauth=" + strings.Repeat("0", 32)} {
		c := start()
		if _, err := c.Next([]byte(challenge)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Next([]byte(bad)); err == nil || c.Finish() == nil {
			t.Errorf("believed %q", bad)
		}
	}
}

// TestDigestText: quoting, realms and characters.
func TestDigestText(t *testing.T) {
	for _, c := range []struct {
		login           Login
		challenge, want string
	}{
		{Login{Username: `a"b\c`, Password: "p"}, `nonce="x\"y", algorithm=md5-sess, qop="auth-int, auth"`,
			`username="a\"b\\c",realm="h",nonce="x\"y",`},
		{Login{Username: "u@two", Password: "p"}, `realm="one",realm="two",nonce=x,algorithm=MD5-SESS`, `username="u@two",realm="two",nonce="x",`},
		{Login{Username: "u", Password: "p"}, `realm=one , realm="two",,nonce=x,algorithm=md5-sess`, `username="u",realm="one",nonce="x",`},
		{Login{Username: "u", Password: "p", Authzid: "v"}, `nonce=x,algorithm=md5-sess`, `digest-uri="lmtp/h",authzid="v",response=`},
	} {
		got, err := choose(t, digestMD5, c.login, Peer{Host: "h"}).Next([]byte(c.challenge))
		if err != nil || !strings.Contains(string(got), c.want) {
			t.Errorf("%s: got %s, %v", c.challenge, got, err)
		}
	}
	if latin1("é") != "\xe9" || latin1("€é") != "€é" {
		t.Error("latin1")
	}
}

func FuzzDirectives(f *testing.F) {
	f.Add(`realm="a",nonce="b\"",qop="auth",algorithm=md5-sess`)
	f.Fuzz(func(t *testing.T, text string) {
		d, err := parseDirectives(text)
		for name, values := range d {
			if err == nil && (name == "" || len(values) == 0) {
				t.Errorf("%q: %q", text, d)
			}
		}
	})
}
