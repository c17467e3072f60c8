package dns

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// notes is a Logger that keeps what it gets.
type notes []string

func (n *notes) Infof(format string, args ...any)    { *n = append(*n, fmt.Sprintf(format, args...)) }
func (n *notes) Warningf(format string, args ...any) { *n = append(*n, fmt.Sprintf(format, args...)) }

// TestDNSSECProbe: one question, once, if a first reply was not validated.
func TestDNSSECProbe(t *testing.T) {
	const unavailable = "DNSSEC validation may be unavailable\n"
	for _, tc := range []struct {
		name, probe   string
		ad, probeAD   bool
		silent, plain bool
		asked         int // for the probe
		log           string
	}{
		{name: "validated anyway", probe: "ns:.", ad: true},
		{name: "this name is not signed", probe: "ns:.", probeAD: true, asked: 1},
		{name: "nothing is", probe: "ns:.", asked: 1,
			log: unavailable + "reason: dnssec_probe 'ns:.' received a response that is not DNSSEC validated"},
		{name: "no answer", probe: "ns:.", silent: true, asked: 1, log: unavailable + "reason: dnssec_probe 'ns:.' received no response: "},
		{name: "off", probe: ""},
		{name: "malformed", probe: "ns", log: "malformed dnssec_probe value: ns format is qtype:qname"},
		{name: "unknown type", probe: "xx:.", log: "malformed dnssec_probe value: xx:. format is qtype:qname"},
		{name: "bad name", probe: "ns:a b", log: "malformed dnssec_probe value: ns:a b format is qtype:qname"},
		{name: "without DNSSEC", probe: "ns:.", plain: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := startServer(t, func(name string, typ Type, _ string) response {
				if typ == 2 {
					return response{ad: tc.probeAD, rcode: dnsmessage.RCodeSuccess, silent: tc.silent}
				}
				return response{ad: tc.ad, rcode: dnsmessage.RCodeNameError}
			})
			var log notes
			r := s.resolver(t, "nameserver 192.0.2.53\noptions timeout:1 attempts:1", Options{Probe: tc.probe, Log: &log})
			for range 3 {
				if _, err := r.Lookup(t.Context(), "a.test", A, LookupOptions{DNSSEC: !tc.plain}); err == nil {
					t.Fatal("no error")
				}
			}
			asked := 0
			for _, m := range s.asked() {
				if q := m.Questions[0]; Type(q.Type) == 2 && q.Name.String() == "." {
					asked++
				}
			}
			if asked != tc.asked {
				t.Errorf("asked %d times, want %d", asked, tc.asked)
			}
			if got := strings.Join(log, "\n"); !strings.HasPrefix(got, tc.log) || (got == "") != (tc.log == "") || strings.Count(got, "\n") > 1 {
				t.Errorf("log %q, want %q", got, tc.log)
			}
		})
	}
}
