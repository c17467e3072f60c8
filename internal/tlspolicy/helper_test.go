package tlspolicy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"postlmtp/internal/table"
)

// notes is a log that tests can read.
type notes struct {
	mu    sync.Mutex
	lines []string
}

func (n *notes) add(s string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, s)
}

func (n *notes) Infof(format string, args ...any) { n.add(fmt.Sprintf(format, args...)) }
func (n *notes) Warningf(format string, args ...any) {
	n.add("warning: " + fmt.Sprintf(format, args...))
}
func (n *notes) Errorf(format string, args ...any) { n.add("error: " + fmt.Sprintf(format, args...)) }

// take returns the lines so far and forgets them.
func (n *notes) take() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := strings.Join(n.lines, "\n")
	n.lines = nil
	return s
}

// identity is a key with its certificate.
type identity struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func (i *identity) chain(more ...*identity) tls.Certificate {
	c := tls.Certificate{Certificate: [][]byte{i.cert.Raw}, PrivateKey: i.key, Leaf: i.cert}
	for _, m := range more {
		c.Certificate = append(c.Certificate, m.cert.Raw)
	}
	return c
}

// certify makes a certificate, by itself without an issuer.
func certify(t testing.TB, by *identity, change func(*x509.Certificate)) *identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "mx.example.com"}, DNSNames: []string{"mx.example.com"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if change != nil {
		change(tmpl)
	}
	parent, signer := tmpl, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &identity{cert, key}
}

func authority(name string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.Subject.CommonName, c.DNSNames, c.ExtKeyUsage = name, nil, nil
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
	}
}

// writePEM writes certificates, and keys in front of them where asked for.
func writePEM(t testing.TB, name string, blocks ...*pem.Block) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	var text []byte
	for _, b := range blocks {
		text = append(text, pem.EncodeToMemory(b)...)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func certBlock(i *identity) *pem.Block { return &pem.Block{Type: "CERTIFICATE", Bytes: i.cert.Raw} }

func keyBlock(t testing.TB, i *identity) *pem.Block {
	der, err := x509.MarshalPKCS8PrivateKey(i.key)
	if err != nil {
		t.Fatal(err)
	}
	return &pem.Block{Type: "PRIVATE KEY", Bytes: der}
}

func publicBlock(i *identity) *pem.Block {
	return &pem.Block{Type: "PUBLIC KEY", Bytes: i.cert.RawSubjectPublicKeyInfo}
}

// defaults are the options that parameters have by default.
func defaults(log Logger) Options {
	return Options{
		EnforcePeername: true, EnforceSTSPatterns: true, VerifyDepth: 9,
		VerifyCertMatch: "hostname", SecureCertMatch: "nexthop", FingerprintDigest: "sha256",
		Protocols: ">=TLSv1", MandatoryProtocols: ">=TLSv1", Ciphers: "medium", MandatoryCiphers: "medium",
		HighCipherList:   "aNULL:-aNULL:HIGH:@STRENGTH",
		MediumCipherList: "aNULL:-aNULL:HIGH:MEDIUM:!SEED:!IDEA:!3DES:!RC2:!RC4:!RC5:!kDH:!kECDH:!aDSS:!MD5:+RC4:@STRENGTH",
		NullCipherList:   "eNULL:!aNULL", Curves: "X25519 X448 prime256v1 secp521r1 secp384r1",
		DANEDigests: "sha512 sha256", LogLevel: "0", RequireTLSPolicy: "opportunistic", Log: log,
	}
}

// newEngine makes an engine of the defaults, changed.
func newEngine(t testing.TB, change func(*Options)) (*Engine, *notes) {
	t.Helper()
	log := new(notes)
	o := defaults(log)
	if change != nil {
		change(&o)
	}
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return e, log
}

// maps opens a list of tables.
func maps(t testing.TB, log *notes, list string) *table.Maps {
	t.Helper()
	set := table.NewSet(table.Options{Log: log, UTF8: true})
	m, err := set.OpenMaps("lmtp_tls_policy_maps", list, PolicyFlags)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func target() Target {
	return Target{Nexthop: "[mx.example.com]:2424", Domain: "mx.example.com", Host: "mx.example.com",
		Address: "192.0.2.1", Port: 2424, Relay: "MX.example.com[192.0.2.1]:2424", Canonical: "mx.example.com"}
}

// result is the end of a handshake.
type result struct {
	verdict Verdict
	state   tls.ConnectionState
	err     error
	log     string
	server  tls.ConnectionState
}

// shake shakes hands with a server under a policy.
func shake(t testing.TB, e *Engine, p *Policy, server *tls.Config) result {
	t.Helper()
	log := e.opt.Log.(*notes)
	log.take()
	h, err := e.Client(t.Context(), p)
	if err != nil {
		return result{err: err, log: log.take()}
	}
	ours, theirs := connected(t)
	done := make(chan tls.ConnectionState, 1)
	go func() {
		conn := tls.Server(theirs, server)
		if conn.Handshake() == nil {
			conn.Write([]byte("220 ready\r\n")) // with it come the tickets
		}
		done <- conn.ConnectionState()
		theirs.Close() // without a word: nobody reads it
	}()
	conn := tls.Client(ours, h.Config())
	r := result{err: conn.Handshake()}
	if r.err == nil {
		buf := make([]byte, 100)
		conn.Read(buf)
		r.state = conn.ConnectionState()
		h.Done(&r.state)
	} else {
		h.Failed(r.err)
	}
	ours.Close()
	r.server = <-done
	r.verdict, r.log = h.Verdict(), log.take()
	return r
}

// connected returns both ends of a connection. That of net.Pipe has no buffers,
// and crypto/tls may write on both ends at once.
func connected(t testing.TB) (net.Conn, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ours, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return ours, theirs
}
