package tlspolicy

import (
	"context"
	"fmt"
	"strings"

	"postlmtp/internal/address"
	"postlmtp/internal/dns"
	"postlmtp/internal/table"
)

// Policy returns the policy for a server. An error is an *[Error] or that of
// ctx.
func (e *Engine) Policy(ctx context.Context, t Target) (*Policy, error) {
	p := &Policy{target: t, idna: e.opt.IDNA, Level: e.level, Reuse: e.opt.ConnectionReuse}
	site, err := e.siteLevel(ctx, p)
	if err != nil {
		return nil, err
	}
	if site != unset {
		p.Level = site
	}
	if p.Level == DANE || p.Level == DANEOnly {
		if err := e.findTLSA(ctx, p); err != nil {
			return nil, err
		}
	}
	if p.Level == None {
		return p, nil
	}
	if err := e.complete(p); err != nil {
		return nil, err
	}
	return p, nil
}

// siteLevel is the level of the tables, unset if they have none.
func (e *Engine) siteLevel(ctx context.Context, p *Policy) (Level, error) {
	o := &e.opt
	switch {
	case p.target.NotRequired:
		// No tables: what they promise to the destination's owner, the
		// sender does not want (RFC 8689 section 5).
		limit := May
		if o.WrapperMode {
			limit = Encrypt
		}
		p.Level = min(p.Level, limit)
		return unset, nil
	case !o.PolicyMaps.Empty():
		return e.tableLevel(ctx, p)
	case !o.PerSite.Empty():
		return e.perSite(ctx, p)
	}
	return unset, nil
}

// tableLevel looks into lmtp_tls_policy_maps: for the element as written, and
// for the parent domains of one that is a plain name.
func (e *Engine) tableLevel(ctx context.Context, p *Policy) (Level, error) {
	key := p.target.Nexthop
	parents := validHostname(key, e.opt.UTF8, e.opt.IDNA)
	for {
		value, found, err := e.opt.PolicyMaps.Find(ctx, key)
		w := &where{log: e.opt.Log, key: key}
		switch {
		case err != nil:
			if ctx.Err() != nil {
				return unset, ctx.Err()
			}
			w.warn(": policy table lookup error")
			return unset, misconfigured()
		case found:
			return e.parse(p, value, w)
		}
		dot := -1
		if parents && len(key) > 1 {
			dot = strings.IndexByte(key[1:], '.')
		}
		if dot < 0 {
			return unset, nil
		}
		key = key[1+dot:]
	}
}

// where is the place that warnings about a policy name.
type where struct {
	log Logger
	key string
}

func (w *where) warn(format string, args ...any) {
	w.log.Warningf("lmtp_tls_policy_maps, next-hop destination \"%s\"%s", w.key, fmt.Sprintf(format, args...))
}

// perSite looks into lmtp_tls_per_site: for the element, and for the server's
// name. NONE is stronger than MAY, because it is the more specific of the two.
func (e *Engine) perSite(ctx context.Context, p *Policy) (Level, error) {
	t := &p.target
	level := unset
	keys := []struct{ name, class string }{{t.Nexthop, "next-hop destination"}, {t.Host, "server hostname"}}
	if strings.EqualFold(t.Nexthop, t.Host) {
		keys = keys[:1]
	}
	for _, k := range keys {
		value, found, err := e.opt.PerSite.Find(ctx, k.name)
		if err != nil {
			if ctx.Err() != nil {
				return unset, ctx.Err()
			}
			e.opt.Log.Warningf("lmtp_tls_per_site: %s \"%s\": per-site table lookup error", k.class, k.name)
			return unset, problem("4.3.0", "Temporary lookup error")
		}
		if !found {
			continue
		}
		switch strings.ToUpper(value) {
		case "NONE":
			if level <= May {
				level = None
			}
		case "MAY":
			if level < None {
				level = May
			}
		case "MUST_NOPEERMATCH":
			level = max(level, Encrypt)
		case "MUST":
			level = max(level, Verify)
		default:
			e.opt.Log.Warningf("lmtp_tls_per_site: unknown TLS policy '%s' for %s %s", value, k.class, k.name)
			return unset, misconfigured()
		}
	}
	if level == May && p.Level > May {
		level = p.Level // a wild card does not lower what is set for all
	}
	return level, nil
}

