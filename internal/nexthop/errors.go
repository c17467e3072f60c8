package nexthop

import (
	"errors"
	"fmt"
	"strings"

	"postlmtp/internal/dns"
	"postlmtp/internal/dsn"
)

// A DestinationError is a destination that makes no sense.
type DestinationError struct {
	Diagnosis dsn.Diagnosis // 4.3.5, in Postfix's words
}

func badDestination(format string, args ...any) *DestinationError {
	return &DestinationError{dsn.Diagnosis{Status: "4.3.5", Reason: fmt.Sprintf(format, args...)}}
}

func (e *DestinationError) Error() string { return "parse destination: " + e.Diagnosis.Reason }

// Hint tells the operator what would be right.
func (e *DestinationError) Hint() string {
	return "a destination is unix:PATH, or one or more of HOST, HOST:PORT, [ADDRESS] and [ADDRESS]:PORT, each with or without inet: in front"
}

// Class says why an element has no endpoints.
type Class int

// The classes of failed lookups.
const (
	BadDestination Class = iota // the element makes no sense
	NoProtocols                 // inet_protocols leaves no address family
	NotFound                    // the name does not exist
	NoData                      // the name has no address of an enabled family
	Fail                        // the name service refuses for good
	Invalid                     // the answer has an invalid name
	Retry                       // no answer now
	Policy                      // lmtp_dns_reply_filter dropped every record
	NullService                 // the domain says that it has no such service
)

func (c Class) String() string {
	names := [...]string{"bad destination", "no protocols", "not found", "no data", "fail", "invalid", "retry",
		"policy", "null service"}
	if c < 0 || int(c) >= len(names) {
		return fmt.Sprintf("class %d", int(c))
	}
	return names[c]
}

// A LookupError is an element that has no endpoints.
type LookupError struct {
	Class     Class
	Diagnosis dsn.Diagnosis // for the recipients, in Postfix's words
	Element   string        // the element as written
	Err       error         // *DestinationError, *dns.Error, *dns.NativeError or nil

	hint func() string
}

func (e *LookupError) Error() string {
	return fmt.Sprintf("resolve %s: %s", e.Element, e.Diagnosis.Reason)
}

func (e *LookupError) Unwrap() error { return e.Err }

// Hint tells the operator what to look at, "" if there is nothing to add.
func (e *LookupError) Hint() string {
	if e.hint == nil {
		return ""
	}
	return e.hint()
}

// lookupHint explains a name that is not found although the operator knows it.
func lookupHint(host string, class Class, native bool, snapshot *dns.Snapshot, cause error) string {
	switch class {
	case NotFound, NoData:
		if native {
			return fmt.Sprintf("%s is neither in /etc/hosts nor known to %s", host, askedServers(snapshot))
		}
		if snapshot.Hosts.Lookup(host) != nil {
			return fmt.Sprintf("%s is in /etc/hosts, which is not read with lmtp_host_lookup = dns: set lmtp_host_lookup = dns, native", host)
		}
		if !strings.Contains(host, ".") {
			return fmt.Sprintf("%s has no domain, and with lmtp_host_lookup = dns none is added: write the full name, or set lmtp_host_lookup = dns, native", host)
		}
		return fmt.Sprintf("%s is not known to %s", host, askedServers(snapshot))
	case Retry:
		return fmt.Sprintf("no answer about %s from %s: %v", host, askedServers(snapshot), rootCause(cause))
	}
	return ""
}

// askedServers names the name servers. Their list was read before the process
// entered its jail: a copy of the files in there does not matter.
func askedServers(snapshot *dns.Snapshot) string {
	if snapshot.Config.Assumed {
		return "the name server on this machine (127.0.0.1), which is asked because /etc/resolv.conf names none"
	}
	var servers []string
	for _, s := range snapshot.Config.Servers {
		servers = append(servers, s.Addr().String())
	}
	return fmt.Sprintf("the name servers of /etc/resolv.conf (%s)", strings.Join(servers, ", "))
}

// rootCause returns the part of a lookup error that is not in the diagnosis.
func rootCause(err error) error {
	var failure *dns.Error
	if errors.As(err, &failure) && failure.Err != nil {
		return failure.Err
	}
	return err
}
