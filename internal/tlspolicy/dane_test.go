package tlspolicy

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"postlmtp/internal/dns"
)

// zone answers TLSA lookups.
type zone struct {
	records map[string][]dns.Record
	fail    map[string]dns.Outcome
	asked   []string
}

func (z *zone) Lookup(_ context.Context, name string, ty dns.Type, o dns.LookupOptions) ([]dns.Record, error) {
	if ty != dns.TLSA || !o.DNSSEC {
		return nil, errors.New("what?")
	}
	z.asked = append(z.asked, name)
	if o, ok := z.fail[name]; ok {
		return nil, &dns.Error{Outcome: o, Name: name, Type: ty, Text: "Name service error for " + name}
	}
	if r := z.records[name]; r != nil {
		return r, nil
	}
	return nil, &dns.Error{Outcome: dns.NotFound, Name: name, Type: ty}
}

func rr(secure bool, data ...byte) dns.Record {
	return dns.Record{Name: "_2424._tcp.mx.example.com", Type: dns.TLSA, Data: data, Secure: secure}
}

func TestFindTLSA(t *testing.T) {
	sum := make([]byte, 32)
	good := append([]byte{3, 1, 1}, sum...)
	const own = "_2424._tcp.mx.example.com"
	type want struct {
		level  Level // unset: an error
		reason string
		warn   string
	}
	for _, tc := range []struct {
		name      string
		change    func(*Options, *Target, *zone)
		dane, got want
	}{
		{"records", func(_ *Options, _ *Target, z *zone) { z.records[own] = []dns.Record{rr(true, good...)} },
			want{level: DANE}, want{level: DANEOnly}},
		{"no DNSSEC", func(o *Options, _ *Target, _ *zone) { o.DNSSEC = false },
			want{May, "", "configured with dnssec lookups disabled"}, want{unset, "client TLS configuration problem", "configured with dnssec lookups disabled"}},
		{"search domains", func(o *Options, _ *Target, _ *zone) { o.DNSSearch = true },
			want{May, "", "dns resolver options incompatible with dane TLS"}, want{unset, "client TLS configuration problem", "incompatible with dane-only TLS"}},
		{"socket", func(_ *Options, tg *Target, _ *zone) { tg.Port, tg.Nexthop = 0, "/sock" },
			want{unset, "client TLS configuration problem", `/sock: the "dane" security level is invalid for delivery via unix-domain sockets`},
			want{unset, "client TLS configuration problem", `/sock: the "dane" security level is invalid`}},
		{"insecure SRV", func(_ *Options, tg *Target, _ *zone) { tg.InsecureService = true },
			want{level: May}, want{unset, "non DNSSEC destination", ""}},
		{"none", func(*Options, *Target, *zone) {}, want{level: May}, want{unset, "no TLSA records found", ""}},
		{"no data", func(_ *Options, _ *Target, z *zone) { z.fail[own] = dns.NoData }, want{level: May}, want{unset, "no TLSA records found", ""}},
		{"insecure records", func(_ *Options, _ *Target, z *zone) { z.records[own] = []dns.Record{rr(false, good...)} },
			want{level: May}, want{unset, "no TLSA records found", ""}},
		{"insecure host", func(_ *Options, tg *Target, z *zone) {
			tg.Secure = false
			z.records[own] = []dns.Record{rr(true, good...)}
		}, want{level: May}, want{unset, "no TLSA records found", ""}},
		{"insecure host, forced", func(o *Options, tg *Target, z *zone) {
			tg.Secure, o.ForceInsecureHostTLSALookup = false, true
			z.records[own] = []dns.Record{rr(true, good...)}
		}, want{level: DANE}, want{level: DANEOnly}},
		{"address", func(_ *Options, tg *Target, _ *zone) { tg.Host, tg.Canonical = "192.0.2.1", "192.0.2.1" },
			want{level: May}, want{unset, "no TLSA records found", ""}},
		{"error", func(_ *Options, _ *Target, z *zone) { z.fail[own] = dns.Retry },
			want{unset, "TLSA lookup error for mx.example.com:2424", "DANE TLSA lookup problem: Name service error"},
			want{unset, "TLSA lookup error for mx.example.com:2424", "DANE TLSA lookup problem"}},
		{"unusable", func(_ *Options, _ *Target, z *zone) {
			z.records[own] = []dns.Record{rr(true, append([]byte{1, 1, 1}, sum...)...), rr(true, 3, 1, 255, 1), rr(true, 3, 1)}
		}, want{Encrypt, "", "unsupported TLSA certificate usage: 1 1 1 00"}, want{unset, "TLSA records unusable", "reserved private-use matching type: 3 1 255 01"}},
		{"alias, first name", func(_ *Options, tg *Target, z *zone) {
			tg.Canonical = "real.example.net"
			z.records["_2424._tcp.real.example.net"] = []dns.Record{rr(true, good...)}
		}, want{level: DANE}, want{level: DANEOnly}},
		{"alias, second name", func(_ *Options, tg *Target, z *zone) {
			tg.Canonical = "real.example.net"
			z.records[own] = []dns.Record{rr(true, good...)}
		}, want{level: DANE}, want{level: DANEOnly}},
		{"alias that gave way to its target", func(_ *Options, tg *Target, z *zone) {
			tg.Host, tg.Canonical, tg.Alias = "real.example.net", "real.example.net", "mx.example.com"
			z.records[own] = []dns.Record{rr(true, good...)}
		}, want{level: DANE}, want{level: DANEOnly}},
		{"the same, to what is not signed", func(_ *Options, tg *Target, z *zone) {
			tg.Host, tg.Canonical, tg.Alias, tg.Secure = "real.example.net", "real.example.net", "mx.example.com", false
			z.records[own] = []dns.Record{rr(true, good...)}
		}, want{level: DANE}, want{level: DANEOnly}},
		{"alias, error at the first", func(_ *Options, tg *Target, z *zone) {
			tg.Canonical = "real.example.net"
			z.fail["_2424._tcp.real.example.net"] = dns.Retry
			z.records[own] = []dns.Record{rr(true, good...)}
		}, want{unset, "TLSA lookup error for mx.example.com:2424", ""}, want{unset, "TLSA lookup error for mx.example.com:2424", ""}},
	} {
		for level, w := range map[string]want{"dane": tc.dane, "dane-only": tc.got} {
			z := &zone{records: map[string][]dns.Record{}, fail: map[string]dns.Outcome{}}
			tg := target()
			tg.Secure = true
			e, log := newEngine(t, func(o *Options) {
				o.SecurityLevel, o.DNSSEC, o.Names = level, true, z
				tc.change(o, &tg, z)
			})
			p, err := e.Policy(t.Context(), tg)
			var failure *Error
			switch {
			case w.level == unset && (!errors.As(err, &failure) || failure.Diagnosis.Reason != w.reason || failure.Diagnosis.Status != "4.7.5"):
				t.Errorf("%s, %s: %v", tc.name, level, err)
			case w.level != unset && (err != nil || p.Level != w.level):
				t.Errorf("%s, %s: %v, %v", tc.name, level, p, err)
			}
			if got := log.take(); !strings.Contains(got, w.warn) {
				t.Errorf("%s, %s: logged %q", tc.name, level, got)
			}
		}
	}
}

