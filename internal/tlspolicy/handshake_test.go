package tlspolicy

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"strings"
	"testing"
	"time"
)

// world is a chain of authorities and the server's certificate.
type world struct {
	root, middle, leaf *identity
	ca                 string // file with the root
}

func newWorld(t testing.TB) *world {
	w := &world{root: certify(t, nil, authority("Root"))}
	w.middle = certify(t, w.root, authority("Middle"))
	w.leaf = certify(t, w.middle, nil)
	w.ca = writePEM(t, "ca.pem", certBlock(w.root))
	return w
}

// serve is the configuration of a server with a chain.
func serve(leaf *identity, more ...*identity) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{leaf.chain(more...)}, MinVersion: tls.VersionTLS10}
}

func policyOf(t testing.TB, e *Engine) *Policy {
	t.Helper()
	p, err := e.Policy(t.Context(), target())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func hexOf(b []byte) string { return formatFingerprint(b) }

func TestLevels(t *testing.T) {
	w := newWorld(t)
	digest, _ := newDigest("sha256")
	other := certify(t, w.middle, func(c *x509.Certificate) { c.DNSNames = []string{"mx.example.org"} })
	expired := certify(t, w.middle, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	early := certify(t, w.middle, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) })
	self := certify(t, nil, nil)
	client := certify(t, w.middle, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	oldMiddle := certify(t, w.root, func(c *x509.Certificate) {
		authority("Old")(c)
		c.NotAfter = time.Now().Add(-time.Minute)
	})
	byOld := certify(t, oldMiddle, nil)
	address := certify(t, w.middle, func(c *x509.Certificate) {
		c.DNSNames, c.Subject.CommonName, c.IPAddresses = nil, "192.0.2.1", []net.IP{net.ParseIP("192.0.2.1")}
	})
	trusting := func(level string) func(*Options) {
		return func(o *Options) { o.SecurityLevel, o.CAFile = level, w.ca }
	}
	with := func(level string, change func(*Options)) func(*Options) {
		return func(o *Options) { o.SecurityLevel = level; change(o) }
	}
	for _, tc := range []struct {
		name        string
		options     func(*Options)
		server      *tls.Config
		ok, trusted bool
		reason      string
	}{
		{"may with anything", with("may", func(*Options) {}), serve(self), true, false, ""},
		{"may, trusted", trusting("may"), serve(w.leaf, w.middle), true, true, ""},
		{"encrypt with a wrong name", trusting("encrypt"), serve(other, w.middle), true, true, ""},
		{"verify", trusting("verify"), serve(w.leaf, w.middle), true, true, ""},
		{"secure", trusting("secure"), serve(w.leaf, w.middle), true, true, ""},
		{"chain without its middle", trusting("verify"), serve(w.leaf), false, false, "untrusted issuer /CN=Middle"},
		{"nothing is trusted", with("verify", func(*Options) {}), serve(w.leaf, w.middle), false, false, "untrusted issuer /CN=Root"},
		{"the system is not asked", with("verify", func(o *Options) { o.AppendDefaultCA = true }), serve(w.leaf, w.middle), false, false, "untrusted issuer"},
		{"a middle in CAfile is no root", with("verify", func(o *Options) { o.CAFile = writePEM(t, "m.pem", certBlock(w.middle)) }), serve(w.leaf), false, false, "untrusted issuer"},
		{"a middle in CAfile helps", with("verify", func(o *Options) { o.CAFile = writePEM(t, "m.pem", certBlock(w.middle), certBlock(w.root)) }), serve(w.leaf), true, true, ""},
		{"self-signed", trusting("verify"), serve(self), false, false, "self-signed certificate"},
		{"self-signed in CAfile", with("verify", func(o *Options) { o.CAFile = writePEM(t, "s.pem", certBlock(self)) }), serve(self), true, true, ""},
		{"wrong name", trusting("verify"), serve(other, w.middle), false, false, "num=62:hostname mismatch"},
		{"expired", trusting("verify"), serve(expired, w.middle), false, false, "server certificate verification failed for mx.example.com[192.0.2.1]:2424: certificate has expired"},
		{"not yet", trusting("verify"), serve(early, w.middle), false, false, "server certificate verification failed for mx.example.com[192.0.2.1]:2424: certificate not yet valid"},
		{"expired authority", trusting("verify"), serve(byOld, oldMiddle), false, false, "CA certificate verification failed for mx.example.com[192.0.2.1]:2424: certificate has expired"},
		{"client certificate as server", trusting("verify"), serve(client, w.middle), false, false, "not designated for use as a server certificate"},
		{"an address is no name", with("verify", func(o *Options) { o.CAFile, o.VerifyCertMatch = w.ca, "192.0.2.1" }), serve(w.leaf, w.middle), false, false, "num=64:IP address mismatch"},
		{"an address", with("verify", func(o *Options) { o.CAFile, o.VerifyCertMatch = w.ca, "192.0.2.1" }), serve(address, w.middle), true, true, ""},
		{"depth", with("verify", func(o *Options) { o.CAFile, o.VerifyDepth = w.ca, 0 }), serve(w.leaf, w.middle), true, true, ""},
		{"too deep", with("verify", func(o *Options) { o.CAFile, o.VerifyDepth = w.ca, -1 }), serve(w.leaf, w.middle), false, false, "certificate chain longer than limit(0)"},
		{"no name to match", with("verify", func(o *Options) { o.CAFile, o.VerifyCertMatch = w.ca, "." }), serve(w.leaf, w.middle), false, false, "unspecified"},

		{"fingerprint of the certificate", with("fingerprint", func(o *Options) { o.FingerprintMatch = hexOf(digest(self.cert.Raw)) }), serve(self), true, true, ""},
		{"fingerprint of the key", with("fingerprint", func(o *Options) { o.FingerprintMatch = "00:11 " + hexOf(digest(self.cert.RawSubjectPublicKeyInfo)) }), serve(self), true, true, ""},
		{"fingerprint of an authority", with("fingerprint", func(o *Options) { o.FingerprintMatch = hexOf(digest(w.middle.cert.Raw)) }), serve(w.leaf, w.middle), false, false, "num=65"},
		{"fingerprint of an expired certificate", with("fingerprint", func(o *Options) { o.FingerprintMatch = hexOf(digest(expired.cert.Raw)) }), serve(expired), true, true, ""},
		{"other fingerprint", with("fingerprint", func(o *Options) { o.CAFile, o.FingerprintMatch = w.ca, hexOf(digest(other.cert.Raw)) }), serve(w.leaf, w.middle), false, false, "num=65"},
		{"fingerprint of another digest", with("fingerprint", func(o *Options) { o.FingerprintDigest, o.FingerprintMatch = "md5", hexOf(digest(self.cert.Raw)) }), serve(self), false, false, "num=1:"},

		{"anchor: root", with("verify", func(o *Options) { o.TrustAnchorFile = w.ca }), serve(w.leaf, w.middle), true, true, ""},
		{"anchor: middle", with("verify", func(o *Options) { o.TrustAnchorFile = writePEM(t, "a", certBlock(w.middle)) }), serve(w.leaf), true, true, ""},
		{"anchor: key of the middle, sent", with("verify", func(o *Options) { o.TrustAnchorFile = writePEM(t, "a", publicBlock(w.middle)) }), serve(w.leaf, w.middle), true, true, ""},
		{"anchor: key of the middle, not sent", with("verify", func(o *Options) { o.TrustAnchorFile = writePEM(t, "a", publicBlock(w.middle)) }), serve(w.leaf), true, true, ""},
		{"anchor: key of the root", with("verify", func(o *Options) { o.TrustAnchorFile = writePEM(t, "a", publicBlock(w.root)) }), serve(w.leaf, w.middle), true, true, ""},
		{"anchor: the leaf", with("verify", func(o *Options) { o.TrustAnchorFile = writePEM(t, "a", certBlock(self)) }), serve(self), true, true, ""},
		{"anchor: the leaf's key", with("verify", func(o *Options) { o.TrustAnchorFile = writePEM(t, "a", publicBlock(self)) }), serve(self), true, true, ""},
		{"anchor: names count", with("verify", func(o *Options) { o.TrustAnchorFile = writePEM(t, "a", certBlock(other)) }), serve(other), false, false, "num=62"},
		{"anchor: in place of CAfile", with("verify", func(o *Options) { o.CAFile, o.TrustAnchorFile = w.ca, writePEM(t, "a", publicBlock(self)) }), serve(w.leaf, w.middle), false, false, "num=65"},
		{"anchor: another key", with("verify", func(o *Options) { o.TrustAnchorFile = writePEM(t, "a", publicBlock(self), certBlock(other)) }), serve(w.leaf, w.middle), false, false, "num=65"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e, log := newEngine(t, tc.options)
			if !e.Ready() {
				t.Fatal(log.take())
			}
			r := shake(t, e, policyOf(t, e), tc.server)
			if r.err != nil {
				t.Fatal(r.err)
			}
			if r.verdict.OK() != tc.ok || r.verdict.Trusted != tc.trusted {
				t.Errorf("%+v", r.verdict)
			}
			if tc.ok && tc.reason == "" && strings.Contains(r.log, "verification failed") || !strings.Contains(r.log, tc.reason) {
				t.Errorf("logged %q", r.log)
			}
		})
	}
}

