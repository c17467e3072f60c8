package delivery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postlmtp/internal/nexthop"
	"postlmtp/internal/sasl"
)

// hinted lists the hints in the log.
func (w *world) hinted() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var hints []string
	for _, line := range w.log {
		if _, hint, ok := strings.Cut(line, ": hint: "); ok {
			hints = append(hints, hint)
		}
	}
	return hints
}

// TestHintPause: the same hint comes once in ten minutes, another one at once.
func TestHintPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		d := New(w.opt, w)
		defer d.Close()
		for i, step := range []struct {
			wait  time.Duration
			host  string
			hints int
		}{
			{0, "a", 1}, {0, "a", 1}, {hintPause - time.Second, "a", 1}, {0, "b", 2}, {time.Second, "a", 3}, {0, "a", 3}, {0, "b", 3},
		} {
			time.Sleep(step.wait)
			w.deliver(d, step.host, 0, "user@example.net")
			if hints := w.hinted(); len(hints) != step.hints {
				t.Errorf("step %d: %q, want %d", i, hints, step.hints)
			}
		}
		if !strings.HasPrefix(w.hinted()[0], "no server listens on port 24 of 192.0.2.97") {
			t.Errorf("%q", w.hinted())
		}
	})
}

// TestHintsOff: without postlmtp_extra_logging there are none.
func TestHintsOff(t *testing.T) {
	w := newWorld(t)
	w.opt.ExtraLogging = false
	d := New(w.opt, w)
	defer d.Close()
	w.deliver(d, "a", 0, "user@example.net")
	if hints := w.hinted(); hints != nil {
		t.Errorf("%q", hints)
	}
}

// TestHintsBounded: many different hints do not fill the memory.
func TestHintsBounded(t *testing.T) {
	var h hints
	for i := range 10 * maxHints {
		if !h.due(fmt.Sprint(i)) || len(h.last) > maxHints {
			t.Fatalf("hint %d: %d remembered", i, len(h.last))
		}
	}
}

// TestWrongPort: the hint comes with the first line of a server that is none for
// LMTP, not when the limit of the greeting has passed.
func TestWrongPort(t *testing.T) {
	for _, tc := range []struct {
		name   string
		server *server
		hint   string
	}{
		{name: "IMAP", server: &server{greeting: "* OK [CAPABILITY IMAP4rev1] Dovecot ready."},
			hint: `a[192.0.2.97]:24 is an IMAP server: it begins with "* OK [CAPABILITY IMAP4rev1] Dovecot ready."; name the port`},
		{name: "POP3", server: &server{greeting: "+OK Dovecot ready."}, hint: "a[192.0.2.97]:24 is a POP3 server"},
		{name: "SSH", server: &server{greeting: "SSH-2.0-OpenSSH_9.2p1"}, hint: "is an SSH server"},
		{name: "ManageSieve", server: &server{greeting: `"IMPLEMENTATION" "Dovecot"`}, hint: "is a ManageSieve server"},
		{name: "SMTP", server: &server{greeting: "220 mx ESMTP Postfix", replies: map[string]string{"LHLO": "502 5.5.2 Error: command not recognized"}},
			hint: `is an SMTP server, which does not know LHLO: it begins with "220 mx ESMTP Postfix"`},
		{name: "silence", server: nil, hint: ""},
		{name: "LMTP that refuses", server: &server{greeting: "220 mx LMTP", replies: map[string]string{"LHLO": "502 5.5.2 no"}}, hint: ""},
		{name: "full", server: &server{greeting: "421 4.3.2 too many connections"}, hint: ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.servers["a"] = tc.server
				if tc.server == nil {
					w.opt.Dial = silent
				}
				d := New(w.opt, w)
				defer d.Close()
				start := time.Now()
				w.deliver(d, "a", 0, "user@example.net")
				hints := w.hinted()
				if tc.hint == "" && len(hints) == 0 {
					return
				}
				if tc.name == "silence" {
					if time.Since(start) != 300*time.Second || len(hints) != 1 || !strings.Contains(hints[0], "accepts the connection and gives no greeting") {
						t.Errorf("after %v: %q", time.Since(start), hints)
					}
					return
				}
				if len(hints) != 1 || !strings.Contains(hints[0], tc.hint) || tc.hint == "" {
					t.Errorf("%q, want %q", hints, tc.hint)
				}
			})
		})
	}
}

// silent connects to a server that says nothing.
func silent(context.Context, nexthop.Endpoint) (net.Conn, error) {
	ours, theirs := net.Pipe()
	go func() {
		io.Copy(io.Discard, theirs)
		theirs.Close()
	}()
	return ours, nil
}

// TestLoginHints: which setting keeps the logins out, and what would do.
func TestLoginHints(t *testing.T) {
	strict := sasl.Policy{Option: "lmtp_sasl_security_options", Demand: sasl.NoPlaintext | sasl.NoAnonymous}
	for _, tc := range []struct{ offer, reply, hint string }{
		{"AUTH PLAIN LOGIN", "", "lmtp_sasl_security_options allows none of the logins that a[192.0.2.97]:24 offers; noanonymous would allow PLAIN, LOGIN, but use that with TLS"},
		{"AUTH ANONYMOUS", "", ""},
		{"AUTH GSSAPI", "", ""},
		{"AUTH CRAM-MD5", "535 5.7.8 no", "a[192.0.2.97]:24 does not take the name and password that lmtp_sasl_password_maps has for a or a"},
		{"AUTH CRAM-MD5", "454 4.7.0 not now", ""},
	} {
		w := withLogins(t, map[string]string{"a": "user:secret"})
		w.opt.Auth.Plain = strict
		w.servers["a"] = &server{caps: []string{tc.offer}, replies: map[string]string{"AUTH": tc.reply}}
		d := New(w.opt, w)
		w.deliver(d, "a", 0, "user@example.net")
		d.Close()
		hints := w.hinted()
		if tc.hint == "" && len(hints) > 0 || tc.hint != "" && !slices.ContainsFunc(hints, func(h string) bool { return strings.HasPrefix(h, tc.hint) }) {
			t.Errorf("%s, %s: %q, want %q", tc.offer, tc.reply, hints, tc.hint)
		}
	}
	if hint := loginHint(nexthop.Endpoint{Network: "tcp", Host: "a", Port: 24}, "lmtp_sasl_tls_security_options", true, &sasl.NoMechanismError{Weak: []string{"PLAIN"}}); !strings.HasPrefix(hint, "lmtp_sasl_tls_security_options allows none") ||
		!strings.HasSuffix(hint, "TLS hides the password") {
		t.Error(hint)
	}
	if hint := loginHint(nexthop.Endpoint{Network: "tcp", Host: "a", Port: 24}, "", false, errors.New("other")); hint != "" {
		t.Error(hint)
	}
}
