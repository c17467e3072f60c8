package config

import "time"

// LMTP holds the parameters whose names start with lmtp_.
type LMTP struct {
	// Logging.
	LogTLSFeatureStatus bool // lmtp_log_tls_feature_status

	// Destinations.
	TCPPort                  string   // lmtp_tcp_port
	FallbackRelay            string   // lmtp_fallback_relay
	HostLookup               []string // lmtp_host_lookup
	DNSSupportLevel          string   // lmtp_dns_support_level
	DNSResolverOptions       []string // lmtp_dns_resolver_options
	DNSReplyFilter           string   // lmtp_dns_reply_filter
	AddressPreference        string   // lmtp_address_preference
	RandomizeAddresses       bool     // lmtp_randomize_addresses
	BalanceInetProtocols     bool     // lmtp_balance_inet_protocols
	MXAddressLimit           int      // lmtp_mx_address_limit
	MXSessionLimit           int      // lmtp_mx_session_limit
	BindAddress              string   // lmtp_bind_address
	BindAddress6             string   // lmtp_bind_address6
	BindAddressEnforce       bool     // lmtp_bind_address_enforce
	DeferIfNoMXAddressFound  bool     // lmtp_defer_if_no_mx_address_found
	CNAMEOverridesServerName bool     // lmtp_cname_overrides_servername

	// Connection reuse.
	ConnectionCacheOnDemand     bool          // lmtp_connection_cache_on_demand
	ConnectionCacheDestinations string        // lmtp_connection_cache_destinations
	ConnectionCacheTimeLimit    time.Duration // lmtp_connection_cache_time_limit
	ConnectionReuseTimeLimit    time.Duration // lmtp_connection_reuse_time_limit
	ConnectionReuseCountLimit   int           // lmtp_connection_reuse_count_limit

	// Timeouts of the dialog.
	ConnectTimeout     time.Duration // lmtp_connect_timeout
	LHLOTimeout        time.Duration // lmtp_lhlo_timeout
	StartTLSTimeout    time.Duration // lmtp_starttls_timeout
	XForwardTimeout    time.Duration // lmtp_xforward_timeout
	MailTimeout        time.Duration // lmtp_mail_timeout
	RcptTimeout        time.Duration // lmtp_rcpt_timeout
	DataInitTimeout    time.Duration // lmtp_data_init_timeout
	DataXferTimeout    time.Duration // lmtp_data_xfer_timeout
	DataDoneTimeout    time.Duration // lmtp_data_done_timeout
	RsetTimeout        time.Duration // lmtp_rset_timeout
	QuitTimeout        time.Duration // lmtp_quit_timeout
	PerRequestDeadline bool          // lmtp_per_request_deadline
	MinDataRate        int           // lmtp_min_data_rate

	// The dialog.
	LHLOName                      string        // lmtp_lhlo_name
	Skip5xxGreeting               bool          // lmtp_skip_5xx_greeting
	SkipQuitResponse              bool          // lmtp_skip_quit_response
	SendXForwardCommand           bool          // lmtp_send_xforward_command
	DiscardLHLOKeywords           []string      // lmtp_discard_lhlo_keywords
	DiscardLHLOKeywordAddressMaps string        // lmtp_discard_lhlo_keyword_address_maps
	QuoteRFC821Envelope           bool          // lmtp_quote_rfc821_envelope
	LineLengthLimit               int           // lmtp_line_length_limit
	AddressVerifyTarget           string        // lmtp_address_verify_target
	AssumeFinal                   bool          // lmtp_assume_final
	ReplyFilter                   string        // lmtp_reply_filter
	PIXWorkarounds                string        // lmtp_pix_workarounds
	PIXWorkaroundMaps             string        // lmtp_pix_workaround_maps
	PIXWorkaroundThresholdTime    time.Duration // lmtp_pix_workaround_threshold_time
	PIXWorkaroundDelayTime        time.Duration // lmtp_pix_workaround_delay_time
	RequireTLSPolicy              string        // lmtp_requiretls_policy

	// Content.
	HeaderChecks       string // lmtp_header_checks
	MIMEHeaderChecks   string // lmtp_mime_header_checks
	NestedHeaderChecks string // lmtp_nested_header_checks
	BodyChecks         string // lmtp_body_checks
	GenericMaps        string // lmtp_generic_maps

	// Outcome of a delivery.
	DeliveryStatusFilter string // lmtp_delivery_status_filter

	// Authentication.
	SASLPasswordMaps               string        // lmtp_sasl_password_maps
	SASLPasswordResultDelimiter    string        // lmtp_sasl_password_result_delimiter
	SASLSecurityOptions            string        // lmtp_sasl_security_options
	SASLPath                       string        // lmtp_sasl_path
	SASLTLSSecurityOptions         string        // lmtp_sasl_tls_security_options
	SASLTLSVerifiedSecurityOptions string        // lmtp_sasl_tls_verified_security_options
	SASLMechanismFilter            string        // lmtp_sasl_mechanism_filter
	SASLType                       string        // lmtp_sasl_type
	SASLAuthCacheName              string        // lmtp_sasl_auth_cache_name
	SASLAuthCacheTime              time.Duration // lmtp_sasl_auth_cache_time
	SASLAuthEnable                 bool          // lmtp_sasl_auth_enable
	SenderDependentAuthentication  bool          // lmtp_sender_dependent_authentication
	SASLAuthSoftBounce             bool          // lmtp_sasl_auth_soft_bounce
	SendDummyMailAuth              bool          // lmtp_send_dummy_mail_auth

	// TLS.
	TLSChainFiles                  string // lmtp_tls_chain_files
	TLSCertFile                    string // lmtp_tls_cert_file
	TLSKeyFile                     string // lmtp_tls_key_file
	TLSDCertFile                   string // lmtp_tls_dcert_file
	TLSDKeyFile                    string // lmtp_tls_dkey_file
	TLSCAFile                      string // lmtp_tls_CAfile
	TLSCAPath                      string // lmtp_tls_CApath
	TLSMandatoryCiphers            string // lmtp_tls_mandatory_ciphers
	TLSExcludeCiphers              string // lmtp_tls_exclude_ciphers
	TLSMandatoryExcludeCiphers     string // lmtp_tls_mandatory_exclude_ciphers
	TLSMandatoryProtocols          string // lmtp_tls_mandatory_protocols
	TLSVerifyCertMatch             string // lmtp_tls_verify_cert_match
	TLSSecureCertMatch             string // lmtp_tls_secure_cert_match
	TLSFingerprintCertMatch        string // lmtp_tls_fingerprint_cert_match
	TLSFingerprintDigest           string // lmtp_tls_fingerprint_digest
	TLSTrustAnchorFile             string // lmtp_tls_trust_anchor_file
	TLSProtocols                   string // lmtp_tls_protocols
	TLSCiphers                     string // lmtp_tls_ciphers
	TLSECCertFile                  string // lmtp_tls_eccert_file
	TLSECKeyFile                   string // lmtp_tls_eckey_file
	TLSLogLevel                    string // lmtp_tls_loglevel
	TLSLogLevelMaps                string // lmtp_tls_loglevel_maps
	TLSServerName                  string // lmtp_tls_servername
	TLSPerSite                     string // lmtp_tls_per_site
	TLSSecurityLevel               string // lmtp_tls_security_level
	TLSPolicyMaps                  string // lmtp_tls_policy_maps
	TLSRPTSocketName               string // lmtp_tlsrpt_socket_name
	TLSSCertVerifyDepth            int    // lmtp_tls_scert_verifydepth
	TLSTraceSizeLimit              int    // lmtp_tls_trace_size_limit
	UseTLS                         bool   // lmtp_use_tls
	EnforceTLS                     bool   // lmtp_enforce_tls
	TLSConnectionReuse             bool   // lmtp_tls_connection_reuse
	TLSEnforcePeername             bool   // lmtp_tls_enforce_peername
	TLSNoteStartTLSOffer           bool   // lmtp_tls_note_starttls_offer
	TLSBlockEarlyMailReply         bool   // lmtp_tls_block_early_mail_reply
	TLSForceInsecureHostTLSALookup bool   // lmtp_tls_force_insecure_host_tlsa_lookup
	TLSEnableRPK                   bool   // lmtp_tls_enable_rpk
	TLSWrapperMode                 bool   // lmtp_tls_wrappermode
	TLSRPTEnable                   bool   // lmtp_tlsrpt_enable
	TLSRPTSkipReusedHandshakes     bool   // lmtp_tlsrpt_skip_reused_handshakes
	TLSEnforceSTSMXPatterns        bool   // lmtp_tls_enforce_sts_mx_patterns
}

