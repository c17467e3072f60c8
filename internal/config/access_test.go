package config

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPorts(t *testing.T) {
	for _, test := range []struct {
		in       string
		want     map[string]uint16
		warnings []string
	}{
		{"", map[string]uint16{}, nil},
		{" , ,", map[string]uint16{}, nil},
		{"a=1", map[string]uint16{"a": 1}, nil},
		{" a = b = 2 ,c=3,", map[string]uint16{"a": 2, "b": 2, "c": 3}, nil},
		{"a", map[string]uint16{}, []string{`known_tcp_ports: in "a" is not in "name = value" form`}},
		{"a=", map[string]uint16{}, []string{`known_tcp_ports: in "a=": missing port value after "="`}},
		{"=1", map[string]uint16{}, []string{`known_tcp_ports: in "=1": missing service name before "="`}},
		{"a=1 2", map[string]uint16{}, []string{`known_tcp_ports: in "a=1 2": whitespace in port number`}},
		{"a b=1", map[string]uint16{}, []string{`known_tcp_ports: in "a b=1": whitespace in service name`}},
		{"1=2", map[string]uint16{}, []string{`known_tcp_ports: in "1=2": numerical service name`}},
		{"a=b", map[string]uint16{}, []string{`known_tcp_ports: in "a=b": non-numerical service port`}},
		{"a=65536", map[string]uint16{}, []string{`known_tcp_ports: in "a=65536": non-numerical service port`}},
		{"a=1,b=a=2", map[string]uint16{"a": 1, "b": 2}, []string{`known_tcp_ports: in "b=a=2": duplicate service name`}},
	} {
		got, warnings := ports(test.in)
		if d := cmp.Diff(test.want, got); d != "" {
			t.Errorf("%q: %s", test.in, d)
		}
		if d := cmp.Diff(test.warnings, warnings); d != "" {
			t.Errorf("%q: %s", test.in, d)
		}
	}
}

func TestAccess(t *testing.T) {
	for _, test := range []struct {
		main           string
		support        DNSSupport
		dns, native    bool
		ipv4, ipv6     bool
		syslogFacility int
	}{
		{"", DNSEnabled, true, false, true, true, 2},
		{"disable_dns_lookups = yes\ninet_protocols = ipv4\nsyslog_facility = local7\n", DNSDisabled, false, true, true, false, 23},
		{"disable_dns_lookups = yes\nlmtp_dns_support_level = DNSSEC\nlmtp_host_lookup = native,dns\n", DNSSEC, true, true, true, true, 2},
		{"lmtp_dns_support_level = disabled\ninet_protocols = ipv6\n", DNSDisabled, false, true, false, true, 2},
		{"lmtp_dns_support_level = enabled\nlmtp_host_lookup = native\ninet_protocols =\n", DNSEnabled, false, true, false, false, 2},
	} {
		c, _, err := load(t, test.main, Options{})
		if err != nil {
			t.Fatal(err)
		}
		dns, native := c.HostLookup()
		ipv4, ipv6 := c.Families()
		if c.DNSSupport() != test.support || dns != test.dns || native != test.native || ipv4 != test.ipv4 || ipv6 != test.ipv6 || c.Facility() != test.syslogFacility {
			t.Errorf("%q: %v %v %v %v %v %d", test.main, c.DNSSupport(), dns, native, ipv4, ipv6, c.Facility())
		}
	}
}

func TestUnsupported(t *testing.T) {
	c, _, err := load(t, `lmtp_generic_maps = hash:/x
lmtp_tls_security_level = may
lmtp_tls_policy_maps = hash:/y
lmtp_tls_protocols = >=TLSv1
tls_config_file = /x
smtp_tls_security_level = encrypt
lmtp_lhlo_timeout = 5s
`, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, u := range c.Unsupported() {
		s := u.Name + "=" + u.Value
		if u.File == "" || u.Line == 0 {
			t.Errorf("%s: no place", u.Name)
		}
		got = append(got, s)
	}
	// crypto/tls has no configuration file.
	if want := []string{"tls_config_file=/x"}; !slices.Equal(got, want) {
		t.Errorf("unsupported: %q, want %q", got, want)
	}
}

func TestPrint(t *testing.T) {
	c, _, err := load(t, "mine = a\n\tb\nlmtp_fallback_relay = $mine  x\nlmtp_tcp_port =\n", Options{})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	unknown, err := Print(&b, c, []string{"lmtp_fallback_relay", "nosuch", "mine", "lmtp_tcp_port"})
	if want := "lmtp_fallback_relay = a b x\nmine = a b\nlmtp_tcp_port =\n"; err != nil || b.String() != want {
		t.Errorf("got %q, %v", b.String(), err)
	}
	if len(unknown) != 1 || unknown[0] != "nosuch" {
		t.Errorf("unknown: %q", unknown)
	}
	b.Reset()
	if _, err := Print(&b, c, nil); err != nil || strings.Count(b.String(), "\n") != len(Params()) {
		t.Errorf("all: %d lines, %v", strings.Count(b.String(), "\n"), err)
	}
	if _, err := Print(brokenWriter{}, c, nil); err == nil {
		t.Error("no error of a broken writer")
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("broken") }
