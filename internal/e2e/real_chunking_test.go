package e2e

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// newChunking is a Postfix whose agent uses BDAT, and keeps connections, and a
// Dovecot, with the users that the tests of TestDovecot need.
func newChunking(t *testing.T) (real, way) {
	t.Helper()
	p := startPostfix(t, options{main: []string{"message_size_limit = 0", "mailbox_size_limit = 0",
		"smtpd_error_sleep_time = 0", "postlmtp_chunking = yes", "debug_peer_list = mx.e2e.test",
		"lmtp_connection_cache_destinations = private/dovecot", "lmtp_destination_recipient_limit = 2000",
		"lmtp_destination_concurrency_limit = 1", "smtpd_recipient_limit = 2000"}})
	r := real{p, newDovecot(t, p)}
	w := ways(r.dovecot)[0]
	r.dovecot.add("", "user-"+w.key, "sender-"+w.key)
	r.dovecot.add(quotaOf("20K"), "full-"+w.key)
	r.dovecot.add(quotaOf("1")+" userdb_quota_full_tempfail=no", "final-"+w.key)
	good, full, _ := fiftyUsers(w)
	r.dovecot.add("", good...)
	r.dovecot.add(quotaOf("1K"), full...)
	return r, w
}

// TestDovecotChunking delivers by BDAT what TestDovecot delivers by DATA.
func TestDovecotChunking(t *testing.T) {
	r, w := newChunking(t)
	r.dovecot.start()
	for _, c := range []struct {
		name string
		run  func(real, *testing.T, way)
	}{
		{"stored", real.stored}, {"8bit", real.eightBit}, {"sizes", real.sizes},
		{"unknown user", real.unknownUser}, {"over quota", real.overQuota}, {"no room", real.noRoom},
		{"50 recipients", real.fifty}, {"one flight", real.oneFlight}, {"sendmail -bv", real.verify},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(r.with(t), t, w) })
	}
	if lines := r.log.find(0, `> .*: DATA$`); len(lines) > 0 {
		t.Errorf("DATA was sent: %s", lines[0])
	}
	r.log.noAlarm(t, 0)
}

// sizes: messages around the size of a chunk, and larger ones.
func (r real) sizes(t *testing.T, w way) {
	to := "user-" + w.key + "@" + w.domain
	line := strings.Repeat("0123456789abcdef", 4) + "\n"
	for _, size := range []int{0, 60 << 10, 66 << 10, 200 << 10, 10 << 20} {
		id := newID(fmt.Sprintf("size%d", size))
		msg := message(id, "", to, strings.Repeat("."+line, size/len(line)))
		queueID := r.submit(envelope{to: []string{to}}, msg)
		r.log.delivered(t, 0, queueID, to, "sent")
		same(t, r.dovecot.stored(to, id), msg)
	}
}

// oneFlight: on a connection that is used again the content goes out before
// anything was answered, whatever becomes of the recipients.
func (r real) oneFlight(t *testing.T, w way) {
	user, nobody := "user-"+w.key+"@"+w.domain, "nobody-"+w.key+"@"+w.domain
	mark := r.log.mark()
	for round, to := range [][]string{{user}, {user}, {user, nobody}, {nobody}, {user}} {
		id := newID("flight")
		queueID := r.submit(envelope{to: to}, message(id, "", user, "RSET\n.\nQUIT\n"))
		for _, rcpt := range to {
			status := "sent"
			if rcpt == nobody {
				status = "bounced"
			}
			d := r.log.delivered(t, mark, queueID, rcpt, status)
			// Dovecot 2.4.5 does not answer BDAT for nobody: such a session is not used again.
			if round > 0 && d.connUse == "" && !(round == 4 && since24()) {
				t.Errorf("round %d over a new connection: %s", round, d.line)
			}
		}
		if to[0] == user {
			r.dovecot.stored(user, id)
		}
	}
	flights, last := 0, ""
	for _, line := range r.log.find(mark, `[<>] mx\.e2e\.test.*: `) {
		_, text, _ := strings.Cut(line, "private/dovecot]: ")
		if strings.Contains(line, "> mx.e2e.test") {
			if strings.HasPrefix(text, "BDAT") && !strings.HasPrefix(last, "2") {
				flights++
			}
		}
		last = text
	}
	if flights < 4 {
		t.Errorf("%d messages in one flight, want 4", flights)
	}
}

// TestDovecotThousand has messages of a thousand recipients of all kinds, by BDAT
// and by DATA: each has its own end.
func TestDovecotThousand(t *testing.T) {
	r, w := newChunking(t)
	const n = 1000
	from := "sender-" + w.key + "@" + w.domain
	want := map[string]string{}
	e := envelope{from: from}
	var good, full []string
	for i := range n {
		user, status := fmt.Sprintf("k%d", i), "sent"
		switch {
		case i%4 >= 2: // most are not there: making a mailbox takes longest
			status = "bounced"
		case i%4 == 1:
			full = append(full, user)
			status = "deferred"
		default:
			good = append(good, user)
		}
		to := user + "@" + w.domain
		want[to] = status
		e.to = append(e.to, to)
	}
	r.dovecot.add("", good...)
	r.dovecot.add(quotaOf("1K"), full...)
	r.dovecot.start()
	for _, chunking := range []string{"yes", "no"} {
		t.Run("chunking="+chunking, func(t *testing.T) {
			r := r.with(t)
			if chunking == "no" {
				r.set("postlmtp_chunking = no", "debug_peer_list =")
				r.reload()
			}
			id := newID("thousand")
			msg := message(id, from, from, strings.Repeat("for a thousand\n", 500))
			mark := r.log.mark()
			queueID := r.submit(e, msg)
			counts := map[string]int{}
			ok := within(5*later, func() bool {
				clear(counts)
				for _, d := range r.log.deliveries(mark) {
					if d.queueID == queueID && d.status == want[d.to] {
						counts[d.to]++
					}
				}
				return len(counts) == n
			})
			if !ok {
				t.Fatalf("%d of %d recipients have the end that they should have", len(counts), n)
			}
			for to, times := range counts {
				if times != 1 {
					t.Errorf("%d lines for %s", times, to)
				}
				stored := 0
				for _, m := range r.dovecot.mails(to) {
					if bytes.Contains(m, []byte("X-E2E-Id: "+id+"\r\n")) || bytes.Contains(m, []byte("X-E2E-Id: "+id+"\n")) {
						stored++
					}
				}
				if (stored == 1) != (want[to] == "sent") {
					t.Errorf("%s has %d copies, and status %s", to, stored, want[to])
				}
			}
			exec.Command("postsuper", "-c", r.conf(), "-d", queueID).Run() //nolint:errcheck // what is deferred is of no interest
		})
	}
	r.log.noAlarm(t, 0, movedByReload)
}
