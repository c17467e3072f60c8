package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"postlmtp/internal/maincf"
)

// IsSet reports whether main.cf or an override sets a parameter, whatever its
// value. The parameter need not be in the table.
func (c *Config) IsSet(name string) bool {
	_, ok := c.values.Get(name)
	return ok
}

// Origin returns the file and the line where a parameter is set; empty and
// zero if it has its default or was set on a command line.
func (c *Config) Origin(name string) (file string, line int) {
	e, _ := c.values.Get(name)
	return e.File, e.Line
}

// Text returns the expanded value of any parameter as text, and whether there
// is one: whether it is in the table or was set. The text is empty if the
// value cannot be expanded.
func (c *Config) Text(name string) (string, bool) {
	if text, ok := c.text[name]; ok {
		return text, true
	}
	e, ok := c.values.Get(name)
	if !ok {
		return "", false
	}
	text, _ := maincf.Expand(e.Text, c.expand)
	return text, true
}

// DNSSupport is the level of DNS support for host lookups.
type DNSSupport int

// Levels of DNS support (lmtp_dns_support_level).
const (
	DNSDisabled DNSSupport = iota // native lookups only
	DNSEnabled
	DNSSEC
)

// DNSSupport returns the level that lmtp_dns_support_level or, where that is
// empty, disable_dns_lookups selects.
func (c *Config) DNSSupport() DNSSupport {
	switch strings.ToLower(c.LMTP.DNSSupportLevel) {
	case "disabled":
		return DNSDisabled
	case "dnssec":
		return DNSSEC
	case "enabled":
		return DNSEnabled
	}
	if c.DisableDNSLookups {
		return DNSDisabled
	}
	return DNSEnabled
}

// HostLookup returns which name services to use for host names
// (lmtp_host_lookup). Without DNS support it is the native one.
func (c *Config) HostLookup() (dns, native bool) {
	if c.DNSSupport() == DNSDisabled {
		return false, true
	}
	return slices.Contains(c.LMTP.HostLookup, "dns"), slices.Contains(c.LMTP.HostLookup, "native")
}

// Families returns which address families inet_protocols enables.
func (c *Config) Families() (ipv4, ipv6 bool) {
	all := slices.Contains(c.InetProtocols, "all")
	return all || slices.Contains(c.InetProtocols, "ipv4"), all || slices.Contains(c.InetProtocols, "ipv6")
}

// KnownPorts returns the port numbers by service name of known_tcp_ports.
func (c *Config) KnownPorts() map[string]uint16 {
	known, _ := ports(c.KnownTCPPorts)
	return known
}

// Facility returns the number of syslog_facility (mail is 2).
func (c *Config) Facility() int { return facilities()[c.SyslogFacility] }

// ports parses the value of known_tcp_ports: "name = name = port, ...". A
// mistake spoils its own entry only.
func ports(text string) (known map[string]uint16, warnings []string) {
	known = make(map[string]uint16)
	for _, entry := range strings.Split(text, ",") {
		if entry == "" {
			continue
		}
		parts := strings.Split(entry, "=")
		if len(parts) == 1 {
			if strings.TrimSpace(entry) != "" {
				warnings = append(warnings, fmt.Sprintf("known_tcp_ports: in \"%s\" is not in \"name = value\" form", entry))
			}
			continue
		}
		if mistake := addPorts(known, parts[:len(parts)-1], parts[len(parts)-1]); mistake != "" {
			warnings = append(warnings, fmt.Sprintf("known_tcp_ports: in \"%s\": %s", entry, mistake))
		}
	}
	return known, warnings
}

// addPorts adds one port under several names and returns the first mistake.
func addPorts(known map[string]uint16, names []string, port string) (mistake string) {
	fields := strings.Fields(port)
	switch len(fields) {
	case 0:
		return "missing port value after \"=\""
	case 1:
		port = fields[0]
	default:
		return "whitespace in port number"
	}
	n, err := strconv.ParseUint(port, 10, 16)
	for _, name := range names {
		fields := strings.Fields(name)
		reason := ""
		switch {
		case len(fields) == 0:
			reason = "missing service name before \"=\""
		case len(fields) > 1:
			reason = "whitespace in service name"
		case strings.Trim(fields[0], "0123456789") == "":
			reason = "numerical service name"
		case err != nil:
			reason = "non-numerical service port"
		default:
			if _, dup := known[fields[0]]; dup {
				reason = "duplicate service name"
			} else {
				known[fields[0]] = uint16(n)
			}
		}
		if mistake == "" {
			mistake = reason
		}
	}
	return mistake
}

// Unsupported is a parameter that the administrator set to something else
// than its default, and that this program cannot act on.
type Unsupported struct {
	Name, Value string
	Why         string
	File        string
	Line        int
}

// Unsupported returns all such parameters, in the order of the table.
func (c *Config) Unsupported() []Unsupported {
	var all []Unsupported
	for _, p := range c.params {
		e, set := c.values.Get(p.Name)
		if !set || p.Missing == "" {
			continue
		}
		def, _ := maincf.Expand(p.defaultFor(c.release), c.expand)
		if value := c.text[p.Name]; value != def {
			all = append(all, Unsupported{p.Name, value, p.Missing, e.File, e.Line})
		}
	}
	return all
}
