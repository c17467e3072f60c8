package tlspolicy

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
)

// A Verdict is what a server proved in a handshake. The zero value proves
// nothing.
type Verdict struct {
	// Level is the level that was enforced: that of the policy, but Encrypt
	// where none of the TLSA records of a DANE policy makes sense.
	Level Level
	// Trusted: the certificate is what it says it is. Matched: and it is the
	// one that the policy asks for.
	Trusted, Matched bool

	judged bool
	reason string // for the log, with %s for the server; empty if there is none
	name   string // that matched
}

// OK tells whether mail may be sent.
func (v Verdict) OK() bool { return v.judged && (!v.Level.Matches() || v.Matched) }

// maxChain bounds the certificates of a server that are looked at. Some send all
// the authorities that they know behind those that matter.
const maxChain = 50

// judge checks the certificates of a server.
func (h *Handshake) judge(chain []*x509.Certificate) Verdict {
	chain = chain[:min(len(chain), maxChain)]
	p := h.policy
	v := Verdict{Level: h.level, judged: true}
	if len(chain) == 0 {
		return v
	}
	switch {
	case p.attr.failure != "":
		v.reason = "certificate verification failed for %s: external policy failure (" + p.attr.failure + ")"
	case h.hopeless:
		v.reason = "server certificate verification failed for %s: num=1:unspecified certificate verification error"
	case h.level == Fingerprint:
		h.judgeFingerprint(&v, chain[0])
	case h.level == DANE || h.level == DANEOnly:
		h.judgeDANE(&v, chain)
	case p.anchors != nil && h.level.pkix():
		h.judgeAnchors(&v, chain)
	default:
		h.judgePKIX(&v, chain)
	}
	return v
}

const (
	noMatch      = "server certificate verification failed for %s: num=65:no matching DANE TLSA records"
	wrongName    = "server certificate verification failed for %s: num=62:hostname mismatch"
	wrongAddress = "server certificate verification failed for %s: num=64:IP address mismatch"
	forbidden    = "server certificate verification failed for %s: num=47:permitted subtree violation"
)

func (h *Handshake) judgeFingerprint(v *Verdict, leaf *x509.Certificate) {
	sums := [][]byte{h.engine.digest(leaf.Raw), h.engine.digest(leaf.RawSubjectPublicKeyInfo)}
	for _, d := range h.policy.digests {
		if slices.ContainsFunc(sums, func(s []byte) bool { return bytes.Equal(s, d) }) {
			v.Trusted, v.Matched = true, true
			return
		}
	}
	v.reason = noMatch
}

func (h *Handshake) judgeDANE(v *Verdict, chain []*x509.Certificate) {
	anchored := false
	for _, r := range h.tlsa {
		if r.Usage == usageEE && r.matches(chain[0]) {
			// No names, no dates (RFC 7672 section 3.1.1).
			v.Trusted, v.Matched = true, true
			return
		}
		anchored = anchored || r.Usage == usageTA
	}
	if !anchored {
		v.reason = noMatch
		return
	}
	h.judgeChain(v, chain, danePool(h.tlsa, chain), nil)
	if !v.Trusted && isUnknownAuthority(v.reason) {
		v.reason = noMatch
	}
}

func (h *Handshake) judgeAnchors(v *Verdict, chain []*x509.Certificate) {
	if h.policy.anchors.vouchesFor(chain[0]) {
		v.Trusted = true
		h.judgeName(v, chain[0])
		return
	}
	h.judgeChain(v, chain, h.policy.anchors.pool(chain), nil)
	if !v.Trusted && isUnknownAuthority(v.reason) {
		v.reason = noMatch
	}
}

func (h *Handshake) judgePKIX(v *Verdict, chain []*x509.Certificate) {
	t := &h.engine.trust
	h.judgeChain(v, chain, t.roots, t.intermediates)
}

