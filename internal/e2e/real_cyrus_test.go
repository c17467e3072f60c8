package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// cyrus is one private Cyrus lmtpd that wants a login: user "user", password
// "secret". It has no mailboxes. Its packages cannot be installed beside
// Dovecot's IMAP server: .ci/install unpacks them into a directory of their own.
type cyrus struct {
	t    *testing.T
	dir  string
	root string
	port int
}

// cyrusRoot is where .ci/install unpacks Cyrus.
const cyrusRoot = "/var/cache/postlmtp/cyrus"

func (c *cyrus) path(name string) string { return filepath.Join(c.dir, name) }

func (c *cyrus) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// command prepares a program of Cyrus.
func (c *cyrus) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Env = os.Environ()
	// Debian's multiarch directory, whatever the machine's name for it is.
	libraries, err := filepath.Glob(c.root + "/usr/lib/*/libcyrus.so.0")
	c.must(err)
	for _, library := range libraries {
		cmd.Env = append(cmd.Env, "LD_LIBRARY_PATH="+filepath.Dir(library))
	}
	return cmd
}

const cyrusConf = `
configdirectory: DIR/conf
defaultpartition: default
partition-default: DIR/spool
cyrus_user: mail
cyrus_group: mail
admins: cyrus
lmtp_admins: user
servername: cyrus.test
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: DIR/sasldb2
sasl_mech_list: EXTERNAL PLAIN LOGIN CRAM-MD5 DIGEST-MD5 SCRAM-SHA-1 SCRAM-SHA-256 SCRAM-SHA-512
allowplaintext: no
allowstarttls: yes
tls_server_cert: DIR/cert.pem
tls_server_key: DIR/key.pem
tls_client_ca_file: DIR/client-ca.pem
`

// startCyrus starts one that knows the client certificates of an authority, and
// has further settings.
func startCyrus(t *testing.T, clients *testCA, further string) *cyrus {
	t.Helper()
	c := &cyrus{t: t, root: cyrusRoot}
	need(t, c.root+"/usr/lib/cyrus/bin/master", c.root+"/usr/lib/cyrus/bin/lmtpd", "/usr/sbin/saslpasswd2")
	c.dir, c.port = tempDir(t), freePort(t)
	for _, name := range strings.Fields("conf conf/db conf/proc conf/socket conf/log conf/msg conf/ptclient conf/lock spool spool/stage.") {
		c.must(os.Mkdir(c.path(name), 0o755))
	}
	c.certificate()
	authority, err := os.ReadFile(clients.file("ca.pem"))
	c.must(err)
	c.must(os.WriteFile(c.path("client-ca.pem"), authority, 0o644))
	c.must(os.WriteFile(c.path("imapd.conf"), []byte(strings.ReplaceAll(cyrusConf, "DIR", c.dir)+further), 0o644))
	c.must(os.WriteFile(c.path("cyrus.conf"), fmt.Appendf(nil,
		"START {\n}\nSERVICES {\n  lmtp cmd=\"%s/usr/lib/cyrus/bin/lmtpd -C %s\" listen=\"127.0.0.1:%d\" prefork=0\n}\nEVENTS {\n}\n",
		c.root, c.path("imapd.conf"), c.port), 0o644))
	add := c.command("/usr/sbin/saslpasswd2", "-p", "-c", "-f", c.path("sasldb2"), "-u", "cyrus.test", "user")
	add.Stdin = strings.NewReader("S3cr3tWord\n")
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("saslpasswd2: %v\n%s", err, out)
	}
	uid, gid := account(t, "mail")
	c.must(filepath.Walk(c.dir, func(path string, _ os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, uid, gid)
	}))
	c.run()
	return c
}

