package maincf

import (
	"strings"

	"golang.org/x/net/idna"
)

// function evaluates ${name{text}} (since Postfix 3.11) and appends the
// result as it is. rest starts with the opening brace.
func (e *expander) function(f *frame, name, rest string) bool {
	arg, after, ok := e.payload(rest)
	if !ok {
		return false
	}
	arg = strings.Trim(arg, blanks)
	if after != "" {
		return e.fail("unexpected input at: \"...%s}>>>%.20s\"", arg, after)
	}
	profile := idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(false))
	convert := map[string]func(string) (string, error){
		"domain_to_ascii": profile.ToASCII,
		"domain_to_utf8":  profile.ToUnicode,
	}[name]
	if convert == nil {
		return e.fail("unknown function \"%s\" at\"...>>>%s{%s}\"", name, name, arg)
	}
	domain, ok := e.expand(arg)
	if !ok {
		return false
	}
	if isASCII(domain) == (name == "domain_to_ascii") {
		f.out.WriteString(domain)
		return true
	}
	out, err := convert(domain)
	if err != nil {
		return e.fail("bad domain argument in: '%s{%s}'", name, domain)
	}
	f.out.WriteString(out)
	return true
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
