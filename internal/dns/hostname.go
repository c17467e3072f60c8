package dns

import (
	"net/netip"
	"strings"
)

// Limits of RFC 1035 section 2.3.4; a name is shorter in text than on the
// wire by the length octet of its first label and the root.
const (
	maxLabel = 63
	maxName  = 255
)

// ValidName says whether s can be asked for as the name of a host or service:
// labels of letters, digits, hyphens and underscores, a hyphen neither first
// nor last, not all digits, no final dot. These are Postfix's rules; they
// leave out what makes resolvers misbehave, not all that RFC 1035 allows.
func ValidName(s string) bool { return validName(s, false) }

// validName is ValidName; with wildcard a "*" may be the first label, as in
// answers.
func validName(s string, wildcard bool) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	numeric := true
	for i, label := range strings.Split(s, ".") {
		if wildcard && i == 0 && label == "*" && len(s) > 1 {
			numeric = false
			continue
		}
		if !validLabel(label) {
			return false
		}
		numeric = numeric && strings.Trim(label, "0123456789") == ""
	}
	return !numeric
}

func validLabel(s string) bool {
	if s == "" || len(s) > maxLabel || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		if !isNameByte(s[i]) {
			return false
		}
	}
	return true
}

func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// ParseAddr reads a numerical address as Postfix accepts it in place of a
// host name: four decimal numbers or an IPv6 address, without a zone. An IPv4
// address must not begin with 0 unless it is 0.0.0.0, and its numbers have no
// leading zeros, which some readers take for octal.
func ParseAddr(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, false
	}
	if a.Is4() && a.As4()[0] == 0 && !a.IsUnspecified() {
		return netip.Addr{}, false
	}
	return a, true
}
