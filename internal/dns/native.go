package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
)

// GAI is an error code of getaddrinfo(3). The DSN code of a failed native
// lookup depends on it.
type GAI int

// The codes that a native lookup can have.
const (
	GAIAgain  GAI = iota // EAI_AGAIN: no answer now
	GAINoName            // EAI_NONAME: no such host
	GAINoData            // EAI_NODATA: the host has no address
	GAIFamily            // EAI_ADDRFAMILY: a numerical address of another family
)

// String returns the text of the GNU C library.
func (g GAI) String() string {
	switch g {
	case GAIAgain:
		return "Temporary failure in name resolution"
	case GAINoName:
		return "Name or service not known"
	case GAINoData:
		return "No address associated with hostname"
	case GAIFamily:
		return "Address family for hostname not supported"
	}
	return fmt.Sprintf("Unknown error %d", int(g))
}

// A NativeError is a native lookup that failed.
type NativeError struct {
	Host string
	Code GAI
	Err  error // the DNS lookup beneath; nil for a numerical address
}

// Error is for logs; Text is the part with Postfix's words.
func (e *NativeError) Error() string {
	return fmt.Sprintf("look up host %s: %v", e.Host, e.Code)
}

// Text is the failure in Postfix's words.
func (e *NativeError) Text() string {
	return fmt.Sprintf("unable to look up host %s: %v", e.Host, e.Code)
}

func (e *NativeError) Unwrap() error { return e.Err }

// Native returns the addresses of a host as getaddrinfo(3) would: of the
// hosts file, and only if that has none, of the DNS with the search domains.
// Only the families of types (A, AAAA) are looked for. lmtp_dns_reply_filter
// does not apply. The error is a *[NativeError].
func (r *Resolver) Native(ctx context.Context, host string, types []Type) ([]netip.Addr, error) {
	if _, numeric := ParseAddr(host); numeric {
		return nil, &NativeError{Host: host, Code: GAIFamily}
	}
	var addrs []netip.Addr
	for _, a := range r.source.Current().Hosts.Lookup(host) {
		if familyAllowed(a, types) {
			addrs = append(addrs, a)
		}
	}
	if len(addrs) > 0 {
		return addrs, nil
	}
	plain := *r
	plain.options.Filter = nil
	records, err := plain.LookupTypes(ctx, host, types, LookupOptions{DefNames: true, Search: true})
	if err != nil {
		return nil, &NativeError{Host: host, Code: gaiCode(err), Err: err}
	}
	for _, rr := range records {
		addrs = append(addrs, rr.Addr)
	}
	return addrs, nil
}

func familyAllowed(a netip.Addr, types []Type) bool {
	want := AAAA
	if a.Is4() {
		want = A
	}
	for _, t := range types {
		if t == want {
			return true
		}
	}
	return false
}

func gaiCode(err error) GAI {
	var failure *Error
	if !errors.As(err, &failure) {
		return GAIAgain
	}
	switch failure.Outcome {
	case NotFound, Fail: // the library makes no difference
		return GAINoName
	case NoData:
		return GAINoData
	}
	return GAIAgain
}
