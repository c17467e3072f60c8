package dns

import (
	"bytes"
	"errors"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

func FuzzResolvConf(f *testing.F) {
	f.Add([]byte("nameserver ::1\nsearch a b\noptions ndots:3 timeout:1 attempts:4 rotate\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, _ := ParseConfig(bytes.NewReader(text), "a.b")
		if n := len(c.Servers); n < 1 || n > maxServers {
			t.Errorf("%d servers", n)
		}
		if c.Timeout <= 0 || c.Timeout > maxTimeout || c.Attempts < 1 || c.Attempts > maxAttempts ||
			c.NDots < 0 || c.NDots > maxNDots || len(c.Search) > maxSearch {
			t.Errorf("out of bounds: %+v", c)
		}
		for _, name := range candidates(c, "x", LookupOptions{DefNames: true, Search: true}) {
			if !ValidName(name) {
				t.Errorf("would ask for %q", name)
			}
		}
	})
}

func FuzzHosts(f *testing.F) {
	f.Add([]byte("127.0.0.1 localhost # x\n::1 localhost\n"), "localhost")
	f.Fuzz(func(t *testing.T, text []byte, name string) {
		h, _ := ParseHosts(bytes.NewReader(text))
		for _, a := range h.Lookup(name) {
			if !a.IsValid() {
				t.Errorf("%q has an invalid address", name)
			}
		}
		s, _ := ParseServices(bytes.NewReader(text))
		s.Port(name, "tcp")
	})
}

func FuzzMessage(f *testing.F) {
	q := question{id: 7, name: "x.test", t: A, edns: true}
	for _, answers := range [][]dnsmessage.Resource{
		nil,
		{a("x.test", 1), aaaa("x.test", 2), a("y.test", 3)},
		{alias("x.test", "y.test"), alias("y.test", "z.test"), a("z.test", 1)},
		{service("x.test", "y.test", 1, 2, 3), raw("x.test", TLSA, 1, 2, 3, 4)},
	} {
		m := dnsmessage.Message{
			Header: dnsmessage.Header{ID: q.id, Response: true},
			Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName("x.test."),
				Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
			Answers: answers,
		}
		packed, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed, uint8(0))
	}
	types := []Type{A, AAAA, SRV, TLSA}
	f.Fuzz(func(t *testing.T, msg []byte, which uint8) {
		q := q
		q.t = types[int(which)%len(types)]
		r, err := parseReply(msg, q)
		if err != nil {
			if !errors.Is(err, errNotOurs) && !errors.Is(err, errReply) {
				t.Errorf("error of no kind: %v", err)
			}
			return
		}
		if len(r.records) > maxRecords {
			t.Errorf("%d records", len(r.records))
		}
		if r.alias != "" && (len(r.records) > 0 || !validTarget(r.alias)) {
			t.Errorf("alias %q beside %d records", r.alias, len(r.records))
		}
		for _, rr := range r.records {
			if rr.Type != q.t || (rr.Type == A || rr.Type == AAAA) && !rr.Addr.IsValid() {
				t.Errorf("record %+v for type %v", rr, q.t)
			}
			_ = rr.String()
		}
	})
}