// unknownKey is an Ed448 key (RFC 8410): OpenSSL knows them.
func unknownKey(t *testing.T) string {
	der, err := asn1.Marshal(publicKeyShape{
		Algorithm: pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 3, 101, 113}},
		Key:       asn1.BitString{Bytes: make([]byte, 57), BitLength: 57 * 8},
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(der)
}

// A digest that tls_dane_digests leaves out does not count, whatever it matches.
func TestDANEDigests(t *testing.T) {
	w := newWorld(t)
	sum, sum2 := sha256.Sum256(w.leaf.cert.Raw), sha512.Sum512(w.leaf.cert.Raw)
	records := []tlsa{{3, 0, 1, string(sum[:])}, {3, 0, 2, string(sum2[:])}}
	for _, tc := range []struct {
		digests string
		record  int
		ok      bool
	}{
		{"sha512 sha256", 0, true}, {"sha512 sha256", 1, true}, {"SHA256=1, sha512=2", 1, true},
		{"sha512", 0, false}, {"sha512", 1, true}, {"sha256", 1, false},
	} {
		e, _ := newEngine(t, func(o *Options) { o.SecurityLevel, o.DNSSEC, o.DANEDigests = "dane-only", true, tc.digests })
		p := &Policy{Level: DANEOnly, target: target(), tlsa: records[tc.record : tc.record+1], base: "mx.example.com"}
		if err := e.complete(p); err != nil {
			t.Fatal(err)
		}
		if r := shake(t, e, p, serve(w.leaf, w.middle)); r.verdict.OK() != tc.ok {
			t.Errorf("%s, %v: %+v, logged %q", tc.digests, records[tc.record], r.verdict, r.log)
		}
	}
}

