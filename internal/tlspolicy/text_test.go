package tlspolicy

import (
	"crypto/tls"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"postlmtp/internal/address"
	"postlmtp/internal/lab/lacking"
)

func TestMatchName(t *testing.T) {
	for _, tc := range []struct {
		name, reference string
		single, multi   bool
	}{
		{"mx.example.com", "MX.example.com", true, true},
		{"mx.example.com", "mx.example.org", false, false},
		{"mx.example.com", ".example.com", true, true},
		{"a.b.example.com", ".example.com", true, true},
		{"example.com", ".example.com", false, false},
		{"badexample.com", ".example.com", false, false},
		{"*.example.com", "mx.example.com", true, true},
		{"*.example.com", "a.b.example.com", false, true},
		{"*.example.com", "example.com", false, false},
		{"*.example.com", ".example.com", true, true},
		{"*.com", "example.com", false, false},
		{"*", "com", false, false},
		{"m*.example.com", "mx.example.com", false, false},
		{"a.*.example.com", "a.b.example.com", false, false},
		{"*.*.example.com", "a.b.example.com", false, false},
		{"*.example.com", "mx.example.com.", false, false},
		{"mx.example.com\x00.evil", "mx.example.com", false, false},
		{"", "mx.example.com", false, false},
		{"xn--bcher-kva.example", "xn--bcher-kva.example", true, true},
		{"\u017fmtp.example.com", "smtp.example.com", false, false}, // Unicode folds these into s and k
		{"smtp.bac\u212aup.example", "smtp.backup.example", false, false},
		{"*.bac\u212aup.example", "smtp.backup.example", false, false},
		{"smtp.bac\u212aup.example", ".backup.example", false, false},
	} {
		if got := matchName(tc.name, tc.reference, false); got != tc.single {
			t.Errorf("%q for %q: %v", tc.name, tc.reference, got)
		}
		if got := matchName(tc.name, tc.reference, true); got != tc.multi {
			t.Errorf("%q for %q, several labels: %v", tc.name, tc.reference, got)
		}
	}
}

func TestReferenceNames(t *testing.T) {
	log := new(notes)
	tg := target()
	tg.Domain, tg.Host = "bücher.example", "mx.example.org"
	p := &Policy{Level: Secure, target: tg, match: []string{"nexthop", "Dot-Nexthop", "hostname", ".example.net", "grün.example"}}
	want := "xn--bcher-kva.example .xn--bcher-kva.example mx.example.org .example.net xn--grn-ioa.example"
	if got := strings.Join(p.referenceNames(log), " "); got != want || log.take() != "" {
		t.Errorf("%s", got)
	}
	// The names are those that the destination is looked up by.
	tg.Domain = "straße.example"
	for compat, want := range map[bool]string{false: "xn--strae-oqa.example", true: "strasse.example"} {
		names := address.IDNA{Compat2003: compat}
		q := &Policy{Level: Secure, target: tg, idna: names, match: []string{"nexthop"}, sni: "nexthop"}
		if got := strings.Join(q.referenceNames(log), " "); got != want || q.serverName() != want {
			t.Errorf("compatible with IDNA 2003 %t: %s, SNI %s", compat, got, q.serverName())
		}
	}
	p.match = []string{"."}
	if p.referenceNames(log) != nil || log.take() != "warning: mx.example.com[192.0.2.1]:2424: ignoring invalid match name: \".\"\n"+
		"warning: mx.example.com[192.0.2.1]:2424: could not configure peer name checks" {
		t.Error("a list without a name")
	}
}