// An authority vouches for a common name only within its name constraints, as it
// does for alternative names.
func TestCommonName(t *testing.T) {
	root := certify(t, nil, authority("Root"))
	ca := writePEM(t, "ca.pem", certBlock(root))
	for _, tc := range []struct {
		name                string
		permitted, excluded []string
		common, alternative string
		want                string // reason of the refusal
	}{
		{name: "free", common: "mx.example.com"},
		{name: "the alternative name counts", common: "mx.example.com", alternative: "mx.example.org", want: "num=62"},
		{name: "permitted", permitted: []string{"example.org", "Example.com"}, common: "mx.example.com"},
		{name: "permitted itself", permitted: []string{"mx.example.com"}, common: "MX.example.com"},
		{name: "below", permitted: []string{".example.com"}, common: "mx.example.com"},
		{name: "not permitted", permitted: []string{"example.org"}, common: "mx.example.com", want: "num=47"},
		{name: "not below", permitted: []string{".mx.example.com"}, common: "mx.example.com", want: "num=47"},
		{name: "other label", permitted: []string{"ample.com"}, common: "mx.example.com", want: "num=47"},
		{name: "excluded", excluded: []string{"example.com"}, common: "mx.example.com", want: "num=47"},
		{name: "another is excluded", excluded: []string{"example.org"}, common: "mx.example.com"},
		{name: "all are excluded", excluded: []string{""}, common: "mx.example.com", want: "num=47"},
		{name: "a star, permitted", permitted: []string{"example.com"}, common: "*.example.com"},
		{name: "a star, not permitted", permitted: []string{"mx.example.com"}, common: "*.example.com", want: "num=47"},
		{name: "a star may stand for what is excluded", excluded: []string{"mx.example.com"}, common: "*.example.com", want: "num=47"},
		{name: "a star may stand for what is far below", excluded: []string{".a.mx.Example.com"}, common: "*.example.com", want: "num=47"},
		{name: "a star, all excluded", excluded: []string{".example.com"}, common: "*.example.com", want: "num=47"},
		{name: "a star, above excluded", excluded: []string{"com"}, common: "*.example.com", want: "num=47"},
		{name: "a star, another is excluded", excluded: []string{"example.org", "ample.com", ".corp.internal"}, common: "*.example.com"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			middle := certify(t, root, func(c *x509.Certificate) {
				authority("Middle")(c)
				c.PermittedDNSDomains, c.ExcludedDNSDomains = tc.permitted, tc.excluded
			})
			leaf := certify(t, middle, func(c *x509.Certificate) {
				c.Subject.CommonName, c.DNSNames = tc.common, nil
				if tc.alternative != "" {
					c.DNSNames = []string{tc.alternative}
				}
			})
			e, _ := newEngine(t, func(o *Options) { o.SecurityLevel, o.CAFile = "verify", ca })
			r := shake(t, e, policyOf(t, e), serve(leaf, middle))
			if r.verdict.OK() != (tc.want == "") || r.verdict.Trusted != r.verdict.OK() || !strings.Contains(r.log, tc.want) {
				t.Errorf("%+v, %v, logged %q", r.verdict, r.err, r.log)
			}
		})
	}
}

