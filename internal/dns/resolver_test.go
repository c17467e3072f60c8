package dns

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// a log collects lines.
type log struct {
	mu    sync.Mutex
	lines []string
}

func (l *log) add(level, format string, args []any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, level+": "+fmt.Sprintf(format, args...))
}
func (l *log) Infof(format string, args ...any)    { l.add("info", format, args) }
func (l *log) Warningf(format string, args ...any) { l.add("warning", format, args) }

// world is the zone of the tests.
func world(name string, typ Type, network string) response {
	ok := func(answers ...dnsmessage.Resource) response { return response{answers: answers} }
	switch label, _, _ := strings.Cut(name, "."); {
	case label == "nx":
		return response{rcode: dnsmessage.RCodeNameError}
	case label == "servfail":
		return response{rcode: dnsmessage.RCodeServerFailure}
	case label == "refused":
		return response{rcode: dnsmessage.RCodeRefused}
	case label == "notimp":
		return response{rcode: dnsmessage.RCodeNotImplemented}
	case label == "formerr":
		return response{rcode: dnsmessage.RCodeFormatError}
	case label == "formerr-bare": // without a question section
		return response{raw: func(q []byte) [][]byte {
			return [][]byte{{q[0], q[1], 0x80, 0x81, 11: 0}}
		}}
	case label == "nodata":
		return ok()
	case label == "lame": // neither recursive nor authoritative
		return response{raw: func(q []byte) [][]byte {
			return [][]byte{append([]byte{q[0], q[1], 0x81, 0x00}, q[4:]...)}
		}}
	case label == "referral": // likewise, but with a record that nobody asked for
		return response{raw: func(q []byte) [][]byte {
			opt := []byte{0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0}
			head := []byte{q[0], q[1], 0x81, 0x00, 0, 1, 0, 0, 0, 0, 0, 1}
			return [][]byte{slices.Concat(head, q[12:], opt)}
		}}
	case label == "own": // authoritative only
		return response{raw: func(q []byte) [][]byte {
			return [][]byte{append([]byte{q[0], q[1], 0x85, 0x00}, q[4:]...)}
		}}
	case label == "both" && typ == A, label == "four" && typ == A:
		return ok(a(name, 1), a(name, 2))
	case label == "both" && typ == AAAA, label == "six" && typ == AAAA:
		return ok(aaaa(name, 1))
	case label == "half" && typ == A:
		return response{rcode: dnsmessage.RCodeServerFailure}
	case label == "alias":
		return ok(alias(name, "both.test"), a("both.test", 1))
	case label == "unordered":
		return ok(a("Both.Test", 1), alias("middle.test", "both.test"), alias(name, "middle.test"))
	case label == "far":
		return ok(alias(name, "four.test"))
	case label == "aliasnx":
		return ok(alias(name, "nx.test"))
	case label == "aliasbad":
		return ok(alias(name, "-bad-.test"), a("-bad-.test", 1))
	case label == "loop":
		return ok(alias(name, "loop2.test"))
	case label == "loop2":
		return ok(alias(name, "loop.test"))
	case label == "loopinside", label == "loopinside2":
		return ok(alias("loopinside.test", "loopinside2.test"), alias("loopinside2.test", "loopinside.test"))
	case label == "stranger":
		return ok(a("other.test", 1))
	case label == "short":
		return ok(raw(name, A, 192, 0, 2))
	case label == "shortandgood":
		return ok(raw(name, A, 192, 0, 2), a(name, 1))
	case label == "garbage":
		return response{raw: func(q []byte) [][]byte {
			return [][]byte{append([]byte{q[0], q[1], 0x81, 0x80, 0, 1, 0, 9, 0, 0, 0, 0}, q[12:]...)}
		}}
	case label == "strays":
		return response{raw: func(q []byte) [][]byte {
			wrongID := append([]byte{q[0] ^ 1, q[1], 0x81, 0x83}, q[4:]...)
			isQuery := append([]byte{q[0], q[1], 0x01, 0x03}, q[4:]...)
			otherName := append([]byte{q[0], q[1], 0x81, 0x83}, q[4:]...)
			otherName[13]++
			right := append([]byte{q[0], q[1], 0x81, 0x80}, q[4:]...)
			return [][]byte{wrongID, isQuery, otherName, {1}, right}
		}}
	case label == "many":
		var all []dnsmessage.Resource
		for i := range 120 {
			all = append(all, a(name, byte(i)))
		}
		return ok(all...)
	case label == "big" && network == "udp":
		return response{tc: true}
	case label == "big":
		return ok(a(name, 9))
	case label == "unasked" && network == "udp": // more than anybody asked for
		var all []dnsmessage.Resource
		for i := range 400 {
			all = append(all, a(name, byte(i)))
		}
		return ok(all...)
	case label == "unasked":
		return ok(a(name, 8))
	case label == "bigger":
		return response{tc: true}
	case name == "_lmtp._tcp.srv.test":
		return ok(service(name, "both.test", 10, 5, 24), service(name, "-bad.test", 1, 1, 1))
	case name == "_lmtp._tcp.none.test":
		return ok(service(name, ".", 0, 0, 0))
	case name == "_lmtp._tcp.bad.test":
		return ok(service(name, "a b.test", 1, 1, 1))
	case name == "_24._tcp.tlsa.test":
		return ok(raw(name, TLSA, 3, 1, 1, 0xab, 0xcd))
	}
	return response{rcode: dnsmessage.RCodeNameError}
}

