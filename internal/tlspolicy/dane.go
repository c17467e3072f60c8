package tlspolicy

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"postlmtp/internal/dns"
)

// The fields of a TLSA record (RFC 6698 section 2.1, RFC 7218).
const (
	usageTA      = 2 // a trust anchor of the server's
	usageEE      = 3 // the server's own certificate
	selectorCert = 0
	selectorSPKI = 1
	matchFull    = 0
	matchSHA256  = 1
	matchSHA512  = 2
	matchPrivate = 255 // Postfix's own, for fingerprints
)

// tlsa is a TLSA record.
type tlsa struct {
	Usage, Selector, Matching byte
	Data                      string
}

// String is the record as in the log; long data loses its middle.
func (r tlsa) String() string {
	const head, tail = 32, 32
	data := "..."
	switch n := len(r.Data); {
	case n > head+tail:
		data = hex.EncodeToString([]byte(r.Data[:head])) + "..." + hex.EncodeToString([]byte(r.Data[n-tail:]))
	case n > 0:
		data = hex.EncodeToString([]byte(r.Data))
	}
	return fmt.Sprintf("%d %d %d %s", r.Usage, r.Selector, r.Matching, strings.ToUpper(data))
}

// findTLSA looks the records of a server up. Where there can be none, the level
// DANE becomes a weaker one, and DANEOnly an error.
func (e *Engine) findTLSA(ctx context.Context, p *Policy) error {
	t, log := &p.target, e.opt.Log
	level := p.Level
	// weaker gives way for a reason of the settings, or of the destination.
	ours := func(format string, args ...any) error {
		log.Warningf(format, args...)
		if level == DANEOnly {
			return misconfigured()
		}
		p.Level = May
		return nil
	}
	theirs := func(fallback Level, reason string) error {
		if level == DANEOnly {
			return problem("4.7.5", reason)
		}
		p.Level = fallback
		return nil
	}
	switch {
	case t.socket():
		log.Warningf("%s: the \"dane\" security level is invalid for delivery via unix-domain sockets", t.Nexthop)
		return misconfigured()
	case !e.opt.DNSSEC || e.opt.Names == nil:
		return ours("%s: %v configured with dnssec lookups disabled", t.Nexthop, level)
	case e.opt.DNSSearch:
		return ours("%s: dns resolver options incompatible with %v TLS", t.Nexthop, level)
	case t.InsecureService:
		return theirs(May, "non DNSSEC destination")
	}
	records, base, err := e.lookupTLSA(ctx, t)
	switch {
	case err != nil:
		if ctx.Err() != nil {
			return ctx.Err()
		}
		log.Warningf("DANE TLSA lookup problem: %s", textOf(err))
		return problem("4.7.5", fmt.Sprintf("TLSA lookup error for %s:%d", t.Host, t.Port))
	case records == nil:
		return theirs(May, "no TLSA records found")
	}
	p.base = base
	for _, rr := range records {
		if r, ok := e.supported(rr); ok {
			p.tlsa = append(p.tlsa, r)
		}
	}
	if p.tlsa == nil {
		return theirs(Encrypt, "TLSA records unusable")
	}
	return nil
}

// lookupTLSA asks for the records of the server's final name where DNSSEC
// vouches for it, then for those of the name that led there. Records that
// nobody vouches for are none.
func (e *Engine) lookupTLSA(ctx context.Context, t *Target) ([]dns.Record, string, error) {
	if isAddress(t.Host) {
		return nil, "", nil
	}
	asked := cmp.Or(t.Alias, t.Host)
	alias := !strings.EqualFold(t.Canonical, asked)
	var names []string
	if t.Secure {
		names = append(names, t.Canonical)
	}
	if alias || !t.Secure && e.opt.ForceInsecureHostTLSALookup {
		names = append(names, asked)
	}
	for _, name := range names {
		query := fmt.Sprintf("_%d._tcp.%s", t.Port, name)
		records, err := e.opt.Names.Lookup(ctx, query, dns.TLSA, dns.LookupOptions{DNSSEC: true})
		var failure *dns.Error
		switch {
		case err == nil && records[0].Secure:
			return records, name, nil
		case err == nil:
		case errors.As(err, &failure) && (failure.Outcome == dns.NotFound || failure.Outcome == dns.NoData):
		default:
			return nil, "", err
		}
	}
	return nil, "", nil
}

func textOf(err error) string {
	var failure *dns.Error
	if errors.As(err, &failure) {
		return failure.Text
	}
	return err.Error()
}

