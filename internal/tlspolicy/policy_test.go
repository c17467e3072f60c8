package tlspolicy

import (
	"context"
	"errors"
	"strings"
	"testing"

	"postlmtp/internal/table"
)

func TestGlobalLevel(t *testing.T) {
	for _, tc := range []struct {
		o    Options
		want Level
	}{
		{Options{}, None},
		{Options{UseTLS: true}, May},
		{Options{EnforceTLS: true}, Encrypt},
		{Options{EnforceTLS: true, UseTLS: true, EnforcePeername: true}, Verify},
		{Options{SecurityLevel: "none", EnforceTLS: true}, None},
		{Options{SecurityLevel: "Dane-Only"}, DANEOnly},
	} {
		if got, err := globalLevel(&tc.o); got != tc.want || err != nil {
			t.Errorf("%+v: %v, %v", tc.o, got, err)
		}
	}
	if _, err := New(Options{SecurityLevel: "halfdane"}); err == nil || err.Error() != `Invalid TLS level "halfdane"` {
		t.Errorf("%v", err)
	}
}

const whereWarned = `warning: lmtp_tls_policy_maps, next-hop destination "mx.example.com": `

// TestPolicyText has every mistake that a policy can have, with Postfix's words.
func TestPolicyText(t *testing.T) {
	for _, tc := range []struct {
		text  string
		level Level
		warn  string // behind the place; an error unless it begins with "ignoring"
	}{
		{"none", None, ""},
		{"MAY", May, ""},
		{"encrypt", Encrypt, ""},
		{"none ciphers=high", None, `ignoring attribute "ciphers=high" with TLS disabled`},
		{",", unset, "invalid empty policy"},
		{"most", unset, `invalid security level "most"`},
		{"halfdane", unset, `invalid security level "halfdane"`},
		{"encrypt ciphers", unset, `malformed attribute/value pair "ciphers": missing '=' after attribute name`},
		{"encrypt =high", unset, `malformed attribute/value pair "=high": missing attribute name`},
		{"encrypt {ciphers high}", unset, `malformed attribute/value pair "ciphers high": missing '=' after attribute name`},
		{"encrypt {ciphers = high}", Encrypt, ""},
		{"encrypt {ciphers = high", unset, `malformed attribute/value pair "ciphers = high": missing '}' in "{ciphers = high"`},
		{"encrypt ciphers=", unset, `attribute "ciphers" has empty value`},
		{"encrypt Ciphers=high ciphers=low", unset, `attribute "ciphers" is specified multiple times`},
		{"encrypt protocols=TLSv1.2 protocols=TLSv1.3", unset, `attribute "protocols" is specified multiple times`},
		{"encrypt servername=a.example servername=b.example", unset, `attribute "servername" is specified multiple times`},
		{"encrypt servername=-a", unset, `"servername=-a" specifies an invalid hostname`},
		{"encrypt exclude=RC4 exclude=MD5", unset, `attribute "exclude" is specified multiple times`},
		{"encrypt match=nexthop", unset, `attribute "match" invalid at security level "encrypt"`},
		{"secure match=", unset, `attribute "match" has empty value`},
		{"secure match=a.example:b.example match=c.example", Secure, ""},
		{"fingerprint match=00:11|22:33", Fingerprint, ""},
		{"encrypt tafile=/x", unset, `attribute "tafile" invalid at security level "encrypt"`},
		{"verify tafile=", unset, `attribute "tafile" has empty value`},
		{"may connection_reuse=no connection_reuse=yes", May, ""},
		{"may connection_reuse=1", unset, `attribute "connection_reuse" has bad value: "1"`},
		{"may enable_rpk=perhaps", unset, `attribute "enable_rpk" has bad value: "perhaps"`},
		{"may fast=yes", unset, `invalid attribute name: "fast"`},
		{"secure policy_type=sts policy_ttl=60 policy_domain=example.com policy_string=version:STSv1 mx_host_pattern=*.example.com", Secure, ""},
		{"secure policy_type=dane", unset, `attribute "policy_type" has an unexpected value: "dane"`},
		{"secure policy_type=sts policy_type=sts", unset, `attribute "policy_type" is specified multiple times`},
		{"secure policy_type=sts policy_ttl=6x", unset, `attribute "policy_ttl" has a malformed value: "6x"`},
		{"secure policy_type=sts policy_domain=-x", unset, `attribute "policy_domain" has a malformed value: "-x"`},
		{"secure policy_type=sts policy_failure=rain", unset, `attribute "policy_failure" has an unexpected value: "rain"`},
		{"secure policy_ttl=60", unset, "built-in policy has unexpected attribute policy_ttl, policy_domain, policy_string, mx_host_pattern or policy_failure"},
	} {
		e, log := newEngine(t, nil)
		p := &Policy{}
		level, err := e.parse(p, tc.text, &where{log: log, key: "mx.example.com"})
		want := ""
		if tc.warn != "" {
			want = whereWarned + tc.warn
		}
		if got := log.take(); got != want {
			t.Errorf("%q: logged\n%s\nwant\n%s", tc.text, got, want)
		}
		if level != tc.level || (err != nil) != (tc.level == unset) {
			t.Errorf("%q: %v, %v", tc.text, level, err)
		}
		var failure *Error
		if err != nil && (!errors.As(err, &failure) || failure.Diagnosis.Status != "4.7.5") {
			t.Errorf("%q: %v", tc.text, err)
		}
	}
}

