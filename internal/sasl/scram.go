package sasl

import (
	"crypto/tls"
	"errors"
	"strconv"
	"strings"

	gosasl "github.com/emersion/go-sasl"
	"github.com/xdg-go/scram"
)

type scramHash struct {
	name string
	hash scram.HashGeneratorFcn
}

func scramHashes() []scramHash {
	return []scramHash{{"SCRAM-SHA-512", scram.SHA512}, {"SCRAM-SHA-256", scram.SHA256}, {"SCRAM-SHA-1", scram.SHA1}}
}

// scramClient is a mechanism of the SCRAM family (RFC 5802, RFC 7677).
type scramClient struct {
	name string
	conv *scram.ClientConversation
}

// newSCRAM makes a client. Names and passwords that SASLprep refuses are used
// as they are: that is what they were set as.
func newSCRAM(name string, hash scram.HashGeneratorFcn, plus bool, l Login, p Peer) (gosasl.Client, error) {
	c, err := hash.NewClient(l.Username, l.Password, l.Authzid)
	if err != nil {
		c, err = hash.NewClientUnprepped(l.Username, l.Password, l.Authzid)
	}
	if err != nil {
		// The library's text may have a part of the password in it.
		return nil, &Error{name, badParameter, "the login does not suit the mechanism"}
	}
	switch {
	case !plus && p.stripped:
		return &scramClient{name, c.NewConversationAdvertisingChannelBinding()}, nil
	case !plus:
		return &scramClient{name, c.NewConversation()}, nil
	}
	binding, err := channelBinding(p.TLS)
	if err != nil {
		return nil, &Error{name, badParameter, "find the channel binding: " + printable(err.Error())}
	}
	return &scramClient{name, c.NewConversationWithChannelBinding(binding)}, nil
}

// channelBinding is tls-exporter (RFC 9266), the one for TLS 1.3; with what came
// before it is tls-unique, which RFC 5802 has servers know, or where a resumed
// session has none, tls-server-end-point (RFC 5929).
func channelBinding(state *tls.ConnectionState) (scram.ChannelBinding, error) {
	if state.Version >= tls.VersionTLS13 {
		return scram.NewTLSExporterBinding(state)
	}
	if state.TLSUnique != nil {
		return scram.NewTLSUniqueBinding(state.TLSUnique), nil
	}
	return scram.NewTLSServerEndpointBinding(state)
}

func (c *scramClient) Start() (string, []byte, error) {
	first, err := c.conv.Step("")
	return c.name, []byte(first), err
}

// maxIterations bounds the work that a server may ask for, to about a second.
const maxIterations = 2_000_000

// checkIterations looks at the count in the server's first message, before the
// library works it off (RFC 5802 section 5.1).
func checkIterations(challenge string) error {
	fields := strings.Split(challenge, ",")
	if len(fields) < 3 || !strings.HasPrefix(fields[2], "i=") {
		return nil // the library knows better what is wrong with it
	}
	if n, err := strconv.ParseUint(fields[2][2:], 10, 32); err != nil || n > maxIterations {
		return errors.New("the server asks for too many iterations: " + fields[2])
	}
	return nil
}

func (c *scramClient) Next(challenge []byte) ([]byte, error) {
	if c.conv.Done() {
		return nil, gosasl.ErrUnexpectedServerChallenge
	}
	if err := checkIterations(string(challenge)); err != nil {
		return nil, err
	}
	response, err := c.conv.Step(string(challenge))
	if err != nil && c.conv.Done() && !c.conv.Valid() {
		return nil, &Error{c.name, badServer, printable(err.Error())}
	}
	return []byte(response), err
}

// Finish tells whether the server has proved that it knows the password.
func (c *scramClient) Finish() error {
	if !c.conv.Valid() {
		return &Error{c.name, badServer, "the server welcomed us without a proof that it knows the password"}
	}
	return nil
}
