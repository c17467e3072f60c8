package nexthop

import (
	"context"
	"errors"
	mathrand "math/rand/v2"
	"net/netip"

	"postlmtp/internal/dns"
	"postlmtp/internal/dsn"
)

// Names looks names up; *[dns.Resolver] does.
type Names interface {
	Lookup(ctx context.Context, name string, t dns.Type, o dns.LookupOptions) ([]dns.Record, error)
	LookupTypes(ctx context.Context, name string, types []dns.Type, o dns.LookupOptions) ([]dns.Record, error)
	Native(ctx context.Context, host string, types []dns.Type) ([]netip.Addr, error)
}

// Support is lmtp_dns_support_level.
type Support int

// The levels of DNS support.
const (
	Enabled  Support = iota
	Disabled         // native lookups only, whatever lmtp_host_lookup says
	DNSSEC           // ask for DNSSEC validation
)

// Preference is lmtp_address_preference.
type Preference int

// The families to try first.
const (
	AnyFamily Preference = iota
	PreferIPv4
	PreferIPv6
)

// Options are the settings of a Resolver, named after their parameters.
type Options struct {
	Names  Names
	Source dns.Source // for hints; nil: the hints know no files

	Support        Support    // lmtp_dns_support_level
	DNS, Native    bool       // the words of lmtp_host_lookup
	IPv4, IPv6     bool       // inet_protocols
	Preference     Preference // lmtp_address_preference
	Randomize      bool       // lmtp_randomize_addresses
	Balance        bool       // lmtp_balance_inet_protocols
	AddressLimit   int        // lmtp_mx_address_limit, to balance within; 0 is none
	DefNames       bool       // res_defnames of lmtp_dns_resolver_options
	Search         bool       // res_dnsrch of lmtp_dns_resolver_options
	CNAMEOverrides bool       // lmtp_cname_overrides_servername

	UseSRV           func(service string) bool // use_srv_lookup; nil: no service
	AllowSRVFallback bool                      // allow_srv_lookup_fallback
	IgnoreSRVError   bool                      // ignore_srv_lookup_error

	Log Logger // nil: nobody is told
}

// A Resolver finds the endpoints of elements. It may be used by many
// goroutines.
type Resolver struct {
	o    Options
	intn func(n int) int
}

// NewResolver returns a Resolver with these settings.
func NewResolver(o Options) *Resolver {
	if o.Log == nil {
		o.Log = silent{}
	}
	if o.Source == nil {
		o.Source = &dns.Snapshot{}
	}
	return &Resolver{o: o, intn: mathrand.IntN}
}

// maxEndpoints bounds the addresses of one element, as in Postfix 3.9.
const maxEndpoints = 100

// Resolve returns the endpoints of an element in the order in which they are
// to be tried, never none. The error is a *[LookupError].
//
// With softBefore, a temporary failure was seen before this lookup, and the
// diagnosis of a permanent one becomes temporary. Within the lookup (the
// targets of an SRV record, DNS and then native) this is so in any case;
// Postfix has it so no further than that.
func (r *Resolver) Resolve(ctx context.Context, e Element, softBefore bool) ([]Endpoint, error) {
	if e.Err != nil {
		return nil, &LookupError{Class: BadDestination, Diagnosis: e.Err.Diagnosis, Element: e.Text, Err: e.Err, hint: e.Err.Hint}
	}
	s := &search{r: r, element: e, soft: softBefore}
	if !r.o.IPv4 && !r.o.IPv6 {
		return nil, s.failed(NoProtocols, "4.4.4", "all network protocols are disabled", nil)
	}
	if r.wantsSRV(e) {
		return s.service(ctx)
	}
	return s.host(ctx)
}

func (r *Resolver) wantsSRV(e Element) bool {
	return r.o.Support != Disabled && !e.Quoted && r.o.UseSRV != nil && r.o.UseSRV(e.Service)
}

// types are the address records to ask for.
func (r *Resolver) types() []dns.Type {
	var types []dns.Type
	if r.o.IPv4 {
		types = append(types, dns.A)
	}
	if r.o.IPv6 {
		types = append(types, dns.AAAA)
	}
	return types
}

func (r *Resolver) familyEnabled(a netip.Addr) bool {
	if a.Is4() {
		return r.o.IPv4
	}
	return r.o.IPv6
}

// A search is one Resolve. It collects endpoints and the last failure.
type search struct {
	r         *Resolver
	element   Element
	soft      bool // a temporary failure was seen
	endpoints []Endpoint
	failure   *LookupError
}

// failed notes a failure. A temporary one makes the later ones temporary too,
// in status but not in text.
func (s *search) failed(class Class, status, text string, cause error) *LookupError {
	if s.soft {
		status = dsn.WithClass(status, dsn.Transient)
	}
	s.soft = dsn.Class(status) == dsn.Transient
	s.failure = &LookupError{
		Class:     class,
		Diagnosis: dsn.Diagnosis{Status: status, Reason: text},
		Element:   s.element.Text,
		Err:       cause,
	}
	return s.failure
}

