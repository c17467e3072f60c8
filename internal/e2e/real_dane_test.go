package e2e

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// validator is a private Unbound that validates: the zones signed.test and
// bogus.test, whose keys it trusts, and plain.test, which is not signed. It
// listens at a loopback address of its own, because resolv.conf has no ports.
type validator struct {
	t    *testing.T
	dir  string
	addr string
}

const unboundConf = `server:
  directory: "DIR"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  logfile: "DIR/log"
  interface: ADDR
  do-ip6: no
  module-config: "validator iterator"
  do-not-query-localhost: no
  local-zone: "test." nodefault
  val-clean-additional: yes
KEYS
remote-control:
  control-enable: no
`

const unboundZone = `auth-zone:
  name: "ZONE"
  zonefile: "DIR/ZONE"
  for-downstream: no
  for-upstream: yes
  fallback-enabled: no
`

// startValidator signs the zones, of which each has the same records, and
// serves them. What is in the zone bogus.test changes after it was signed.
func startValidator(t *testing.T, records string) *validator {
	t.Helper()
	need(t, "/usr/sbin/unbound", "/usr/bin/ldns-signzone", "/usr/bin/ldns-keygen")
	v := &validator{t: t, dir: tempDir(t), addr: validatorAddress()}
	head := "$TTL 60\n@ SOA ns root 1 3600 600 86400 60\n@ NS ns\nns A " + v.addr + "\n"
	keys, zones := "", ""
	for _, zone := range []string{"signed.test", "bogus.test", "plain.test"} {
		v.write(zone, head+records)
		if zone != "plain.test" {
			keys += "  trust-anchor-file: \"" + v.sign(zone) + "\"\n"
		}
		zones += strings.ReplaceAll(unboundZone, "ZONE", zone)
	}
	text, err := os.ReadFile(filepath.Join(v.dir, "bogus.test"))
	v.must(err)
	v.write("bogus.test", strings.ReplaceAll(string(text), "\tTLSA\t3 1 1 ", "\tTLSA\t3 1 1 00"))
	v.write("unbound.conf", strings.NewReplacer("DIR", v.dir, "ADDR", v.addr, "KEYS\n", keys).Replace(unboundConf)+
		strings.ReplaceAll(zones, "DIR", v.dir))
	cmd := exec.Command("/usr/sbin/unbound", "-d", "-c", filepath.Join(v.dir, "unbound.conf"))
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	v.must(cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		if text, err := os.ReadFile(filepath.Join(v.dir, "log")); err == nil && t.Failed() {
			t.Logf("Unbound's log:\n%s", text)
		}
	})
	eventually(t, soon, "Unbound to listen", func() bool {
		conn, err := net.Dial("tcp", v.addr+":53")
		if err != nil {
			return false
		}
		conn.Close()
		return true
	})
	return v
}

// validatorAddress is one that other runs of the tests do not use.
func validatorAddress() string {
	pid := os.Getpid()
	return fmt.Sprintf("127.53.%d.%d", pid>>8&0xff, pid&0xff|1)
}

// useNameserver gives the programs of the instance another resolv.conf.
func (p *postfix) useNameserver(addr string) {
	p.t.Helper()
	p.useFile("resolv.conf", "nameserver "+addr+"\n")
}

// useFile gives them another file in /etc.
func (p *postfix) useFile(name, text string) {
	p.t.Helper()
	file := filepath.Join(p.dir, name)
	for _, path := range []string{file, p.queue("etc", name)} {
		p.must(os.WriteFile(path, []byte(text), 0o644))
	}
	p.wrap = []string{"unshare", "--mount", "/bin/sh", "-c",
		`mount --make-rprivate / && mount --bind "$0" "/etc/$1" && shift && exec "$@"`, file, name}
}

func (v *validator) must(err error) {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
}

func (v *validator) write(name, text string) {
	v.t.Helper()
	v.must(os.WriteFile(filepath.Join(v.dir, name), []byte(text), 0o644))
}

// sign signs a zone in place and returns the file with its key.
func (v *validator) sign(zone string) (key string) {
	v.t.Helper()
	run := func(name string, args ...string) string {
		cmd := exec.Command(name, args...)
		cmd.Dir = v.dir
		out, err := cmd.Output()
		if err != nil {
			v.t.Fatalf("%s: %v", name, err)
		}
		return strings.TrimSpace(string(out))
	}
	base := run("/usr/bin/ldns-keygen", "-r", "/dev/urandom", "-k", "-a", "ECDSAP256SHA256", zone)
	run("/usr/bin/ldns-signzone", "-n", "-o", zone, "-f", zone+".signed", zone, base)
	v.must(os.Rename(filepath.Join(v.dir, zone+".signed"), filepath.Join(v.dir, zone)))
	return filepath.Join(v.dir, base+".key")
}

