package e2e

import "testing"

// TestSyslog delivers one message with each of the two transports of the log.
func TestTransportOfLog(t *testing.T) {
	for _, c := range []struct {
		name string
		o    options
	}{
		{"maillog_file", options{}},
		{"maillog_file, no chroot", options{noChroot: true}},
		{"syslog", options{syslog: true}},
		{"syslog, no chroot", options{syslog: true, noChroot: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := startPostfix(t, c.o)
			s := unixSink(t, p, "sink").run()
			to := "someone@sink.lmtp.sock.test"
			id, queueID := p.sendSmall(t, "", to)
			d := p.log.delivered(t, 0, queueID, to, "sent")
			if d.tag != "postfix/lmtp" || d.relay != "mx.e2e.test[private/sink]" {
				t.Errorf("tag and relay in %s", d.line)
			}
			if n := s.times(id, to); n != 1 {
				t.Errorf("delivered %d times", n)
			}
			p.log.noAlarm(t, 0)
		})
	}
}