// reason returns the last failure.
func (s *search) reason() *LookupError {
	if s.failure == nil { // neither DNS nor native lookups are enabled
		return s.failed(Fail, "4.3.0", "server unavailable or unable to receive mail", nil)
	}
	return s.failure
}

func (s *search) full() bool { return len(s.endpoints) >= maxEndpoints }

func (s *search) add(ep Endpoint) {
	if !s.full() {
		s.endpoints = append(s.endpoints, ep)
	}
}

// host resolves the element as the name or address of one host.
func (s *search) host(ctx context.Context) ([]Endpoint, error) {
	s.one(ctx, s.element.ASCII, s.element.Port, 0)
	if len(s.endpoints) == 0 {
		return nil, s.reason()
	}
	r := s.r
	if r.o.Randomize {
		shuffle(s.endpoints, r.intn)
	}
	if r.o.IPv4 && r.o.IPv6 {
		preferFamily(s.endpoints, r.o.Preference)
	}
	return s.balanced(), nil
}

func (s *search) balanced() []Endpoint {
	if s.r.o.Balance && s.r.o.AddressLimit > 0 {
		return balance(s.endpoints, min(s.r.o.AddressLimit, maxEndpoints))
	}
	return s.endpoints
}

// one adds the addresses of one host, or notes why there are none.
func (s *search) one(ctx context.Context, host string, port, preference uint16) {
	ep := Endpoint{Network: tcpNetwork, Host: host, Port: port, NexthopText: s.element.Text,
		Canonical: host, Preference: preference}
	if a, ok := dns.ParseAddr(host); ok && s.r.familyEnabled(a) {
		ep.Addr = a
		s.add(ep)
		return
	}
	o := s.r.o
	if o.DNS && o.Support != Disabled {
		found, asNative := s.oneDNS(ctx, ep)
		if found || !asNative {
			return
		}
	}
	if o.Native || o.Support == Disabled {
		s.oneNative(ctx, ep)
	}
}

// oneDNS asks the DNS. asNative says that the name was not found, so that the
// hosts file may have it.
func (s *search) oneDNS(ctx context.Context, ep Endpoint) (found, asNative bool) {
	o := s.r.o
	records, err := o.Names.LookupTypes(ctx, ep.Host, s.r.types(), dns.LookupOptions{
		DNSSEC: o.Support == DNSSEC, DefNames: o.DefNames, Search: o.Search,
	})
	if err == nil {
		for _, rr := range records {
			next := ep
			next.Addr, next.Canonical, next.Secure = rr.Addr, rr.Name, rr.Secure
			if o.CNAMEOverrides && rr.Name != ep.Host {
				next.Host, next.Alias = rr.Name, ep.Host
			}
			s.add(next)
		}
		return true, false
	}
	class, status, text := explain(err)
	s.failed(class, status, text, err).hint = func() string {
		return lookupHint(ep.Host, class, o.Native, o.Source.Current(), err)
	}
	return false, class == NotFound || class == NoData
}

// explain returns the class, status and text of a failed DNS lookup.
func explain(err error) (Class, string, string) {
	var failure *dns.Error
	if !errors.As(err, &failure) {
		return Retry, "4.4.3", err.Error()
	}
	switch failure.Outcome {
	case dns.NotFound:
		return NotFound, "5.4.4", failure.Text
	case dns.NoData:
		return NoData, "5.4.4", failure.Text
	case dns.Invalid:
		return Invalid, "5.4.4", failure.Text
	case dns.Fail:
		return Fail, "5.4.3", failure.Text
	case dns.Policy:
		return Policy, "4.7.0", failure.Text
	case dns.Null:
		return NullService, "5.1.0", failure.Text
	}
	return Retry, "4.4.3", failure.Text
}

// oneNative asks as getaddrinfo(3) would.
func (s *search) oneNative(ctx context.Context, ep Endpoint) {
	addrs, err := s.r.o.Names.Native(ctx, ep.Host, s.r.types())
	if err != nil {
		class, status, text := explainNative(err)
		s.failed(class, status, text, err).hint = func() string {
			return lookupHint(ep.Host, class, true, s.r.o.Source.Current(), err)
		}
		return
	}
	found := false
	for _, a := range addrs {
		if s.r.familyEnabled(a) {
			found = true
			ep.Addr = a
			s.add(ep)
		}
	}
	if !found {
		s.failed(NoData, "5.4.4", ep.Host+": host not found", nil)
	}
}

// explainNative returns the class, status and text of a failed native lookup.
func explainNative(err error) (Class, string, string) {
	var failure *dns.NativeError
	if !errors.As(err, &failure) {
		return Retry, "4.3.0", err.Error()
	}
	switch failure.Code {
	case dns.GAIAgain:
		return Retry, "4.4.4", failure.Text()
	case dns.GAINoName:
		return NotFound, "5.4.4", failure.Text()
	case dns.GAINoData: // not 5.4.4: Postfix on Linux does not know this code
		return NoData, "5.3.0", failure.Text()
	}
	return Fail, "5.3.0", failure.Text()
}