// complete adds what main.cf has for the level.
func (e *Engine) complete(p *Policy) error {
	o, a := &e.opt, &p.attr
	opportunistic := p.Level == May
	p.protocols = o.MandatoryProtocols
	p.grade = o.MandatoryCiphers
	if opportunistic {
		p.protocols, p.grade = o.Protocols, o.Ciphers
	}
	if a.has("protocols") {
		p.protocols = a.protocols
	}
	if a.has("ciphers") {
		p.grade = a.grade
	}
	p.sni = a.sni
	if p.sni == "" && o.ServerName != "" {
		if !dns.ValidName(o.ServerName) {
			o.Log.Warningf("\"lmtp_tls_servername = %s\" specifies an invalid hostname", o.ServerName)
			return misconfigured()
		}
		p.sni = o.ServerName
	}
	p.exclude = e.exclusions(p)
	switch p.Level {
	case Fingerprint:
		return e.completeFingerprint(p)
	case Verify, Secure:
		return e.completeMatch(p)
	}
	return nil
}

// exclusions are the ciphers not to offer.
func (e *Engine) exclusions(p *Policy) string {
	words := []string{p.attr.exclude}
	if !p.attr.has("exclude") {
		words = []string{e.opt.ExcludeCiphers}
		if p.Level != May {
			words = append(words, e.opt.MandatoryExcludeCiphers)
		}
	}
	switch {
	case p.Level == Encrypt:
		words = append(words, "eNULL")
	case p.Level.Matches():
		words = append(words, "aNULL")
	}
	return strings.Join(words, " ")
}

func (e *Engine) completeFingerprint(p *Policy) error {
	values := p.attr.match
	if values == nil {
		values = splitWords(e.opt.FingerprintMatch, ", \t\r\n")
	}
	if e.opt.DefaultDigest {
		e.opt.Log.Infof("using backwards-compatible default setting " +
			"lmtp_tls_fingerprint_digest=md5 to compute certificate fingerprints")
	}
	for _, v := range values {
		if d, ok := parseFingerprint(v, e.opt.Log); ok {
			p.digests = append(p.digests, d)
		}
	}
	if len(p.digests) == 0 {
		e.opt.Log.Warningf("nexthop domain %s: configured at fingerprint security level, "+
			"but with no fingerprints to match.", p.target.Nexthop)
		return misconfigured()
	}
	return nil
}

func (e *Engine) completeMatch(p *Policy) error {
	p.match = p.attr.match
	if p.match == nil {
		list := e.opt.SecureCertMatch
		if p.Level == Verify {
			list = e.opt.VerifyCertMatch
		}
		p.match = splitWords(list, ", \t\r\n:")
	}
	switch {
	case p.attr.anchors != nil:
		p.anchors = p.attr.anchors
	case e.anchored != nil:
		e.opt.Log.Warningf("%v", e.anchored)
		return misconfigured()
	default:
		p.anchors = e.anchors
	}
	return nil
}

// splitWords takes a list apart; empty words do not count. The result is not
// nil.
func splitWords(s, separators string) []string {
	words := strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(separators, r) })
	return append([]string{}, words...)
}

// validHostname tells a plain name from an element with brackets or a port,
// and from a path.
func validHostname(s string, utf8 bool, names address.IDNA) bool {
	if utf8 {
		s = toASCII(s, names)
	}
	return dns.ValidName(s)
}

// requireRules are lmtp_requiretls_policy, see requiretls.go.
type requireRules struct {
	items []requireItem
}

type requireItem struct {
	word  string
	table table.Table // nil for a word
}
