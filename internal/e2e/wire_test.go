package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestWire looks at what a server gets to see that offers everything.
func TestWire(t *testing.T) {
	t.Parallel()
	p := startPostfix(t, options{
		services: map[string]string{
			"free":  "n -",
			"flags": "y - flags=DOR",
			"named": "y - -o lmtp_host_lookup=native",
			"nfree": "n - -o lmtp_host_lookup=native",
		},
		main: []string{"flags_destination_recipient_limit = 1", "lmtp_lhlo_name = lhlo.e2e.test",
			"virtual_alias_maps = inline:{ alias@sink.flags.sock.test=user@sink.flags.sock.test }"},
	})
	s := unixSink(t, p, "sink").run()

	t.Run("extensions", func(t *testing.T) {
		id, to := newID("dsn"), "user@sink.lmtp.sock.test"
		msg := message(id, "a@sink.lmtp.sock.test", to, "8-bit: \xe4\n")
		queueID := p.submit(envelope{from: "a@sink.lmtp.sock.test", to: []string{to},
			fromArgs: " RET=HDRS ENVID=e2e+2B1 BODY=8BITMIME",
			toArgs:   " NOTIFY=SUCCESS,DELAY ORCPT=rfc822;original@elsewhere.test"}, msg)
		p.log.delivered(t, 0, queueID, to, "sent")
		tx := s.received(id)[0]
		args := strings.Fields(tx.fromArgs)
		slices.Sort(args)
		size := ""
		args = slices.DeleteFunc(args, func(a string) bool {
			if strings.HasPrefix(a, "SIZE=") {
				size = a
				return true
			}
			return false
		})
		if got, want := strings.Join(args, " "), "BODY=8BITMIME ENVID=e2e+2B1 RET=HDRS"; got != want || size == "" {
			t.Errorf("MAIL has %q, want %q and a SIZE", tx.fromArgs, want)
		}
		if got, want := tx.rcptArgs[0], "ORCPT=rfc822;original@elsewhere.test NOTIFY=SUCCESS,DELAY"; got != want {
			t.Errorf("RCPT has %q, want %q", got, want)
		}
		if tx.lhlo != "lhlo.e2e.test" || tx.from != "a@sink.lmtp.sock.test" {
			t.Errorf("LHLO %s, MAIL FROM:<%s>", tx.lhlo, tx.from)
		}
		if !strings.HasSuffix(string(tx.data), string(msg)) {
			t.Errorf("received %q, want %q at its end", tx.data, msg)
		}
	})

	t.Run("awkward content", func(t *testing.T) {
		for _, service := range []string{"lmtp", "free"} {
			id, to := newID("awkward"), "user@sink."+service+".sock.test"
			msg := message(id, "", to, awkward())
			queueID := p.submit(envelope{to: []string{to}}, msg)
			p.log.delivered(t, 0, queueID, to, "sent")
			if data := string(s.received(id)[0].data); !strings.HasSuffix(data, string(msg)) {
				t.Errorf("%s: received %q, want %q at its end", service, data, msg)
			}
		}
	})

	t.Run("flags=DOR", func(t *testing.T) {
		id, from := newID("flags"), "from@sink.flags.sock.test"
		e := envelope{from: from, to: []string{"alias@sink.flags.sock.test", "other@sink.flags.sock.test"}}
		queueID := p.submit(e, message(id, from, "x@e2e.test", "text\n"))
		for to, original := range map[string]string{"user@sink.flags.sock.test": "alias@sink.flags.sock.test",
			"other@sink.flags.sock.test": "other@sink.flags.sock.test"} {
			p.log.delivered(t, 0, queueID, to, "sent")
			fields := []string{"Return-Path: <" + from + ">\r\n", "X-Original-To: " + original + "\r\n", "Delivered-To: " + to + "\r\n"}
			if !since(6) {
				slices.Reverse(fields)
			}
			head := strings.Join(fields, "") + "Received: "
			if !slices.ContainsFunc(s.received(id), func(tx *transaction) bool {
				return len(tx.rcpts) == 1 && tx.rcpts[0] == to && strings.HasPrefix(string(tx.data), head)
			}) {
				t.Errorf("no message that starts with %q", head)
			}
		}
	})

	t.Run("host name", func(t *testing.T) {
		port := freePort(t)
		tcp := tcpSink(t, port).run()
		for _, service := range []string{"named", "nfree"} {
			to := fmt.Sprintf("user@p%d.%s.host.test", port, service)
			id, queueID := p.sendSmall(t, "", to)
			d := p.log.delivered(t, 0, queueID, to, "sent")
			if want := fmt.Sprintf("localhost[127.0.0.1]:%d", port); d.relay != want || tcp.times(id, to) != 1 {
				t.Errorf("%s: relay %s, want %s", service, d.relay, want)
			}
		}
	})
	p.log.noAlarm(t, 0)
}
