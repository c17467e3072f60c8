package tlspolicy

import (
	"crypto/x509"
	"net"
	"slices"
	"strings"

	"postlmtp/internal/address"
)

// referenceNames are the names of a match list, with the strategies replaced
// by what they stand for; ".name" is any name below. Postfix warns of a list
// that has none, and then nothing matches.
func (p *Policy) referenceNames(log Logger) []string {
	if p.Level == DANE || p.Level == DANEOnly {
		return []string{toASCII(p.base, p.idna)}
	}
	var names []string
	for _, word := range p.match {
		switch strings.ToLower(word) {
		case "nexthop":
			word = toASCII(p.target.Domain, p.idna)
		case "dot-nexthop":
			word = "." + toASCII(p.target.Domain, p.idna)
		case "hostname":
			word = toASCII(p.target.Host, p.idna)
		default:
			if word == "." {
				log.Warningf("%s: ignoring invalid match name: \".\"", p.target.peer())
				continue
			}
			if rest, ok := strings.CutPrefix(word, "."); ok {
				word = "." + toASCII(rest, p.idna)
			} else {
				word = toASCII(word, p.idna)
			}
		}
		if word != "" && word != "." {
			names = append(names, word)
		}
	}
	if names == nil {
		log.Warningf("%s: could not configure peer name checks", p.target.peer())
	}
	return names
}

// certificateNames are the names that a certificate is for: those of its
// subject alternative name, or, if that has none, its common name. Postfix has
// it so through OpenSSL, where RFC 6125 would allow it.
func certificateNames(c *x509.Certificate) []string {
	if name := commonName(c); name != "" {
		return []string{name}
	}
	return c.DNSNames
}

// commonName is the common name of a certificate, if it counts as a host's.
func commonName(c *x509.Certificate) string {
	if len(c.DNSNames) > 0 {
		return ""
	}
	return c.Subject.CommonName
}

// permitsCommonName tells whether the authorities of a chain, which begins with
// the server's certificate, may vouch for its common name. Package x509 holds
// alternative names to the name constraints (RFC 5280 section 4.2.1.10), but
// takes a common name for no name of a host.
func permitsCommonName(chain []*x509.Certificate) bool {
	name := commonName(chain[0])
	within := func(domain string) bool {
		below, only := strings.CutPrefix(domain, ".")
		return domain == "" || !only && strings.EqualFold(name, domain) || matchName(name, "."+below, false)
	}
	parent, star := strings.CutPrefix(name, "*.")
	excludes := func(domain string) bool {
		// Some of the names that a star stands for may be excluded.
		return within(domain) || star && matchName(domain, "."+parent, false)
	}
	for _, c := range chain[1:] {
		switch {
		case slices.ContainsFunc(c.ExcludedDNSDomains, excludes):
			return false
		case len(c.PermittedDNSDomains) > 0 && !slices.ContainsFunc(c.PermittedDNSDomains, within):
			return false
		}
	}
	return true
}

// matchedName returns the name of a certificate that one of the reference names
// matches. A reference that is an address is compared with the addresses of the
// certificate only.
func matchedName(c *x509.Certificate, references []string, multiLabel bool) (string, bool) {
	for _, reference := range references {
		if a := net.ParseIP(reference); a != nil {
			if slices.ContainsFunc(c.IPAddresses, a.Equal) {
				return reference, true
			}
			continue
		}
		for _, name := range certificateNames(c) {
			if matchName(name, reference, multiLabel) {
				return name, true
			}
		}
	}
	return "", false
}

// matchName compares a name of a certificate with a reference name. A star
// stands for the whole leftmost label, of at least three; with multiLabel for
// several labels (tls_wildcard_matches_multiple_labels, before Postfix 3.6).
// Only ASCII letters have two cases in a host name (RFC 4343): a common name
// with others is no host's, although Unicode folds some of them into ASCII.
func matchName(name, reference string, multiLabel bool) bool {
	if name == "" || strings.IndexByte(name, 0) >= 0 || !address.IsASCII(name) {
		return false
	}
	if reference[0] == '.' {
		cut := len(name) - len(reference)
		return cut > 0 && strings.EqualFold(name[cut:], reference)
	}
	parent, ok := strings.CutPrefix(name, "*.")
	if !ok {
		return strings.EqualFold(name, reference)
	}
	if strings.IndexByte(parent, '.') <= 0 || strings.Contains(parent, "*") {
		return false // "*.com" is too much
	}
	cut := len(reference) - len(parent) - 1
	if cut <= 0 || reference[cut] != '.' || !strings.EqualFold(reference[cut+1:], parent) {
		return false
	}
	label := reference[:cut]
	return multiLabel || strings.IndexByte(label, '.') < 0
}
