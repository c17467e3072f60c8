package lab

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Certificates are made for each lab, below the directory tls of the lab: the
// files NAME.pem have a key and a certificate, ca.pem the certificate of the
// authority that signed most of them.
//
//	good      for localhost, mail.example.com and lmtp.example.com
//	wildcard  for *.example.com
//	cn        for localhost, in the common name only
//	address   for 127.0.0.1
//	other     for other.example.net
//	expired   good, until yesterday
//	self      good, but signed by itself
//	stranger  good, but signed by an unknown authority
//	client    for the agent
type Certificates struct {
	dir   string
	certs map[string]*tls.Certificate
}

// An authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Certificates makes the certificates of the lab, or returns them.
func (l *Lab) Certificates() (*Certificates, error) { return l.pki.get(l) }

// pki makes Certificates once.
type pki struct {
	once  sync.Once
	certs *Certificates
	err   error
}

func (p *pki) get(l *Lab) (*Certificates, error) {
	p.once.Do(func() { p.certs, p.err = newCertificates(filepath.Join(l.dir, "tls")) })
	return p.certs, p.err
}

func newCertificates(dir string) (*Certificates, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	c := &Certificates{dir: dir, certs: make(map[string]*tls.Certificate)}
	ours, err := c.authority("Lab CA")
	if err != nil {
		return nil, err
	}
	theirs, err := c.authority("Unknown CA")
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ours.cert.Raw})
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), text, 0o644); err != nil {
		return nil, err
	}
	names := []string{"localhost", Hostname, "lmtp.example.com"}
	for _, s := range []struct {
		name   string
		cn     string
		names  []string
		by     *authority
		change func(*x509.Certificate)
	}{
		{"good", "localhost", names, ours, nil},
		{"wildcard", "", []string{"*.example.com"}, ours, nil},
		{"cn", "localhost", nil, ours, nil},
		{"address", "", nil, ours, func(t *x509.Certificate) { t.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)} }},
		{"other", "other.example.net", []string{"other.example.net"}, ours, nil},
		{"expired", "localhost", names, ours, func(t *x509.Certificate) { t.NotAfter = time.Now().Add(-24 * time.Hour) }},
		{"self", "localhost", names, nil, nil},
		{"stranger", "localhost", names, theirs, nil},
		{"client", "agent", nil, ours, func(t *x509.Certificate) { t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }},
	} {
		t := &x509.Certificate{Subject: pkix.Name{CommonName: s.cn}, DNSNames: s.names,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
		t.NotBefore, t.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(48*time.Hour)
		if s.change != nil {
			s.change(t)
		}
		if err := c.add(s.name, t, s.by); err != nil {
			return nil, fmt.Errorf("make certificate %s: %w", s.name, err)
		}
	}
	return c, nil
}

func (c *Certificates) authority(name string) (*authority, error) {
	t := &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-72 * time.Hour), NotAfter: time.Now().Add(72 * time.Hour)}
	cert, key, err := issue(t, nil)
	return &authority{cert, key}, err
}

// issue makes a key and a certificate, signed by itself without an authority.
func issue(t *x509.Certificate, by *authority) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	t.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		return nil, nil, err
	}
	if by == nil {
		by = &authority{t, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, by.cert, &key.PublicKey, by.key)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return cert, key, err
}

// add issues a certificate and writes its file.
func (c *Certificates) add(name string, t *x509.Certificate, by *authority) error {
	cert, key, err := issue(t, by)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
	c.certs[name] = &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
	return os.WriteFile(filepath.Join(c.dir, name+".pem"), text, 0o644)
}

// Expand replaces {tls:NAME} by the SHA-256 fingerprint of a certificate, and
// {key:NAME} by that of its public key.
func (c *Certificates) Expand(text string) string {
	for name, cert := range c.certs {
		for kind, der := range map[string][]byte{"tls": cert.Leaf.Raw, "key": cert.Leaf.RawSubjectPublicKeyInfo} {
			sum := sha256.Sum256(der)
			pairs := make([]string, len(sum))
			for i, b := range sum {
				pairs[i] = hex.EncodeToString([]byte{b})
			}
			text = strings.ReplaceAll(text, "{"+kind+":"+name+"}", strings.ToUpper(strings.Join(pairs, ":")))
		}
	}
	return text
}

// usesTLS tells whether a script needs certificates.
func (s *Script) usesTLS() bool {
	return slices.ContainsFunc(s.Rules, func(r Rule) bool {
		return slices.ContainsFunc(r.Steps, func(step Step) bool { return step.Do == "tls" })
	})
}

// startTLS is the step "tls NAME WORD...": a handshake with that certificate.
// The words are "client" (ask for a certificate), "1.0" or "1.2" (no later
// version), and "gone" (close after the client's first message).
func (s *session) startTLS(text string) {
	words := strings.Fields(text)
	if len(words) == 0 || s.server.certs == nil || s.server.certs.certs[words[0]] == nil {
		s.stop("no such certificate: " + text)
		return
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{*s.server.certs.certs[words[0]]}, MinVersion: tls.VersionTLS10,
		CurvePreferences: []tls.CurveID{tls.X25519}}
	sni := "-"
	cfg.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		if h.ServerName != "" {
			sni = h.ServerName
		}
		if slices.Contains(words, "gone") {
			return nil, errors.New("as the script says")
		}
		return nil, nil
	}
	if slices.Contains(words, "client") {
		cfg.ClientAuth = tls.RequestClientCert
	}
	for word, version := range map[string]uint16{"1.0": tls.VersionTLS10, "1.2": tls.VersionTLS12} {
		if slices.Contains(words, word) {
			cfg.MaxVersion = version
		}
	}
	conn := tls.Server(buffered{s.conn, s.in}, cfg)
	if err := conn.Handshake(); err != nil {
		s.server.note(s.dialog, Got, []byte("(no TLS)\r\n"))
		s.end(err)
		return
	}
	line := "(TLS, server name " + sni
	if certs := conn.ConnectionState().PeerCertificates; len(certs) > 0 {
		line += ", certificate of " + certs[0].Subject.CommonName
	}
	s.server.note(s.dialog, Got, []byte(line+")\r\n"))
	s.conn, s.in = conn, bufio.NewReaderSize(conn, 64<<10)
}

// buffered is a connection from which some bytes were read ahead.
type buffered struct {
	net.Conn
	in *bufio.Reader
}

func (b buffered) Read(p []byte) (int, error) { return b.in.Read(p) }
