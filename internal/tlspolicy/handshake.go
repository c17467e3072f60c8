package tlspolicy

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
)

// A Handshake is one attempt to talk TLS to one server.
type Handshake struct {
	engine     *Engine
	policy     *Policy
	log        logMask
	config     *tls.Config
	level      Level // Encrypt in place of DANE, if no record makes sense
	hopeless   bool  // nothing can match
	tlsa       []tlsa
	references []string
	sentCert   *tls.Certificate
	verdict    Verdict
}

// maxSessionCaches bounds the policies that session tickets are kept for.
const maxSessionCaches = 1000

// Client prepares a handshake. The error is that of a handshake that failed:
// why is in the log.
func (e *Engine) Client(ctx context.Context, p *Policy) (*Handshake, error) {
	h := &Handshake{engine: e, policy: p, log: e.logFor(ctx, p), level: p.Level}
	peer := p.target.peer()
	if h.log.has(logVerbose) {
		e.opt.Log.Infof("setting up TLS connection to %s", peer)
	}
	versions, err := parseProtocols(p.protocols)
	if err != nil {
		e.opt.Log.Warningf("%s: %v: aborting TLS session", peer, err)
		return nil, HandshakeFailure()
	}
	if versions.note != "" {
		e.opt.Log.Warningf("%s: %s", peer, versions.note)
	}
	ciphers, list, err := e.ciphers(p.grade, p.exclude)
	if err != nil {
		e.opt.Log.Warningf("%s: %v", peer, err)
		return nil, HandshakeFailure()
	}
	if h.log.has(logVerbose) {
		e.opt.Log.Infof("%s: TLS cipher list \"%s\"", peer, list)
	}
	sni := p.serverName()
	if len(sni) > 255 {
		e.opt.Log.Warningf("%s: ignoring too long SNI hostname: %.100s", peer, sni)
		return nil, HandshakeFailure()
	}
	if sni != "" && h.log.has(logDebug) {
		e.opt.Log.Infof("%s: SNI hostname: %s", peer, sni)
	}
	h.prepare()
	h.config = &tls.Config{
		ServerName:         sni,
		MinVersion:         versions.low,
		MaxVersion:         versions.high,
		CipherSuites:       ciphers,
		CurvePreferences:   parseGroups(e.opt.Curves),
		ClientSessionCache: e.sessionCache(p),
		Time:               e.opt.Now,
		// The checks are ours, in VerifyConnection: levels, fingerprints
		// and TLSA records are nothing that crypto/tls knows.
		InsecureSkipVerify: true, //nolint:gosec // see above
		VerifyConnection: func(s tls.ConnectionState) error {
			h.verdict = h.judge(s.PeerCertificates)
			return nil
		},
		GetClientCertificate: func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			h.sentCert = e.clientCertificate(info)
			return h.sentCert, nil
		},
	}
	return h, nil
}

// HandshakeFailure is the error of a handshake that did not work.
func HandshakeFailure() *Error { return problem("4.7.5", "Cannot start TLS: handshake failure") }

// prepare finds out what can match, before the server has a say.
func (h *Handshake) prepare() {
	p, log := h.policy, h.engine.opt.Log
	peer := p.target.peer()
	switch p.Level {
	case Fingerprint:
		h.prepareFingerprints()
		return
	case DANE, DANEOnly:
		digests := h.engine.opt.DANEDigests
		for _, r := range p.tlsa {
			if r.usable(digests) {
				h.tlsa = append(h.tlsa, r)
			} else {
				log.Warningf("%s: unusable TLSA RR: %v", peer, r)
			}
		}
		switch {
		case h.tlsa != nil:
			h.tlsa = agile(h.tlsa, digests)
		case p.Level == DANE:
			log.Warningf("%s: all TLSA records unusable, fallback to unauthenticated TLS", peer)
			h.level = Encrypt
			return
		default:
			log.Warningf("%s: all TLSA records unusable", peer)
			h.hopeless = true
		}
	case Verify, Secure:
	default:
		return
	}
	h.references = p.referenceNames(log)
	h.hopeless = h.hopeless || h.references == nil
}

// prepareFingerprints warns of fingerprints that the digest cannot make. Postfix
// has them as TLSA records of a type of its own.
func (h *Handshake) prepareFingerprints() {
	log, peer := h.engine.opt.Log, h.policy.target.peer()
	size := len(h.engine.digest(nil))
	h.hopeless = true
	for _, d := range slices.Backward(h.policy.digests) {
		if len(d) == size {
			h.hopeless = false
			continue
		}
		for _, selector := range []byte{selectorSPKI, selectorCert} {
			log.Warningf("%s: unusable TLSA RR: %v", peer, tlsa{usageEE, selector, matchPrivate, string(d)})
		}
	}
	if h.hopeless {
		log.Warningf("%s: all fingerprints unusable", peer)
	}
}

// sessionCache keeps the tickets of servers under one policy. A ticket is never
// used under another one: the certificates that it stands for are checked
// again, but not whether the connection is as strong as the policy wants.
func (e *Engine) sessionCache(p *Policy) tls.ClientSessionCache {
	e.mu.Lock()
	defer e.mu.Unlock()
	id := p.Identity() + " " + p.target.Address + " " + fmt.Sprint(p.target.Port)
	c := e.sessions[id]
	if c == nil {
		if len(e.sessions) >= maxSessionCaches {
			clear(e.sessions)
		}
		c = new(ticket)
		e.sessions[id] = c
	}
	return c
}

// A ticket is the cache for one server under one policy: whatever key crypto/tls
// makes of that.
type ticket struct {
	mu    sync.Mutex
	state *tls.ClientSessionState
}

// Get implements tls.ClientSessionCache.
func (t *ticket) Get(string) (*tls.ClientSessionState, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state, t.state != nil
}