// certificate makes one that nobody trusts.
func (c *cyrus) certificate() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	c.must(err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"cyrus.test"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	c.must(err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	c.must(err)
	c.must(os.WriteFile(c.path("cert.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644))
	c.must(os.WriteFile(c.path("key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o644))
}

// run starts Cyrus's master and waits for lmtpd to answer.
func (c *cyrus) run() {
	master := c.command(c.root+"/usr/lib/cyrus/bin/master", "-C", c.path("imapd.conf"), "-M", c.path("cyrus.conf"),
		"-p", c.path("conf/master.pid"), "-D")
	reaper(c.t, c.dir)
	c.must(master.Start())
	c.t.Cleanup(func() {
		master.Process.Signal(os.Interrupt)
		master.Wait()
	})
	eventually(c.t, soon, "Cyrus to listen", func() bool {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", c.port))
		if err != nil {
			return false
		}
		conn.Close()
		return true
	})
}

// noSecret looks for a password in the log, as it is and in hexadecimal, and in
// base64 wherever it begins.
func noSecret(t *testing.T, p *postfix, password string) {
	t.Helper()
	forms := []string{password, hex.EncodeToString([]byte(password))}
	for before := range 3 {
		text := base64.RawStdEncoding.EncodeToString([]byte("\x00\x00\x00"[:before] + password))
		forms = append(forms, text[before+min(before, 1):len(text)-1]) // what does not depend on the neighbours
	}
	lines := p.log.read()
	for _, line := range lines {
		for _, form := range forms {
			if strings.Contains(line, form) {
				t.Errorf("a password (%s) in %q", form, line)
			}
		}
	}
	t.Logf("%d lines without %q", len(lines), forms)
}

// TestCyrusLogins: each mechanism logs in to a real Cyrus lmtpd, with and
// without TLS. After the login it refuses the recipient, and not the sender.
func TestCyrusLogins(t *testing.T) {
	srv := startCyrus(t, newTestCA(t), "")
	plugins, _ := filepath.Glob("/usr/lib/*/sasl2/libscram.so")
	scram := len(plugins) > 0
	const in, refused, none = "550 5.1.1 User unknown", "said: 5", "no mechanism available"
	cases := []struct{ name, settings, want string }{
		{"cram", "lmtp_sasl_mechanism_filter=cram-md5", in},
		{"sha1", "lmtp_sasl_mechanism_filter=scram-sha-1", in},
		{"sha256", "lmtp_sasl_mechanism_filter=scram-sha-256", in},
		{"sha512", "lmtp_sasl_mechanism_filter=scram-sha-512", in},
		{"digest", "lmtp_sasl_mechanism_filter=digest-md5", in},
		// Cyrus 3.6 offers neither TRACE nor XCLIENT, and is not asked.
		{"traced", "lmtp_sasl_mechanism_filter=cram-md5 postlmtp_send_trace=yes postlmtp_xclient=session postlmtp_log_session=yes", in},
		{"tlsdigest", "lmtp_tls_security_level=encrypt lmtp_sasl_mechanism_filter=digest-md5", in},
		{"any", "lmtp_sasl_security_options=noanonymous,mutual_auth", in},
		{"plain", "lmtp_sasl_mechanism_filter=plain lmtp_sasl_security_options=noanonymous", "no compatible authentication mechanisms"},
		{"tlsplain", "lmtp_tls_security_level=encrypt lmtp_sasl_mechanism_filter=plain lmtp_sasl_tls_security_options=noanonymous", in},
		{"tlslogin", "lmtp_tls_security_level=encrypt lmtp_sasl_mechanism_filter=login lmtp_sasl_tls_security_options=noanonymous", in},
		{"tlsdefault", "lmtp_tls_security_level=encrypt lmtp_sasl_mechanism_filter=plain", none},
		{"tlsverified", "lmtp_tls_security_level=encrypt lmtp_sasl_mechanism_filter=plain lmtp_sasl_tls_verified_security_options=noanonymous", none},
		{"tlssha256", "lmtp_tls_security_level=encrypt lmtp_sasl_mechanism_filter=scram-sha-256", in},
		// Cyrus binds to tls-unique only, which TLS 1.3 does not have.
		{"tlsplus", "lmtp_tls_security_level=encrypt lmtp_tls_mandatory_protocols=!TLSv1.3 lmtp_sasl_mechanism_filter=scram-sha-256-plus", in},
		{"wrong", "lmtp_sasl_mechanism_filter=cram-md5 lmtp_sasl_password_maps=static:user:wrong", refused},
		{"wrongdigest", "lmtp_sasl_mechanism_filter=digest-md5 lmtp_sasl_password_maps=static:user:wrong", refused},
		{"wrongsha", "lmtp_sasl_mechanism_filter=scram-sha-256 lmtp_sasl_password_maps=static:user:wrong", refused},
	}
	words := "n - "
	if underTest(t).ours() {
		words += "-v -v -v " // Postfix logs passwords then
	}
	services := map[string]string{}
	for _, c := range cases {
		services[c.name] = words + "-o lmtp_tls_loglevel=3 -o " + strings.ReplaceAll(c.settings, " ", " -o ")
	}
	p := startPostfix(t, options{services: services, main: []string{
		"lmtp_sasl_auth_enable = yes",
		"lmtp_sasl_password_maps = static:user:S3cr3tWord",
	}})
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if c.name == "tlsplus" && !p.agent.ours() {
				t.Skip("Postfix has no channel binding")
			}
			if !scram && (strings.Contains(c.settings, "scram") || c.name == "any") {
				t.Skip("this release's Cyrus SASL has no SCRAM")
			}
			mark := p.log.mark()
			to := fmt.Sprintf("user@p%d.%s.port.test", srv.port, c.name)
			_, queueID := p.sendSmall(t, "sender@none.lmtp.sock.test", to)
			line := p.log.wait(t, mark, queueID+": to=<.*status=.*")[0]
			if !strings.Contains(line, c.want) {
				t.Errorf("%s\nwant %q", line, c.want)
			}
		})
	}
	noSecret(t, p, "S3cr3tWord")
}

// TestCyrusClientCertificate: a real Cyrus lmtpd takes our certificate for a
// login (EXTERNAL), or wants one from everybody.
func TestCyrusClientCertificate(t *testing.T) {
	ca, other := newTestCA(t), newTestCA(t)
	client := func(ca *testCA, name string) string {
		ca.make(name, &x509.Certificate{Subject: pkix.Name{CommonName: name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		return " lmtp_tls_cert_file=" + ca.file(name+".pem") + " lmtp_tls_key_file=" + ca.file(name+".key")
	}
	user, stranger, forged := client(ca, "user"), client(ca, "stranger"), client(other, "user")
	asks, demands := startCyrus(t, ca, ""), startCyrus(t, ca, "tls_client_certs: require\n")
	const in = "550 5.1.1 User unknown"
	const external = "lmtp_tls_security_level=encrypt lmtp_sasl_mechanism_filter=external lmtp_sasl_password_maps=static:user"
	const password = "lmtp_tls_security_level=encrypt lmtp_sasl_password_maps=static:user:S3cr3tWord lmtp_sasl_mechanism_filter=cram-md5"
	cases := []struct {
		name, settings string
		srv            *cyrus
		want           string
		ours           bool // Postfix never logs in with a certificate
	}{
		{"external", external + user, asks, in, true},
		{"external12", external + user + " lmtp_tls_mandatory_protocols=TLSv1.2", asks, in, true},
		{"stranger", external + stranger, asks, "status=deferred", true},
		{"without", external, asks, "status=deferred", false},
		{"plaintext", strings.ReplaceAll(external+user, "=encrypt", "=none"), asks, "status=deferred", false},
		{"password", password, asks, in, false},
		{"demanded", password + user, demands, in, false},
		{"notgiven", password, demands, "status=deferred", false},
		{"forged", password + forged, demands, "status=deferred", false},
		{"notgiven12", password + " lmtp_tls_mandatory_protocols=TLSv1.2", demands, "(Cannot start TLS: handshake failure)", false},
	}
	services := map[string]string{}
	for _, c := range cases {
		services[c.name] = "n - -o " + strings.ReplaceAll(c.settings, " ", " -o ")
	}
	p := startPostfix(t, options{services: services, main: []string{"lmtp_sasl_auth_enable = yes"}})
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if c.ours && !p.agent.ours() {
				t.Skip("Postfix cannot log in with a certificate")
			}
			mark := p.log.mark()
			to := fmt.Sprintf("user@p%d.%s.port.test", c.srv.port, c.name)
			_, queueID := p.sendSmall(t, "sender@none.lmtp.sock.test", to)
			line := p.log.wait(t, mark, queueID+": to=<.*status=.*")[0]
			if !strings.Contains(line, c.want) {
				t.Errorf("%s\nwant %q", line, c.want)
			}
			t.Log(line)
		})
	}
}
