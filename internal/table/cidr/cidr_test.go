package cidr

import (
	"net/netip"
	"testing"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct{ pattern, address, err string }{
		{"10.0.0.0/8", "10.255.255.255", ""},
		{"10.0.0.1", "10.0.0.1", ""},
		{"[10.0.0.0/8]", "10.0.0.1", ""},
		{"[10.0.0.0]/8", "10.0.0.1", ""},
		{"0.0.0.0/0", "1.2.3.4", ""},
		{"::/0", "::ffff:1.2.3.4", ""},
		{"::ffff:0.0.0.0/96", "::ffff:1.2.3.4", ""},
		{"2001:db8::/33", "2001:db8:7fff::1", ""},
		{"10.0.0.1/8", "", `non-null host address bits in "10.0.0.1/8", perhaps you should use "10.0.0.0/8" instead`},
		{"2001:db8::1/32", "", `non-null host address bits in "2001:db8::1/32", perhaps you should use "2001:db8::/32" instead`},
		{"10.0.0.0/33", "", `bad mask length in "10.0.0.0/33"`},
		{"10.0.0.0/99999999999999999999", "", `bad mask length in "10.0.0.0/99999999999999999999"`},
		{"::/129", "", `bad mask length in "::/129"`},
		{"10.0.0.0/", "", `bad mask value in "10.0.0.0/"`},
		{"10.0.0.0/-1", "", `bad mask value in "10.0.0.0/-1"`},
		{"10.0.0/8", "", `bad network value in "10.0.0/8"`},
		{"x", "", `bad address pattern: "x"`},
		{"fe80::1%eth0", "", `bad address pattern: "fe80::1%eth0"`},
		{"[::1", "", `missing ']' character after "[::1"`},
		{"[::1]x", "", `garbage after "[::1]"`},
	} {
		n, err := Parse(tt.pattern)
		if err != nil {
			if err.Error() != tt.err {
				t.Errorf("%s: %v", tt.pattern, err)
			}
			continue
		}
		if tt.err != "" || !n.Contains(netip.MustParseAddr(tt.address)) {
			t.Errorf("%s: does not contain %s", tt.pattern, tt.address)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"10.0.0.0/8", "[::1]/128", "::ffff:1.2.3.4/100", "1.2.3.4", "[", "/"} {
		f.Add(s, "10.1.2.3")
	}
	f.Fuzz(func(t *testing.T, pattern, address string) {
		n, err := Parse(pattern)
		if err != nil {
			return
		}
		if !n.Contains(n.base) {
			t.Errorf("%q does not contain its own base", pattern)
		}
		if a, ok := ParseAddr(address); ok && n.Contains(a) {
			prefix, err := n.base.Prefix(n.bits)
			if err == nil && !a.Is4In6() && !prefix.Contains(a) {
				t.Errorf("%q contains %q", pattern, address)
			}
		}
	})
}
