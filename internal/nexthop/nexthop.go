// Package nexthop knows where mail goes: it takes a destination apart, finds
// the addresses behind it, and connects to one of them.
//
// # Purpose
//
// The queue manager names a destination in each request. [Parser.Parse] turns
// it into a UNIX-domain socket or a list of hosts and ports, [Resolver.Resolve]
// turns one of those into an ordered list of endpoints, and [Dial] connects to
// an endpoint. What to do with a failure is for others to decide.
//
// # Forms of a destination
//
//	unix:PATH                      one socket; the path may have commas and spaces
//	[inet:]ELEMENT, ELEMENT ...    hosts, tried in order; commas or spaces between
//
// where ELEMENT is host, host:port, [host], [host]:port, [address]:port or
// [ipv6:address]:port, and port is a number or the name of a service. Brackets
// turn SRV lookups off and are needed around IPv6 addresses. Without a port
// it is lmtp_tcp_port where that is set, else the service lmtp of services(5),
// else 24.
//
// # Failure policy
//
// Nothing here is fatal. A destination that makes no sense ends the process in
// Postfix, and with it all mail of the transport for a minute; here it is a
// *[DestinationError] with the same text and status 4.3.5, for that mail alone.
// Only the element that is wrong fails: the others of a list are tried. A
// failed lookup is a *[LookupError], a failed connection a *[DialError]; each
// has the diagnosis for the recipients in Postfix's words, and a Hint in our
// own for the log.
//
// # Limits
//
// inet: is accepted in front of every element, where Postfix accepts it in
// front of the list only. unix: must stand alone. No MX lookups: LMTP has
// none. Address order is that of the DNS or hosts file, shuffled and sorted by
// parameters alone: no RFC 6724. The address and session limits of a delivery
// are applied by whoever walks the list of endpoints.
package nexthop

import (
	"fmt"
	"net/netip"
)

// Logger takes what the operator should know.
type Logger interface {
	Infof(format string, args ...any)
	Warningf(format string, args ...any)
}

type silent struct{}

func (silent) Infof(string, ...any)    {}
func (silent) Warningf(string, ...any) {}

// A Nexthop is a parsed destination: either a socket or a list of elements.
type Nexthop struct {
	// Elements are the hosts of a TCP destination in the order in which
	// they are tried. There is at least one unless the destination is a
	// UNIX-domain socket.
	Elements []Element
	socket   Endpoint
}

// IsUnix says whether the destination is a UNIX-domain socket.
func (n Nexthop) IsUnix() bool { return n.socket.Network == unixNetwork }

// Unix returns the socket, the zero Endpoint if IsUnix is false.
func (n Nexthop) Unix() Endpoint { return n.socket }

// Err returns the first error of an element, nil if every one makes sense.
// Delivery does not need it, a check of the configuration does.
func (n Nexthop) Err() error {
	for _, e := range n.Elements {
		if e.Err != nil {
			return e.Err
		}
	}
	return nil
}

// An Element is one host of a TCP destination.
type Element struct {
	Text    string // as written, brackets and port included, without inet:
	Host    string // the bare host name or address, as written
	ASCII   string // Host as the DNS knows it (RFC 5890 A-labels)
	Service string // the port as written, or lmtp_tcp_port, or "24"
	Port    uint16
	Quoted  bool // in brackets
	// Err says what is wrong with an element that makes no sense. Such an
	// element has its Text and nothing else, and does not resolve.
	Err *DestinationError
}

// The networks of an Endpoint.
const (
	unixNetwork = "unix"
	tcpNetwork  = "tcp"
)

// An Endpoint is one address that can be connected to. It is a value: nothing
// changes it, and two that are equal are the same place under the same name.
type Endpoint struct {
	Network string // "unix" or "tcp"
	// Host is the name for logs and policies: the name that was looked up,
	// or $myhostname for a socket.
	Host string
	Addr netip.Addr // tcp
	Port uint16     // tcp
	Path string     // unix
	// NexthopText is the element, or the path, that led here.
	NexthopText string
	// Canonical is the name that the address record was found under, after
	// aliases; Host if there was no DNS lookup.
	Canonical string
	// Alias is the name that was looked up, where lmtp_cname_overrides_servername
	// put another in its place as Host; else empty.
	Alias string
	// Preference is the priority of the SRV record, else 0; less is better.
	Preference uint16
	// Secure: DNSSEC vouches for the address (lmtp_dns_support_level = dnssec).
	Secure bool
	// InsecureService: the host was found by an SRV record that DNSSEC does
	// not vouch for.
	InsecureService bool
}

// Address returns the address or the path alone.
func (e Endpoint) Address() string {
	if e.Network == unixNetwork {
		return e.Path
	}
	return e.Addr.String()
}

// Peer returns the server as in "host HOST[ADDRESS] said".
func (e Endpoint) Peer() string { return e.Host + "[" + e.Address() + "]" }

// Relay returns the server as in relay=: host[address]:port or host[path].
func (e Endpoint) Relay() string {
	if e.Network == unixNetwork || e.Port == 0 {
		return e.Peer()
	}
	return fmt.Sprintf("%s:%d", e.Peer(), e.Port)
}

// String is Relay.
func (e Endpoint) String() string { return e.Relay() }
