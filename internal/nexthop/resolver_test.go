package nexthop

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"postlmtp/internal/dns"
)

// names is the world of the tests: DNS answers by "name TYPE", native ones by
// name. An answer is addresses, SRV records as "priority/weight/port/target",
// or one outcome.
type names struct {
	dns, native map[string]string
	asked       []string
	options     []dns.LookupOptions
}

func (n *names) Lookup(_ context.Context, name string, t dns.Type, o dns.LookupOptions) ([]dns.Record, error) {
	n.asked = append(n.asked, name+" "+t.String())
	n.options = append(n.options, o)
	answer, ok := n.dns[name+" "+t.String()]
	if !ok {
		answer = "not found"
	}
	var records []dns.Record
	for _, f := range strings.Fields(answer) {
		var rr dns.Record
		if a, err := netip.ParseAddr(f); err == nil {
			rr = dns.Record{Name: name, Type: t, Addr: a, Secure: o.DNSSEC}
		} else if parts := strings.Split(f, "/"); len(parts) == 4 {
			rr = dns.Record{Name: name, Type: t, Target: parts[3]}
			fmt.Sscan(strings.Join(parts[:3], " "), &rr.Priority, &rr.Weight, &rr.Port)
		} else if canonical, address, ok := strings.Cut(f, "="); ok {
			rr = dns.Record{Name: canonical, Type: t, Addr: netip.MustParseAddr(address)}
		} else {
			break
		}
		records = append(records, rr)
	}
	if len(records) > 0 {
		return records, nil
	}
	for o := dns.NotFound; o <= dns.Policy; o++ {
		if o.String() == answer {
			return nil, &dns.Error{Outcome: o, Name: name, Type: t, Text: answer + " " + name + " " + t.String(), Err: errors.New("cause")}
		}
	}
	return nil, fmt.Errorf("bad test: %q", answer)
}

func (n *names) LookupTypes(ctx context.Context, name string, types []dns.Type, o dns.LookupOptions) ([]dns.Record, error) {
	var all []dns.Record
	var last error
	for _, t := range types {
		records, err := n.Lookup(ctx, name, t, o)
		all = append(all, records...)
		if err != nil {
			last = err
		}
	}
	if len(all) == 0 {
		return nil, last
	}
	return all, nil
}

func (n *names) Native(_ context.Context, host string, types []dns.Type) ([]netip.Addr, error) {
	n.asked = append(n.asked, "native "+host)
	codes := map[string]dns.GAI{"again": dns.GAIAgain, "": dns.GAINoName, "nodata": dns.GAINoData, "fail": dns.GAIFamily}
	answer := n.native[host]
	if code, ok := codes[answer]; ok {
		return nil, &dns.NativeError{Host: host, Code: code}
	}
	var addrs []netip.Addr
	for _, f := range strings.Fields(answer) {
		addrs = append(addrs, netip.MustParseAddr(f))
	}
	return addrs, nil
}

// lines is a Logger.
type lines []string

func (l *lines) Infof(format string, args ...any) {
	*l = append(*l, "info: "+fmt.Sprintf(format, args...))
}
func (l *lines) Warningf(format string, args ...any) {
	*l = append(*l, "warning: "+fmt.Sprintf(format, args...))
}

func world() *names {
	return &names{
		dns: map[string]string{
			"both A": "192.0.2.1 192.0.2.2", "both AAAA": "2001:db8::1",
			"four A": "192.0.2.4", "six AAAA": "2001:db8::6",
			"alias A":    "real=192.0.2.1",
			"servfail A": "retry", "servfail AAAA": "retry",
			"nodata A": "no data", "nodata AAAA": "no data",
			"refused A": "fail", "refused AAAA": "fail",
			"invalid A": "invalid", "invalid AAAA": "invalid",
			"filtered A": "policy", "filtered AAAA": "policy",
			"_24._tcp.dom SRV":     "20/0/2424/four 10/1/24/six 10/1/25/192.0.2.9",
			"_24._tcp.partly SRV":  "1/0/1/gone 2/0/2/four",
			"_24._tcp.nobody SRV":  "1/0/1/gone 2/0/2/nodata",
			"_24._tcp.shaky SRV":   "1/0/1/servfail 2/0/2/gone",
			"_24._tcp.null SRV":    "null service",
			"_24._tcp.down SRV":    "retry",
			"_24._tcp.broken SRV":  "fail",
			"_24._tcp.invalid SRV": "invalid",
			"_24._tcp.cut SRV":     "policy",
			"down A":               "192.0.2.7", "null A": "192.0.2.7", "gone.srv A": "192.0.2.7", "broken A": "192.0.2.7",
		},
		native: map[string]string{
			"local": "127.0.0.1 ::1", "shaky": "again", "empty": "nodata", "odd": "fail", "both": "192.0.2.99",
			"onlysix": "::1",
		},
	}
}

