package tlspolicy

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// FuzzAnchors reads files of trust anchors, certificates and keys.
func FuzzAnchors(f *testing.F) {
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n"))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"))
	f.Add([]byte("-----BEGIN TRUSTED CERTIFICATE-----\nMAA=\n-----END TRUSTED CERTIFICATE-----\n"))
	f.Add([]byte("no PEM"))
	path := filepath.Join(f.TempDir(), strconv.Itoa(os.Getpid())) // each worker has its own
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if a, err := readAnchors(path); err == nil && len(a.certs)+len(a.keys) == 0 {
			t.Error("no anchor, and no error")
		}
		if certs, err := readCertificates(path); err == nil && len(certs) == 0 {
			t.Error("no certificate, and no error")
		}
		_, _ = readPair(path, path)
		_, _ = readChains(path)
	})
}
