package tlspolicy

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
)

// A suite is a cipher suite of TLS 1.2 and before that crypto/tls has.
type suite struct {
	id       uint16
	name     string // OpenSSL's
	words    string // the words of OpenSSL's cipher lists that it is in
	use, alg int    // bits
}

// suites are the suites, the words without those that all have.
func suites() []suite {
	const (
		gcm  = " AESGCM AEAD HIGH FIPS TLSv1.2"
		cbc  = " AESCBC HIGH FIPS"
		sha1 = cbc + " SHA1 SHA"
		sha2 = cbc + " SHA256 TLSv1.2"
	)
	ecdhe := func(auth string) string {
		return "kECDHE kEECDH ECDHE EECDH ECDH " + auth
	}
	const rsa, ecdsa, krsa = "aRSA", "aECDSA ECDSA", "kRSA RSA aRSA"
	return []suite{
		{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, "ECDHE-ECDSA-AES256-GCM-SHA384", ecdhe(ecdsa) + " AES AES256" + gcm, 256, 256},
		{tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, "ECDHE-RSA-AES256-GCM-SHA384", ecdhe(rsa) + " AES AES256" + gcm, 256, 256},
		{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-ECDSA-CHACHA20-POLY1305", ecdhe(ecdsa) + " CHACHA20 AEAD HIGH TLSv1.2", 256, 256},
		{tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-RSA-CHACHA20-POLY1305", ecdhe(rsa) + " CHACHA20 AEAD HIGH TLSv1.2", 256, 256},
		{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, "ECDHE-ECDSA-AES128-GCM-SHA256", ecdhe(ecdsa) + " AES AES128" + gcm, 128, 128},
		{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, "ECDHE-RSA-AES128-GCM-SHA256", ecdhe(rsa) + " AES AES128" + gcm, 128, 128},
		{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256, "ECDHE-ECDSA-AES128-SHA256", ecdhe(ecdsa) + " AES AES128" + sha2, 128, 128},
		{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256, "ECDHE-RSA-AES128-SHA256", ecdhe(rsa) + " AES AES128" + sha2, 128, 128},
		{tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, "ECDHE-ECDSA-AES256-SHA", ecdhe(ecdsa) + " AES AES256" + sha1 + " TLSv1 TLSv1.0", 256, 256},
		{tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA, "ECDHE-RSA-AES256-SHA", ecdhe(rsa) + " AES AES256" + sha1 + " TLSv1 TLSv1.0", 256, 256},
		{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, "ECDHE-ECDSA-AES128-SHA", ecdhe(ecdsa) + " AES AES128" + sha1 + " TLSv1 TLSv1.0", 128, 128},
		{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, "ECDHE-RSA-AES128-SHA", ecdhe(rsa) + " AES AES128" + sha1 + " TLSv1 TLSv1.0", 128, 128},
		{tls.TLS_RSA_WITH_AES_256_GCM_SHA384, "AES256-GCM-SHA384", krsa + " AES AES256" + gcm, 256, 256},
		{tls.TLS_RSA_WITH_AES_128_GCM_SHA256, "AES128-GCM-SHA256", krsa + " AES AES128" + gcm, 128, 128},
		{tls.TLS_RSA_WITH_AES_128_CBC_SHA256, "AES128-SHA256", krsa + " AES AES128" + sha2, 128, 128},
		{tls.TLS_RSA_WITH_AES_256_CBC_SHA, "AES256-SHA", krsa + " AES AES256" + sha1 + " SSLv3", 256, 256},
		{tls.TLS_RSA_WITH_AES_128_CBC_SHA, "AES128-SHA", krsa + " AES AES128" + sha1 + " SSLv3", 128, 128},
		{tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA, "ECDHE-RSA-DES-CBC3-SHA", ecdhe(rsa) + " 3DES MEDIUM SHA1 SHA TLSv1 TLSv1.0", 112, 168},
		{tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA, "DES-CBC3-SHA", krsa + " 3DES MEDIUM SHA1 SHA SSLv3", 112, 168},
		{tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA, "ECDHE-ECDSA-RC4-SHA", ecdhe(ecdsa) + " RC4 MEDIUM SHA1 SHA TLSv1 TLSv1.0", 128, 128},
		{tls.TLS_ECDHE_RSA_WITH_RC4_128_SHA, "ECDHE-RSA-RC4-SHA", ecdhe(rsa) + " RC4 MEDIUM SHA1 SHA TLSv1 TLSv1.0", 128, 128},
		{tls.TLS_RSA_WITH_RC4_128_SHA, "RC4-SHA", krsa + " RC4 MEDIUM SHA1 SHA SSLv3", 128, 128},
	}
}

// in tells whether a suite is among those that a word of a cipher list means.
// Words are written as in OpenSSL's ciphers(1), where case matters.
func (s *suite) in(word string) bool {
	switch word {
	case s.name, "ALL":
		return true
	case "DEFAULT":
		return !s.in("3DES") && !s.in("RC4")
	}
	return slices.Contains(strings.Fields(s.words), word)
}

// evaluate returns the suites of an OpenSSL cipher list, see ciphers(1). Words
// that crypto/tls has no suite for mean nothing, as unknown words do in
// OpenSSL. The order of the result means nothing either.
func evaluate(list string) []suite {
	all := suites()
	chosen, banned := make([]bool, len(all)), make([]bool, len(all))
	for _, word := range splitWords(list, ": ,;\t\r\n") {
		action := word[0]
		switch action {
		case '@', '+': // order only
			continue
		case '!', '-':
			word = word[1:]
		}
		parts := strings.Split(word, "+")
		for i := range all {
			if slices.ContainsFunc(parts, func(part string) bool { return !all[i].in(part) }) {
				continue
			}
			switch action {
			case '!':
				banned[i], chosen[i] = true, false
			case '-':
				chosen[i] = false
			default:
				chosen[i] = !banned[i]
			}
		}
	}
	var result []suite
	for i, s := range all {
		if chosen[i] {
			result = append(result, s)
		}
	}
	return result
}

// cipherList is the list of a grade, before exclusions.
func (e *Engine) cipherList(grade string) (string, bool) {
	o := &e.opt
	orMedium := func(list string) string {
		if list == "" { // Postfix 3.8 and later
			return o.MediumCipherList
		}
		return list
	}
	switch strings.ToLower(grade) {
	case "high":
		return o.HighCipherList, true
	case "medium":
		return o.MediumCipherList, true
	case "low":
		return orMedium(o.LowCipherList), true
	case "export":
		return orMedium(o.ExportCipherList), true
	case "null":
		return o.NullCipherList, true
	}
	return "", false
}

// ciphers are the suites to offer with TLS 1.2 and before. The error is what
// Postfix warns of.
func (e *Engine) ciphers(grade, exclude string) ([]uint16, string, error) {
	list, ok := e.cipherList(grade)
	if !ok {
		return nil, "", fmt.Errorf("invalid cipher grade: \"%s\"", grade)
	}
	for _, word := range splitWords(exclude, ", \t\r\n:") {
		if strings.ContainsRune("!+-@", rune(word[0])) {
			return nil, "", fmt.Errorf("invalid unary '!+-@' in cipher exclusion: %s", word)
		}
		list += ":!" + word
	}
	var ids []uint16
	for _, s := range evaluate(list) {
		ids = append(ids, s.id)
	}
	if ids == nil {
		return nil, "", fmt.Errorf("error setting cipher grade: \"%s\"", grade)
	}
	return ids, list, nil
}

// cipherName is OpenSSL's name of a suite, with its bits.
func cipherName(id uint16) (name string, use, alg int) {
	switch id {
	case tls.TLS_AES_128_GCM_SHA256:
		return "TLS_AES_128_GCM_SHA256", 128, 128
	case tls.TLS_AES_256_GCM_SHA384:
		return "TLS_AES_256_GCM_SHA384", 256, 256
	case tls.TLS_CHACHA20_POLY1305_SHA256:
		return "TLS_CHACHA20_POLY1305_SHA256", 256, 256
	}
	for _, s := range suites() {
		if s.id == id {
			return s.name, s.use, s.alg
		}
	}
	return tls.CipherSuiteName(id), 0, 0
}
