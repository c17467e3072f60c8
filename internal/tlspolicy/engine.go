package tlspolicy

import (
	"context"
	"crypto/tls"
	"sync"
	"time"

	"postlmtp/internal/address"
	"postlmtp/internal/dns"
	"postlmtp/internal/table"
)

// Names looks up TLSA records; *[dns.Resolver] does.
type Names interface {
	Lookup(ctx context.Context, name string, t dns.Type, o dns.LookupOptions) ([]dns.Record, error)
}

// Options are the settings of an Engine, named after their parameters without
// lmtp_tls_ in front.
type Options struct {
	SecurityLevel                       string
	UseTLS, EnforceTLS                  bool // lmtp_use_tls, lmtp_enforce_tls
	EnforcePeername                     bool
	PolicyMaps, PerSite                 *table.Maps // opened with PolicyFlags
	WrapperMode                         bool
	ConnectionReuse, EnforceSTSPatterns bool
	ForceInsecureHostTLSALookup         bool

	ChainFiles         string
	CertFile, KeyFile  string
	DCertFile          string
	ECCertFile         string
	ECKeyFile          string
	CAFile, CAPath     string
	AppendDefaultCA    bool // tls_append_default_CA
	TrustAnchorFile    string
	VerifyDepth        int // scert_verifydepth
	VerifyCertMatch    string
	SecureCertMatch    string
	FingerprintMatch   string
	FingerprintDigest  string
	MultiLabelWildcard bool // tls_wildcard_matches_multiple_labels
	OldPeerLine        bool // lmtp_tls_loglevel = 2 says "issuer_CN=" of the peer (Postfix before 3.9)
	TrustMismatched    bool // a certificate with a wrong name is logged as trusted (Postfix 3.11)

	Protocols, MandatoryProtocols                    string
	Ciphers, MandatoryCiphers                        string
	ExcludeCiphers, MandatoryExcludeCiphers          string
	HighCipherList, MediumCipherList, NullCipherList string // tls_high_cipherlist …
	LowCipherList, ExportCipherList                  string // before Postfix 3.8
	Curves                                           string // tls_eecdh_auto_curves
	DANEDigests                                      string // tls_dane_digests
	ServerName                                       string
	LogLevel                                         string
	LogLevelMaps                                     *table.Maps
	LogLevelParents                                  bool   // parent_domain_matches_subdomains has the parameter
	RequireTLSPolicy                                 string // lmtp_requiretls_policy
	Tables                                           *table.Set
	Names                                            Names
	DNSSEC                                           bool         // lmtp_dns_support_level = dnssec, and DNS is in lmtp_host_lookup
	DNSSearch                                        bool         // lmtp_dns_resolver_options completes names
	UTF8                                             bool         // smtputf8_enable
	IDNA                                             address.IDNA // enable_idna2003_compatibility
	DefaultDigest                                    bool         // the digest is md5 because of a low compatibility_level
	Log                                              Logger
	Now                                              func() time.Time // nil: time.Now
}

// PolicyFlags are the flags that policy tables are to be opened with.
const PolicyFlags = table.Lock | table.FoldFixed | table.UTF8

// An Engine gives policies. It may be used by many goroutines.
type Engine struct {
	opt      Options
	level    Level // without a table
	active   bool  // TLS may be wanted
	ready    bool  // the files that TLS needs were read
	trust    trust
	certs    []*tls.Certificate
	digest   digest
	log      logMask
	anchors  *anchors // lmtp_tls_trust_anchor_file
	anchored error
	require  *requireRules

	mu       sync.Mutex
	sessions map[string]tls.ClientSessionCache // by Policy.Identity
}

// New reads the files that the settings name. It has to be called before the
// jail. A file that cannot be read is a warning, and TLS is then unavailable;
// the error is for settings that make no sense at all, and for tables.
func New(o Options) (*Engine, error) {
	if o.Log == nil {
		o.Log = silent{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	e := &Engine{opt: o, sessions: make(map[string]tls.ClientSessionCache)}
	level, err := globalLevel(&o)
	if err != nil {
		return nil, err
	}
	e.level = level
	e.active = level > None || !o.PerSite.Empty() || !o.PolicyMaps.Empty()
	e.log = parseLogLevel(o.Log, "lmtp_tls_loglevel", o.LogLevel)
	if e.require, err = parseRequireRules(&o); err != nil {
		return nil, err
	}
	if e.active {
		e.ready = e.load()
		if !o.PolicyMaps.Empty() && !o.PerSite.Empty() {
			o.Log.Warningf("lmtp_tls_per_site ignored when lmtp_tls_policy_maps is not empty.")
		}
	}
	return e, nil
}

// load reads certificates and keys; false disables TLS.
func (e *Engine) load() bool {
	o := &e.opt
	if e.log.has(logVerbose) {
		o.Log.Infof("initializing the client-side TLS engine")
	}
	var ok bool
	if e.digest, ok = newDigest(o.FingerprintDigest); !ok {
		o.Log.Warningf("Digest algorithm \"%s\" not found", o.FingerprintDigest)
		o.Log.Warningf("disabling TLS support")
		return false
	}
	if e.trust, ok = e.loadTrust(); !ok {
		return false
	}
	if e.certs, ok = e.loadCertificates(); !ok {
		return false
	}
	e.loadAnchorFiles()
	return true
}

// Active tells whether any mail may go over TLS.
func (e *Engine) Active() bool { return e.active }

// Ready tells whether TLS can be used: false after a file could not be read.
func (e *Engine) Ready() bool { return e.active && e.ready }

// globalLevel is the level where no table has another.
func globalLevel(o *Options) (Level, error) {
	switch {
	case o.SecurityLevel != "":
		l, ok := ParseLevel(o.SecurityLevel)
		if !ok {
			return None, &badLevelError{o.SecurityLevel}
		}
		return l, nil
	case o.EnforceTLS && o.EnforcePeername:
		return Verify, nil
	case o.EnforceTLS:
		return Encrypt, nil
	case o.UseTLS:
		return May, nil
	}
	return None, nil
}

type badLevelError struct{ level string }

func (e *badLevelError) Error() string { return "Invalid TLS level \"" + e.level + "\"" }