func TestPolicyKeys(t *testing.T) {
	log := new(notes)
	m := maps(t, log, "inline:{ example.com=encrypt, .example.com=verify, {[mx.example.org]:24 = secure}, .org=may, /run/sock=fingerprint }")
	e, _ := newEngine(t, func(o *Options) { o.PolicyMaps, o.FingerprintMatch = m, strings.Repeat("00", 32) })
	for key, want := range map[string]Level{
		"example.com": Encrypt, "EXAMPLE.com": Encrypt, "a.example.com": Verify, "a.b.example.com": Verify,
		"[mx.example.org]:24": Secure, "[mx.example.org]": None, "mx.example.org": May, "mx.example.org:24": None,
		"example.net": None, "/run/sock": Fingerprint,
	} {
		tg := target()
		tg.Nexthop = key
		p, err := e.Policy(t.Context(), tg)
		if err != nil || p.Level != want {
			t.Errorf("%s: %v, %v", key, p, err)
		}
	}
}

func TestPerSite(t *testing.T) {
	for _, tc := range []struct {
		global, next, host string
		want               Level
		err                string
	}{
		{"", "NONE", "", None, ""},
		{"secure", "may", "", Secure, ""},
		{"", "MAY", "", May, ""},
		{"", "MAY", "NONE", None, ""},
		{"may", "MUST_NOPEERMATCH", "", Encrypt, ""},
		{"may", "MUST_NOPEERMATCH", "MUST", Verify, ""},
		{"may", "MUST", "NONE", Verify, ""},
		{"may", "PERHAPS", "", unset, "4.7.5"},
	} {
		log := new(notes)
		list := "inline:{ {[mx.example.com]:2424 = " + tc.next + "}"
		if tc.host != "" {
			list += ", mx.example.com=" + tc.host
		}
		m := maps(t, log, list+" }")
		e, elog := newEngine(t, func(o *Options) { o.PerSite, o.SecurityLevel = m, tc.global })
		p, err := e.Policy(t.Context(), target())
		var failure *Error
		switch {
		case tc.err == "" && (err != nil || p.Level != tc.want):
			t.Errorf("%+v: %v, %v", tc, p, err)
		case tc.err != "" && (!errors.As(err, &failure) || failure.Diagnosis.Status != tc.err):
			t.Errorf("%+v: %v", tc, err)
		case tc.err != "" && !strings.Contains(elog.take(), "lmtp_tls_per_site: unknown TLS policy 'PERHAPS' for next-hop destination [mx.example.com]:2424"):
			t.Errorf("%+v: no warning", tc)
		}
	}
}