func TestProtocols(t *testing.T) {
	const bad = 1
	for _, tc := range []struct {
		list      string
		low, high uint16
		note      bool
	}{
		{"", tls.VersionTLS10, tls.VersionTLS13, false},
		{"!SSLv2, !SSLv3", tls.VersionTLS10, tls.VersionTLS13, false},
		{">=TLSv1", tls.VersionTLS10, tls.VersionTLS13, false},
		{">=TLSv1.2", tls.VersionTLS12, tls.VersionTLS13, false},
		{">=tlsv1.1:<=TLSv1.2", tls.VersionTLS11, tls.VersionTLS12, false},
		{">=0303", tls.VersionTLS12, tls.VersionTLS13, false},
		{"<=None >=None", tls.VersionTLS10, tls.VersionTLS13, false},
		{"TLSv1.2", tls.VersionTLS12, tls.VersionTLS12, false},
		{"TLSv1, TLSv1.3", tls.VersionTLS13, tls.VersionTLS13, true},
		{"!TLSv1.2", tls.VersionTLS13, tls.VersionTLS13, true},
		{"SSLv3", bad, 0, false},
		{">=TLSv1.4", bad, 0, false},
		{"TLSv9", bad, 0, false},
		{"!", bad, 0, false},
		{">=SSLv2", bad, 0, false},
		{">=TLSv1.3 <=TLSv1.2", bad, 0, false},
	} {
		r, err := parseProtocols(tc.list)
		if tc.low == bad {
			if err == nil {
				t.Errorf("%q: %+v", tc.list, r)
			}
			continue
		}
		if err != nil || r.low != tc.low || r.high != tc.high || (r.note != "") != tc.note {
			t.Errorf("%q: %+v, %v", tc.list, r, err)
		}
	}
}

// The suites that OpenSSL 3.0 has for these lists, of those that crypto/tls has.
func TestCipherLists(t *testing.T) {
	const (
		gcm  = "ECDHE-ECDSA-AES256-GCM-SHA384 ECDHE-RSA-AES256-GCM-SHA384 "
		ecc  = "ECDHE-ECDSA-CHACHA20-POLY1305 ECDHE-RSA-CHACHA20-POLY1305 "
		gcm1 = "ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-RSA-AES128-GCM-SHA256 "
		cbc2 = "ECDHE-ECDSA-AES128-SHA256 ECDHE-RSA-AES128-SHA256 "
		cbc  = "ECDHE-ECDSA-AES256-SHA ECDHE-RSA-AES256-SHA ECDHE-ECDSA-AES128-SHA ECDHE-RSA-AES128-SHA "
		rsa  = "AES256-GCM-SHA384 AES128-GCM-SHA256 AES128-SHA256 AES256-SHA AES128-SHA "
	)
	for list, want := range map[string]string{
		defaults(nil).HighCipherList:   gcm + ecc + gcm1 + cbc2 + cbc + rsa,
		defaults(nil).MediumCipherList: gcm + ecc + gcm1 + cbc2 + cbc + rsa,
		"HIGH:!kRSA:!SHA1:!SHA256":     gcm + ecc + gcm1,
		"ECDHE+AESGCM":                 gcm + gcm1,
		"ECDHE-RSA-AES128-SHA:AES128-SHA:!ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES128-SHA": "AES128-SHA ",
		"ALL:-ALL:RC4-SHA": "RC4-SHA ",
		"eNULL:!aNULL":     "",
		"GOST:SEED:foo":    "",
		"DEFAULT:!AES":     ecc,
		"3DES:@STRENGTH":   "ECDHE-RSA-DES-CBC3-SHA DES-CBC3-SHA ",
	} {
		got := ""
		for _, s := range evaluate(list) {
			got += s.name + " "
		}
		if got != want {
			t.Errorf("%q:\n%s\nwant\n%s", list, got, want)
		}
	}
}

// Where there is OpenSSL, it is asked.
func TestCipherListsAsOpenSSL(t *testing.T) {
	known := func(list string) (string, bool) {
		out, err := exec.Command("openssl", "ciphers", list+":@SECLEVEL=0").Output()
		return strings.TrimSpace(string(out)), err == nil
	}
	all, ok := known("ALL")
	if !ok {
		lacking.Stop(t, "openssl(1)")
	}
	there := strings.Split(all, ":")
	for _, list := range []string{
		defaults(nil).HighCipherList, defaults(nil).MediumCipherList, "ALL", "DEFAULT", "HIGH:!aNULL", "MEDIUM", "kRSA", "RSA", "aRSA",
		"kECDHE", "kEECDH", "ECDHE", "EECDH", "ECDH:-kECDHE:AES128-SHA", "aECDSA", "ECDSA", "AES", "AES128", "AES256", "AESGCM", "CHACHA20",
		"SHA1", "SHA", "SHA256", "SHA384", "TLSv1.2", "TLSv1", "TLSv1.0", "SSLv3", "ECDHE+AES:!SHA1", "HIGH:-AES256:AES256-SHA", "ALL:!ECDHE:!kECDH",
		"ECDHE-RSA-AES128-GCM-SHA256", "FIPS", "ALL:!AES128+SHA1",
	} {
		text, _ := known(list)
		want := strings.Split(text, ":")
		for _, s := range suites() {
			got := slices.ContainsFunc(evaluate(list), func(o suite) bool { return o.name == s.name })
			if slices.Contains(there, s.name) && got != slices.Contains(want, s.name) {
				t.Errorf("%q: %s is in: %v", list, s.name, got)
			}
		}
	}
}

