package tlspolicy

import (
	"fmt"
	"slices"
	"strings"

	"postlmtp/internal/address"
)

// A Target is a server that mail is about to go to.
type Target struct {
	Nexthop string // the element of the destination as written, or the path of a socket
	Domain  string // its bare host name or address; $myhostname for a socket
	Host    string // the server's name; $myhostname for a socket
	Address string // its address, or the path
	Port    uint16 // 0 for a socket
	Relay   string // host[address]:port, for the log
	// Secure: DNSSEC vouches for the address. Canonical is the name that it
	// was found under, after aliases.
	Secure    bool
	Canonical string
	// Alias is the name that led to Host, if that is the canonical one
	// (lmtp_cname_overrides_servername); else empty.
	Alias string
	// InsecureService: Host comes from an SRV record that DNSSEC does not
	// vouch for.
	InsecureService bool
	// NotRequired: the message says "TLS-Required: no" (RFC 8689).
	NotRequired bool
}

// peer is the server as Postfix's TLS library logs it.
func (t *Target) peer() string { return strings.ToLower(t.Relay) }

// socket tells a UNIX-domain socket.
func (t *Target) socket() bool { return t.Port == 0 }

// A Policy says how one server is to be talked to. It does not change.
type Policy struct {
	Level Level
	// Reuse: a connection with TLS may be used for other messages too
	// (lmtp_tls_connection_reuse, connection_reuse=).
	Reuse bool

	target    Target
	idna      address.IDNA
	grade     string
	protocols string
	exclude   string
	sni       string
	match     []string
	anchors   *anchors
	digests   [][]byte // of certificates and public keys
	tlsa      []tlsa
	base      string // the name that TLSA records were found for
	fallback  bool

	attr attributes
}

// Plain is the policy of the same server without TLS: for a second attempt
// after level May failed, and for a socket.
func (p *Policy) Plain() *Policy {
	return &Policy{Level: None, target: p.target, idna: p.idna, fallback: !p.target.socket()}
}

// Fallback tells the policy of a second attempt.
func (p *Policy) Fallback() bool { return p.fallback }

// Target is the server that the policy is for.
func (p *Policy) Target() Target { return p.target }

// Authorized tells whether the server's name is one that an MTA-STS policy
// allows; a warning says that it is not (lmtp_tls_enforce_sts_mx_patterns).
func (e *Engine) Authorized(p *Policy) bool {
	if !e.stsPatterns(&p.attr, p.match) {
		return true
	}
	host := toASCII(p.target.Host, e.opt.IDNA)
	if slices.ContainsFunc(p.attr.mxPatterns, func(pattern string) bool { return matchMXPattern(pattern, host) }) {
		return true
	}
	e.opt.Log.Warningf("MX name '%s' does not match STS MX pattern for '%s'", host, p.attr.policyDomain)
	return false
}

// stsPatterns tells whether mx_host_pattern attributes count.
func (e *Engine) stsPatterns(a *attributes, match []string) bool {
	return e.opt.EnforceSTSPatterns && strings.EqualFold(a.policyType, "sts") && match != nil && a.mxPatterns != nil
}

// matchMXPattern: a pattern is a name, or "*." and a name (RFC 8461 section 4.1).
func matchMXPattern(pattern, host string) bool {
	if strings.EqualFold(pattern, host) {
		return true
	}
	rest, ok := strings.CutPrefix(pattern, "*.")
	_, parent, dotted := strings.Cut(host, ".")
	return ok && rest != "" && dotted && host[0] != '.' && strings.EqualFold(parent, rest)
}

// Identity is equal for policies under which a connection to the same endpoint
// may be shared. It is not for people.
func (p *Policy) Identity() string {
	if p.Level == None {
		return "none"
	}
	return fmt.Sprintf("%q", []any{
		p.Level.String(), p.Reuse, p.target.Nexthop, p.target.Domain, p.target.Host,
		p.protocols, p.grade, p.exclude, p.sni, p.match, p.anchors.identity(), p.digests,
		p.tlsa, p.base, p.attr.failure, p.attr.policyType, p.attr.mxPatterns,
	})
}

// serverName is the name to send in SNI; empty for none. The name is sent in
// its ASCII form.
func (p *Policy) serverName() string {
	name := p.sni
	switch {
	case p.Level == DANE, p.Level == DANEOnly:
		name = p.base // RFC 7672 section 8.1
	case name == "":
		return ""
	case name == "hostname":
		name = p.target.Host
	case name == "nexthop":
		name = p.target.Domain
	}
	return toASCII(name, p.idna)
}

// toASCII is a domain in the form of the DNS; text that has none stays.
func toASCII(name string, names address.IDNA) string {
	if ascii, err := names.ASCIIDomain(name); err == nil {
		return ascii
	}
	return name
}