// Put implements tls.ClientSessionCache.
func (t *ticket) Put(_ string, s *tls.ClientSessionState) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.state = s
}

// Config is for crypto/tls, and for one connection.
func (h *Handshake) Config() *tls.Config { return h.config }

// Verdict returns what the server proved; nothing before the handshake was
// completed.
func (h *Handshake) Verdict() Verdict { return h.verdict }

// SentCertificate tells whether the server asked for a client certificate and
// got one.
func (h *Handshake) SentCertificate() bool { return h.sentCert != nil && h.sentCert.Leaf != nil }

// Failed logs a handshake that did not work.
func (h *Handshake) Failed(err error) {
	text := printable(err.Error())
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		text = "lost connection"
	}
	h.engine.opt.Log.Infof("SSL_connect error to %s: %s", h.policy.target.peer(), text)
}

// Done logs a handshake that worked, as far as lmtp_tls_loglevel asks for it, and
// says why the server's certificate will not do.
func (h *Handshake) Done(s *tls.ConnectionState) {
	log, peer, v := h.engine.opt.Log, h.policy.target.peer(), h.verdict
	if h.log.has(logCache) && s.DidResume {
		log.Infof("%s: Reusing old session", peer)
	}
	if !v.Matched && v.reason != "" && h.log.has(logUntrusted) {
		if s.DidResume && !v.Level.Matches() {
			log.Infof("%s: re-using session with untrusted peer credential, look for details earlier in the log", peer)
		} else {
			log.Infof("%s", fmt.Sprintf(v.reason, peer))
		}
	}
	if len(s.PeerCertificates) > 0 && h.log.has(logCertmatch|logVerbose|logPeercert) {
		if v.name != "" {
			log.Infof("%s: matched peername: %s", peer, printable(v.name))
		}
		leaf := s.PeerCertificates[0]
		words := "%s: subject_CN=%s, issuer=%s, cert fingerprint=%s, pkey fingerprint=%s"
		if h.engine.opt.OldPeerLine {
			words = "%s: subject_CN=%s, issuer_CN=%s, fingerprint=%s, pkey_fingerprint=%s"
		}
		log.Infof(words, peer,
			printable(leaf.Subject.CommonName), issuerName(leaf),
			formatFingerprint(h.engine.digest(leaf.Raw)), formatFingerprint(h.engine.digest(leaf.RawSubjectPublicKeyInfo)))
	}
	if h.log.has(logSummary) {
		log.Infof("%s", h.Summary(s, "established"))
	}
}

// Reused logs that a message goes over a connection that was made before.
func (h *Handshake) Reused(s *tls.ConnectionState) {
	h.engine.opt.Log.Infof("%s", h.Summary(s, "reused"))
}

func issuerName(c *x509.Certificate) string {
	if c.Issuer.CommonName == "" && len(c.Issuer.Organization) > 0 {
		return printable(c.Issuer.Organization[0])
	}
	return printable(c.Issuer.CommonName)
}

// Summary describes a connection in Postfix's words.
func (h *Handshake) Summary(s *tls.ConnectionState, how string) string {
	state := "Untrusted"
	switch v := h.verdict; {
	case len(s.PeerCertificates) == 0:
		state = "Anonymous"
	case v.Matched:
		state = "Verified"
	case v.Trusted:
		state = "Trusted"
	}
	name, use, alg := cipherName(s.CipherSuite)
	var b strings.Builder
	fmt.Fprintf(&b, "%s TLS connection %s to %s: %s with cipher %s (%d/%d bits)",
		state, how, h.policy.target.peer(), versionName(s.Version), name, use, alg)
	if s.Version < tls.VersionTLS13 {
		return b.String()
	}
	b.WriteString(keyExchange(s.CurveID))
	if !s.DidResume && len(s.PeerCertificates) > 0 {
		b.WriteString(signature("server", s.PeerCertificates[0].PublicKey))
	}
	if !s.DidResume && h.SentCertificate() {
		b.WriteString(signature("client", h.sentCert.Leaf.PublicKey))
	}
	return b.String()
}

func versionName(v uint16) string {
	switch v {
	case tls.VersionTLS10:
		return "TLSv1"
	case tls.VersionTLS11:
		return "TLSv1.1"
	case tls.VersionTLS12:
		return "TLSv1.2"
	case tls.VersionTLS13:
		return "TLSv1.3"
	}
	return tls.VersionName(v)
}

func keyExchange(id tls.CurveID) string {
	switch id {
	case 0:
		return ""
	case tls.CurveP256, tls.CurveP384, tls.CurveP521:
		return map[tls.CurveID]string{
			tls.CurveP256: " key-exchange ECDHE (prime256v1)",
			tls.CurveP384: " key-exchange ECDHE (secp384r1)",
			tls.CurveP521: " key-exchange ECDHE (secp521r1)",
		}[id]
	}
	return " key-exchange " + id.String()
}

// signature describes the signature of one side in TLS 1.3. The digest of an
// RSA signature is nothing that crypto/tls tells.
func signature(side string, key any) string {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf(" %s-signature RSA-PSS (%d bits)", side, k.N.BitLen())
	case *ecdsa.PublicKey:
		switch k.Params().BitSize { // RFC 8446 section 4.2.3
		case 256:
			return fmt.Sprintf(" %s-signature ECDSA (prime256v1) %s-digest SHA256", side, side)
		case 384:
			return fmt.Sprintf(" %s-signature ECDSA (secp384r1) %s-digest SHA384", side, side)
		}
		return fmt.Sprintf(" %s-signature ECDSA (secp521r1) %s-digest SHA512", side, side)
	case ed25519.PublicKey:
		return fmt.Sprintf(" %s-signature ED25519", side)
	}
	return ""
}