// resolve returns the endpoints or "class status text".
func resolve(t *testing.T, o Options, host string, softBefore bool) string {
	t.Helper()
	n, err := Parser{DefaultService: "24", UTF8: true}.Parse(host)
	if err != nil {
		t.Fatal(err)
	}
	r := NewResolver(o)
	r.intn = func(int) int { return 0 }
	endpoints, err := r.Resolve(t.Context(), n.Elements[0], softBefore)
	if err != nil {
		var failure *LookupError
		if !errors.As(err, &failure) || failure.Element != n.Elements[0].Text {
			t.Fatalf("%s: %v", host, err)
		}
		return fmt.Sprintf("%v: %s %s", failure.Class, failure.Diagnosis.Status, failure.Diagnosis.Reason)
	}
	var parts []string
	for _, ep := range endpoints {
		if ep.Network != "tcp" || ep.NexthopText != n.Elements[0].Text {
			t.Errorf("%s: endpoint %+v", host, ep)
		}
		parts = append(parts, ep.Relay())
	}
	return strings.Join(parts, " ")
}

func TestResolve(t *testing.T) {
	all := Options{DNS: true, IPv4: true, IPv6: true}
	v4 := Options{DNS: true, IPv4: true}
	native := Options{DNS: true, Native: true, IPv4: true, IPv6: true}
	off := Options{DNS: true, Support: Disabled, IPv4: true, IPv6: true}
	tests := []struct {
		name string
		o    Options
		host string
		want string
	}{
		{"literal", all, "[192.0.2.9]:25", "192.0.2.9[192.0.2.9]:25"},
		{"literal of a disabled family", v4, "[::1]", "not found: 5.4.4 not found ::1 A"},
		{"A then AAAA", all, "both", "both[192.0.2.1]:24 both[192.0.2.2]:24 both[2001:db8::1]:24"},
		{"one family", v4, "both", "both[192.0.2.1]:24 both[192.0.2.2]:24"},
		{"name beyond ASCII", all, "bücher", "not found: 5.4.4 not found xn--bcher-kva AAAA"},
		{"not found", all, "gone", "not found: 5.4.4 not found gone AAAA"},
		{"no data", all, "nodata", "no data: 5.4.4 no data nodata AAAA"},
		{"retry", all, "servfail", "retry: 4.4.3 retry servfail AAAA"},
		{"fail", all, "refused", "fail: 5.4.3 fail refused AAAA"},
		{"invalid", all, "invalid", "invalid: 5.4.4 invalid invalid AAAA"},
		{"policy", all, "filtered", "policy: 4.7.0 policy filtered AAAA"},
		{"no protocols", Options{DNS: true}, "both", "no protocols: 4.4.4 all network protocols are disabled"},
		{"no lookups", Options{IPv4: true}, "both", "fail: 4.3.0 server unavailable or unable to receive mail"},
		{"DNS before native", native, "both", "both[192.0.2.1]:24 both[192.0.2.2]:24 both[2001:db8::1]:24"},
		{"native after not found", native, "local", "local[127.0.0.1]:24 local[::1]:24"},
		{"no native after retry", native, "servfail", "retry: 4.4.3 retry servfail AAAA"},
		{"native: no such name", native, "gone", "not found: 5.4.4 unable to look up host gone: Name or service not known"},
		{"native: again", native, "shaky", "retry: 4.4.4 unable to look up host shaky: Temporary failure in name resolution"},
		{"native: no data", native, "empty", "no data: 5.3.0 unable to look up host empty: No address associated with hostname"},
		{"native: fail", native, "odd", "fail: 5.3.0 unable to look up host odd: Address family for hostname not supported"},
		{"native: other family", Options{Native: true, IPv4: true}, "onlysix", "no data: 5.4.4 onlysix: host not found"},
		{"DNS disabled", off, "both", "both[192.0.2.99]:24"},
		{"bad destination", all, "host:0", "bad destination: 4.3.5 bad network port: 0 for destination: host:0"},
		{"alias", all, "alias", "alias[192.0.2.1]:24"},
		{"alias overrides", Options{DNS: true, IPv4: true, CNAMEOverrides: true}, "alias", "real[192.0.2.1]:24"},
	}
	for _, tt := range tests {
		tt.o.Names = world()
		if got := resolve(t, tt.o, tt.host, false); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
	}
}

