package tlspolicy

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"sort"
)

// trust is what lmtp_tls_CAfile, lmtp_tls_CApath and tls_append_default_CA name.
type trust struct {
	roots         *x509.CertPool // never nil: nil would be the system's
	intermediates []*x509.Certificate
}

// Limits on files of certificates.
const (
	maxTrustFile = 64 << 20
	maxTrustDir  = 10000 // files
)

// loadTrust reads the certification authorities. As in OpenSSL, a certificate
// that its own key does not sign is no root: it helps to build a chain.
func (e *Engine) loadTrust() (trust, bool) {
	o := &e.opt
	t := trust{roots: x509.NewCertPool()}
	if o.CAFile == "" && o.CAPath == "" {
		return t, true
	}
	if o.AppendDefaultCA {
		if system, err := x509.SystemCertPool(); err == nil {
			t.roots = system
		} else {
			o.Log.Warningf("read the system's certification authorities: %v", err)
		}
	}
	if err := t.load(o.CAFile, o.CAPath); err != nil {
		o.Log.Infof("cannot load Certification Authority data, %s: disabling TLS support", caNames(o.CAFile, o.CAPath))
		o.Log.Warningf("%s: %v", caNames(o.CAFile, o.CAPath), unwrapPath(err))
		return t, false
	}
	return t, true
}

// caNames names the parameters as Postfix does.
func caNames(file, dir string) string {
	switch {
	case dir == "":
		return fmt.Sprintf("CAfile=\"%s\"", file)
	case file == "":
		return fmt.Sprintf("CApath=\"%s\"", dir)
	}
	return fmt.Sprintf("CAfile=\"%s\", CApath=\"%s\"", file, dir)
}

func (t *trust) load(file, dir string) error {
	if file != "" {
		certs, err := readCertificates(file)
		if err != nil {
			return err
		}
		t.add(certs)
	}
	if dir == "" {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("read lmtp_tls_CApath: %w", err)
	}
	if len(entries) > maxTrustDir {
		return fmt.Errorf("read lmtp_tls_CApath: more than %d files in %s", maxTrustDir, dir)
	}
	// The links that c_rehash makes name the same files again: the pool
	// takes every certificate once. A file that is no certificate is none.
	sort.Slice(entries, func(i, j int) bool { return entries[i].Name() < entries[j].Name() })
	for _, entry := range entries {
		if certs, err := readCertificates(filepath.Join(dir, entry.Name())); err == nil {
			t.add(certs)
		}
	}
	return nil
}

func (t *trust) add(certs []*x509.Certificate) {
	for _, c := range certs {
		if selfSigned(c) {
			t.roots.AddCert(c)
		} else {
			t.intermediates = append(t.intermediates, c)
		}
	}
}

// selfSigned tells a certificate that its own key signs. CheckSignature does
// not ask whether the key may sign: a server's own certificate is one, too.
func selfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawIssuer, c.RawSubject) &&
		c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

// readFile reads a file of a bounded size.
func readFile(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > limit {
		return nil, fmt.Errorf("read %s: not a file of up to %d bytes", path, limit)
	}
	return os.ReadFile(path)
}

// readCertificates reads the certificates of a PEM file; none is an error.
func readCertificates(path string) ([]*x509.Certificate, error) {
	text, err := readFile(path, maxTrustFile)
	if err != nil {
		return nil, err
	}
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if !isCertificate(block.Type) {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			continue // one that is too odd for us leaves the others
		}
		certs = append(certs, c)
	}
	if certs == nil {
		return nil, fmt.Errorf("read %s: no certificate in it", path)
	}
	return certs, nil
}

func isCertificate(kind string) bool {
	return kind == "CERTIFICATE" || kind == "X509 CERTIFICATE" || kind == "TRUSTED CERTIFICATE"
}