func TestLookupErrors(t *testing.T) {
	log := new(notes)
	fails := maps(t, log, "fail:test")
	e, elog := newEngine(t, func(o *Options) { o.PolicyMaps = fails })
	_, err := e.Policy(t.Context(), target())
	var failure *Error
	if !errors.As(err, &failure) || failure.Diagnosis.Reason != "client TLS configuration problem" {
		t.Errorf("%v", err)
	}
	if !strings.Contains(elog.take(), `"[mx.example.com]:2424": policy table lookup error`) {
		t.Error("no warning")
	}
	e, _ = newEngine(t, func(o *Options) { o.PerSite = fails })
	if _, err = e.Policy(t.Context(), target()); !errors.As(err, &failure) || failure.Diagnosis.Status != "4.3.0" {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Policy(ctx, target()); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// "TLS-Required: no": no tables, and no demands.
func TestNotRequired(t *testing.T) {
	log := new(notes)
	m := maps(t, log, "fail:test")
	for _, tc := range []struct {
		level   string
		wrapper bool
		want    Level
	}{{"secure", false, May}, {"none", false, None}, {"dane", true, Encrypt}, {"may", true, May}} {
		e, _ := newEngine(t, func(o *Options) { o.SecurityLevel, o.WrapperMode, o.PolicyMaps = tc.level, tc.wrapper, m })
		tg := target()
		tg.NotRequired = true
		if p, err := e.Policy(t.Context(), tg); err != nil || p.Level != tc.want {
			t.Errorf("%+v: %v, %v", tc, p, err)
		}
	}
}

func TestIdentity(t *testing.T) {
	base := func(o *Options) { o.SecurityLevel = "secure" }
	of := func(change func(*Options), tg Target) string {
		e, _ := newEngine(t, func(o *Options) { base(o); change(o) })
		p, err := e.Policy(t.Context(), tg)
		if err != nil {
			t.Fatal(err)
		}
		return p.Identity()
	}
	same := func(*Options) {}
	seen := map[string]string{of(same, target()): "base"}
	if again := of(same, target()); again != of(same, target()) {
		t.Error("an identity is not stable")
	}
	other := target()
	other.Host = "mx2.example.com"
	nexthop := target()
	nexthop.Nexthop, nexthop.Domain = "example.org", "example.org"
	ca := certify(t, nil, authority("CA"))
	log := new(notes)
	for name, id := range map[string]string{
		"host":        of(same, other),
		"nexthop":     of(same, nexthop),
		"level":       of(func(o *Options) { o.SecurityLevel = "verify" }, target()),
		"none":        of(func(o *Options) { o.SecurityLevel = "none" }, target()),
		"proto":       of(func(o *Options) { o.MandatoryProtocols = "TLSv1.3" }, target()),
		"ciphers":     of(func(o *Options) { o.MandatoryCiphers = "high" }, target()),
		"exclude":     of(func(o *Options) { o.ExcludeCiphers = "RC4" }, target()),
		"sni":         of(func(o *Options) { o.ServerName = "hostname" }, target()),
		"match":       of(func(o *Options) { o.SecureCertMatch = "hostname" }, target()),
		"print":       of(func(o *Options) { o.SecurityLevel, o.FingerprintMatch = "fingerprint", "00:11" }, target()),
		"other print": of(func(o *Options) { o.SecurityLevel, o.FingerprintMatch = "fingerprint", "00:12" }, target()),
		"two prints":  of(func(o *Options) { o.SecurityLevel, o.FingerprintMatch = "fingerprint", "00:11 00:12" }, target()),
		"tafile": of(func(o *Options) {
			o.PolicyMaps = maps(t, log, "static:{secure tafile="+writePEM(t, "tb.pem", certBlock(certify(t, nil, authority("Other"))))+"}")
		}, target()),
		"encrypt": of(func(o *Options) { o.SecurityLevel = "encrypt" }, target()),
		"may":     of(func(o *Options) { o.SecurityLevel = "may" }, target()),
		"reuse":   of(func(o *Options) { o.ConnectionReuse = true }, target()),
		"anchor":  of(func(o *Options) { o.TrustAnchorFile = writePEM(t, "ta.pem", certBlock(ca)) }, target()),
		"sts": of(func(o *Options) {
			o.PolicyMaps = maps(t, log, "static:{secure match=hostname policy_type=sts mx_host_pattern=mx.example.com}")
		}, target()),
		"other sts": of(func(o *Options) {
			o.PolicyMaps = maps(t, log, "static:{secure match=hostname policy_type=sts mx_host_pattern=mx.example.org}")
		}, target()),
		"failure": of(func(o *Options) {
			o.PolicyMaps = maps(t, log, "static:{secure policy_type=sts policy_failure=sts-policy-invalid}")
		}, target()),
	} {
		if was, ok := seen[id]; ok {
			t.Errorf("%s has the identity of %s", name, was)
		}
		seen[id] = name
	}
}

func TestSTSPatterns(t *testing.T) {
	log := new(notes)
	m := maps(t, log, "static:{secure match=nexthop policy_type=sts policy_domain=example.com mx_host_pattern=*.example.com mx_host_pattern=mx.example.org}")
	e, elog := newEngine(t, func(o *Options) { o.PolicyMaps = m })
	for host, want := range map[string]bool{
		"a.example.com": true, "a.b.example.com": false, "example.com": false, "MX.example.org": true, "mx.example.net": false,
	} {
		tg := target()
		tg.Host = host
		p, err := e.Policy(t.Context(), tg)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.Authorized(p); got != want {
			t.Errorf("%s: %v", host, got)
		}
		if strings.Join(p.match, ":") != "hostname" {
			t.Errorf("match %v", p.match)
		}
		if warned := strings.Contains(elog.take(), "MX name '"+host+"' does not match STS MX pattern for 'example.com'"); warned == want {
			t.Errorf("%s: warned %v", host, warned)
		}
	}
}

func TestRequireTLS(t *testing.T) {
	set := table.NewSet(table.Options{})
	for _, tc := range []struct {
		policy, domain string
		want           Requirement
		warn           string
	}{
		{"", "example.com", RequireEnforce, ""},
		{"opportunistic", "example.com", RequireOpportunistic, ""},
		{"Opportunistic+STARTTLS", "example.com", RequireOpportunisticTLS, ""},
		{"inline:{example.com=disable} enforce", "example.com", RequireDisabled, ""},
		{"inline:{.example.com=opportunistic} enforce", "a.b.example.com", RequireOpportunistic, ""},
		{"inline:{.example.com=opportunistic} error", "example.org", RequireError, ""},
		{"inline:{example.com=maybe}", "example.com", RequireError, "unknown policy action: 'maybe'"},
		{"inline:{ {example.com = enforce disable} }", "example.com", RequireError, "composite lookup result"},
		{"inline:{ {example.com = static:enforce} }", "example.com", RequireError, "nested lookup result"},
		{"fail:x disable", "example.com", RequireError, "table lookup error"},
		{"sometimes", "example.com", RequireError, "unknown policy action: 'sometimes'"},
	} {
		e, log := newEngine(t, func(o *Options) { o.RequireTLSPolicy, o.Tables = tc.policy, set })
		if got := e.RequireTLS(t.Context(), tc.domain); got != tc.want {
			t.Errorf("%q %s: %v", tc.policy, tc.domain, got)
		}
		if got := log.take(); !strings.Contains(got, tc.warn) || tc.warn == "" && got != "" {
			t.Errorf("%q %s: logged %q", tc.policy, tc.domain, got)
		}
	}
}

func TestStatus(t *testing.T) {
	for _, tc := range []struct {
		do   func(*Status)
		want string
	}{
		{func(*Status) {}, ""},
		{func(s *Status) { s.Begin(false); s.Aim(None) }, "none?"},
		{func(s *Status) { s.Begin(false); s.Aim(None); s.Reach(None, true) }, "none"},
		{func(s *Status) { s.Begin(false); s.Aim(May); s.Reach(None, true) }, "may:none"},
		{func(s *Status) { s.Begin(false); s.Aim(Verify); s.Reach(Verify, false) }, "!verify"},
		{func(s *Status) { s.Begin(false); s.Unknown() }, "unknown?"},
		{func(s *Status) { s.Begin(true); s.Unknown() }, "unknown?/requiretls?"},
		{func(s *Status) { s.Begin(true); s.Aim(May); s.Reach(May, true); s.Require(NoMatch, true) }, "may/requiretls:nocertmatch"},
		{func(s *Status) { s.Begin(true); s.Aim(May); s.Require(NoMatch, false) }, "may?/!requiretls:nocertmatch"},
		{func(s *Status) { s.Begin(false); s.Require(NoMatch, false); s.Aim(DANE); s.Reach(Encrypt, true) }, "dane:encrypt"},
	} {
		var s Status
		tc.do(&s)
		if got := s.String(); got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
}

func TestLogLevel(t *testing.T) {
	log := new(notes)
	m := maps(t, log, "inline:{ .example.com=2, 192.0.2=summary, {192.0.2.9 = DUNNO} }")
	e, elog := newEngine(t, func(o *Options) { o.LogLevelMaps, o.LogLevel = m, "none" })
	of := func(host, address string, l Level) logMask {
		tg := target()
		tg.Host, tg.Address = host, address
		return e.logFor(t.Context(), &Policy{Level: l, target: tg})
	}
	for _, tc := range []struct {
		host, address string
		level         Level
		want          logMask
	}{
		{"a.b.example.com", "198.51.100.1", May, logLevel2},
		{"mx.example.org", "192.0.2.1", May, logSummary},
		{"mx.example.org", "192.0.2.9", May, 0},
		{"mx.example.org", "192.0.2.9", Verify, logUntrusted},
		{"mx.example.org", "2001:db8::1", May, 0},
	} {
		if got := of(tc.host, tc.address, tc.level); got != tc.want {
			t.Errorf("%+v: %d", tc, got)
		}
	}
	if parseLogLevel(elog, "lmtp_tls_loglevel", "1, loud") != 0 || elog.take() != `warning: unknown lmtp_tls_loglevel value "loud" in "1, loud"` {
		t.Error("a bad level")
	}
}