func TestDANEHandshake(t *testing.T) {
	w := newWorld(t)
	expired := certify(t, nil, nil)
	sha := func(b []byte) string { s := sha256.Sum256(b); return string(s[:]) }
	sha2 := func(b []byte) string { s := sha512.Sum512(b); return string(s[:]) }
	alone := certify(t, nil, nil)
	leaf, middle, root, self := w.leaf.cert, w.middle.cert, w.root.cert, alone.cert
	for _, tc := range []struct {
		name    string
		records []tlsa
		base    string
		ok      bool
		level   Level // in the end, of a policy with level DANE
	}{
		{"EE, certificate", []tlsa{{3, 0, 1, sha(leaf.Raw)}}, "", true, DANE},
		{"EE, key, SHA-512", []tlsa{{3, 1, 2, sha2(leaf.RawSubjectPublicKeyInfo)}}, "", true, DANE},
		{"EE, whole key", []tlsa{{3, 1, 0, string(leaf.RawSubjectPublicKeyInfo)}}, "", true, DANE},
		{"EE, whole certificate", []tlsa{{3, 0, 0, string(leaf.Raw)}}, "", true, DANE},
		{"EE, names do not count", []tlsa{{3, 1, 1, sha(leaf.RawSubjectPublicKeyInfo)}}, "other.example", true, DANE},
		{"EE, another", []tlsa{{3, 1, 1, sha(root.RawSubjectPublicKeyInfo)}}, "", false, DANE},
		{"one of two", []tlsa{{3, 1, 1, sha(root.RawSubjectPublicKeyInfo)}, {3, 1, 1, sha(leaf.RawSubjectPublicKeyInfo)}}, "", true, DANE},
		{"TA, middle", []tlsa{{2, 0, 1, sha(middle.Raw)}}, "", true, DANE},
		{"TA, root's key", []tlsa{{2, 1, 1, sha(root.RawSubjectPublicKeyInfo)}}, "", true, DANE},
		{"TA, whole root, which is not sent", []tlsa{{2, 0, 0, string(root.Raw)}}, "", true, DANE},
		{"TA, whole key of the root", []tlsa{{2, 1, 0, string(root.RawSubjectPublicKeyInfo)}}, "", true, DANE},
		{"TA, names count", []tlsa{{2, 0, 1, sha(middle.Raw)}}, "other.example", false, DANE},
		{"TA, the leaf is none", []tlsa{{2, 1, 1, sha(leaf.RawSubjectPublicKeyInfo)}}, "", false, DANE},
		{"TA, self-signed, its whole key", []tlsa{{2, 1, 0, string(self.RawSubjectPublicKeyInfo)}}, "", true, DANE},
		{"TA, self-signed, names count", []tlsa{{2, 1, 0, string(self.RawSubjectPublicKeyInfo)}}, "other.example", false, DANE},
		{"TA, self-signed, another's whole key", []tlsa{{2, 1, 0, string(root.RawSubjectPublicKeyInfo)}}, "", false, DANE},
		{"TA, self-signed, twice in the chain", []tlsa{{2, 1, 0, string(self.RawSubjectPublicKeyInfo)}}, "", true, DANE},
		{"TA, another", []tlsa{{2, 0, 1, sha(expired.cert.Raw)}}, "", false, DANE},
		{"a better digest rules", []tlsa{{3, 1, 1, sha(leaf.RawSubjectPublicKeyInfo)}, {3, 1, 2, sha2(root.RawSubjectPublicKeyInfo)}}, "", false, DANE},
		{"for its own selector only", []tlsa{{3, 0, 1, sha(leaf.Raw)}, {3, 1, 2, sha2(root.RawSubjectPublicKeyInfo)}}, "", true, DANE},
		{"broken ones do not count", []tlsa{{3, 1, 1, sha(leaf.RawSubjectPublicKeyInfo)}, {3, 1, 2, "short"}, {3, 2, 1, sha(leaf.Raw)}, {3, 0, 0, "x"}, {3, 1, 7, "x"}}, "", true, DANE},
		{"all broken", []tlsa{{3, 1, 1, "short"}}, "", true, Encrypt},
		{"whole, and broken", []tlsa{{3, 1, 0, "\x30\x03\x02\x01\x05"}, {2, 0, 0, string(root.Raw) + "x"}}, "", true, Encrypt},
		{"whole, of a kind that crypto/x509 does not know", []tlsa{{3, 1, 0, unknownKey(t)}}, "", false, DANE},
	} {
		server := serve(w.leaf, w.middle)
		switch {
		case strings.Contains(tc.name, "root's key"):
			server = serve(w.leaf, w.middle, w.root)
		case strings.Contains(tc.name, "twice"):
			server = serve(alone, alone)
		case strings.Contains(tc.name, "self-signed"):
			server = serve(alone)
		}
		for _, level := range []Level{DANE, DANEOnly} {
			e, _ := newEngine(t, func(o *Options) { o.SecurityLevel, o.DNSSEC = level.String(), true })
			p := &Policy{Level: level, target: target(), tlsa: tc.records, base: "mx.example.com"}
			if tc.base != "" {
				p.base = tc.base
			}
			if err := e.complete(p); err != nil {
				t.Fatal(err)
			}
			r := shake(t, e, p, server)
			wantOK, wantLevel := tc.ok, tc.level
			if level == DANEOnly {
				wantOK, wantLevel = tc.ok && tc.level == DANE, DANEOnly
			}
			if r.err != nil || r.verdict.OK() != wantOK || r.verdict.Level != wantLevel {
				t.Errorf("%s, %v: %+v, %v", tc.name, level, r.verdict, r.err)
			}
			if !wantOK && !strings.Contains(r.log, "verification failed") {
				t.Errorf("%s, %v: logged %q", tc.name, level, r.log)
			}
		}
	}
}

