package e2e

import (
	"os"
	"strings"
	"testing"

	"postlmtp/docs/samples"
)

// sample reads one of docs/samples.
func (m *machine) sample(name string) string {
	m.t.Helper()
	text, err := samples.Read(name)
	m.must(err)
	return text
}

// install puts our daemon into the place of a sample's line of master.cf, by the
// tool, and compares the line.
func (m *machine) install(sample string, args ...string) {
	m.t.Helper()
	m.command("postlmtp", append([]string{"install", "--yes"}, args...)...)
	want := strings.Fields(strings.Split(strings.TrimSpace(m.sample(sample)), "\n")[1])
	got := strings.Fields(m.command("postconf", "-M", want[0]+"/unix"))
	want[4] = got[4] // Debian's default for the jail has changed
	if strings.Join(got, " ") != strings.Join(want, " ") {
		m.t.Errorf("%s: master.cf has %q, the sample %q", sample, got, want)
	}
}

// cyrusDelivers has a Cyrus with the sample's settings, in directories of the
// machine, take a message.
func (m *machine) cyrusDelivers() {
	t := m.t
	t.Helper()
	need(t, cyrusRoot+"/usr/lib/cyrus/bin/lmtpd", "/usr/sbin/saslpasswd2")
	c := &cyrus{t: t, dir: "/run/cyrus", root: cyrusRoot, port: 24}
	for _, name := range strings.Fields("conf conf/db conf/proc conf/socket conf/log conf/msg conf/ptclient conf/lock spool spool/stage.") {
		m.must(os.MkdirAll(c.path(name), 0o755))
	}
	places := strings.NewReplacer("/var/lib/cyrus", c.path("conf"), "/var/spool/cyrus/mail", c.path("spool"),
		`cmd="lmtpd"`, `cmd="`+cyrusRoot+"/usr/lib/cyrus/bin/lmtpd -C "+c.path("imapd.conf")+`"`)
	// A user of this machine, and mailboxes that are there when mail comes.
	m.write(c.path("imapd.conf"), places.Replace(m.sample("cyrus/imapd.conf"))+"cyrus_user: mail\ncyrus_group: mail\n"+
		"servername: imap.example.com\nsasl_sasldb_path: "+c.path("sasldb2")+"\nautocreate_post: yes\nautocreate_users: anyone\nautocreate_quota: 1000\n")
	m.write(c.path("cyrus.conf"), places.Replace(m.sample("cyrus/cyrus.conf")))
	add := c.command("/usr/sbin/saslpasswd2", "-p", "-c", "-f", c.path("sasldb2"), "-u", "imap.example.com", "user")
	add.Stdin = strings.NewReader("secret\n")
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("saslpasswd2: %v\n%s", err, out)
	}
	m.command("chown", "-R", "mail:mail", c.dir)
	c.run()
	m.file("/etc/hosts", "127.0.0.1 localhost imap.example.com\n")
	m.command("postconf", "-e", "lmtp_host_lookup = native") // there is no DNS on this machine
	m.startPostfix()
	id, _ := m.post.sendSmall(t, "", "jim@example.com")
	eventually(t, later, "Cyrus to store the message", func() bool { return len(c.stored(id)) == 1 })
	m.command("postfix", "stop")
	m.command("postconf", "-X", "lmtp_host_lookup")
}

// TestSamples: the sample configurations are what they say. With those of
// Dovecot and Cyrus mail is delivered.
func TestSamples(t *testing.T) {
	onMachine(t, func(m *machine) {
		conf := "dovecot/dovecot-2.3.conf"
		if since24() {
			conf = "dovecot/dovecot-2.4.conf"
		}
		m.configure(m.sample("dovecot/main.cf"))
		m.install("dovecot/master.cf", "--replace")
		m.startPostfix()
		m.dovecot(m.sample(conf), users("jim"))
		m.clean("dovecot")
		id, _ := m.post.sendSmall(t, "", "jim@example.com")
		m.stored("jim", id)
		mark := m.post.log.mark()
		m.post.sendSmall(t, "", "nobody@example.com")
		m.post.log.wait(t, mark, `to=<nobody@example.com>, .*dsn=5.1.1, status=bounced`)
		m.post.log.wait(t, mark, `postfix/lmtp\[\d+\]`)
		m.command("postlmtp", "uninstall", "--yes")
		m.command("postfix", "stop")

		m.write("/etc/postfix/sasl_passwd", "imap.example.com user:secret\n")
		m.configure(m.sample("cyrus/main.cf"))
		m.install("cyrus/master.cf", "--service=cyrus")
		m.clean("cyrus")
		m.cyrusDelivers()
		m.command("postlmtp", "uninstall", "--yes", "--force")

		m.write("/run/mailman/postfix_lmtp", "list@example.com lmtp:[127.0.0.1]:8024\n")
		m.write("/run/mailman/postfix_domains", "lists.example.com lists.example.com\n")
		m.configure(strings.ReplaceAll(m.sample("mailman/main.cf"), "/var/lib/mailman3/data", "/run/mailman"))
		m.install("mailman/master.cf", "--replace")
		m.clean("mailman")
	})
}