const notFoundLead = "Host or domain name not found. Name service error for name="

func TestLookup(t *testing.T) {
	s := startServer(t, world)
	const conf = "options attempts:2\n"
	malformed := func(name string, typ Type) string {
		return fmt.Sprintf("Name service error for name=%s type=%v: Malformed or unexpected name server reply", name, typ)
	}
	tests := []struct {
		name    string
		typ     Type
		want    string // the records, or
		outcome Outcome
		text    string
	}{
		{"nx.test", A, "", NotFound, notFoundLead + "nx.test type=A: Host not found"},
		{"nodata.test", AAAA, "", NoData, notFoundLead + "nodata.test type=AAAA: Host found but no data record of requested type"},
		{"lame.test", A, "", Retry, notFoundLead + "lame.test type=A: Host not found, try again"},
		{"referral.test", A, "", NoData, notFoundLead + "referral.test type=A: Host found but no data record of requested type"},
		{"own.test", A, "", NoData, notFoundLead + "own.test type=A: Host found but no data record of requested type"},
		{"servfail.test", A, "", Retry, notFoundLead + "servfail.test type=A: Host not found, try again"},
		{"refused.test", A, "", Retry, notFoundLead + "refused.test type=A: Host not found, try again"},
		{"notimp.test", A, "", Retry, notFoundLead + "notimp.test type=A: Host not found, try again"},
		{"formerr.test", A, "", Fail, notFoundLead + "formerr.test type=A: Non-recoverable error"},
		{"formerr-bare.test", A, "", Fail, notFoundLead + "formerr-bare.test type=A: Non-recoverable error"},
		{"four.test", A, "four.test. 300 IN A 192.0.2.1|four.test. 300 IN A 192.0.2.2", 0, ""},
		{"FOUR.test", A, "four.test. 300 IN A 192.0.2.1|four.test. 300 IN A 192.0.2.2", 0, ""},
		{"six.test", AAAA, "six.test. 300 IN AAAA 2001:db8::1", 0, ""},
		{"alias.test", A, "both.test. 300 IN A 192.0.2.1", 0, ""},
		{"unordered.test", A, "Both.Test. 300 IN A 192.0.2.1", 0, ""},
		{"far.test", A, "four.test. 300 IN A 192.0.2.1|four.test. 300 IN A 192.0.2.2", 0, ""},
		{"aliasnx.test", A, "", NotFound, notFoundLead + "nx.test type=A: Host not found"},
		{"aliasbad.test", A, "", Invalid, malformed("aliasbad.test", A)},
		{"loop.test", A, "", NotFound, "Name server loop for loop.test"},
		{"loopinside.test", A, "", NotFound, "Name server loop for loop"},
		{"stranger.test", A, "", Retry, malformed("stranger.test", A)},
		{"short.test", A, "", Retry, malformed("short.test", A)},
		{"shortandgood.test", A, "shortandgood.test. 300 IN A 192.0.2.1", 0, ""},
		{"garbage.test", A, "", Retry, malformed("garbage.test", A)},
		{"strays.test", A, "", NoData, notFoundLead + "strays.test type=A: Host found but no data record of requested type"},
		{"big.test", A, "big.test. 300 IN A 192.0.2.9", 0, ""},
		{"unasked.test", A, "unasked.test. 300 IN A 192.0.2.8", 0, ""},
		{"bigger.test", A, "", Retry, malformed("bigger.test", A)},
		{"_lmtp._tcp.srv.test", SRV, "_lmtp._tcp.srv.test. 300 IN SRV 10 5 24 both.test.", 0, ""},
		{"_lmtp._tcp.none.test", SRV, "", Null, "Domain _lmtp._tcp.none.test does not support SRV requests"},
		{"_lmtp._tcp.bad.test", SRV, "", Invalid, malformed("_lmtp._tcp.bad.test", SRV)},
		{"_24._tcp.tlsa.test", TLSA, "_24._tcp.tlsa.test. 300 IN TLSA 3 1 1 abcd", 0, ""},
		{"192.0.2.1", A, "", NotFound, "Name service error for 192.0.2.1: invalid host or domain name"},
		{"a..b", A, "", NotFound, "Name service error for a..b: invalid host or domain name"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := s.resolver(t, conf, Options{}).Lookup(t.Context(), tt.name, tt.typ, LookupOptions{})
			check(t, got, err, tt.want, tt.outcome, tt.text)
		})
	}
}

