package sasl

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"

	gosasl "github.com/emersion/go-sasl"
)

// A Policy is what the settings demand of a mechanism.
type Policy struct {
	Option string // the parameter that demands, for messages
	Demand Properties
	// ChannelBinding allows the -PLUS mechanisms. There is no telling which
	// kind of binding a server has, so this is for those who asked for it.
	ChannelBinding bool
}

// A Peer is what is known about the session that a client is for.
type Peer struct {
	Host       string // the server's name
	Port       int    // 0: not known, or a UNIX-domain socket
	ClientName string // our host name, the trace of ANONYMOUS
	TLS        *tls.ConnectionState
	// Certificate: the server has a certificate of ours, which EXTERNAL
	// refers to.
	Certificate bool
	// Offered are the mechanisms that the server offers, also those that the
	// settings leave out.
	Offered []string

	stripped bool // see stripped
}

// A mechanism is one row of the table.
type mechanism struct {
	name  string
	has   Properties
	bound bool // with channel binding
	// unfit says why it cannot be used with a login and a peer; empty: it can.
	unfit  func(Login, Peer) string
	client func(Login, Peer) (gosasl.Client, error)
}

// mechanisms returns the table, the strongest first: see the package comment.
func mechanisms() []mechanism {
	const scram = NoPlaintext | NoActive | NoAnonymous | MutualAuth
	table := []mechanism{}
	for _, plus := range []bool{true, false} {
		for _, h := range scramHashes() {
			m := mechanism{name: h.name, has: scram, bound: plus}
			if plus {
				m.name += "-PLUS"
				m.unfit = needTLS
			}
			m.client = func(l Login, p Peer) (gosasl.Client, error) { return newSCRAM(m.name, h.hash, plus, l, p) }
			table = append(table, m)
		}
	}
	return append(table,
		mechanism{name: digestMD5, has: NoPlaintext | NoAnonymous | MutualAuth, client: newDigest},
		mechanism{name: gosasl.External, has: NoPlaintext | NoDictionary | NoAnonymous, unfit: needCertificate,
			client: func(l Login, _ Peer) (gosasl.Client, error) { return gosasl.NewExternalClient(l.Authzid), nil }},
		mechanism{name: cramMD5, has: NoPlaintext | NoAnonymous,
			client: func(l Login, _ Peer) (gosasl.Client, error) { return &cramClient{login: l}, nil }},
		mechanism{name: gosasl.Plain, has: NoAnonymous, unfit: noNUL,
			client: func(l Login, _ Peer) (gosasl.Client, error) {
				return gosasl.NewPlainClient(l.Authzid, l.Username, l.Password), nil
			}},
		mechanism{name: gosasl.Login, has: NoAnonymous,
			client: func(l Login, _ Peer) (gosasl.Client, error) { return &loginClient{login: l}, nil }},
		mechanism{name: xoauth2, has: NoAnonymous, unfit: needToken,
			client: func(l Login, _ Peer) (gosasl.Client, error) { return &xoauth2Client{login: l}, nil }},
		mechanism{name: gosasl.OAuthBearer, has: NoAnonymous, unfit: needToken, client: newOAuthBearer},
		mechanism{name: gosasl.Anonymous, has: NoPlaintext,
			client: func(_ Login, p Peer) (gosasl.Client, error) {
				return gosasl.NewAnonymousClient("anonymous@" + p.ClientName), nil
			}},
	)
}

func needTLS(_ Login, p Peer) string {
	if p.TLS == nil {
		return "needs TLS"
	}
	return ""
}

func needCertificate(l Login, p Peer) string {
	switch {
	case !p.Certificate:
		return "needs a client certificate"
	case l.Password != "":
		return "is for a login without a password"
	}
	return ""
}

func needToken(l Login, _ Peer) string {
	if l.Password == "" || strings.ContainsAny(l.Password+l.Username, "\x01\r\n") {
		return "needs an access token as the password"
	}
	return ""
}

// noNUL: a NUL ends a part of what PLAIN sends (RFC 4616).
func noNUL(l Login, _ Peer) string {
	if strings.ContainsRune(l.Username+l.Password+l.Authzid, 0) {
		return "cannot have a login with a NUL in it"
	}
	return ""
}

// Choose makes a client of the strongest mechanism that is offered and allowed.
// Its error is a *NoMechanismError if there is none, and an *Error if the login
// does not suit the one that there is.
func Choose(offered []string, policy Policy, login Login, peer Peer) (gosasl.Client, error) {
	peer.stripped = stripped(policy, peer)
	for _, m := range mechanisms() {
		if contains(offered, m.name) && m.refuse(policy, login, peer) == "" {
			c, err := m.client(login, peer)
			if err != nil {
				return nil, err
			}
			return &client{Client: c, name: m.name}, nil
		}
	}
	return nil, noneOf(offered, policy, login, peer)
}

// refuse says why a mechanism cannot be used; empty: it can.
func (m *mechanism) refuse(policy Policy, login Login, peer Peer) string {
	if missing := policy.Demand &^ m.has; missing != 0 {
		return fmt.Sprintf("removed by %s in %s", missing, policy.Option)
	}
	if m.bound && !policy.ChannelBinding {
		return "channel binding is used only if lmtp_sasl_mechanism_filter asks for it"
	}
	if m.unfit != nil {
		return m.unfit(login, peer)
	}
	return ""
}

// stripped tells whether we could bind a login to the TLS session, and the server
// seems not to know how. SCRAM then says so, and a server that does know finds
// out that somebody has taken its offer away (RFC 5802 section 6).
func stripped(policy Policy, peer Peer) bool {
	return policy.ChannelBinding && peer.TLS != nil && !slices.ContainsFunc(peer.Offered, func(name string) bool {
		return strings.HasSuffix(strings.ToUpper(name), "-PLUS")
	})
}

func contains(offered []string, name string) bool {
	return slices.ContainsFunc(offered, func(o string) bool { return strings.EqualFold(o, name) })
}

// A NoMechanismError says why none of the mechanisms on offer can be used.
type NoMechanismError struct {
	Removed []Removal // in the order of the offer
	// Weak are those that would do if the settings demanded no more than
	// noanonymous.
	Weak []string
}

// A Removal says why one mechanism cannot be used.
type Removal struct{ Mechanism, Reason string }

// Error lists what was offered, and why it cannot be used.
func (e *NoMechanismError) Error() string {
	var parts []string
	for _, r := range e.Removed {
		parts = append(parts, r.Mechanism+" ("+r.Reason+")")
	}
	if parts == nil {
		return "offered nothing"
	}
	return "offered " + strings.Join(parts, ", ")
}

// maxRemoved bounds what a NoMechanismError lists: a server may offer anything.
const maxRemoved = 20

func noneOf(offered []string, policy Policy, login Login, peer Peer) *NoMechanismError {
	e := new(NoMechanismError)
	for _, name := range offered[:min(len(offered), maxRemoved)] {
		reason := "not known here"
		for _, m := range mechanisms() {
			if !strings.EqualFold(m.name, name) {
				continue
			}
			reason = m.refuse(policy, login, peer)
			if m.refuse(Policy{Demand: NoAnonymous}, login, peer) == "" {
				e.Weak = append(e.Weak, m.name)
			}
		}
		e.Removed = append(e.Removed, Removal{printable(name), reason})
	}
	return e
}
