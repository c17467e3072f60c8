package agent

import (
	"context"
	"slices"
	"strings"

	"postlmtp/internal/address"
	"postlmtp/internal/config"
	"postlmtp/internal/delivery"
	"postlmtp/internal/dns"
	"postlmtp/internal/maillog"
	"postlmtp/internal/match"
	"postlmtp/internal/tlspolicy"
)

// tlsOptions makes the settings of TLS. It reads certificates and keys, and opens
// tables: all this has to be done before the jail.
func (s *settings) tlsOptions(t *tables, names dns.Source, log *maillog.Logger) (delivery.TLSOptions, error) {
	if s.LMTP.TLSRPTEnable && s.release.AtLeast(3, 10) {
		log.Warningf("TLSRPT support is not implemented for LMTP")
	}
	o := s.policyOptions(log)
	if err := s.openPolicyTables(&o, t); err != nil {
		return delivery.TLSOptions{}, err
	}
	byDNS, _ := s.HostLookup()
	o.DNSSEC = byDNS && s.DNSSupport() == config.DNSSEC
	o.DNSSearch = len(s.LMTP.DNSResolverOptions) > 0
	o.Names = dns.New(names, dns.Options{Filter: t.dnsFilter(), FilterName: "lmtp_dns_reply_filter", Log: log})
	engine, err := tlspolicy.New(o)
	if err != nil {
		return delivery.TLSOptions{}, err
	}
	if engine.Active() {
		s.warnTLSLibrary(log)
	}
	return delivery.TLSOptions{
		Engine:          engine,
		WrapperMode:     s.LMTP.TLSWrapperMode,
		NoteOffer:       s.LMTP.TLSNoteStartTLSOffer,
		BlockEarlyReply: s.LMTP.TLSBlockEarlyMailReply,
		FeatureStatus:   s.LMTP.LogTLSFeatureStatus && s.release.AtLeast(3, 11),
		RequireTLS:      s.RequireTLSEnable && s.release.AtLeast(3, 11),
		NotRequired:     s.TLSRequiredEnable && s.release.AtLeast(3, 10),
		MinimalBackoff:  s.MinimalBackoffTime,
	}, nil
}

// policyOptions are the options that are values of parameters.
func (s *settings) policyOptions(log *maillog.Logger) tlspolicy.Options {
	return tlspolicy.Options{
		SecurityLevel: s.LMTP.TLSSecurityLevel, UseTLS: s.LMTP.UseTLS, EnforceTLS: s.LMTP.EnforceTLS,
		EnforcePeername: s.LMTP.TLSEnforcePeername, WrapperMode: s.LMTP.TLSWrapperMode,
		ConnectionReuse: s.LMTP.TLSConnectionReuse, EnforceSTSPatterns: s.LMTP.TLSEnforceSTSMXPatterns,
		ForceInsecureHostTLSALookup: s.LMTP.TLSForceInsecureHostTLSALookup,

		ChainFiles: s.LMTP.TLSChainFiles, CertFile: s.LMTP.TLSCertFile, KeyFile: s.LMTP.TLSKeyFile,
		DCertFile: s.LMTP.TLSDCertFile, ECCertFile: s.LMTP.TLSECCertFile, ECKeyFile: s.LMTP.TLSECKeyFile,
		CAFile: s.LMTP.TLSCAFile, CAPath: s.LMTP.TLSCAPath, AppendDefaultCA: s.TLS.AppendDefaultCA,
		TrustAnchorFile: s.LMTP.TLSTrustAnchorFile, VerifyDepth: s.LMTP.TLSSCertVerifyDepth,
		VerifyCertMatch: s.LMTP.TLSVerifyCertMatch, SecureCertMatch: s.LMTP.TLSSecureCertMatch,
		FingerprintMatch: s.LMTP.TLSFingerprintCertMatch, FingerprintDigest: s.LMTP.TLSFingerprintDigest,
		// Since Postfix 3.6 OpenSSL compares names, and the parameter means
		// nothing any more.
		MultiLabelWildcard: s.TLS.WildcardMatchesMultipleLabels && !s.release.AtLeast(3, 6),
		OldPeerLine:        !s.release.AtLeast(3, 9),
		TrustMismatched:    !s.release.AtLeast(3, 6) || s.release.Repaired([2]int{10, 4}),
		DefaultDigest: s.release.AtLeast(3, 6) && !s.IsSet("lmtp_tls_fingerprint_digest") &&
			strings.EqualFold(s.LMTP.TLSFingerprintDigest, "md5"),

		Protocols: s.LMTP.TLSProtocols, MandatoryProtocols: s.LMTP.TLSMandatoryProtocols,
		Ciphers: s.LMTP.TLSCiphers, MandatoryCiphers: s.LMTP.TLSMandatoryCiphers,
		ExcludeCiphers: s.LMTP.TLSExcludeCiphers, MandatoryExcludeCiphers: s.LMTP.TLSMandatoryExcludeCiphers,
		HighCipherList: s.TLS.HighCipherList, MediumCipherList: s.TLS.MediumCipherList,
		NullCipherList: s.TLS.NullCipherList, LowCipherList: s.TLS.LowCipherList,
		ExportCipherList: s.TLS.ExportCipherList, Curves: s.TLS.EECDHAutoCurves,
		DANEDigests: s.TLS.DANEDigests, ServerName: s.LMTP.TLSServerName, LogLevel: s.LMTP.TLSLogLevel,
		RequireTLSPolicy: s.LMTP.RequireTLSPolicy, UTF8: s.SMTPUTF8Enable,
		IDNA: address.IDNA{Compat2003: s.EnableIDNA2003Compatibility}, Log: log,
	}
}

// openPolicyTables opens the tables about TLS.
func (s *settings) openPolicyTables(o *tlspolicy.Options, t *tables) (err error) {
	o.Tables = t.set
	if o.PolicyMaps, err = t.set.OpenMaps("lmtp_tls_policy_maps", s.LMTP.TLSPolicyMaps, tlspolicy.PolicyFlags); err != nil {
		return err
	}
	if o.PerSite, err = t.set.OpenMaps("lmtp_tls_per_site", s.LMTP.TLSPerSite, tlspolicy.PolicyFlags); err != nil {
		return err
	}
	if o.LogLevelMaps, err = t.set.OpenMaps("lmtp_tls_loglevel_maps", s.LMTP.TLSLogLevelMaps, tlspolicy.PolicyFlags); err != nil {
		return err
	}
	// Postfix asks for the parameter of smtp(8) here.
	o.LogLevelParents, err = match.ParentStyle(context.Background(), s.ParentDomainMatchesSubdomains, "smtp_tls_loglevel_maps", t.set)
	return err
}

// warnTLSLibrary names the parameters of Postfix's TLS library that are set and
// cannot be honoured.
func (s *settings) warnTLSLibrary(log *maillog.Logger) {
	harmless := []string{"", "default", "none"}
	for _, u := range s.Unsupported() {
		if strings.HasPrefix(u.Name, "tls_") && !slices.Contains(harmless, u.Value) {
			log.Warningf("%s = %s has no effect: %s%s", u.Name, u.Value, u.Why, origin(u.File, u.Line))
		}
	}
}