// supported reads a record. The usages 0 and 1 lean on certification
// authorities, which RFC 7672 section 3.1.3 leaves out for mail.
func (e *Engine) supported(rr dns.Record) (tlsa, bool) {
	if len(rr.Data) <= 3 {
		e.opt.Log.Warningf("%s: truncated TLSA RR length == %d", rr.Name, len(rr.Data))
		return tlsa{}, false
	}
	r := tlsa{rr.Data[0], rr.Data[1], rr.Data[2], string(rr.Data[3:])}
	what := ""
	switch {
	case r.Usage != usageTA && r.Usage != usageEE:
		what = "unsupported TLSA certificate usage"
	case r.Matching == matchPrivate:
		what = "reserved private-use matching type"
	}
	if what != "" {
		e.opt.Log.Warningf("%s %s: %v", rr.Name, what, r)
	}
	return r, what == ""
}

// usable tells whether a record makes sense. Preference is tls_dane_digests:
// a digest that is not in it does not count.
func (r tlsa) usable(preference string) bool {
	if r.Selector > selectorSPKI {
		return false
	}
	_, listed := r.rank(preference)
	switch r.Matching {
	case matchFull:
		if r.Selector == selectorCert {
			return isStructure(r.Data, &certificateShape{})
		}
		return isStructure(r.Data, &publicKeyShape{})
	case matchSHA256:
		return listed && len(r.Data) == sha256.Size
	case matchSHA512:
		return listed && len(r.Data) == sha512.Size
	}
	return false
}

// A certificate or key that is whole in a record has to have its structure, and
// no more: one of a kind that package x509 does not know matches nothing that we
// can talk to, but it is no reason to take the server for one without records.
type (
	certificateShape struct {
		Body      asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}
	publicKeyShape struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
)

func isStructure(der string, shape any) bool {
	rest, err := asn1.Unmarshal([]byte(der), shape)
	return err == nil && len(rest) == 0
}

// rank is the place of a record's digest in tls_dane_digests, which has the best
// first, and whether it is there.
func (r tlsa) rank(preference string) (place int, listed bool) {
	names := map[byte][]string{matchSHA256: {"sha256", "sha256=1"}, matchSHA512: {"sha512", "sha512=2"}}
	place = slices.IndexFunc(splitWords(preference, ", \t\r\n:"), func(word string) bool {
		return slices.Contains(names[r.Matching], strings.ToLower(word))
	})
	return place, place >= 0
}

// matches tells whether a certificate is the one of the record.
func (r tlsa) matches(c *x509.Certificate) bool {
	of := c.Raw
	if r.Selector == selectorSPKI {
		of = c.RawSubjectPublicKeyInfo
	}
	switch r.Matching {
	case matchSHA256:
		sum := sha256.Sum256(of)
		of = sum[:]
	case matchSHA512:
		sum := sha512.Sum512(of)
		of = sum[:]
	}
	return bytes.Equal(of, []byte(r.Data))
}

// agile leaves out records with a digest where, with the same usage and
// selector, there is one with a better digest (RFC 7671 section 9). The records
// are usable.
func agile(records []tlsa, preference string) []tlsa {
	better := func(a, b tlsa) bool {
		x, _ := a.rank(preference)
		y, _ := b.rank(preference)
		return x < y
	}
	var kept []tlsa
	for _, r := range records {
		beaten := r.Matching != matchFull && slices.ContainsFunc(records, func(o tlsa) bool {
			return o.Usage == r.Usage && o.Selector == r.Selector && o.Matching != matchFull && better(o, r)
		})
		if !beaten {
			kept = append(kept, r)
		}
	}
	return kept
}

// danePool is what a chain may end in by the records of usage 2: certificates
// of the chain that match, and keys and certificates that a record holds whole.
func danePool(records []tlsa, chain []*x509.Certificate) *x509.CertPool {
	var keys [][]byte
	pool := x509.NewCertPool()
	for _, r := range records {
		if r.Usage != usageTA {
			continue
		}
		for _, c := range chain[1:] {
			if r.matches(c) {
				pool.AddCert(c)
			}
		}
		if r.Matching != matchFull {
			continue
		}
		if r.Selector == selectorSPKI {
			keys = append(keys, []byte(r.Data))
		} else if c, err := x509.ParseCertificate([]byte(r.Data)); err == nil {
			pool.AddCert(c)
		}
	}
	addSigned(pool, chain, keys)
	return pool
}