// TestDANE: TLSA records from a signed zone, through a resolver that validates,
// against a real Dovecot.
func TestDANE(t *testing.T) {
	ca := newTestCA(t)
	cert, _ := ca.make("server", &x509.Certificate{Subject: pkix.Name{CommonName: "server"},
		DNSNames: []string{"anchor.signed.test"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	chain, err := os.ReadFile(ca.file("server.pem"))
	if err != nil {
		t.Fatal(err)
	}
	authority, err := os.ReadFile(ca.file("ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ca.file("server.pem"), append(chain, authority...), 0o644); err != nil {
		t.Fatal(err)
	}
	p := startPostfix(t, options{nameserver: validatorAddress(), services: map[string]string{
		"dane": "y - -o lmtp_tls_loglevel=1 -o lmtp_tls_security_level=dane",
		"only": "y - -o lmtp_tls_loglevel=1 -o lmtp_tls_security_level=dane-only",
	}, main: []string{"lmtp_dns_support_level = dnssec", "lmtp_host_lookup = dns"}})
	d := newDovecot(t, p)
	d.secure(ca, "server", "")
	d.add("", "user", "sender")
	d.start()

	key, whole := cert.RawSubjectPublicKeyInfo, cert.Raw
	sum := func(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }
	var records strings.Builder
	host := func(name string, tlsa ...string) {
		fmt.Fprintf(&records, "%s A 127.0.0.1\n", name)
		for _, r := range tlsa {
			fmt.Fprintf(&records, "_%d._tcp.%s TLSA %s\n", d.port, name, r)
		}
	}
	wrong := "3 1 1 " + strings.Repeat("ab", 32)
	host("key", "3 1 1 "+sum(key))
	host("whole", fmt.Sprintf("3 0 2 %x", sha512.Sum512(whole)))
	host("full", fmt.Sprintf("3 1 0 %x", key))
	host("several", wrong, "3 0 1 "+sum(whole))
	host("wrong", wrong)
	host("anchor", "2 0 1 "+sum(ca.cert.Raw))
	host("othername", "2 0 1 "+sum(ca.cert.Raw))
	host("otheranchor", "2 1 1 "+strings.Repeat("ab", 32))
	host("unusable", "1 1 1 "+sum(key))
	host("none")
	startValidator(t, records.String())

	for n, c := range []struct {
		host, service string
		status        string // of the delivery
		text          string // if it is not sent
		state         string // of the TLS connection
	}{
		{"key.signed.test", "dane", "sent", "", "Verified"},
		{"key.signed.test", "only", "sent", "", "Verified"},
		{"whole.signed.test", "only", "sent", "", "Verified"},
		{"full.signed.test", "only", "sent", "", "Verified"},
		{"several.signed.test", "only", "sent", "", "Verified"},
		{"anchor.signed.test", "dane", "sent", "", "Verified"},
		{"wrong.signed.test", "dane", "deferred", "Server certificate not", ""},
		{"othername.signed.test", "dane", "deferred", "Server certificate not", ""},
		{"otheranchor.signed.test", "dane", "deferred", "Server certificate not", ""},
		{"unusable.signed.test", "dane", "sent", "", "Untrusted"},
		{"unusable.signed.test", "only", "deferred", "TLSA records unusable", ""},
		{"none.signed.test", "dane", "sent", "", "Untrusted"},
		{"none.signed.test", "only", "deferred", "no TLSA records found", ""},
		{"key.plain.test", "dane", "sent", "", "Untrusted"},
		{"wrong.plain.test", "dane", "sent", "", "Untrusted"},
		{"key.plain.test", "only", "deferred", "no TLSA records found", ""},
		{"key.bogus.test", "dane", "deferred", "TLSA lookup error for key.bogus.test:", ""},
		{"key.bogus.test", "only", "deferred", "TLSA lookup error for key.bogus.test:", ""},
	} {
		t.Run(c.host+" "+c.service, func(t *testing.T) {
			p, d := p.with(t), d.with(t)
			from := p.log.mark()
			id, to := newID("dane"), fmt.Sprintf("user@%s.p%d.%s.name.test", c.host, d.port, c.service)
			msg := message(id+fmt.Sprint(n), "", to, "secret\n")
			queueID := p.submit(envelope{to: []string{to}}, msg)
			end := p.log.delivered(t, 0, queueID, to, c.status)
			if c.status == "deferred" && (end.dsn != "4.7.5" || !strings.Contains(end.text, c.text)) {
				t.Errorf("status line: %s", end.line)
			}
			found := ""
			for _, line := range p.log.find(from, ` TLS connection established to `+c.host) {
				_, text, _ := strings.Cut(line, "]: ")
				found, _, _ = strings.Cut(text, " ")
			}
			if c.status == "sent" && found != c.state {
				t.Errorf("TLS connection %q, want %q", found, c.state)
			}
		})
	}
}