// The name that a destination has is not forgotten when another takes its place:
// TLSA records may be there.
func TestAlias(t *testing.T) {
	for _, override := range []bool{false, true} {
		r := NewResolver(Options{Names: world(), DNS: true, IPv4: true, CNAMEOverrides: override})
		endpoints, err := r.Resolve(t.Context(), Element{Text: "alias", Host: "alias", ASCII: "alias", Port: 24}, false)
		if err != nil || len(endpoints) != 1 {
			t.Fatal(endpoints, err)
		}
		ep, host, alias := endpoints[0], "alias", ""
		if override {
			host, alias = "real", "alias"
		}
		if ep.Host != host || ep.Alias != alias || ep.Canonical != "real" {
			t.Errorf("override %t: %+v", override, ep)
		}
	}
}

func TestSoftBefore(t *testing.T) {
	o := Options{DNS: true, Native: true, IPv4: true, IPv6: true}
	for host, want := range map[string]string{
		"gone": "4.4.4", "refused": "4.4.3", "invalid": "4.4.4", "odd": "4.3.0", "servfail": "4.4.3",
	} {
		o.Names = world()
		got := resolve(t, o, host, true)
		if _, rest, _ := strings.Cut(got, ": "); !strings.HasPrefix(rest, want+" ") {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
}

func TestService(t *testing.T) {
	srv := Options{DNS: true, IPv4: true, IPv6: true, UseSRV: func(s string) bool { return s == "24" }}
	allow, ignore := srv, srv
	allow.AllowSRVFallback = true
	ignore.IgnoreSRVError = true
	off := srv
	off.Support = Disabled
	balanced := srv
	balanced.Balance, balanced.AddressLimit = true, 2
	skipping := func(name, why string) string { return "info: skipping SRV lookup for _24._tcp." + name + ": " + why }
	const noHost = "warning: no SRV host for _24._tcp.nobody has a valid address record"
	tests := []struct {
		name, host string
		o          Options
		want       string
		log        []string
	}{
		{"by priority", "dom", srv, "six[2001:db8::6]:24 192.0.2.9[192.0.2.9]:25 four[192.0.2.4]:2424", nil},
		{"balanced", "dom", balanced, "six[2001:db8::6]:24 192.0.2.9[192.0.2.9]:25", nil},
		{"quoted", "[both]", srv, "both[192.0.2.1]:24 both[192.0.2.2]:24 both[2001:db8::1]:24", nil},
		{"other service", "both:25", srv, "both[192.0.2.1]:25 both[192.0.2.2]:25 both[2001:db8::1]:25", nil},
		{"DNS disabled", "both", off, "both[192.0.2.99]:24", nil},
		{"some targets gone", "partly", srv, "four[192.0.2.4]:2", nil},
		{"all targets gone", "nobody", srv, "no data: 5.4.4 no data nodata AAAA", []string{noHost}},
		{"soft dominates", "shaky", srv, "not found: 4.4.4 not found gone AAAA",
			[]string{"warning: no SRV host for _24._tcp.shaky has a valid address record"}},
		{"null", "null", srv, "null service: 5.1.0 null service _24._tcp.null SRV", nil},
		{"retry", "down", srv, "retry: 4.4.3 retry _24._tcp.down SRV", nil},
		{"fail", "broken", srv, "fail: 5.4.3 fail _24._tcp.broken SRV", nil},
		{"invalid", "invalid", srv, "invalid: 5.4.4 invalid _24._tcp.invalid SRV", nil},
		{"policy", "cut", srv, "policy: 4.7.0 policy _24._tcp.cut SRV", nil},
		{"not found", "both", srv, "not found: 5.4.4 not found _24._tcp.both SRV", nil},
		{"fallback after not found", "both", allow, "both[192.0.2.1]:24 both[192.0.2.2]:24 both[2001:db8::1]:24",
			[]string{skipping("both", "not found _24._tcp.both SRV")}},
		{"fallback after null", "null", allow, "null[192.0.2.7]:24", []string{skipping("null", "null service _24._tcp.null SRV")}},
		{"fallback fails too", "nobody", allow, "not found: 5.4.4 not found nobody AAAA",
			[]string{noHost, skipping("nobody", "no data nodata AAAA")}},
		{"errors ignored: retry", "down", ignore, "down[192.0.2.7]:24", []string{skipping("down", "retry _24._tcp.down SRV")}},
		{"errors ignored: fail", "broken", ignore, "broken[192.0.2.7]:24", []string{skipping("broken", "fail _24._tcp.broken SRV")}},
		{"errors ignored: not null", "null", ignore, "null service: 5.1.0 null service _24._tcp.null SRV", nil},
		{"errors ignored: not policy", "cut", ignore, "policy: 4.7.0 policy _24._tcp.cut SRV", nil},
		{"errors ignored: not not found", "both", ignore, "not found: 5.4.4 not found _24._tcp.both SRV", nil},
	}
	for _, tt := range tests {
		var log lines
		tt.o.Names, tt.o.Log = world(), &log
		if got := resolve(t, tt.o, tt.host, false); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
		if !slices.Equal(log, tt.log) {
			t.Errorf("%s: log %q, want %q", tt.name, log, tt.log)
		}
	}
}

func TestResolverOptions(t *testing.T) {
	w := world()
	o := Options{Names: w, DNS: true, IPv4: true, Support: DNSSEC, DefNames: true, Search: true,
		UseSRV: func(string) bool { return true }}
	r := NewResolver(o)
	n, _ := Parser{DefaultService: "24"}.Parse("partly")
	endpoints, err := r.Resolve(t.Context(), n.Elements[0], false)
	if err != nil || len(endpoints) != 1 || !endpoints[0].Secure || endpoints[0].Preference != 2 {
		t.Errorf("%+v, %v", endpoints, err)
	}
	want := []string{"_24._tcp.partly SRV", "gone A", "four A"}
	if !slices.Equal(w.asked, want) {
		t.Errorf("asked %q", w.asked)
	}
	for i, o := range w.options {
		if host := i > 0; o != (dns.LookupOptions{DNSSEC: true, DefNames: host, Search: host}) {
			t.Errorf("lookup %d: %+v", i, o)
		}
	}
}

func TestLookupHints(t *testing.T) {
	hosts, _ := dns.ParseHosts(strings.NewReader("192.0.2.1 dovecot.lan"))
	config, _ := dns.ParseConfig(strings.NewReader("nameserver 192.0.2.53"), "")
	o := Options{DNS: true, IPv4: true, Source: &dns.Snapshot{Hosts: hosts, Config: config}}
	native, assumed := o, o
	native.Native = true
	empty, _ := dns.ParseConfig(strings.NewReader(""), "")
	assumed.Source = &dns.Snapshot{Hosts: hosts, Config: empty}
	for _, tt := range []struct {
		o          Options
		host, want string
	}{
		{o, "dovecot.lan", "/etc/hosts, which is not read"},
		{o, "single", "has no domain"},
		{o, "gone.test", "gone.test is not known to the name servers of /etc/resolv.conf (192.0.2.53)"},
		{native, "gone", "gone is neither in /etc/hosts nor known to the name servers"},
		{assumed, "gone.test", "(127.0.0.1), which is asked because /etc/resolv.conf names none"},
		{o, "servfail", "no answer about servfail from the name servers of /etc/resolv.conf (192.0.2.53): cause"},
		{o, "host:0", "unix:PATH"},
		{Options{}, "gone", ""},
	} {
		tt.o.Names = world()
		n, _ := Parser{DefaultService: "24"}.Parse(tt.host)
		_, err := NewResolver(tt.o).Resolve(t.Context(), n.Elements[0], false)
		var failure *LookupError
		if !errors.As(err, &failure) {
			t.Fatal(err)
		}
		if got := failure.Hint(); !strings.Contains(got, tt.want) || (got == "") != (tt.want == "") {
			t.Errorf("%s: hint %q, want %q", tt.host, got, tt.want)
		}
	}
}