// The zero verdict, and that of a handshake that did not come to its end, allow
// nothing.
func TestVerdictOfNothing(t *testing.T) {
	if (Verdict{}).OK() || (Verdict{Level: None}).OK() {
		t.Error("an empty verdict is OK")
	}
	e, _ := newEngine(t, func(o *Options) { o.SecurityLevel = "may" })
	h, err := e.Client(t.Context(), policyOf(t, e))
	if err != nil || h.Verdict().OK() {
		t.Errorf("%v", err)
	}
}

func TestSummary(t *testing.T) {
	w := newWorld(t)
	client := certify(t, nil, nil)
	pair := writePEM(t, "client.pem", keyBlock(t, client), certBlock(client))
	e, log := newEngine(t, func(o *Options) {
		o.SecurityLevel, o.CAFile, o.LogLevel, o.ECCertFile, o.ECKeyFile = "verify", w.ca, "1", pair, pair
	})
	if !e.Ready() {
		t.Fatal(log.take())
	}
	server := serve(w.leaf, w.middle)
	server.ClientAuth, server.CurvePreferences = tls.RequireAnyClientCert, []tls.CurveID{tls.CurveP256}
	r := shake(t, e, policyOf(t, e), server)
	want := "Verified TLS connection established to mx.example.com[192.0.2.1]:2424: TLSv1.3 with cipher " +
		tls.CipherSuiteName(r.state.CipherSuite) + " (128/128 bits) key-exchange ECDHE (prime256v1) " +
		"server-signature ECDSA (prime256v1) server-digest SHA256 client-signature ECDSA (prime256v1) client-digest SHA256"
	if strings.Replace(r.log, "(256/256", "(128/128", 1) != want {
		t.Errorf("\n%s\nwant\n%s", r.log, want)
	}
	if len(r.server.PeerCertificates) != 1 || !r.server.PeerCertificates[0].Equal(client.cert) {
		t.Error("no client certificate")
	}
	server = serve(w.leaf, w.middle)
	server.MaxVersion, server.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA}
	r = shake(t, e, policyOf(t, e), server)
	want = "Verified TLS connection established to mx.example.com[192.0.2.1]:2424: TLSv1.2 with cipher ECDHE-ECDSA-AES256-SHA (256/256 bits)"
	if r.log != want {
		t.Errorf("\n%s\nwant\n%s", r.log, want)
	}
}

