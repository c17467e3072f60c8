package tlspolicy

import "strings"

// Level is a security level. The order is that of strength.
type Level int

// The security levels (TLS_README).
const (
	None        Level = iota
	May               // TLS if the server offers it
	Encrypt           // TLS, whoever the server is
	Fingerprint       // a known certificate or public key
	DANE              // TLSA records where there are any (RFC 7672)
	DANEOnly          // TLSA records
	Verify            // a trusted certificate with a name that matches
	Secure            // the same, with names that do not come from the DNS
)

// unset is the level of a table that says nothing.
const unset Level = -1

func levelNames() []string {
	return []string{"none", "may", "encrypt", "fingerprint", "dane", "dane-only", "verify", "secure"}
}

// ParseLevel returns the level of a name, in any case.
func ParseLevel(name string) (Level, bool) {
	for i, n := range levelNames() {
		if strings.EqualFold(n, name) {
			return Level(i), true
		}
	}
	return None, false
}

func (l Level) String() string {
	if l < None || l > Secure {
		return "unknown"
	}
	return levelNames()[l]
}

// Required tells whether mail may not be sent without TLS.
func (l Level) Required() bool { return l >= Encrypt }

// Matches tells whether the server has to prove who it is.
func (l Level) Matches() bool { return l > Encrypt }

// pkix tells whether certification authorities are asked.
func (l Level) pkix() bool { return l == Verify || l == Secure }
