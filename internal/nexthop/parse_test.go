package nexthop

import (
	"fmt"
	"strings"
	"testing"

	"postlmtp/internal/address"
	"postlmtp/internal/dns"
)

func services(t *testing.T, text string) *dns.Snapshot {
	t.Helper()
	s, err := dns.ParseServices(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return &dns.Snapshot{Services: s}
}

// show writes a destination as "host|service|port" for each element.
func show(n Nexthop, err error) string {
	if err != nil {
		return err.(*DestinationError).Diagnosis.Reason
	}
	if n.IsUnix() {
		return "unix " + n.Unix().Relay()
	}
	var parts []string
	for _, e := range n.Elements {
		switch {
		case e.Err != nil:
			parts = append(parts, e.Err.Diagnosis.Reason)
		case e.Quoted:
			parts = append(parts, fmt.Sprintf("[%s]|%s|%d", e.Host, e.Service, e.Port))
		default:
			parts = append(parts, fmt.Sprintf("%s|%s|%d", e.Host, e.Service, e.Port))
		}
	}
	return strings.Join(parts, " ")
}

func TestParse(t *testing.T) {
	known := map[string]uint16{"lmtp": 24, "submission": 587, "zero": 0}
	p := Parser{MyHostname: "mail.test", DefaultService: "24", KnownPorts: known,
		Names: services(t, "lmtp 2003/tcp\nsieve 4190/tcp\nudponly 9/udp\n"), UTF8: true}
	const hostRequired = "valid hostname or network address required in server description: "
	tests := []struct{ nexthop, want string }{
		// One socket.
		{"unix:private/dovecot-lmtp", "unix mail.test[private/dovecot-lmtp]"},
		{"unix:/run/lmtp", "unix mail.test[/run/lmtp]"},
		{"unix:a, b:c", "unix mail.test[a, b:c]"},
		{"unix:", "missing socket pathname in server description: unix:"},
		{"UNIX:a", "unknown service: a/tcp"},
		// Hosts and ports.
		{"host", "host|24|24"},
		{"host:", "host|24|24"},
		{"host:25", "host|25|25"},
		{"host:lmtp", "host|lmtp|24"}, // known_tcp_ports before services(5)
		{"host:sieve", "host|sieve|4190"},
		{"host:udponly", "unknown service: udponly/tcp"},
		{"host:LMTP", "unknown service: LMTP/tcp"},
		{"host:zero", "bad network port: 0 for destination: host:zero"},
		{"host:0", "bad network port: 0 for destination: host:0"},
		{"host:65535", "host|65535|65535"},
		{"host:65536", "bad network port: 65536 for destination: host:65536"},
		{"host:99999999999999999999", "bad network port: 99999999999999999999 for destination: host:99999999999999999999"},
		{"host:024", "host|024|24"},
		{"host:24x", "garbage after numerical service in server description: host:24x"},
		{":24", "missing host information in server description: :24"},
		{":", "missing host information in server description: :"},
		{"a:b:24", hostRequired + "a:b:24"},
		{"ho$t", hostRequired + "ho$t"},
		{"host.", hostRequired + "host."},
		{"1234", hostRequired + "1234"},
		{"192.0.2.1", "192.0.2.1|24|24"},
		{"192.0.2.1:25", "192.0.2.1|25|25"},
		{"192.0.2.01", hostRequired + "192.0.2.01"},
		{"192.0.2.256", hostRequired + "192.0.2.256"},
		{"2001:db8::1", hostRequired + "2001:db8::1"}, // the last colon is that of the port
		{"2001:db8::1:25", "2001:db8::1|25|25"},
		// Brackets.
		{"[host]", "[host]|24|24"},
		{"[host]:", "[host]|24|24"},
		{"[host]:25", "[host]|25|25"},
		{"[192.0.2.1]:lmtp", "[192.0.2.1]|lmtp|24"},
		{"[2001:db8::1]", "[2001:db8::1]|24|24"},
		{"[2001:db8::1]:25", "[2001:db8::1]|25|25"},
		{"[IPv6:2001:db8::1]:25", "[2001:db8::1]|25|25"},
		{"[ipv6:192.0.2.1]", "malformed IPv6 address in server description: [ipv6:192.0.2.1]"},
		{"[ipv6:host]", "malformed IPv6 address in server description: [ipv6:host]"},
		{"[fe80::1%eth0]", hostRequired + "[fe80::1%eth0]"},
		{"[host", `missing "]" in server description: [host`},
		{"[host]x", `garbage after "]" in server description: [host]x`},
		{"[]", hostRequired + "[]"},
		{"[]:24", hostRequired + "[]:24"},
		{"[[host]]", `garbage after "]" in server description: [[host]]`},
		// inet: and lists.
		{"inet:host", "host|24|24"},
		{"inet:[::1]:25", "[::1]|25|25"},
		{"inet:inet:host", "host|24|24"},
		{"inet:a:1, b:2\tc:3\r\n,d", "a|1|1 b|2|2 c|3|3 d|24|24"},
		{"inet:a,inet:b:25,inet:[::1]:1", "a|24|24 b|25|25 [::1]|1|1"},
		{"a,inet:25", "a|24|24 inet|25|25"},
		{"a,inet:", "a|24|24 inet|24|24"},
		{"bad:0,good", "bad network port: 0 for destination: bad:0 good|24|24"},
		{"good,unix:x", "good|24|24 unknown service: x/tcp"},
		{"", "empty nexthop hostname"},
		{"inet:", `null destination: "inet:"`},
		{" , ", `null destination: " , "`},
		// Names beyond ASCII.
		{"bücher.test:25", "bücher.test|25|25"},
		{"\xff\xfe", hostRequired + "\xff\xfe"},
		{"ü..test", hostRequired + "ü..test"},
		{strings.Repeat("x", maxDestination+1), "destination too long: " + strings.Repeat("x", 100) + "..."},
	}
	for _, tt := range tests {
		if got := show(p.Parse(tt.nexthop)); got != tt.want {
			t.Errorf("%.80q:\n got %s\nwant %s", tt.nexthop, got, tt.want)
		}
	}
}

func TestParseASCII(t *testing.T) {
	p := Parser{DefaultService: "24", UTF8: true}
	for host, want := range map[string]string{
		"bücher.test": "xn--bcher-kva.test", "BÜCHER.test": "xn--bcher-kva.test",
		"straße.test": "xn--strae-oqa.test", "Plain.test": "Plain.test",
	} {
		n, err := p.Parse(host)
		if err != nil || n.Err() != nil || n.Elements[0].ASCII != want || n.Elements[0].Host != host {
			t.Errorf("%s: %+v, %v", host, n, err)
		}
	}
	p.UTF8 = false
	if n, _ := p.Parse("bücher.test"); n.Err() == nil {
		t.Error("without smtputf8_enable a name beyond ASCII makes sense")
	}
}

func TestDefaultPort(t *testing.T) {
	tests := []struct {
		lmtpTCPPort, services string
		service               string
		port                  uint16
	}{
		{"", "", "24", 24},
		{"", "lmtp 2003/tcp", "24", 2003},
		{"", "lmtp 0/tcp", "24", 24},
		{"24", "lmtp 2003/tcp", "24", 24},
		{"lmtp", "lmtp 2003/tcp", "lmtp", 2003},
		{"2525", "", "2525", 2525},
	}
	for _, tt := range tests {
		p := Parser{DefaultService: tt.lmtpTCPPort, Names: services(t, tt.services)}
		n, err := p.Parse("host")
		if err != nil || n.Err() != nil {
			t.Fatalf("%+v: %v %v", tt, err, n.Err())
		}
		if e := n.Elements[0]; e.Service != tt.service || e.Port != tt.port {
			t.Errorf("%+v: %s %d", tt, e.Service, e.Port)
		}
	}
	if n, _ := (Parser{DefaultService: "nonsense"}).Parse("host"); n.Err() == nil || n.Elements[0].Text != "host" {
		t.Errorf("bad lmtp_tcp_port: %+v", n)
	}
}

func TestDestinationErrors(t *testing.T) {
	_, err := Parser{}.Parse("")
	if err == nil || !strings.HasPrefix(err.Error(), "parse destination: ") {
		t.Errorf("error: %v", err)
	}
	bad := err.(*DestinationError)
	if bad.Diagnosis.Status != "4.3.5" || !strings.Contains(bad.Hint(), "unix:PATH") {
		t.Errorf("%+v %s", bad, bad.Hint())
	}
}

func TestEndpointTexts(t *testing.T) {
	unix := Endpoint{Network: "unix", Host: "mail.test", Path: "private/x"}
	if unix.Relay() != "mail.test[private/x]" || unix.Peer() != unix.Relay() || unix.Address() != "private/x" {
		t.Errorf("%s %s %s", unix.Relay(), unix.Peer(), unix.Address())
	}
	a, _ := dns.ParseAddr("2001:db8::1")
	tcp := Endpoint{Network: "tcp", Host: "h.test", Addr: a, Port: 24}
	if tcp.Relay() != "h.test[2001:db8::1]:24" || tcp.Peer() != "h.test[2001:db8::1]" || tcp.String() != tcp.Relay() {
		t.Errorf("%s %s", tcp.Relay(), tcp.Peer())
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"unix:a", "inet:[ipv6:::1]:24,host:lmtp", "[a]:b", ":", "bücher.test"} {
		f.Add(s, "24", true)
	}
	known := map[string]uint16{"lmtp": 24}
	f.Fuzz(func(t *testing.T, nexthop, port string, utf8 bool) {
		p := Parser{MyHostname: "h", DefaultService: port, KnownPorts: known, UTF8: utf8}
		n, err := p.Parse(nexthop)
		if err != nil {
			return
		}
		if n.IsUnix() != (len(n.Elements) == 0) {
			t.Fatalf("%q: neither socket nor list: %+v", nexthop, n)
		}
		for _, e := range n.Elements {
			if e.Err != nil {
				if e.Err.Diagnosis.Reason == "" || e.Err.Diagnosis.Status != "4.3.5" {
					t.Errorf("%q: %+v", nexthop, e.Err)
				}
				continue
			}
			_, numeric := dns.ParseAddr(e.ASCII)
			if e.Host == "" || e.Service == "" || e.Port == 0 || !numeric && !dns.ValidName(e.ASCII) {
				t.Errorf("%q: %+v", nexthop, e)
			}
		}
	})
}

// TestIDNA2003: enable_idna2003_compatibility maps the sharp s to "ss".
func TestIDNA2003(t *testing.T) {
	for compat, want := range map[bool]string{false: "xn--strae-oqa.example", true: "strasse.example"} {
		p := Parser{UTF8: true, DefaultService: "24", IDNA: address.IDNA{Compat2003: compat}}
		n, err := p.Parse("straße.example")
		if err != nil || len(n.Elements) != 1 || n.Elements[0].Err != nil || n.Elements[0].ASCII != want {
			t.Errorf("%v: %+v, %v", compat, n, err)
		}
	}
}