// A handshake outside of the protocols or ciphers that are allowed fails: a
// downgrade is not accepted.
func TestDowngrade(t *testing.T) {
	w := newWorld(t)
	old := serve(w.leaf, w.middle)
	old.MaxVersion = tls.VersionTLS11
	weak := serve(w.leaf, w.middle)
	weak.MaxVersion, weak.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
	for _, tc := range []struct {
		name   string
		change func(*Options)
		server *tls.Config
		works  bool
	}{
		{"TLS 1.1 is allowed", func(*Options) {}, old, true},
		{"TLS 1.1 is not", func(o *Options) { o.MandatoryProtocols = ">=TLSv1.2" }, old, false},
		{"CBC is allowed", func(*Options) {}, weak, true},
		{"CBC is not", func(o *Options) { o.MandatoryExcludeCiphers = "SHA1" }, weak, false},
		{"CBC by exclusion for all", func(o *Options) { o.ExcludeCiphers = "AES128" }, weak, false},
	} {
		e, _ := newEngine(t, func(o *Options) { o.SecurityLevel = "encrypt"; tc.change(o) })
		r := shake(t, e, policyOf(t, e), tc.server)
		if (r.err == nil) != tc.works || r.verdict.OK() != tc.works {
			t.Errorf("%s: %v", tc.name, r.err)
		}
		if !tc.works && !strings.HasPrefix(r.log, "SSL_connect error to mx.example.com[192.0.2.1]:2424: ") {
			t.Errorf("%s: logged %q", tc.name, r.log)
		}
	}
	for _, change := range []func(*Options){
		func(o *Options) { o.MandatoryProtocols = "SSLv3" },
		func(o *Options) { o.MandatoryCiphers = "best" },
		func(o *Options) { o.MandatoryCiphers = "null" },
	} {
		e, _ := newEngine(t, func(o *Options) { o.SecurityLevel = "encrypt"; change(o) })
		if r := shake(t, e, policyOf(t, e), old); r.err == nil || !strings.HasPrefix(r.log, "warning: mx.example.com[192.0.2.1]:2424: ") {
			t.Errorf("%v, %q", r.err, r.log)
		}
	}
}

