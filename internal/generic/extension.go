package generic

import (
	"strings"

	"postlmtp/internal/address"
)

// Extension finds the extension of addresses such as user+extension@domain.
type Extension struct {
	Delimiters   string // recipient_delimiter: any of these characters
	DoubleBounce string // double_bounce_sender, which has no extension
	// OwnerRequest is owner_request_special: owner-list and list-request have
	// no extension.
	OwnerRequest bool
}

// Cut cuts the extension, its delimiter included, out of an address in internal
// form. It reports false if there is none.
func (e Extension) Cut(addr string) (bare, extension string, ok bool) {
	if e.Delimiters == "" {
		return addr, "", false
	}
	user, domain, hasDomain := address.Split(addr)
	i := strings.IndexAny(user, e.Delimiters)
	if i <= 0 || e.special(user) {
		return addr, "", false
	}
	bare, extension = user[:i], user[i:]
	if hasDomain {
		bare += "@" + domain
	}
	return bare, extension, true
}

// special tells whether a user name is never cut.
func (e Extension) special(user string) bool {
	for _, name := range []string{"postmaster", "mailer-daemon", e.DoubleBounce} {
		if strings.EqualFold(user, name) {
			return true
		}
	}
	if !e.OwnerRequest || !strings.Contains(e.Delimiters, "-") {
		return false
	}
	user = strings.ToLower(user)
	return strings.HasPrefix(user, "owner-") || len(user) > len("-request") && strings.HasSuffix(user, "-request")
}
