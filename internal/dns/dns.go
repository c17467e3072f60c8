// Package dns answers the questions that a delivery agent has about names:
// which addresses a host has, which servers a service has, and, when there is
// no answer, exactly why not.
//
// # Purpose
//
// Postfix tells "no such name" from "no such record", "try again" and "this
// will never work", and bounces or defers mail by that difference. Go's own
// net.Resolver does not show it, nor the AD bit, nor SRV and TLSA records in
// a usable form. This is therefore a stub resolver of its own: it asks the
// recursive name servers of resolv.conf(5) over UDP, falls back to TCP, and
// follows aliases. It also holds hosts(5) and services(5), which Postfix
// reads through the C library, so that "native" lookups work in a static
// binary and inside a chroot jail.
//
// # Contract
//
// [Load] reads the files of an /etc directory into an immutable [Snapshot];
// [System] does so before the jail and follows later changes of the files.
// [Resolver.Lookup] asks for one type of record, [Resolver.LookupTypes] for
// several at once, [Resolver.Native] does what getaddrinfo(3) would do. All
// may be called from many goroutines. A lookup that fails returns an *[Error]
// (or *[NativeError]) whose outcome is one of those of Postfix's resolver,
// and whose Text has Postfix's words.
//
// # Failure policy
//
// A server that does not answer, or answers SERVFAIL, REFUSED or NOTIMP, is
// passed over for the next one; so is one that has no answer, nothing to add and
// no recursion. After the last attempt the outcome is Retry. That is what Postfix
// does on the GNU C library: only FORMERR and rarer codes are permanent. An empty
// reply with additional records (a referral with addresses, or EDNS0) is "no
// data" there, and here. A reply that cannot be understood is Retry too. Files
// that are missing are empty files; without resolv.conf the name server is
// the one on 127.0.0.1.
//
// # Limits
//
// At most 3 name servers, 32 search domains, 100 records a lookup, 10 aliases
// in a row. No cache: the recursive name server has one. No NSS modules and
// no nsswitch.conf(5): native lookups are the hosts file and then the DNS. No
// sorting of native results by RFC 6724. DNSSEC is the AD bit of a trusted
// name server, as in Postfix; signatures are not checked here.
package dns

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// Type is the type of a resource record (RFC 1035 section 3.2.2).
type Type uint16

// The types that the package can look up.
const (
	A    Type = 1  // an IPv4 address
	AAAA Type = 28 // an IPv6 address (RFC 3596)
	SRV  Type = 33 // the server of a service (RFC 2782)
	TLSA Type = 52 // a certificate association (RFC 6698)

	cname = Type(dnsmessage.TypeCNAME)
)

// String returns the name of the type as it stands in Postfix's texts.
func (t Type) String() string {
	switch t {
	case A:
		return "A"
	case AAAA:
		return "AAAA"
	case SRV:
		return "SRV"
	case TLSA:
		return "TLSA"
	case cname:
		return "CNAME"
	}
	return fmt.Sprintf("TYPE%d", uint16(t)) // RFC 3597 section 5
}

// A Record is one record of an answer. Name and Type are always set, the
// other fields as the type has them.
type Record struct {
	Name   string // the owner, after aliases, without the final dot
	Type   Type
	TTL    uint32     // seconds
	Addr   netip.Addr // A, AAAA
	Target string     // SRV: the host, without the final dot
	// Priority, Weight and Port are those of an SRV record.
	Priority, Weight, Port uint16
	Data                   []byte // TLSA: the record as it is on the wire
	// Secure: the name server vouched for this record and for the aliases
	// that led to it. Only lookups with LookupOptions.DNSSEC have it.
	Secure bool
}

// String returns the record as lmtp_dns_reply_filter sees it:
// "name ttl class type data", names with their final dot.
func (r Record) String() string {
	var data string
	switch r.Type {
	case A, AAAA:
		data = r.Addr.String()
	case SRV:
		data = fmt.Sprintf("%d %d %d %s.", r.Priority, r.Weight, r.Port, r.Target)
	case TLSA:
		data = "[truncated record]"
		if d := r.Data; len(d) >= 3 {
			data = fmt.Sprintf("%d %d %d %s", d[0], d[1], d[2], hex.EncodeToString(d[3:]))
		}
	}
	return fmt.Sprintf("%s. %d IN %s %s", r.Name, r.TTL, r.Type, data)
}

// Outcome says how a lookup failed. The order is that of Postfix: of two
// failures, the greater one is reported.
type Outcome int

// The outcomes of a failed lookup.
const (
	NotFound Outcome = iota // no such name (NXDOMAIN), or not a name that can be asked for
	NoData                  // the name exists, but not with that type
	Null                    // an SRV record says that there is no such service (RFC 2782)
	Fail                    // the name server will not answer this question, now or later
	Invalid                 // the answer has a name that is not a valid host name
	Retry                   // no answer now
	Policy                  // lmtp_dns_reply_filter dropped every record
)

func (o Outcome) String() string {
	names := [...]string{"not found", "no data", "null service", "fail", "invalid", "retry", "policy"}
	if o < 0 || int(o) >= len(names) {
		return fmt.Sprintf("outcome %d", int(o))
	}
	return names[o]
}

// rank orders outcomes for LookupTypes. Postfix has one rank for NotFound and
// NoData, so that of these two the later one wins.
func (o Outcome) rank() Outcome {
	if o == NoData {
		return NotFound
	}
	return o
}

// An Error is a lookup that failed.
type Error struct {
	Outcome Outcome
	Name    string // the name that was asked for, after aliases
	Type    Type
	// Text is the failure in Postfix's words, for the mail log, the queue
	// listing and the bounce message.
	Text string
	// Err is what lies beneath, such as a network error; it may be nil.
	Err error
}

func (e *Error) Error() string {
	s := fmt.Sprintf("look up %s %s: %s", e.Name, e.Type, e.Outcome)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// statusText is Postfix's text for what the name server said about a name.
func statusText(name string, t Type, o Outcome) string {
	status := map[Outcome]string{
		NotFound: "Host not found",
		NoData:   "Host found but no data record of requested type",
		Retry:    "Host not found, try again",
		Fail:     "Non-recoverable error",
	}[o]
	return fmt.Sprintf("Host or domain name not found. Name service error for name=%s type=%s: %s",
		name, t, status)
}

func statusError(name string, t Type, o Outcome, cause error) *Error {
	return &Error{Outcome: o, Name: name, Type: t, Text: statusText(name, t, o), Err: cause}
}

// malformedError is Postfix's text for a reply that makes no sense.
func malformedError(name string, t Type, o Outcome, cause error) *Error {
	text := fmt.Sprintf("Name service error for name=%s type=%s: Malformed or unexpected name server reply", name, t)
	return &Error{Outcome: o, Name: name, Type: t, Text: text, Err: cause}
}

// fold returns a domain name in the form in which names are compared: lower
// case (RFC 4343) and without the final dot.
func fold(name string) string {
	return strings.ToLower(strings.TrimSuffix(name, "."))
}