// A ticket is used under the policy that it was got under, and the certificate
// is judged again.
func TestResumption(t *testing.T) {
	w := newWorld(t)
	server := serve(w.leaf, w.middle)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		server.MaxVersion = version
		now := time.Now()
		e, _ := newEngine(t, func(o *Options) {
			o.SecurityLevel, o.CAFile = "verify", w.ca
			o.Now = func() time.Time { return now }
		})
		p := policyOf(t, e)
		if r := shake(t, e, p, server); r.err != nil || r.state.DidResume || !r.verdict.OK() {
			t.Fatalf("%+v", r)
		}
		if r := shake(t, e, p, server); r.err != nil || !r.state.DidResume || !r.verdict.OK() {
			t.Errorf("%x: second connection: resumed %v, %+v, %v", version, r.state.DidResume, r.verdict, r.err)
		}
		other := *p
		other.match = []string{"other.example"}
		if r := shake(t, e, &other, server); r.err != nil || r.state.DidResume || r.verdict.OK() {
			t.Errorf("%x: under another policy: resumed %v, %+v, %v", version, r.state.DidResume, r.verdict, r.err)
		}
		now = now.Add(2 * time.Hour) // the certificate has expired
		if r := shake(t, e, p, server); r.err == nil && r.verdict.OK() {
			t.Errorf("%x: an expired certificate is accepted: %+v", version, r.verdict)
		}
	}
}

func TestServerName(t *testing.T) {
	for _, tc := range []struct{ param, want string }{
		{"", ""}, {"hostname", "mx1.example.org"}, {"nexthop", "xn--bcher-kva.example"}, {"a.example", "a.example"},
	} {
		e, _ := newEngine(t, func(o *Options) { o.SecurityLevel, o.ServerName = "may", tc.param })
		tg := target()
		tg.Host, tg.Domain = "mx1.example.org", "bücher.example"
		p, err := e.Policy(t.Context(), tg)
		if err != nil {
			t.Fatal(err)
		}
		h, err := e.Client(t.Context(), p)
		if err != nil || h.Config().ServerName != tc.want {
			t.Errorf("%q: %v", tc.param, err)
		}
	}
	e, log := newEngine(t, func(o *Options) { o.SecurityLevel, o.ServerName = "may", "-bad-" })
	if _, err := e.Policy(t.Context(), target()); err == nil || !strings.Contains(log.take(), `"lmtp_tls_servername = -bad-" specifies an invalid hostname`) {
		t.Error("a bad name")
	}
}