func check(t *testing.T, got []Record, err error, want string, outcome Outcome, text string) {
	t.Helper()
	if want != "" {
		var texts []string
		for _, r := range got {
			texts = append(texts, r.String())
		}
		if s := strings.Join(texts, "|"); err != nil || s != want {
			t.Errorf("got %q, %v, want %q", s, err, want)
		}
		return
	}
	var failure *Error
	if !errors.As(err, &failure) {
		t.Fatalf("got %v, %v, want an *Error", got, err)
	}
	if failure.Outcome != outcome || !strings.HasPrefix(failure.Text, text) {
		t.Errorf("got %v %q, want %v %q", failure.Outcome, failure.Text, outcome, text)
	}
}

func TestLookupTypes(t *testing.T) {
	s := startServer(t, world)
	both := []Type{A, AAAA}
	tests := []struct {
		name    string
		types   []Type
		want    string
		outcome Outcome
		text    string
	}{
		{"both.test", both, "both.test. 300 IN A 192.0.2.1|both.test. 300 IN A 192.0.2.2|both.test. 300 IN AAAA 2001:db8::1", 0, ""},
		{"four.test", both, "four.test. 300 IN A 192.0.2.1|four.test. 300 IN A 192.0.2.2", 0, ""},
		{"six.test", both, "six.test. 300 IN AAAA 2001:db8::1", 0, ""},
		{"nx.test", both, "", NotFound, notFoundLead + "nx.test type=AAAA: Host not found"},
		{"nodata.test", both, "", NoData, notFoundLead + "nodata.test type=AAAA: Host found"},
		{"half.test", both, "", Retry, notFoundLead + "half.test type=A: Host not found, try again"},
		{"four.test", []Type{AAAA}, "", NotFound, notFoundLead + "four.test type=AAAA: Host not found"},
	}
	for _, tt := range tests {
		got, err := s.resolver(t, "", Options{}).LookupTypes(t.Context(), tt.name, tt.types, LookupOptions{})
		check(t, got, err, tt.want, tt.outcome, tt.text)
	}
}