// A server may send hundreds of certificates, and a domain may have a hundred keys
// that may have signed one of them: few of these are tried on each other.
func TestManyCertificates(t *testing.T) {
	w := newWorld(t)
	sum := sha256.Sum256(w.middle.cert.Raw)
	stranger := func(i int) *x509.Certificate { // whose issuer is not there
		c := *certify(t, nil, authority("Stranger")).cert
		c.RawSubject, c.RawIssuer = []byte(fmt.Sprint(i)), []byte(fmt.Sprint(i, "'s"))
		return &c
	}
	for _, tc := range []struct {
		name   string
		before int // strangers in front of the certificate that the leaf needs
		record tlsa
		ok     bool
	}{
		{"key of the root", maxTops - 1, tlsa{usageTA, selectorSPKI, matchFull, string(w.root.cert.RawSubjectPublicKeyInfo)}, true},
		{"key of the root, too many others", maxTops, tlsa{usageTA, selectorSPKI, matchFull, string(w.root.cert.RawSubjectPublicKeyInfo)}, false},
		{"middle", maxChain - 2, tlsa{usageTA, selectorCert, matchFull, string(w.middle.cert.Raw)}, true},
		{"digest of the middle", maxChain - 2, tlsa{usageTA, selectorCert, matchSHA256, string(sum[:])}, true},
		{"digest of the middle, too far", maxChain - 1, tlsa{usageTA, selectorCert, matchSHA256, string(sum[:])}, false},
	} {
		chain := []*x509.Certificate{w.leaf.cert}
		for i := range tc.before {
			chain = append(chain, stranger(i))
		}
		h := &Handshake{engine: &Engine{opt: Options{Now: time.Now, VerifyDepth: 9}}, policy: &Policy{}, level: DANE,
			references: []string{"mx.example.com"}, tlsa: []tlsa{tc.record}}
		if v := h.judge(append(chain, w.middle.cert)); v.OK() != tc.ok {
			t.Errorf("%s: %+v", tc.name, v)
		}
	}
}
