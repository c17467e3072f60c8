package sasl

import (
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // RFC 2831
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	gosasl "github.com/emersion/go-sasl"
)

const digestMD5 = "DIGEST-MD5"

// digestClient is DIGEST-MD5 (RFC 2831; historic since RFC 6331), without
// security layers: of the qualities of protection there is "auth" only.
type digestClient struct {
	login  Login
	uri    string // service/host
	cnonce string
	expect string // the server's proof that it knows the password
	proved bool
}

func newDigest(l Login, p Peer) (gosasl.Client, error) {
	return &digestClient{login: l, uri: "lmtp/" + p.Host, cnonce: rand.Text()}, nil
}

func (c *digestClient) Start() (string, []byte, error) { return digestMD5, nil, nil }

func (c *digestClient) Next(challenge []byte) ([]byte, error) {
	switch {
	case c.proved:
		return nil, gosasl.ErrUnexpectedServerChallenge
	case c.expect != "":
		return c.prove(challenge)
	}
	d, err := parseDirectives(string(challenge))
	if err != nil {
		return nil, err
	}
	return c.respond(d)
}

// Finish tells whether the server has proved that it knows the password.
func (c *digestClient) Finish() error {
	if !c.proved {
		return &Error{digestMD5, badServer, "the server welcomed us without a proof that it knows the password"}
	}
	return nil
}

// prove reads the server's proof (RFC 2831 section 2.1.3).
func (c *digestClient) prove(challenge []byte) ([]byte, error) {
	d, err := parseDirectives(string(challenge))
	if err != nil {
		return nil, err
	}
	got, err := d.one("rspauth")
	if err != nil {
		return nil, err
	}
	if !hmac.Equal([]byte(got), []byte(c.expect)) {
		return nil, &Error{digestMD5, badServer, "the server does not know the password"}
	}
	c.proved = true
	return []byte{}, nil
}

// respond answers the server's first challenge (RFC 2831 section 2.1.2).
func (c *digestClient) respond(d directives) ([]byte, error) {
	nonce, err := d.one("nonce")
	if err != nil {
		return nil, err
	}
	algorithm, err := d.one("algorithm")
	if err != nil {
		return nil, err
	}
	if !strings.EqualFold(algorithm, "md5-sess") {
		return nil, digestError("the server wants another algorithm than md5-sess")
	}
	if qop := d["qop"]; len(qop) > 0 && !slices.ContainsFunc(qop, offersAuth) {
		return nil, digestError("the server demands a security layer")
	}
	utf8 := len(d["charset"]) > 0
	realm := c.realm(d["realm"])
	var b strings.Builder
	if utf8 {
		b.WriteString("charset=utf-8,")
	}
	fmt.Fprintf(&b, "username=%s,realm=%s,nonce=%s,cnonce=%s,nc=00000001,qop=auth,digest-uri=%s",
		quoted(c.login.Username), quoted(realm), quoted(nonce), quoted(c.cnonce), quoted(c.uri))
	authzid := c.login.Authzid
	if authzid == c.login.Username {
		authzid = ""
	}
	if authzid != "" {
		b.WriteString(",authzid=" + quoted(authzid))
	}
	value := c.digest(realm, nonce, authzid, utf8)
	b.WriteString(",response=" + value("AUTHENTICATE:"))
	c.expect = value(":")
	return []byte(b.String()), nil
}

// digestError is about a challenge that cannot be answered. The Cyrus library
// has no words of its own for that.
func digestError(detail string) error { return &Error{digestMD5, outOfTurn, detail} }

func offersAuth(qop string) bool {
	return slices.ContainsFunc(strings.Split(qop, ","), func(word string) bool {
		return strings.EqualFold(strings.TrimSpace(word), "auth")
	})
}

// realm chooses one of those that the server has: the one in the user name, or
// the first; the server's name if it has none.
func (c *digestClient) realm(offered []string) string {
	if len(offered) == 0 {
		_, host, _ := strings.Cut(c.uri, "/")
		return host
	}
	if at := strings.LastIndexByte(c.login.Username, '@'); at >= 0 {
		if n := slices.Index(offered, c.login.Username[at+1:]); n >= 0 {
			return offered[n]
		}
	}
	return offered[0]
}

// digest returns the function that makes the response, and the server's, of
// their different beginnings of A2 (RFC 2831 section 2.1.2.1).
func (c *digestClient) digest(realm, nonce, authzid string, utf8 bool) func(string) string {
	text := func(s string) string {
		if utf8 {
			return latin1(s)
		}
		return s
	}
	secret := md5.Sum([]byte(text(c.login.Username) + ":" + text(realm) + ":" + text(c.login.Password))) //nolint:gosec // as above
	a1 := string(secret[:]) + ":" + nonce + ":" + c.cnonce
	if authzid != "" {
		a1 += ":" + authzid
	}
	return func(a2 string) string {
		return hexMD5(hexMD5(a1) + ":" + nonce + ":00000001:" + c.cnonce + ":auth:" + hexMD5(a2+c.uri))
	}
}

func hexMD5(s string) string {
	sum := md5.Sum([]byte(s)) //nolint:gosec // as above
	return hex.EncodeToString(sum[:])
}

// latin1 makes ISO 8859-1 of what has no other characters (RFC 2831 section
// 2.1.2.1).
func latin1(s string) string {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		if r > 0xff {
			return s
		}
		b = append(b, byte(r))
	}
	return string(b)
}

func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// directives are what a challenge says, by name in lower case.
type directives map[string][]string

// one returns the value of a directive that must be there once.
func (d directives) one(name string) (string, error) {
	if len(d[name]) != 1 || d[name][0] == "" {
		return "", digestError("the challenge has no " + name + ", or several")
	}
	return d[name][0], nil
}

// maxDigest is the longest challenge, in bytes (RFC 2831 section 2.1.1).
const maxDigest = 2048

// parseDirectives reads name=value and name="value" between commas.
func parseDirectives(text string) (directives, error) {
	if len(text) > maxDigest {
		return nil, digestError("the challenge is longer than 2048 bytes")
	}
	const space = " \t\r\n"
	d := directives{}
	for {
		text = strings.TrimLeft(text, space+",")
		if text == "" {
			return d, nil
		}
		name, rest, found := strings.Cut(text, "=")
		if name = strings.ToLower(strings.TrimRight(name, space)); !found || name == "" || strings.ContainsAny(name, space+`",`) {
			return nil, &Error{digestMD5, badAuth, "the challenge is malformed"}
		}
		value, rest, ok := directiveValue(strings.TrimLeft(rest, space))
		if rest = strings.TrimLeft(rest, space); !ok || rest != "" && rest[0] != ',' {
			return nil, &Error{digestMD5, badAuth, "the challenge is malformed"}
		}
		d[name] = append(d[name], value)
		text = rest
	}
}

// directiveValue cuts a value, in quotes or not, off a text.
func directiveValue(text string) (value, rest string, ok bool) {
	if !strings.HasPrefix(text, `"`) {
		end := strings.IndexAny(text+",", ", \t\r\n")
		return text[:end], text[end:], true
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '"':
			return b.String(), text[i+1:], true
		case '\\':
			if i++; i == len(text) {
				return "", "", false
			}
		}
		b.WriteByte(text[i])
	}
	return "", "", false
}
