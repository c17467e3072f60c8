package tlspolicy

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"strings"
)

// oneLine is a distinguished name in OpenSSL's one-line form,
// "/C=US/O=Example/CN=name". What does not print is a question mark.
func oneLine(raw []byte) string {
	var name pkix.RDNSequence
	if rest, err := asn1.Unmarshal(raw, &name); err != nil || len(rest) > 0 {
		return "<unknown>"
	}
	short := map[string]string{
		"2.5.4.3": "CN", "2.5.4.4": "SN", "2.5.4.5": "serialNumber", "2.5.4.6": "C", "2.5.4.7": "L",
		"2.5.4.8": "ST", "2.5.4.9": "street", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.12": "title",
		"2.5.4.17": "postalCode", "2.5.4.42": "GN", "0.9.2342.19200300.100.1.1": "UID",
		"0.9.2342.19200300.100.1.25": "DC", "1.2.840.113549.1.9.1": "emailAddress",
	}
	var b strings.Builder
	for _, set := range name {
		for _, a := range set {
			key := a.Type.String()
			if s, ok := short[key]; ok {
				key = s
			}
			fmt.Fprintf(&b, "/%s=%v", key, a.Value)
		}
	}
	return printable(b.String())
}

// maxName bounds a name from a certificate in the log.
const maxName = 255

// printable makes text of a peer fit for the log.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return '?'
		}
		return r
	}, s)
	if len(s) > maxName {
		s = strings.ToValidUTF8(s[:maxName], "?")
	}
	return s
}