// judgeChain looks for a chain to one of the roots, then at the names.
func (h *Handshake) judgeChain(v *Verdict, chain []*x509.Certificate, roots *x509.CertPool, more []*x509.Certificate) {
	between := x509.NewCertPool()
	for _, c := range append(chain[1:len(chain):len(chain)], more...) {
		between.AddCert(c)
	}
	found, err := chain[0].Verify(x509.VerifyOptions{
		Roots:         roots,
		Intermediates: between,
		CurrentTime:   h.engine.opt.Now(),
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		v.reason = reasonOf(err, chain)
		return
	}
	// lmtp_tls_scert_verifydepth bounds the certificates between the server's
	// and the root; Postfix passes one more to OpenSSL.
	limit := h.engine.opt.VerifyDepth + 1
	found = slices.DeleteFunc(found, func(c []*x509.Certificate) bool { return len(c)-2 > limit })
	if len(found) == 0 {
		v.reason = fmt.Sprintf("certificate verification failed for %%s: certificate chain longer than limit(%d)", limit)
		return
	}
	v.Trusted = true
	h.judgeName(v, chain[0])
	if v.Matched && v.name == commonName(chain[0]) && !isAddress(v.name) && !slices.ContainsFunc(found, permitsCommonName) {
		v.Trusted, v.Matched, v.name, v.reason = false, false, "", forbidden
	}
}

// judgeName looks at the names of a trusted certificate, where that matters.
func (h *Handshake) judgeName(v *Verdict, leaf *x509.Certificate) {
	if !h.level.Matches() {
		return
	}
	v.name, v.Matched = matchedName(leaf, h.references, h.engine.opt.MultiLabelWildcard)
	if v.Matched {
		return
	}
	v.Trusted = h.engine.opt.TrustMismatched
	v.reason = wrongName
	if len(h.references) == 1 && isAddress(h.references[0]) {
		v.reason = wrongAddress
	}
}

const (
	selfSignedReason = "certificate verification failed for %s: self-signed certificate"
	untrustedReason  = "certificate verification failed for %s: untrusted issuer "
)

func isUnknownAuthority(reason string) bool {
	return reason == selfSignedReason || len(reason) > len(untrustedReason) && reason[:len(untrustedReason)] == untrustedReason
}

// reasonOf words a failed verification as Postfix does.
func reasonOf(err error, chain []*x509.Certificate) string {
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &unknown):
		top := lastIssued(chain)
		if top == chain[0] && bytes.Equal(top.RawIssuer, top.RawSubject) {
			return selfSignedReason
		}
		return untrustedReason + escapePercent(oneLine(top.RawIssuer))
	case errors.As(err, &invalid):
		purpose := "CA"
		if invalid.Cert == nil || invalid.Cert.Equal(chain[0]) {
			purpose = "server"
		}
		switch invalid.Reason {
		case x509.Expired:
			if invalid.Cert != nil && invalid.Cert.NotAfter.After(invalid.Cert.NotBefore) && notYetValid(invalid.Detail) {
				return purpose + " certificate verification failed for %s: certificate not yet valid"
			}
			return purpose + " certificate verification failed for %s: certificate has expired"
		case x509.IncompatibleUsage:
			return "certificate verification failed for %s: not designated for use as a " + purpose + " certificate"
		}
	}
	return "server certificate verification failed for %s: " + escapePercent(printable(err.Error()))
}

// notYetValid reads the detail that package x509 gives for a time that is out
// of bounds: it has one reason for both ends.
func notYetValid(detail string) bool { return bytes.Contains([]byte(detail), []byte("is before")) }

func escapePercent(s string) string {
	return string(bytes.ReplaceAll([]byte(s), []byte("%"), []byte("%%")))
}

// lastIssued follows the chain that the server sent as far as it goes.
func lastIssued(chain []*x509.Certificate) *x509.Certificate {
	c := chain[0]
	for range chain {
		i := slices.IndexFunc(chain, func(o *x509.Certificate) bool {
			return o != c && bytes.Equal(o.RawSubject, c.RawIssuer) && !bytes.Equal(c.RawSubject, c.RawIssuer)
		})
		if i < 0 {
			break
		}
		c = chain[i]
	}
	return c
}
