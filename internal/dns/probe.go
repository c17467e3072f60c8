package dns

import (
	"context"
	"strings"
	"sync/atomic"
)

// validation is what is known of the name servers' DNSSEC validation.
type validation struct {
	seen   atomic.Bool // some reply was validated
	probed atomic.Bool // the probe was sent, or need not be
}

// probeType is a type that a probe can ask for, by its name.
func probeType(word string) (Type, bool) {
	t, ok := map[string]Type{"a": A, "aaaa": AAAA, "ns": 2, "cname": cname, "soa": 6, "ptr": 12, "mx": 15, "txt": 16,
		"srv": SRV, "ds": 43, "dnskey": 48, "tlsa": TLSA}[strings.ToLower(word)]
	return t, ok
}

// validated notes the reply to a lookup with DNSSEC. After the first that was not
// validated it asks a question whose answer is signed (dnssec_probe), and tells
// the operator if the answer to that is not validated either: with such name
// servers no TLSA record counts.
func (r *Resolver) validated(ctx context.Context, c Config, rep reply, err error) {
	v := r.dnssec
	if err == nil && rep.ad {
		v.seen.Store(true)
	}
	if v.seen.Load() || r.options.Probe == "" || !v.probed.CompareAndSwap(false, true) {
		return
	}
	log, spec := r.options.Log, r.options.Probe
	word, name, _ := strings.Cut(spec, ":")
	t, known := probeType(word)
	if !known || name != "." && !ValidName(strings.TrimSuffix(name, ".")) {
		log.Warningf("malformed dnssec_probe value: %s format is qtype:qname", spec)
		return
	}
	rep, err = r.exchange(ctx, c, question{name: strings.TrimSuffix(name, "."), t: t, edns: c.EDNS0, dnssec: true})
	switch {
	case ctx.Err() != nil:
		v.probed.Store(false) // nothing was learnt
	case err != nil:
		log.Warningf("DNSSEC validation may be unavailable")
		log.Warningf("reason: dnssec_probe '%s' received no response: %v", spec, err)
	case !rep.ad:
		log.Warningf("DNSSEC validation may be unavailable")
		log.Warningf("reason: dnssec_probe '%s' received a response that is not DNSSEC validated", spec)
	default:
		v.seen.Store(true)
	}
}