// TLS holds parameters of Postfix's TLS library, most of which start with
// tls_.
type TLS struct {
	// TLS library.
	ConfigFile                    string // tls_config_file
	ConfigName                    string // tls_config_name
	HighCipherList                string // tls_high_cipherlist
	MediumCipherList              string // tls_medium_cipherlist
	LowCipherList                 string // tls_low_cipherlist
	ExportCipherList              string // tls_export_cipherlist
	NullCipherList                string // tls_null_cipherlist
	EECDHAutoCurves               string // tls_eecdh_auto_curves
	EECDHStrongCurve              string // tls_eecdh_strong_curve
	EECDHUltraCurve               string // tls_eecdh_ultra_curve
	FFDHEAutoGroups               string // tls_ffdhe_auto_groups
	DisableWorkarounds            string // tls_disable_workarounds
	SSLOptions                    string // tls_ssl_options
	DANEDigests                   string // tls_dane_digests
	ManagerServiceName            string // tlsmgr_service_name
	SessionTicketCipher           string // tls_session_ticket_cipher
	OpenSSLPath                   string // openssl_path
	DaemonRandomBytes             int    // tls_daemon_random_bytes
	TraceRateLimit                int    // tls_trace_rate_limit
	AppendDefaultCA               bool   // tls_append_default_CA
	PreemptCipherList             bool   // tls_preempt_cipherlist
	WildcardMatchesMultipleLabels bool   // tls_wildcard_matches_multiple_labels
	FastShutdownEnable            bool   // tls_fast_shutdown_enable
	TrustServerCCerts             bool   // tls_trust_server_ccerts
}

// Postlmtp holds the parameters that only this program has.
type Postlmtp struct {
	// Processes and paths.
	ProcessConcurrency int    // postlmtp_process_concurrency
	Sandbox            bool   // postlmtp_sandbox
	StatusDirectory    string // postlmtp_status_directory
	MetricsListen      string // postlmtp_metrics_listen

	// Logging.
	ExtraLogging bool // postlmtp_extra_logging
	LogSession   bool // postlmtp_log_session
	LogJSON      bool // postlmtp_log_json

	// The dialog.
	XClient           []string // postlmtp_xclient
	Chunking          bool     // postlmtp_chunking
	SendTrace         bool     // postlmtp_send_trace
	ORcpt             string   // postlmtp_orcpt
	SMTPUTF8Downgrade bool     // postlmtp_smtputf8_downgrade
}
