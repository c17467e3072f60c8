package e2e

import (
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
	if strings.Join(got, " ") != strings.Join(want, " ") {
		m.t.Errorf("%s: master.cf has %q, the sample %q", sample, got, want)
	}
}

// TestSamples: the sample configurations are what they say. Those of Dovecot
// deliver mail.
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
		m.command("postlmtp", "uninstall", "--yes", "--force")

		m.write("/run/mailman/postfix_lmtp", "list@example.com lmtp:[127.0.0.1]:8024\n")
		m.write("/run/mailman/postfix_domains", "lists.example.com lists.example.com\n")
		m.configure(strings.ReplaceAll(m.sample("mailman/main.cf"), "/var/lib/mailman3/data", "/run/mailman"))
		m.install("mailman/master.cf", "--replace")
		m.clean("mailman")
	})
}
