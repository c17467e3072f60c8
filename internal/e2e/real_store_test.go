package e2e

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCyrusStores: Cyrus's lmtpd stores what smtpd accepted, byte for byte after
// the fields that it adds; one message for many recipients; a mailbox that is
// full; several messages over a session that is kept.
func TestCyrusStores(t *testing.T) {
	t.Parallel()
	srv := startCyrus(t, newTestCA(t), "autocreate_post: yes\nautocreate_quota: 1000\nlmtp_strict_quota: yes\nautocreate_users: anyone\nunixhierarchysep: yes\n")
	login := "lmtp_tls_security_level=encrypt lmtp_sasl_password_maps=static:user:S3cr3tWord lmtp_sasl_mechanism_filter=scram-sha-256,cram-md5"
	if underTest(t).ours() {
		login += " lmtp_tls_connection_reuse=yes" // Postfix's own needs tlsproxy(8) for it
	}
	p := startPostfix(t, options{
		services: map[string]string{"cyrus": "y - -o " + strings.ReplaceAll(login, " ", " -o ")},
		main:     []string{"lmtp_sasl_auth_enable = yes"},
	})
	domain := fmt.Sprintf("p%d.cyrus.port.test", srv.port)
	all := []string{}
	for i := range 20 {
		all = append(all, fmt.Sprintf("user%d@%s", i, domain))
	}
	id := newID("cyrus")
	msg := message(id, "sender@none.lmtp.sock.test", all[0], "From here\n.\n..\n8-bit: Grüße\n"+strings.Repeat("long ", 190)+"\n",
		"MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit")
	queueID := p.submit(envelope{to: all, fromArgs: " BODY=8BITMIME"}, msg)
	for _, to := range all {
		d := p.log.delivered(t, 0, queueID, to, "sent")
		if to == all[0] {
			t.Log(d.line)
		}
	}
	stored := srv.stored(id)
	for _, data := range stored {
		if !bytes.HasSuffix(data, msg) {
			t.Errorf("stored %q, want %q at its end", data, msg)
		}
	}
	if len(stored) != len(all) {
		t.Errorf("%d messages stored for %d recipients", len(stored), len(all))
	}
	// More than the mailbox may hold waits.
	big := p.submit(envelope{to: all[:1]}, message(newID("big"), "", all[0], strings.Repeat("no room\n", 200_000)))
	d := p.log.delivered(t, 0, big, all[0], "deferred")
	if d.dsn != "4.2.2" {
		t.Errorf("status line: %s", d.line)
	}
	t.Log(d.line)
	l := p.inject(50, 2, domain)
	<-l.done
	for _, id := range l.ids {
		eventually(t, later, id+" to be stored", func() bool { return len(srv.stored(id)) == 1 })
	}
	if p.agent.ours() && len(p.log.find(0, `/lmtp\[\d+\]: .* conn_use=`)) == 0 {
		t.Error("no session was used again")
	}
	p.log.noAlarm(t, 0)
}

// stored returns the message files with an identity.
func (c *cyrus) stored(id string) [][]byte {
	var list [][]byte
	filepath.WalkDir(c.path("spool"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(path, ".") || strings.Contains(path, "/stage./") {
			return nil
		}
		if data, err := os.ReadFile(path); err == nil && bytes.Contains(data, []byte("X-E2E-Id: "+id+"\r\n")) {
			list = append(list, data)
		}
		return nil
	})
	return list
}
