package dns

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

func TestSearch(t *testing.T) {
	s := startServer(t, func(name string, typ Type, network string) response {
		switch name {
		case "short.b.test", "two.part.b.test":
			return response{answers: []dnsmessage.Resource{a(name, 1)}}
		case "weak.a.test":
			return response{rcode: dnsmessage.RCodeServerFailure}
		case "empty.a.test":
			return response{}
		}
		return response{rcode: dnsmessage.RCodeNameError}
	})
	const conf = "search a.test b.test\noptions attempts:1"
	def, search := LookupOptions{DefNames: true}, LookupOptions{Search: true}
	all := LookupOptions{DefNames: true, Search: true}
	tests := []struct {
		conf, name string
		o          LookupOptions
		asked      string
		result     string
	}{
		{conf, "short", LookupOptions{}, "short", "not found"},
		{conf, "short", def, "short.a.test short", "not found"},
		{conf, "short", search, "short", "not found"},
		{conf, "short", all, "short.a.test short.b.test", "ok"},
		{conf, "two.part", def, "two.part", "not found"},
		{conf, "two.part", search, "two.part two.part.a.test two.part.b.test", "ok"},
		{conf + " ndots:2", "two.part", all, "two.part.a.test two.part.b.test", "ok"},
		{conf, "weak", all, "weak.a.test weak.b.test weak", "retry"},
		{conf, "empty", all, "empty.a.test empty.b.test empty", "no data"},
		{"search .", "none", all, "none", "not found"},
	}
	for _, tt := range tests {
		before := len(s.asked())
		_, err := s.resolver(t, tt.conf, Options{}).Lookup(t.Context(), tt.name, A, tt.o)
		result := "ok"
		if failure, ok := err.(*Error); ok {
			result = failure.Outcome.String()
			if failure.Name != tt.name || !strings.Contains(failure.Text, "name="+tt.name+" ") {
				t.Errorf("%s: the error names %s: %s", tt.name, failure.Name, failure.Text)
			}
		}
		var asked []string
		for _, q := range s.asked()[before:] {
			asked = append(asked, fold(q.Questions[0].Name.String()))
		}
		if got := strings.Join(asked, " "); got != tt.asked || result != tt.result {
			t.Errorf("%s %+v: asked %q, %s, want %q, %s", tt.name, tt.o, got, result, tt.asked, tt.result)
		}
	}
}

func TestSecure(t *testing.T) {
	s := startServer(t, func(name string, typ Type, network string) response {
		switch name {
		case "signed.test":
			return response{ad: true, answers: []dnsmessage.Resource{a(name, 1)}}
		case "mixed.test":
			return response{answers: []dnsmessage.Resource{alias(name, "signed.test")}}
		}
		return response{ad: true, answers: []dnsmessage.Resource{alias(name, "signed.test")}}
	})
	for _, tt := range []struct {
		name   string
		dnssec bool
		want   bool
	}{
		{"signed.test", true, true},
		{"signed.test", false, false},
		{"alias.test", true, true},
		{"mixed.test", true, false},
	} {
		got, err := s.resolver(t, "", Options{}).Lookup(t.Context(), tt.name, A, LookupOptions{DNSSEC: tt.dnssec})
		if err != nil || got[0].Secure != tt.want {
			t.Errorf("%s dnssec=%v: %+v, %v", tt.name, tt.dnssec, got, err)
		}
	}
	do := 0
	for _, q := range s.asked() {
		if len(q.Additionals) > 0 && q.Additionals[0].Header.DNSSECAllowed() {
			do++
			if !q.AuthenticData || !q.RecursionDesired {
				t.Errorf("query has no AD or RD bit: %v", q.GoString())
			}
		}
	}
	if do != 4 { // signed, alias and its target, mixed; not the target of mixed
		t.Errorf("%d queries with the DO bit", do)
	}
}

// A server that does not know EDNS0 is asked again without.
func TestEDNSRefused(t *testing.T) {
	var queries atomic.Int32
	s := startServer(t, func(name string, typ Type, network string) response {
		if queries.Add(1) == 1 {
			return response{rcode: dnsmessage.RCodeFormatError}
		}
		return response{answers: []dnsmessage.Resource{a(name, 1)}}
	})
	_, err := s.resolver(t, "options edns0", Options{}).Lookup(t.Context(), "x.test", A, LookupOptions{})
	asked := s.asked()
	if err != nil || len(asked) != 2 || len(asked[0].Additionals) != 1 || len(asked[1].Additionals) != 0 {
		t.Errorf("%v after %v", err, asked)
	}
}

// A server that is down is passed over; one that never answers costs the
// timeout, in every round.
func TestServersInTurn(t *testing.T) {
	s := startServer(t, world)
	var dialed []string
	r := s.resolver(t, "nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver fe80::1%lo", Options{})
	r.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		dialed = append(dialed, network+" "+address)
		if len(dialed) < 5 {
			return nil, errors.New("no way")
		}
		return s.dial(ctx, network, address)
	}
	if _, err := r.Lookup(t.Context(), "four.test", A, LookupOptions{}); err != nil {
		t.Error(err)
	}
	want := []string{"udp 192.0.2.1:53", "udp 192.0.2.2:53", "udp [fe80::1%lo]:53", "udp 192.0.2.1:53", "udp 192.0.2.2:53"}
	if !slices.Equal(dialed, want) {
		t.Errorf("dialed %q", dialed)
	}
}

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := ParseConfig(strings.NewReader("nameserver 192.0.2.1\nnameserver 192.0.2.2\noptions timeout:3 attempts:2"), "")
		r := New(&Snapshot{Config: c}, Options{Dial: func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() { // takes the query and says nothing
				buf := make([]byte, 512)
				for {
					if _, err := theirs.Read(buf); err != nil {
						return
					}
				}
			}()
			return ours, nil
		}})
		start := time.Now()
		_, err := r.Lookup(t.Context(), "x.test", A, LookupOptions{})
		if took := time.Since(start); took != 12*time.Second {
			t.Errorf("gave up after %v", took)
		}
		check(t, nil, err, "", Retry, notFoundLead+"x.test type=A: Host not found, try again")
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("cause: %v", err)
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		_, err = r.Lookup(ctx, "x.test", A, LookupOptions{})
		if took := time.Since(start); took != time.Second || err == nil {
			t.Errorf("with a context of 1 s: %v after %v", err, took)
		}
	})
}
