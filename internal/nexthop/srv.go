package nexthop

import (
	"context"
	"slices"

	"postlmtp/internal/dns"
)

// service resolves the element by its SRV record (RFC 2782), or, where the
// settings allow it, as a host after all.
func (s *search) service(ctx context.Context) ([]Endpoint, error) {
	o := s.r.o
	name := "_" + s.element.Service + "._tcp." + s.element.ASCII
	softBefore := s.soft
	records, err := o.Names.Lookup(ctx, name, dns.SRV, dns.LookupOptions{DNSSEC: o.Support == DNSSEC})
	fallback := o.AllowSRVFallback
	if err == nil {
		if s.targets(ctx, name, records); len(s.endpoints) > 0 {
			return s.balanced(), nil
		}
	} else {
		class, status, text := explain(err)
		s.failed(class, status, text, err).hint = func() string {
			return lookupHint(name, class, false, o.Source.Current(), err)
		}
		if class == Retry || class == Invalid || class == Fail {
			fallback = fallback || o.IgnoreSRVError
		}
	}
	if !fallback {
		return nil, s.reason()
	}
	o.Log.Infof("skipping SRV lookup for %s: %s", name, s.reason().Diagnosis.Reason)
	s.soft, s.failure = softBefore, nil
	return s.host(ctx)
}

// targets adds the addresses of the hosts that SRV records name. Hosts
// without an address do not matter as long as there is one with.
func (s *search) targets(ctx context.Context, name string, records []dns.Record) {
	orderServices(records, s.r.intn)
	for _, rr := range records {
		if s.full() || ctx.Err() != nil && s.failure != nil {
			break
		}
		first := len(s.endpoints)
		s.one(ctx, rr.Target, rr.Port, rr.Priority)
		for i := first; i < len(s.endpoints); i++ {
			s.endpoints[i].InsecureService = !rr.Secure
		}
	}
	if len(s.endpoints) > 0 {
		return
	}
	s.r.o.Log.Warningf("no SRV host for %s has a valid address record", name)
}

// orderServices sorts records by priority, and those of equal priority at
// random by their weight.
func orderServices(records []dns.Record, intn func(int) int) {
	shuffle(records, intn)
	slices.SortStableFunc(records, func(a, b dns.Record) int { return int(a.Priority) - int(b.Priority) })
	for len(records) > 0 {
		n := 1
		for n < len(records) && records[n].Priority == records[0].Priority {
			n++
		}
		orderWeights(records[:n], intn)
		records = records[n:]
	}
}

// orderWeights puts one record after another in front, each with a chance in
// proportion to its weight. A weight of zero is a small weight like any other;
// RFC 2782 has a rule of its own for it.
func orderWeights(records []dns.Record, intn func(int) int) {
	total := 0
	for _, rr := range records {
		total += int(rr.Weight)
	}
	if total == 0 {
		return
	}
	for ; len(records) > 1; records = records[1:] {
		threshold, sum := intn(total+1), 0
		for k := range records {
			if sum += int(records[k].Weight); sum >= threshold {
				total -= int(records[k].Weight)
				records[0], records[k] = records[k], records[0]
				break
			}
		}
	}
}