func TestRecordLimit(t *testing.T) {
	s := startServer(t, world)
	var l log
	got, err := s.resolver(t, "options use-vc", Options{Log: &l}).Lookup(t.Context(), "many.test", A, LookupOptions{})
	if err != nil || len(got) != maxRecords {
		t.Errorf("got %d records, %v", len(got), err)
	}
	want := "warning: DNS record count limit (100) exceeded -- dropping excess record(s) after qname=many.test qtype=A"
	if !slices.Equal(l.lines, []string{want}) {
		t.Errorf("log: %q", l.lines)
	}
}

func TestFilter(t *testing.T) {
	s := startServer(t, world)
	filter := func(action string) Filter {
		return func(rr string) (string, bool, error) {
			if action == "error" {
				return "", false, errors.New("table is down")
			}
			return action, action != "" && strings.Contains(rr, " A 192.0.2.1"), nil
		}
	}
	tests := []struct {
		name, action string
		want         string
		outcome      Outcome
		text, logged string
	}{
		{"four.test", "ignore", "four.test. 300 IN A 192.0.2.2", 0, "", "info: ignoring DNS RR: four.test. 300 IN A 192.0.2.1"},
		{"alias.test", "IGNORE\tlegacy", "", Policy, "Error looking up name=alias.test type=A: DNS reply filter drops all results",
			"info: ignoring DNS RR: both.test. 300 IN A 192.0.2.1"},
		{"four.test", "drop it", "", Retry, "Error looking up name=four.test type=A: Invalid DNS reply filter syntax",
			`warning: lmtp_dns_reply_filter: unknown DNS filter action: "drop it"`},
		{"four.test", "error", "", Retry, "Error looking up name=four.test type=A: Invalid DNS reply filter syntax", ""},
	}
	for _, tt := range tests {
		var l log
		r := s.resolver(t, "", Options{Filter: filter(tt.action), FilterName: "lmtp_dns_reply_filter", Log: &l})
		got, err := r.Lookup(t.Context(), tt.name, A, LookupOptions{})
		check(t, got, err, tt.want, tt.outcome, tt.text)
		if logged := strings.Join(l.lines, "\n"); logged != tt.logged {
			t.Errorf("log %q, want %q", logged, tt.logged)
		}
	}
}

func TestNative(t *testing.T) {
	s := startServer(t, func(name string, typ Type, network string) response {
		if name == "short.lan.test" && typ == A {
			return response{answers: []dnsmessage.Resource{a(name, 7)}}
		}
		return world(name, typ, network)
	})
	hosts, _ := ParseHosts(strings.NewReader("127.0.0.1 localhost\n::1 localhost ip6-localhost\n192.0.2.9 Files.test f\n"))
	c, _ := ParseConfig(strings.NewReader("search lan.test\noptions attempts:1"), "")
	filter := func(string) (string, bool, error) { return "IGNORE", true, nil }
	r := New(&Snapshot{Config: c, Hosts: hosts}, Options{Dial: s.dial, Filter: filter})
	both, six := []Type{A, AAAA}, []Type{AAAA}
	tests := []struct {
		host  string
		types []Type
		want  string
	}{
		{"localhost", both, "[127.0.0.1 ::1]"},
		{"localhost", six, "[::1]"},
		{"FILES.test", both, "[192.0.2.9]"},
		{"files.test", six, "unable to look up host files.test: Name or service not known"},
		{"short", both, "[192.0.2.7]"},
		{"both.test", both, "[192.0.2.1 192.0.2.2 2001:db8::1]"},
		{"servfail.test", both, "unable to look up host servfail.test: Temporary failure in name resolution"},
		{"nodata.test", both, "unable to look up host nodata.test: No address associated with hostname"},
		{"formerr.test", both, "unable to look up host formerr.test: Name or service not known"},
		{"192.0.2.1", six, "unable to look up host 192.0.2.1: Address family for hostname not supported"},
	}
	for _, tt := range tests {
		addrs, err := r.Native(t.Context(), tt.host, tt.types)
		got := fmt.Sprint(addrs)
		var failure *NativeError
		if errors.As(err, &failure) {
			got = failure.Text()
		}
		if got != tt.want {
			t.Errorf("%s %v: got %s, want %s", tt.host, tt.types, got, tt.want)
		}
	}
}