// Files that cannot be read disable TLS; what was read before the jail stays.
func TestFiles(t *testing.T) {
	w := newWorld(t)
	dsa := writePEM(t, "dsa.pem", certBlock(w.leaf))
	key2 := certify(t, nil, nil)
	empty := writePEM(t, "empty.pem")
	for _, tc := range []struct {
		name   string
		change func(*Options)
		ready  bool
		log    string
	}{
		{"nothing", func(*Options) {}, true, ""},
		{"CAfile", func(o *Options) { o.CAFile = w.ca }, true, ""},
		{"no CAfile", func(o *Options) { o.CAFile = "/nonexistent/ca" }, false,
			"cannot load Certification Authority data, CAfile=\"/nonexistent/ca\": disabling TLS support"},
		{"empty CAfile", func(o *Options) { o.CAFile = empty }, false, "disabling TLS support"},
		{"CApath", func(o *Options) { o.CAPath = w.ca[:len(w.ca)-len("/ca.pem")] }, true, ""},
		{"no CApath", func(o *Options) { o.CAPath = "/nonexistent" }, false, "CApath=\"/nonexistent\": disabling TLS support"},
		{"both", func(o *Options) { o.CAFile, o.CAPath = "/n/a", "/n/b" }, false, "CAfile=\"/n/a\", CApath=\"/n/b\""},
		{"digest", func(o *Options) { o.FingerprintDigest = "crc" }, false, "warning: disabling TLS support"},
		{"DSA", func(o *Options) { o.DCertFile = dsa }, false, "DSA certificates are not supported"},
		{"pair", func(o *Options) {
			o.CertFile, o.KeyFile = writePEM(t, "c", certBlock(w.leaf)), writePEM(t, "k", keyBlock(t, w.leaf))
		}, true, ""},
		{"mismatch", func(o *Options) {
			o.CertFile, o.KeyFile = writePEM(t, "c", certBlock(w.leaf)), writePEM(t, "k", keyBlock(t, key2))
		}, false, "warning: cannot get RSA private key"},
		{"no file", func(o *Options) { o.ECCertFile, o.ECKeyFile = "/nonexistent", "/nonexistent" }, false,
			"warning: error opening chain file: /nonexistent: No such file or directory"},
		{"no key file", func(o *Options) { o.ECCertFile, o.ECKeyFile = writePEM(t, "c", certBlock(w.leaf)), "/nonexistent" }, false,
			"cannot get ECDSA private key from file \"/nonexistent\": No such file or directory: disabling TLS support"},
		{"chain files", func(o *Options) {
			o.ChainFiles = writePEM(t, "x", keyBlock(t, w.leaf), certBlock(w.leaf), certBlock(w.middle), keyBlock(t, key2), certBlock(key2)) +
				", " + writePEM(t, "y", keyBlock(t, key2), certBlock(key2))
			o.CertFile = "/not/read"
		}, true, ""},
		{"chain file: certificate first", func(o *Options) { o.ChainFiles = writePEM(t, "x", certBlock(w.leaf), keyBlock(t, w.leaf)) }, false, "certificate without a key"},
		{"chain file: empty", func(o *Options) { o.ChainFiles = empty }, false, "no key and certificate"},
		{"no anchors", func(o *Options) { o.TrustAnchorFile = "/nonexistent" }, true, "error opening trust anchor file: /nonexistent: No such file or directory"},
	} {
		e, log := newEngine(t, func(o *Options) { o.SecurityLevel = "verify"; tc.change(o) })
		if got := log.take(); e.Ready() != tc.ready || !strings.Contains(got, tc.log) || tc.log == "" && got != "" {
			t.Errorf("%s: ready %v, logged %q", tc.name, e.Ready(), got)
		}
	}
	e, _ := newEngine(t, func(o *Options) { o.SecurityLevel, o.TrustAnchorFile = "verify", "/nonexistent" })
	if _, err := e.Policy(t.Context(), target()); err == nil {
		t.Error("a policy without its trust anchors")
	}
	e, _ = newEngine(t, func(o *Options) { o.CAFile = "/nonexistent" })
	if e.Active() || e.Ready() {
		t.Error("no TLS, and yet files are read")
	}
}

// A trust anchor file may hold other things too, and must hold an anchor.
func TestReadAnchors(t *testing.T) {
	w := newWorld(t)
	bad := &pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}
	for _, tc := range []struct {
		blocks []*pem.Block
		certs  int
		keys   int
	}{
		{[]*pem.Block{certBlock(w.root), publicBlock(w.leaf), keyBlock(t, w.leaf)}, 1, 1},
		{[]*pem.Block{keyBlock(t, w.leaf)}, 0, 0},
		{[]*pem.Block{bad}, 0, 0},
		{[]*pem.Block{{Type: "PUBLIC KEY", Bytes: []byte("x")}}, 0, 0},
		{nil, 0, 0},
	} {
		a, err := readAnchors(writePEM(t, "a.pem", tc.blocks...))
		if tc.certs+tc.keys == 0 {
			if err == nil {
				t.Errorf("%v: no error", tc.blocks)
			}
			continue
		}
		if err != nil || len(a.certs) != tc.certs || len(a.keys) != tc.keys {
			t.Errorf("%+v, %v", a, err)
		}
	}
}