func TestCipherGrades(t *testing.T) {
	e, _ := newEngine(t, nil)
	if _, _, err := e.ciphers("best", ""); err == nil || err.Error() != `invalid cipher grade: "best"` {
		t.Error(err)
	}
	if _, _, err := e.ciphers("null", ""); err == nil || err.Error() != `error setting cipher grade: "null"` {
		t.Error(err)
	}
	if _, _, err := e.ciphers("high", "RC4 !MD5"); err == nil || err.Error() != "invalid unary '!+-@' in cipher exclusion: !MD5" {
		t.Error(err)
	}
	for _, grade := range []string{"HIGH", "medium", "low", "export"} {
		ids, _, err := e.ciphers(grade, "kRSA, SHA1")
		if err != nil || slices.Contains(ids, tls.TLS_RSA_WITH_AES_128_GCM_SHA256) || !slices.Contains(ids, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256) {
			t.Errorf("%s: %v, %v", grade, ids, err)
		}
	}
}

// Every suite of crypto/tls is in the table.
func TestAllSuites(t *testing.T) {
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		name, use, alg := cipherName(s.ID)
		if use == 0 || alg == 0 || name == "" {
			t.Errorf("%s has no name", s.Name)
		}
	}
}

func TestFingerprint(t *testing.T) {
	log := new(notes)
	for text, want := range map[string]string{
		"00:11:aB": "\x00\x11\xab", "0011ab": "\x00\x11\xab", "00:11ab": "\x00\x11\xab",
		"": "", "0": "", "00:": "", ":00": "", "00::11": "", "0g": "", "00 11": "",
		strings.Repeat("00:", 65): "",
	} {
		got, ok := parseFingerprint(text, log)
		if string(got) != want && ok || ok != (want != "") {
			t.Errorf("%q: %q, %v", text, got, ok)
		}
		if warned := strings.Contains(log.take(), "malformed fingerprint value: "); warned == ok {
			t.Errorf("%q: warned %v", text, warned)
		}
	}
	for name, size := range map[string]int{"md5": 16, "SHA1": 20, "sha256": 32, "SHA2-256": 32, "sha384": 48, "sha512": 64} {
		if d, ok := newDigest(name); !ok || len(d(nil)) != size {
			t.Errorf("%s", name)
		}
	}
	if _, ok := newDigest("crc32"); ok {
		t.Error("crc32")
	}
	if formatFingerprint([]byte{0, 0xab}) != "00:AB" {
		t.Error("format")
	}
}

func FuzzPolicy(f *testing.F) {
	for _, s := range []string{"secure match=a:b", "encrypt {ciphers = high}", "may {", "none x", "verify policy_type=sts policy_ttl=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, log := newEngine(t, nil)
		p := &Policy{target: target()}
		level, err := e.parse(p, text, &where{log: log, key: "k"})
		if (err == nil) != (level != unset) || err != nil && log.take() == "" {
			t.Errorf("%v, %v", level, err)
		}
	})
}

func FuzzLists(f *testing.F) {
	f.Add("!SSLv2 >=TLSv1", "HIGH:!aNULL", "00:11")
	f.Fuzz(func(t *testing.T, protocols, ciphers, print string) {
		if r, err := parseProtocols(protocols); err == nil && (r.low < tls.VersionTLS10 || r.high > tls.VersionTLS13 || r.low > r.high) {
			t.Errorf("%q: %+v", protocols, r)
		}
		evaluate(ciphers)
		parseFingerprint(print, silent{})
		parseGroups(ciphers)
		oneLine([]byte(ciphers))
	})
}
