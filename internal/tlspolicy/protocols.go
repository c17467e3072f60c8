package tlspolicy

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// versions are what crypto/tls can talk, in order.
func versions() []uint16 {
	return []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13}
}

// protocolNumber is the version of a name in a list of protocols: SSLv2 and
// SSLv3 are known, and never talked.
func protocolNumber(name string) (uint16, bool) {
	switch strings.ToLower(name) {
	case "sslv2":
		return 0x0002, true
	case "sslv3":
		return 0x0300, true
	case "tlsv1":
		return tls.VersionTLS10, true
	case "tlsv1.1":
		return tls.VersionTLS11, true
	case "tlsv1.2":
		return tls.VersionTLS12, true
	case "tlsv1.3":
		return tls.VersionTLS13, true
	}
	return 0, false
}

// bound is the version of a name or a hexadecimal number after ">=" or "<=".
func bound(name string) (uint16, bool) {
	if strings.EqualFold(name, "none") {
		return 0, true
	}
	if v, ok := protocolNumber(name); ok && v != 0x0002 {
		return v, true
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(strings.ToLower(name), "0x"), 16, 16)
	return uint16(n), err == nil
}

// A versionRange is what may be negotiated. The zero value of note is silence.
type versionRange struct {
	low, high uint16
	note      string // what the list asks for and crypto/tls cannot do
}

// parseProtocols reads lmtp_tls_protocols and its like: a list of names, with
// "!" for those to leave out, and the bounds ">=NAME" and "<=NAME". crypto/tls
// takes a lowest and a highest version only: of a list with a hole the upper
// part counts.
func parseProtocols(list string) (versionRange, error) {
	floor, ceiling := uint16(0), uint16(0)
	excluded, included := map[uint16]bool{}, map[uint16]bool{}
	for _, word := range splitWords(list, ", \t\r\n:") {
		var ok bool
		var v uint16
		switch {
		case strings.HasPrefix(word, ">="):
			floor, ok = bound(word[2:])
		case strings.HasPrefix(word, "<="):
			ceiling, ok = bound(word[2:])
		case word[0] == '!':
			v, ok = protocolNumber(word[1:])
			excluded[v] = true
		default:
			v, ok = protocolNumber(word)
			included[v] = true
		}
		if !ok {
			//lint:ignore ST1005 Postfix's words
			return versionRange{}, fmt.Errorf("Invalid TLS protocol list \"%s\"", list)
		}
	}
	var r versionRange
	all := versions()
	for i := len(all) - 1; i >= 0; i-- {
		v := all[i]
		allowed := v >= floor && (ceiling == 0 || v <= ceiling) && !excluded[v] && (len(included) == 0 || included[v])
		switch {
		case allowed && r.high == 0:
			r.low, r.high = v, v
		case allowed && r.low == all[i+1]:
			r.low = v
		case allowed:
			r.note = fmt.Sprintf("TLS protocol list \"%s\" has a hole: nothing below %s is used", list, tls.VersionName(r.low))
		}
	}
	if r.high == 0 {
		return r, fmt.Errorf("TLS protocol list \"%s\" leaves no protocol", list)
	}
	return r, nil
}

// parseGroups reads tls_eecdh_auto_curves: the groups of key exchange that are
// known to crypto/tls. None means its own choice. The word DEFAULT stands for
// OpenSSL's: those that are not in the list so far.
func parseGroups(list string) []tls.CurveID {
	known := map[string]tls.CurveID{
		"x25519": tls.X25519, "prime256v1": tls.CurveP256, "secp256r1": tls.CurveP256, "p-256": tls.CurveP256,
		"secp384r1": tls.CurveP384, "p-384": tls.CurveP384, "secp521r1": tls.CurveP521, "p-521": tls.CurveP521,
		"x25519mlkem768": tls.X25519MLKEM768, "secp256r1mlkem768": tls.SecP256r1MLKEM768,
		"secp384r1mlkem1024": tls.SecP384r1MLKEM1024,
	}
	var groups []tls.CurveID
	for _, word := range splitWords(list, ", \t\r\n:/") {
		word = strings.ToLower(strings.TrimLeft(word, "?*-"))
		if word == "default" {
			for _, id := range []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521} {
				if !slices.Contains(groups, id) {
					groups = append(groups, id)
				}
			}
		}
		if id, ok := known[word]; ok {
			groups = append(groups, id)
		}
	}
	return groups
}
