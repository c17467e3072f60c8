package tlspolicy

import (
	"crypto/md5"  //nolint:gosec // fingerprints of old configurations
	"crypto/sha1" //nolint:gosec // the same
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"strings"
)

// A digest makes fingerprints (lmtp_tls_fingerprint_digest).
type digest func([]byte) []byte

// newDigest returns the digest of a name as OpenSSL knows it.
func newDigest(name string) (digest, bool) {
	switch strings.ToLower(strings.ReplaceAll(name, "-", "")) {
	case "md5":
		return func(b []byte) []byte { s := md5.Sum(b); return s[:] }, true //nolint:gosec // as configured
	case "sha1", "sha":
		return func(b []byte) []byte { s := sha1.Sum(b); return s[:] }, true //nolint:gosec // as configured
	case "sha224", "sha2224":
		return func(b []byte) []byte { s := sha256.Sum224(b); return s[:] }, true
	case "sha256", "sha2256":
		return func(b []byte) []byte { s := sha256.Sum256(b); return s[:] }, true
	case "sha384", "sha2384":
		return func(b []byte) []byte { s := sha512.Sum384(b); return s[:] }, true
	case "sha512", "sha2512":
		return func(b []byte) []byte { s := sha512.Sum512(b); return s[:] }, true
	}
	return nil, false
}

// maxDigest is the size of the largest digest.
const maxDigest = 64

// parseFingerprint reads hexadecimal digits, with or without colons between
// the bytes. What is none is logged.
func parseFingerprint(s string, log Logger) ([]byte, bool) {
	if len(s) > 3*maxDigest {
		log.Warningf("malformed fingerprint value: %.100s...", s)
		return nil, false
	}
	b, ok := decodeColonHex(s)
	if !ok {
		log.Warningf("malformed fingerprint value: %.384s", s)
	}
	return b, ok
}

// decodeColonHex takes one colon between two bytes, and none at an end.
func decodeColonHex(s string) ([]byte, bool) {
	var digits strings.Builder
	for i := 0; i < len(s); {
		if i > 0 && s[i] == ':' {
			i++
		}
		if len(s)-i < 2 {
			return nil, false
		}
		digits.WriteString(s[i : i+2])
		i += 2
	}
	b, err := hex.DecodeString(digits.String())
	return b, err == nil && len(b) > 0
}

// formatFingerprint is the form of the log, upper case with colons.
func formatFingerprint(b []byte) string {
	var s strings.Builder
	for i, c := range b {
		if i > 0 {
			s.WriteByte(':')
		}
		s.WriteString(strings.ToUpper(hex.EncodeToString([]byte{c})))
	}
	return s.String()
}
