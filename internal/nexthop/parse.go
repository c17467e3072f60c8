package nexthop

import (
	"strconv"
	"strings"

	"postlmtp/internal/address"
	"postlmtp/internal/dns"
)

// maxDestination bounds a destination; the queue manager's come from tables.
const maxDestination = 64 << 10

// A Parser takes destinations apart. Its methods may be called from many
// goroutines.
type Parser struct {
	MyHostname string // myhostname: the name of a UNIX-domain socket's host
	// DefaultService is lmtp_tcp_port, a number or a name, and empty if
	// neither main.cf nor -o sets it: then the port is that of the service
	// lmtp of services(5), else 24.
	DefaultService string
	KnownPorts     map[string]uint16 // known_tcp_ports
	Names          dns.Source        // services(5); nil has none
	UTF8           bool              // smtputf8_enable: names may be UTF-8
	IDNA           address.IDNA      // enable_idna2003_compatibility
}

// Parse takes the destination of a request apart. An error means that there
// is nothing to try at all; otherwise an element that makes no sense says so
// in its Err. The error is a *[DestinationError].
func (p Parser) Parse(nexthop string) (Nexthop, error) {
	if len(nexthop) > maxDestination {
		return Nexthop{}, badDestination("destination too long: %.100s...", nexthop)
	}
	if path, ok := strings.CutPrefix(nexthop, "unix:"); ok {
		if path == "" {
			return Nexthop{}, badDestination("missing socket pathname in server description: %s", nexthop)
		}
		return Nexthop{socket: Endpoint{Network: unixNetwork, Host: p.MyHostname, Path: path, NexthopText: path,
			Canonical: p.MyHostname}}, nil
	}
	if nexthop == "" {
		return Nexthop{}, badDestination("empty nexthop hostname")
	}
	elements := p.ParseList(strings.TrimPrefix(nexthop, "inet:"))
	if len(elements) == 0 {
		return Nexthop{}, badDestination("null destination: \"%s\"", nexthop)
	}
	return Nexthop{Elements: elements}, nil
}

// ParseList takes a list of TCP destinations apart, such as that of
// lmtp_fallback_relay, which may be empty.
func (p Parser) ParseList(list string) []Element {
	var elements []Element
	for _, text := range strings.FieldsFunc(list, isSeparator) {
		elements = append(elements, p.element(text))
	}
	return elements
}

func isSeparator(r rune) bool { return strings.ContainsRune(", \t\r\n", r) }

// element takes one element apart. An inet: of its own is our addition;
// "inet:24" is a host with the name inet, which Postfix takes it for.
func (p Parser) element(text string) Element {
	if rest, ok := strings.CutPrefix(text, "inet:"); ok && rest != "" && !allDigits(rest) {
		text = rest
	}
	e := Element{Text: text}
	service, problem := e.split()
	if problem == "" {
		problem = e.checkHost(p.UTF8, p.IDNA)
	}
	if problem == "" && service != "" && isDigit(service[0]) && !allDigits(service) {
		problem = "garbage after numerical service"
	}
	if problem != "" {
		return Element{Text: text, Err: badDestination("%s in server description: %s", problem, text)}
	}
	e.Service = service
	if err := p.setPort(&e); err != nil {
		return Element{Text: text, Err: err}
	}
	return e
}

// split sets the host and returns the service, empty for the default one. A
// problem is in Postfix's words.
func (e *Element) split() (service, problem string) {
	inside, quoted := strings.CutPrefix(e.Text, "[")
	if !quoted {
		host, service := e.Text, ""
		if i := strings.LastIndexByte(e.Text, ':'); i >= 0 {
			host, service = e.Text[:i], e.Text[i+1:]
		}
		if host == "" {
			return "", "missing host information"
		}
		e.Host = host
		return service, ""
	}
	host, rest, closed := strings.Cut(inside, "]")
	if !closed {
		return "", "missing \"]\""
	}
	if rest != "" && rest[0] != ':' {
		return "", "garbage after \"]\""
	}
	if literal, ok := cutPrefixFold(host, "ipv6:"); ok {
		if a, ok := dns.ParseAddr(literal); !ok || a.Is4() {
			return "", "malformed IPv6 address"
		}
		host = literal
	}
	e.Host, e.Quoted = host, true
	return strings.TrimPrefix(rest, ":"), ""
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix) {
		return s[len(prefix):], true
	}
	return s, false
}

// checkHost sets the ASCII form of the host.
func (e *Element) checkHost(allowUTF8 bool, names address.IDNA) (problem string) {
	ascii, ok := toASCII(e.Host, allowUTF8, names)
	if !ok {
		return "valid hostname or network address required"
	}
	e.ASCII = ascii
	return ""
}

// toASCII returns the form of a host name or address that the DNS knows.
func toASCII(host string, allowUTF8 bool, names address.IDNA) (string, bool) {
	if _, ok := dns.ParseAddr(host); ok || dns.ValidName(host) {
		return host, true
	}
	if !allowUTF8 || address.IsASCII(host) {
		return "", false
	}
	ascii, err := names.ASCIIDomain(host)
	if err != nil || !dns.ValidName(ascii) {
		return "", false
	}
	return ascii, true
}

// setPort translates the service: known_tcp_ports, then digits, then
// services(5). Without a service the default one is filled in.
func (p Parser) setPort(e *Element) *DestinationError {
	if e.Service == "" {
		e.Service = p.DefaultService
	}
	if e.Service == "" {
		// Neither the destination nor lmtp_tcp_port says anything. The
		// name for SRV lookups is Postfix's default value all the same.
		e.Service, e.Port = strconv.Itoa(defaultPort), defaultPort
		if port, ok := p.servicePort("lmtp"); ok && port != 0 {
			e.Port = port
		}
		return nil
	}
	if port, ok := p.KnownPorts[e.Service]; ok {
		if e.Port = port; port == 0 {
			return badDestination("bad network port: 0 for destination: %s", e.Text)
		}
		return nil
	}
	if allDigits(e.Service) {
		port, err := strconv.ParseUint(e.Service, 10, 16)
		if err != nil || port == 0 {
			return badDestination("bad network port: %s for destination: %s", e.Service, e.Text)
		}
		e.Port = uint16(port)
		return nil
	}
	port, ok := p.servicePort(e.Service)
	if !ok || port == 0 {
		return badDestination("unknown service: %s/tcp", e.Service)
	}
	e.Port = port
	return nil
}

func (p Parser) servicePort(name string) (uint16, bool) {
	if p.Names == nil {
		return 0, false
	}
	return p.Names.Current().Services.Port(name, "tcp")
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
