package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// testCA is an authority whose files lie in a directory.
type testCA struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newTestCA(t *testing.T) *testCA {
	ca := &testCA{t: t, dir: tempDir(t)}
	ca.cert, ca.key = ca.make("ca", &x509.Certificate{Subject: pkix.Name{CommonName: "Test CA"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return ca
}

func (ca *testCA) file(name string) string { return filepath.Join(ca.dir, name) }

// make issues a certificate and writes NAME.pem and NAME.key.
func (ca *testCA) make(name string, tmpl *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	ca.t.Helper()
	must := func(err error) {
		if err != nil {
			ca.t.Helper()
			ca.t.Fatal(err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	tmpl.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62))
	must(err)
	tmpl.NotBefore = time.Now().Add(-2 * time.Hour)
	if tmpl.NotAfter.IsZero() {
		tmpl.NotAfter = time.Now().Add(24 * time.Hour)
	}
	parent, signer := tmpl, key
	if ca.cert != nil {
		parent, signer = ca.cert, ca.key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, signer)
	must(err)
	cert, err := x509.ParseCertificate(der)
	must(err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	must(err)
	must(os.WriteFile(ca.file(name+".pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644))
	must(os.WriteFile(ca.file(name+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600))
	return cert, key
}

// secure makes a Dovecot that was not started offer TLS: by STARTTLS at its
// port, and from the first byte at another, which is returned.
func (d *dovecot) secure(ca *testCA, name, further string) (wrapped int) {
	d.t.Helper()
	wrapped = freePort(d.t)
	text, err := os.ReadFile(d.path("dovecot.conf"))
	d.must(err)
	more := fmt.Sprintf("ssl = yes\nssl_cert = <%s\nssl_key = <%s\n", ca.file(name+".pem"), ca.file(name+".key"))
	listen := "address"
	if since24() {
		more = fmt.Sprintf("ssl = yes\nssl_server_cert_file = %s\nssl_server_key_file = %s\n", ca.file(name+".pem"), ca.file(name+".key"))
		listen = "listen"
	}
	more += fmt.Sprintf("service lmtp {\n  inet_listener lmtps {\n    %s = 127.0.0.1\n    port = %d\n    ssl = yes\n  }\n}\n", listen, wrapped)
	d.must(os.WriteFile(d.path("dovecot.conf"), []byte(string(text)+more+further), 0o644))
	return wrapped
}

// TestDovecotTLS: every level over a real Dovecot, in a chroot jail, so that what
// the levels need is read before it.
func TestDovecotTLS(t *testing.T) {
	ca, other := newTestCA(t), newTestCA(t)
	cert, _ := ca.make("server", &x509.Certificate{Subject: pkix.Name{CommonName: "server"}, DNSNames: []string{"imap.e2e.test"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	sum := sha256.Sum256(cert.Raw)
	print := fmt.Sprintf("%X", sum[:])
	trust := " -o lmtp_tls_CAfile=" + ca.file("ca.pem")
	type test struct {
		service, words string
		wrapped        bool
		status, text   string // of the delivery; text if it is not sent
		state          string // of the TLS connection, "" without one
	}
	const notVerified = "Server certificate not verified"
	level := func(l string) string { return " -o lmtp_tls_security_level=" + l }
	tests := []test{
		{"none", level("none"), false, "sent", "", ""},
		{"may", level("may"), false, "sent", "", "Untrusted"},
		{"maytrust", level("may") + trust, false, "sent", "", "Trusted"},
		{"encrypt", level("encrypt"), false, "sent", "", "Untrusted"},
		{"verify", level("verify") + trust, false, "sent", "", "Verified"},
		{"secure", level("secure") + trust, false, "sent", "", "Verified"},
		{"wrongca", level("verify") + " -o lmtp_tls_CAfile=" + other.file("ca.pem"), false, "deferred", notVerified, "Untrusted"},
		{"wrongname", level("verify") + trust + " -o lmtp_tls_verify_cert_match=mx.example.com", false, "deferred", notVerified, "*"},
		{"name", level("verify") + trust + " -o lmtp_tls_verify_cert_match=imap.e2e.test", false, "sent", "", "Verified"},
		{"print", level("fingerprint") + " -o lmtp_tls_fingerprint_digest=sha256 -o lmtp_tls_fingerprint_cert_match=" + print, false, "sent", "", "Verified"},
		{"badprint", level("fingerprint") + " -o lmtp_tls_fingerprint_digest=sha256 -o lmtp_tls_fingerprint_cert_match=" + strings.Repeat("00", 32), false, "deferred", notVerified, "Untrusted"},
		{"anchor", level("verify") + " -o lmtp_tls_trust_anchor_file=" + ca.file("ca.pem"), false, "sent", "", "Verified"},
		{"tls12", level("encrypt") + " -o lmtp_tls_mandatory_protocols=TLSv1.2 -o lmtp_tls_mandatory_ciphers=high", false, "sent", "", "Untrusted"},
		{"wrap", level("verify") + trust + " -o lmtp_tls_wrappermode=yes", true, "sent", "", "Verified"},
	}
	services := map[string]string{}
	for _, c := range tests {
		words := c.words
		if c.service == "anchor" && underTest(t).name == "postfix" {
			// Postfix reads the file when it needs it, in the jail.
			services[c.service] = "n - -o lmtp_tls_loglevel=1" + words
			continue
		}
		services[c.service] = "y - -o lmtp_tls_loglevel=1" + words
	}
	// What is deferred shall not be tried again while the log is looked at.
	p := startPostfix(t, options{services: services, main: []string{"minimal_backoff_time = 300s"}})
	d := newDovecot(t, p)
	wrapped := d.secure(ca, "server", "")
	d.add("", "user", "sender")
	d.start()
	for _, c := range tests {
		t.Run(c.service, func(t *testing.T) {
			p, d := p.with(t), d.with(t)
			port := d.port
			if c.wrapped {
				port = wrapped
			}
			from := p.log.mark()
			id, to := newID(c.service), fmt.Sprintf("user@p%d.%s.port.test", port, c.service)
			msg := message(id, "", to, "secret\n")
			queueID := p.submit(envelope{to: []string{to}}, msg)
			end := p.log.delivered(t, 0, queueID, to, c.status)
			if c.status == "sent" {
				same(t, d.stored(to, id), msg)
			} else if end.text != c.text || end.dsn != "4.7.5" {
				t.Errorf("status line: %s", end.line)
			}
			found := ""
			for _, line := range p.log.find(from, ` TLS connection established to 127\.0\.0\.1\[127\.0\.0\.1\]:`) {
				_, text, _ := strings.Cut(line, "]: ")
				found, _, _ = strings.Cut(text, " ")
			}
			if found != c.state && (c.state != "*" || found == "") {
				t.Errorf("TLS connection %q, want %q", found, c.state)
			}
		})
	}
}

// TestDovecotCertificates: a real Dovecot whose certificate has expired, has
// been replaced since its digest was noted, and one that looks at ours.
func TestDovecotCertificates(t *testing.T) {
	ca, other := newTestCA(t), newTestCA(t)
	names := func() *x509.Certificate {
		return &x509.Certificate{Subject: pkix.Name{CommonName: "server"}, DNSNames: []string{"imap.e2e.test"},
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	}
	ca.make("server", names())
	late := names()
	late.NotAfter = time.Now().Add(-time.Hour)
	expired, _ := ca.make("expired", late)
	former, _ := ca.make("former", names())
	print := func(c *x509.Certificate) string { return fmt.Sprintf("%X", sha256.Sum256(c.Raw)) }
	ours := func(ca *testCA) string {
		ca.make("client", &x509.Certificate{Subject: pkix.Name{CommonName: "client"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		return " -o lmtp_tls_cert_file=" + ca.file("client.pem") + " -o lmtp_tls_key_file=" + ca.file("client.key")
	}
	trust := " -o lmtp_tls_CAfile=" + ca.file("ca.pem")
	const fingerprint = " -o lmtp_tls_security_level=fingerprint -o lmtp_tls_fingerprint_digest=sha256 -o lmtp_tls_fingerprint_cert_match="
	tests := []struct {
		service, words string
		looks          bool // the server that looks at our certificate
		sent           bool
	}{
		{"trust", " -o lmtp_tls_security_level=verify" + trust, false, false},
		{"safe", " -o lmtp_tls_security_level=secure" + trust, false, false},
		{"encrypt", " -o lmtp_tls_security_level=encrypt" + trust, false, true},
		{"print", fingerprint + print(expired), false, true},
		{"revoked", fingerprint + print(former) + trust, true, false},
		{"client", " -o lmtp_tls_security_level=verify" + trust + ours(ca), true, true},
		// Dovecot 2.4 asks for a certificate, and takes any.
		{"forged", " -o lmtp_tls_security_level=verify" + trust + ours(other), true, since24()},
		{"nobody", " -o lmtp_tls_security_level=verify" + trust, true, true},
	}
	services := map[string]string{}
	for _, c := range tests {
		services[c.service] = "y - -o lmtp_tls_loglevel=1" + c.words
	}
	p := startPostfix(t, options{services: services})
	start := func(cert, further string) *dovecot {
		d := newDovecot(t, p)
		d.secure(ca, cert, further)
		d.add("", "user", "sender")
		d.start()
		return d
	}
	look := "ssl_ca = <" + ca.file("ca.pem") + "\nssl_verify_client_cert = yes\nssl_require_crl = no\n"
	if since24() {
		look = "ssl_server_ca_file = " + ca.file("ca.pem") + "\nssl_server_request_client_cert = yes\nssl_server_require_crl = no\n"
	}
	stale := start("expired", "")
	stale.must(os.Remove(p.queue("private", "dovecot"))) // the TCP port is what counts here
	looks := start("server", look)
	for _, c := range tests {
		t.Run(c.service, func(t *testing.T) {
			p, d := p.with(t), stale.with(t)
			if c.looks {
				d = looks.with(t)
			}
			id, to := newID(c.service), fmt.Sprintf("user@p%d.%s.port.test", d.port, c.service)
			msg := message(id, "", to, "secret\n")
			queueID := p.submit(envelope{to: []string{to}}, msg)
			if !c.sent {
				p.log.delivered(t, 0, queueID, to, "deferred")
				return
			}
			p.log.delivered(t, 0, queueID, to, "sent")
			same(t, d.stored(to, id), msg)
		})
	}
}

// TestDovecotTLSReuse: a session with TLS serves the next message under the same
// policy, and no message under a stricter one.
func TestDovecotTLSReuse(t *testing.T) {
	if !underTest(t).ours() {
		t.Skip("Postfix needs a tlsproxy(8) for this")
	}
	ca := newTestCA(t)
	ca.make("server", &x509.Certificate{Subject: pkix.Name{CommonName: "server"}, DNSNames: []string{"imap.e2e.test"}})
	policies := ca.file("policies")
	if err := os.WriteFile(policies, []byte("/^localhost/ verify\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := startPostfix(t, options{services: map[string]string{
		"reuse": "y 1 -o lmtp_tls_loglevel=1 -o lmtp_tls_security_level=encrypt -o lmtp_tls_connection_reuse=yes" +
			" -o lmtp_host_lookup=native -o lmtp_connection_cache_destinations=static:all -o lmtp_tls_policy_maps=regexp:" + policies,
	}})
	d := newDovecot(t, p)
	d.secure(ca, "server", "")
	d.add("", "user", "sender")
	d.start()
	mark := p.log.mark()
	for n, c := range []struct{ host, status, use string }{
		{"port", "sent", ""}, {"port", "sent", "conn_use=2,"}, {"host", "deferred", ""}, {"port", "sent", "conn_use=3,"},
	} {
		to := fmt.Sprintf("user@p%d.reuse.%s.test", d.port, c.host)
		queueID := p.submit(envelope{to: []string{to}}, message(newID("reuse"), "", to, "secret\n"))
		end := p.log.delivered(t, 0, queueID, to, c.status)
		if strings.Contains(end.line, "conn_use=") != (c.use != "") || !strings.Contains(end.line, c.use) {
			t.Errorf("message %d: %s", n, end.line)
		}
		if c.status == "deferred" && end.text != "Server certificate not verified" {
			t.Errorf("message %d: %s", n, end.line)
		}
	}
	if n := len(p.log.find(mark, ` Untrusted TLS connection reused to 127\.0\.0\.1\[127\.0\.0\.1\]:`)); n != 2 {
		t.Errorf("%d connections reused", n)
	}
}
