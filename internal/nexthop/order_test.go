package nexthop

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"postlmtp/internal/dns"
)

// list makes endpoints from "446", in order: digits of a family each.
func list(families string) []Endpoint {
	var endpoints []Endpoint
	for i, f := range families {
		a := netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})
		if f == '6' {
			a = netip.AddrFrom16([16]byte{0x20, 1, 15: byte(i)})
		}
		endpoints = append(endpoints, Endpoint{Network: "tcp", Host: fmt.Sprint(i), Addr: a})
	}
	return endpoints
}

func families(endpoints []Endpoint) string {
	var b strings.Builder
	for _, ep := range endpoints {
		if ep.Addr.Is4() {
			b.WriteByte('4')
		} else {
			b.WriteByte('6')
		}
	}
	return b.String()
}

func TestBalance(t *testing.T) {
	tests := []struct {
		in    string
		limit int
		want  string
	}{
		{"666666", 5, "666666"}, // one family: nothing to balance
		{"466", 5, "466"},
		{"666664", 5, "66664"},
		{"6666644", 5, "66644"},
		{"66666444", 5, "66644"}, // odd one for the family of the first
		{"44466666", 5, "44466"}, //
		{"64646464", 5, "64646"}, //
		{"4444446", 5, "44446"},  //
		{"46464646", 4, "4646"},  //
		{"444666", 1, "4"},       //
		{"666444", 1, "6"},       //
		{"4446", 1, "4"},         // Postfix: the family of the first, as neither fits in half of 1
		{"46", 100, "46"},        //
		{"4646464646", 2, "46"},  //
		{"6666666664", 2, "64"},  //
		{"66666666644444", 3, "664"},
	}
	for _, tt := range tests {
		if got := families(balance(list(tt.in), tt.limit)); got != tt.want {
			t.Errorf("%s within %d: %s, want %s", tt.in, tt.limit, got, tt.want)
		}
	}
}

// Whatever the list: the limit is kept, the order too, and no family is lost
// that has room.
func TestBalanceProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		var b strings.Builder
		for range r.IntN(12) {
			b.WriteByte("46"[r.IntN(2)])
		}
		in, limit := b.String(), 1+r.IntN(12)
		got := balance(list(in), limit)
		both := strings.Contains(in, "4") && strings.Contains(in, "6")
		if want := min(len(in), limit); both && len(got) != want {
			t.Fatalf("%s within %d: %d left", in, limit, len(got))
		}
		if out := families(got); both && limit > 1 && (!strings.Contains(out, "4") || !strings.Contains(out, "6")) {
			t.Fatalf("%s within %d: %s", in, limit, out)
		}
		if !slices.IsSortedFunc(got, func(a, b Endpoint) int {
			return slices.Index(list(in), a) - slices.Index(list(in), b)
		}) {
			t.Fatalf("%s within %d: order changed", in, limit)
		}
	}
}

func TestPreferFamily(t *testing.T) {
	for _, tt := range []struct {
		p    Preference
		want string
	}{{AnyFamily, "46466"}, {PreferIPv4, "44666"}, {PreferIPv6, "66644"}} {
		endpoints := list("46466")
		preferFamily(endpoints, tt.p)
		if got := families(endpoints); got != tt.want {
			t.Errorf("%v: %s", tt.p, got)
		}
		if tt.p == PreferIPv6 && endpoints[0].Host+endpoints[1].Host+endpoints[2].Host != "134" {
			t.Errorf("order within the family changed: %v", endpoints)
		}
	}
}

// The addresses of a host come in random order, sorted by family.
func TestRandomize(t *testing.T) {
	w := &names{dns: map[string]string{"h A": "192.0.2.1 192.0.2.2 192.0.2.3", "h AAAA": "2001:db8::1 2001:db8::2"}}
	r := NewResolver(Options{Names: w, DNS: true, IPv4: true, IPv6: true, Randomize: true,
		Preference: PreferIPv6, Balance: true, AddressLimit: 4})
	r.intn = rand.New(rand.NewPCG(1, 2)).IntN
	seen := make(map[string]bool)
	n, _ := Parser{}.Parse("h")
	for range 200 {
		endpoints, err := r.Resolve(t.Context(), n.Elements[0], false)
		if err != nil || families(endpoints) != "6644" {
			t.Fatalf("%v, %v", endpoints, err)
		}
		seen[fmt.Sprint(endpoints)] = true
	}
	if len(seen) != 2*3*2 { // two of IPv6 in any order, two of three of IPv4 in any order
		t.Errorf("%d orders", len(seen))
	}
}

// Within a priority, weights are chances.
func TestOrderServices(t *testing.T) {
	intn := rand.New(rand.NewPCG(1, 2)).IntN
	first := make(map[string]int)
	for range 4000 {
		records := []dns.Record{
			{Target: "late", Priority: 20, Weight: 100},
			{Target: "heavy", Priority: 10, Weight: 300},
			{Target: "light", Priority: 10, Weight: 100},
			{Target: "none", Priority: 10, Weight: 0},
			{Target: "later", Priority: 20, Weight: 0},
		}
		orderServices(records, intn)
		if records[3].Priority != 20 || records[4].Priority != 20 {
			t.Fatalf("priority does not come first: %v", records)
		}
		first[records[0].Target]++
	}
	if h, l, n := first["heavy"], first["light"], first["none"]; h < 2800 || h > 3200 || l < 800 || l > 1200 || n > 100 {
		t.Errorf("first: %v", first)
	}
}

func TestEndpointLimit(t *testing.T) {
	var many []string
	for i := range 150 {
		many = append(many, fmt.Sprintf("192.0.2.%d", i))
	}
	w := &names{dns: map[string]string{"h A": strings.Join(many, " ")}}
	r := NewResolver(Options{Names: w, DNS: true, IPv4: true})
	n, _ := Parser{}.Parse("h")
	if endpoints, err := r.Resolve(t.Context(), n.Elements[0], false); err != nil || len(endpoints) != maxEndpoints {
		t.Errorf("%d endpoints, %v", len(endpoints), err)
	}
}
