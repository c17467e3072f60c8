package sasl

import (
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // RFC 2195
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	gosasl "github.com/emersion/go-sasl"
)

// The names of mechanisms that go-sasl has no name for.
const (
	cramMD5 = "CRAM-MD5"
	xoauth2 = "XOAUTH2"
)

// A client makes an *Error of each error of another client.
type client struct {
	gosasl.Client
	name string
}

func (c *client) Start() (mech string, ir []byte, err error) {
	_, ir, err = c.Client.Start()
	return c.name, ir, c.wrap(err)
}

func (c *client) Next(challenge []byte) ([]byte, error) {
	response, err := c.Client.Next(challenge)
	return response, c.wrap(err)
}

// Finish tells whether the server may be believed when it says that all is
// well: an error says that it has not proved itself, as the mechanism demands.
func (c *client) Finish() error {
	f, ok := c.Client.(interface{ Finish() error })
	if !ok {
		return nil
	}
	return c.wrap(f.Finish())
}

func (c *client) wrap(err error) error {
	switch e := new(Error); {
	case err == nil, errors.As(err, &e):
		return err
	case errors.Is(err, gosasl.ErrUnexpectedServerChallenge):
		return &Error{c.name, outOfTurn, "a challenge after the last step"}
	}
	return &Error{c.name, badProtocol, printable(err.Error())}
}

// cramClient is CRAM-MD5 (RFC 2195).
type cramClient struct {
	login Login
	done  bool
}

func (c *cramClient) Start() (string, []byte, error) { return cramMD5, nil, nil }

// maxCRAM is the longest challenge that the Cyrus library takes, in bytes.
const maxCRAM = 1024

func (c *cramClient) Next(challenge []byte) ([]byte, error) {
	if c.done {
		return nil, gosasl.ErrUnexpectedServerChallenge
	}
	if len(challenge) > maxCRAM {
		return nil, errors.New("CRAM-MD5 input longer than 1024 bytes")
	}
	c.done = true
	mac := hmac.New(md5.New, []byte(c.login.Password))
	mac.Write(challenge)
	return []byte(c.login.Username + " " + hex.EncodeToString(mac.Sum(nil))), nil
}

// loginClient is LOGIN (draft-murchison-sasl-login). Unlike go-sasl's it waits
// for the question after the user name, and does not look at the questions:
// servers word them as they like.
type loginClient struct {
	login Login
	step  int
}

func (c *loginClient) Start() (string, []byte, error) { return gosasl.Login, nil, nil }

func (c *loginClient) Next([]byte) ([]byte, error) {
	c.step++
	switch c.step {
	case 1:
		return []byte(c.login.Username), nil
	case 2:
		return []byte(c.login.Password), nil
	}
	return nil, gosasl.ErrUnexpectedServerChallenge
}

// xoauth2Client is XOAUTH2, the older form of OAUTHBEARER. A refusal comes as a
// challenge, which wants an empty answer, and then as a reply.
type xoauth2Client struct {
	login   Login
	refused bool
}

func (c *xoauth2Client) Start() (string, []byte, error) {
	return xoauth2, []byte("user=" + c.login.Username + "\x01auth=Bearer " + c.login.Password + "\x01\x01"), nil
}

func (c *xoauth2Client) Next([]byte) ([]byte, error) {
	if c.refused {
		return nil, gosasl.ErrUnexpectedServerChallenge
	}
	c.refused = true
	return []byte{}, nil
}

// Finish: after the challenge there can be no welcome.
func (c *xoauth2Client) Finish() error {
	if c.refused {
		return &Error{xoauth2, badProtocol, "the server refused the token, and then welcomed us"}
	}
	return nil
}

// oauthClient is OAUTHBEARER (RFC 7628). go-sasl's client ends at the challenge
// that says why a token is refused; the answer to it brings a proper reply.
type oauthClient struct {
	gosasl.Client
	refused error
}

func newOAuthBearer(l Login, p Peer) (gosasl.Client, error) {
	name := strings.NewReplacer("=", "=3D", ",", "=2C").Replace(l.Username) // saslname, RFC 5801 section 4
	return &oauthClient{Client: gosasl.NewOAuthBearerClient(&gosasl.OAuthBearerOptions{
		Username: name, Token: l.Password, Host: p.Host, Port: p.Port,
	})}, nil
}

func (c *oauthClient) Next(challenge []byte) ([]byte, error) {
	if c.refused != nil {
		return nil, gosasl.ErrUnexpectedServerChallenge
	}
	var why gosasl.OAuthBearerError
	if err := json.Unmarshal(challenge, &why); err != nil {
		return nil, fmt.Errorf("read the refusal of the token: %w", err)
	}
	c.refused = &why
	return []byte{1}, nil // RFC 7628 section 3.2.3
}

// Finish: after the challenge there can be no welcome.
func (c *oauthClient) Finish() error {
	if c.refused != nil {
		return &Error{gosasl.OAuthBearer, badProtocol, "the server refused the token, and then welcomed us"}
	}
	return nil
}
