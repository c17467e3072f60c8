package address

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Bounds of RFC 1035 section 2.3.4, in bytes.
const (
	maxDomain = 255
	maxLabel  = 63
)

// IDNA chooses how internationalized domains are mapped. The zero value is
// Postfix's default.
type IDNA struct {
	// Compat2003 is enable_idna2003_compatibility: UTS 46 transitional
	// processing, which maps the German sharp s to "ss", for example.
	Compat2003 bool
}

// profile gives the UTS 46 processing that Postfix asks of its library: no
// STD3 rules (underscores are fine), no bidi and no joiner checks.
func (o IDNA) profile() *idna.Profile {
	return idna.New(
		idna.MapForLookup(),
		idna.Transitional(o.Compat2003),
		idna.CheckHyphens(true),
		idna.CheckJoiners(false),
		idna.StrictDomainName(false),
		idna.VerifyDNSLength(true),
	)
}

// ASCIIDomain converts a domain in UTF-8 to its ASCII form (A-labels). A
// domain that is ASCII already is returned as it is, unchecked. The result of
// a conversion is always a valid host name.
func (o IDNA) ASCIIDomain(domain string) (string, error) {
	if IsASCII(domain) {
		return domain, nil
	}
	return o.toASCII(domain)
}

func (o IDNA) toASCII(domain string) (string, error) {
	if err := checkDomainText(domain); err != nil {
		return "", fmt.Errorf("convert domain %.100q to ASCII: %w", domain, err)
	}
	a, err := o.profile().ToASCII(domain)
	if err != nil {
		return "", fmt.Errorf("convert domain %.100q to ASCII: %w", domain, err)
	}
	if !validHostname(a) {
		return "", fmt.Errorf("convert domain %.100q to ASCII: malformed ASCII label", domain)
	}
	return a, nil
}

// checkDomainText keeps unbounded or malformed text from the IDNA library.
func checkDomainText(domain string) error {
	switch {
	case domain == "":
		return errors.New("empty domain")
	case len(domain) > 4*maxDomain:
		return errors.New("domain too long")
	case !utf8.ValidString(domain):
		return errors.New("malformed UTF-8")
	}
	return nil
}

// validHostname applies Postfix's syntax check: letters, digits, underscores
// and inner hyphens, labels of 1 to 63 bytes, no dot at the end, and not all
// numeric.
func validHostname(name string) bool {
	if name == "" || len(name) > maxDomain {
		return false
	}
	numeric := true
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := 0; i < len(label); i++ {
			switch c := label[i]; {
			case c >= '0' && c <= '9':
			case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_', c == '-':
				numeric = false
			default:
				return false
			}
		}
	}
	return !numeric
}
