package tlspolicy

import (
	"crypto/x509"
	"net"
	"slices"
	"strings"
)

// referenceNames are the names of a match list, with the strategies replaced
// by what they stand for; ".name" is any name below. Postfix warns of a list
// that has none, and then nothing matches.
func (p *Policy) referenceNames(log Logger) []string {
	if p.Level == DANE || p.Level == DANEOnly {
		return []string{toASCII(p.base)}
	}
	var names []string
	for _, word := range p.match {
		switch strings.ToLower(word) {
		case "nexthop":
			word = toASCII(p.target.Domain)
		case "dot-nexthop":
			word = "." + toASCII(p.target.Domain)
		case "hostname":
			word = toASCII(p.target.Host)
		default:
			if word == "." {
				log.Warningf("%s: ignoring invalid match name: \".\"", p.target.peer())
				continue
			}
			if rest, ok := strings.CutPrefix(word, "."); ok {
				word = "." + toASCII(rest)
			} else {
				word = toASCII(word)
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
	if len(c.DNSNames) > 0 {
		return c.DNSNames
	}
	if c.Subject.CommonName == "" {
		return nil
	}
	return []string{c.Subject.CommonName}
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
func matchName(name, reference string, multiLabel bool) bool {
	if name == "" || strings.IndexByte(name, 0) >= 0 {
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
