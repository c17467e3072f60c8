package e2e

import "testing"

// TestLogging delivers a message with each of the two transports of the log,
// in and outside the chroot, under each file name that the agent may have. The
// tag of the log is the same for all, because every log parser counts on it.
func TestLogging(t *testing.T) {
	renamed := underTest(t)
	renamed.file = "lmtp" // in the place of Postfix's own
	for _, c := range []struct {
		name string
		o    options
		tag  string
	}{
		{"postlog", options{}, "postfix/lmtp"},
		{"postlog, no chroot", options{noChroot: true}, "postfix/lmtp"},
		{"postlog, service's syslog_name", options{args: []string{"-o", "syslog_name=other/mail"}}, "other/mail/lmtp"},
		{"postlog, installed as lmtp", options{agent: renamed}, "postfix/lmtp"},
		{"syslog", options{syslog: true}, "postfix/lmtp"},
		{"syslog, no chroot", options{syslog: true, noChroot: true}, "postfix/lmtp"},
		{"syslog, service's syslog_name", options{syslog: true, args: []string{"-o", "syslog_name=other/mail"}}, "other/mail/lmtp"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := startPostfix(t, c.o)
			s := unixSink(t, p, "sink").run()
			to := "someone@sink.lmtp.sock.test"
			id, queueID := p.sendSmall(t, "", to)
			d := p.log.delivered(t, 0, queueID, to, "sent")
			if d.tag != c.tag || d.relay != "mx.e2e.test[private/sink]" {
				t.Errorf("tag and relay in %s", d.line)
			}
			if n := s.times(id, to); n != 1 {
				t.Errorf("delivered %d times", n)
			}
			p.log.noAlarm(t, 0)
		})
	}
}
