package tlspolicy

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
)

// anchors are trust anchors of one destination, in place of all certification
// authorities: certificates, and public keys alone. A server's own certificate
// or key among them is trusted as it is.
type anchors struct {
	certs []*x509.Certificate
	keys  [][]byte // SubjectPublicKeyInfo, DER
}

// loadAnchorFiles reads lmtp_tls_trust_anchor_file. A mistake is kept for the
// policies that need the file.
func (e *Engine) loadAnchorFiles() {
	for _, file := range splitWords(e.opt.TrustAnchorFile, ", \t\r\n") {
		more, err := readAnchors(file)
		if err != nil {
			e.opt.Log.Warningf("%v", err)
			e.anchored = err
			return
		}
		e.anchors = e.anchors.join(more)
	}
}

// join returns the anchors of both.
func (a *anchors) join(b *anchors) *anchors {
	if a == nil {
		return b
	}
	return &anchors{
		certs: append(a.certs[:len(a.certs):len(a.certs)], b.certs...),
		keys:  append(a.keys[:len(a.keys):len(a.keys)], b.keys...),
	}
}

// identity is equal for equal anchors.
func (a *anchors) identity() string {
	if a == nil {
		return ""
	}
	h := sha256.New()
	for _, c := range a.certs {
		fmt.Fprintf(h, "c%d ", len(c.Raw))
		h.Write(c.Raw)
	}
	for _, k := range a.keys {
		fmt.Fprintf(h, "k%d ", len(k))
		h.Write(k)
	}
	return string(h.Sum(nil))
}

// readAnchors reads a PEM file of certificates and public keys.
func readAnchors(path string) (*anchors, error) {
	text, err := readFile(path, maxTrustFile)
	if err != nil {
		return nil, fmt.Errorf("error opening trust anchor file: %s: %w", path, unwrapPath(err))
	}
	a := &anchors{}
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		switch {
		case isCertificate(block.Type):
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("error reading: %s: malformed trust-anchor certificate: %w", path, err)
			}
			a.certs = append(a.certs, c)
		case block.Type == "PUBLIC KEY":
			if _, err := x509.ParsePKIXPublicKey(block.Bytes); err != nil {
				return nil, fmt.Errorf("error reading: %s: malformed trust-anchor public key: %w", path, err)
			}
			a.keys = append(a.keys, block.Bytes)
		}
	}
	if len(a.certs)+len(a.keys) == 0 {
		return nil, fmt.Errorf("error reading: %s: no trust anchor in it", path)
	}
	return a, nil
}

// vouchesFor tells whether a server's own certificate, or its key, is an anchor.
func (a *anchors) vouchesFor(leaf *x509.Certificate) bool {
	for _, c := range a.certs {
		if c.Equal(leaf) {
			return true
		}
	}
	return a.hasKey(leaf)
}

func (a *anchors) hasKey(c *x509.Certificate) bool {
	for _, k := range a.keys {
		if bytes.Equal(k, c.RawSubjectPublicKeyInfo) {
			return true
		}
	}
	return false
}

// pool is what a chain may end in: the anchors that are certificates, and the
// certificates of the chain that have an anchor's key, or are signed by it.
func (a *anchors) pool(chain []*x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, c := range a.certs {
		pool.AddCert(c)
	}
	for _, c := range chain[1:] {
		if a.hasKey(c) {
			pool.AddCert(c)
		}
	}
	addSigned(pool, chain, a.keys)
	return pool
}

// maxTops bounds the certificates of a chain that keys are tried on.
const maxTops = 4

// addSigned adds the certificates of a chain that one of the keys signs: the key
// of an authority that is not in the chain, or a certificate's own. Where another
// certificate of the chain is the issuer, the keys are not tried: a server may
// send hundreds of certificates, and a domain may have a hundred keys.
func addSigned(pool *x509.CertPool, chain []*x509.Certificate, keys [][]byte) {
	tops := 0
	for _, c := range chain {
		issued := slices.ContainsFunc(chain, func(o *x509.Certificate) bool { return !o.Equal(c) && mayIssue(o, c) })
		if issued || tops == maxTops {
			continue
		}
		tops++
		for _, k := range keys {
			if signedBy(c, k) {
				pool.AddCert(c)
			}
		}
	}
}

// mayIssue tells whether a certificate has the name, and if both say so the key,
// of another one's issuer.
func mayIssue(issuer, c *x509.Certificate) bool {
	return bytes.Equal(issuer.RawSubject, c.RawIssuer) &&
		(len(c.AuthorityKeyId) == 0 || len(issuer.SubjectKeyId) == 0 || bytes.Equal(c.AuthorityKeyId, issuer.SubjectKeyId))
}

// signedBy tells whether a public key signs a certificate.
func signedBy(c *x509.Certificate, spki []byte) bool {
	key, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return false
	}
	issuer := &x509.Certificate{PublicKey: key}
	return issuer.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}
