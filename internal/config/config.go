package config

import (
	"time"

	"postlmtp/internal/maincf"
)

// Config holds the value of every parameter in the table, as Load found it.
// It must not be changed: goroutines share it without locks.
//
// A field is named after its parameter, which stands next to it. The meaning
// of each is in docs/parameters.md. Values of type string are expanded but
// otherwise as written; durations, numbers and truth values are checked
// against their bounds; a []string is a list of words.
type Config struct {
	// Processes and paths.
	DefaultProcessLimit       int           // default_process_limit
	MaxUse                    int           // max_use
	MaxIdle                   time.Duration // max_idle
	DaemonTimeout             time.Duration // daemon_timeout
	IPCTimeout                time.Duration // ipc_timeout
	IPCIdle                   time.Duration // ipc_idle
	IPCTTL                    time.Duration // ipc_ttl
	ApplicationEventDrainTime time.Duration // application_event_drain_time
	TriggerTimeout            time.Duration // trigger_timeout
	ForkAttempts              int           // fork_attempts
	QueueDirectory            string        // queue_directory
	DaemonDirectory           string        // daemon_directory
	CommandDirectory          string        // command_directory
	DataDirectory             string        // data_directory
	ConfigDirectory           string        // config_directory
	MailOwner                 string        // mail_owner
	SetGIDGroup               string        // setgid_group
	DefaultPrivs              string        // default_privs
	ImportEnvironment         string        // import_environment
	ExportEnvironment         string        // export_environment
	CompatibilityLevel        string        // compatibility_level
	MailVersion               string        // mail_version
	ProcessName               string        // process_name
	ServiceName               string        // service_name
	MultiInstanceEnable       bool          // multi_instance_enable
	MultiInstanceName         string        // multi_instance_name
	MultiInstanceGroup        string        // multi_instance_group
	MultiInstanceDirectories  string        // multi_instance_directories
	MultiInstanceWrapper      string        // multi_instance_wrapper

	// Logging.
	SyslogName                  string   // syslog_name
	SyslogFacility              string   // syslog_facility
	MaillogFile                 string   // maillog_file
	MaillogFilePrefixes         []string // maillog_file_prefixes
	MaillogFilePermissions      string   // maillog_file_permissions
	PostlogServiceName          string   // postlog_service_name
	DelayLoggingResolutionLimit int      // delay_logging_resolution_limit
	InfoLogAddressFormat        string   // info_log_address_format
	HelpfulWarnings             bool     // helpful_warnings
	RespectfulLogging           bool     // respectful_logging
	DebugPeerList               string   // debug_peer_list
	DebugPeerLevel              int      // debug_peer_level

	// Names of this machine and of domains.
	MyHostname                    string // myhostname
	MyDomain                      string // mydomain
	MyOrigin                      string // myorigin
	MyDestination                 string // mydestination
	Relayhost                     string // relayhost
	RelayDomains                  string // relay_domains
	InetInterfaces                string // inet_interfaces
	ProxyInterfaces               string // proxy_interfaces
	RecipientDelimiter            string // recipient_delimiter
	OwnerRequestSpecial           bool   // owner_request_special
	ParentDomainMatchesSubdomains string // parent_domain_matches_subdomains

	// Destinations.
	KnownTCPPorts          string   // known_tcp_ports
	DisableDNSLookups      bool     // disable_dns_lookups
	DNSNCacheTTLFixEnable  bool     // dns_ncache_ttl_fix_enable
	DNSSECProbe            string   // dnssec_probe
	InetProtocols          []string // inet_protocols
	UseSRVLookup           string   // use_srv_lookup
	IgnoreSRVLookupError   bool     // ignore_srv_lookup_error
	AllowSRVLookupFallback bool     // allow_srv_lookup_fallback
	TCPWindowSize          int      // tcp_windowsize
	BestMXTransport        string   // best_mx_transport

	// Connection reuse.
	ConnectionCacheServiceName     string        // connection_cache_service_name
	ConnectionCacheProtocolTimeout time.Duration // connection_cache_protocol_timeout

	// The dialog.
	LineLengthLimit             int    // line_length_limit
	SMTPUTF8Enable              bool   // smtputf8_enable
	StrictSMTPUTF8              bool   // strict_smtputf8
	SMTPUTF8AutodetectClasses   string // smtputf8_autodetect_classes
	EnableIDNA2003Compatibility bool   // enable_idna2003_compatibility
	RequireTLSEnable            bool   // requiretls_enable
	TLSRequiredEnable           bool   // tls_required_enable

	// Content.
	DisableMIMEOutputConversion  bool   // disable_mime_output_conversion
	MIMENestingLimit             int    // mime_nesting_limit
	MIMEBoundaryLengthLimit      int    // mime_boundary_length_limit
	HeaderSizeLimit              int    // header_size_limit
	HeaderAddressTokenLimit      int    // header_address_token_limit
	PropagateUnmatchedExtensions string // propagate_unmatched_extensions

	// Outcome of a delivery.
	SoftBounce                          bool          // soft_bounce
	DefaultDeliveryStatusFilter         string        // default_delivery_status_filter
	EnableOriginalRecipient             bool          // enable_original_recipient
	FastFlushDomains                    string        // fast_flush_domains
	BounceServiceName                   string        // bounce_service_name
	DeferServiceName                    string        // defer_service_name
	TraceServiceName                    string        // trace_service_name
	FlushServiceName                    string        // flush_service_name
	AddressVerifyServiceName            string        // address_verify_service_name
	AddressVerifyNegativeCache          bool          // address_verify_negative_cache
	BackwardsBounceLogfileCompatibility bool          // backwards_bounce_logfile_compatibility
	NotifyClasses                       string        // notify_classes
	ErrorNoticeRecipient                string        // error_notice_recipient
	DoubleBounceSender                  string        // double_bounce_sender
	MailName                            string        // mail_name
	HeaderFromFormat                    string        // header_from_format
	CleanupServiceName                  string        // cleanup_service_name
	RewriteServiceName                  string        // rewrite_service_name
	InternalMailFilterClasses           string        // internal_mail_filter_classes
	QueueRunDelay                       time.Duration // queue_run_delay
	MinimalBackoffTime                  time.Duration // minimal_backoff_time

	// The queue.
	HashQueueNames      []string      // hash_queue_names
	HashQueueDepth      int           // hash_queue_depth
	EnableLongQueueIDs  bool          // enable_long_queue_ids
	DeliverLockAttempts int           // deliver_lock_attempts
	DeliverLockDelay    time.Duration // deliver_lock_delay

	// Authentication.
	CyrusSASLConfigPath  string // cyrus_sasl_config_path
	SendCyrusSASLAuthzID bool   // send_cyrus_sasl_authzid

	// TLS.
	TLSProxyServiceName string // tlsproxy_service_name

	// Lookup tables.
	DefaultDatabaseType         string // default_database_type
	DefaultCacheDBType          string // default_cache_db_type
	DaemonTableOpenErrorIsFatal bool   // daemon_table_open_error_is_fatal
	ProxymapServiceName         string // proxymap_service_name
	ProxywriteServiceName       string // proxywrite_service_name
	BerkeleyDBCreateBufferSize  int    // berkeley_db_create_buffer_size
	BerkeleyDBReadBufferSize    int    // berkeley_db_read_buffer_size
	LMDBMapSize                 int64  // lmdb_map_size
	SocketmapMaxReplySize       int    // socketmap_max_reply_size
	SocketmapMaxQuerySize       int    // socketmap_max_query_size
	NonBDBMigrationLevel        string // non_bdb_migration_level
	NonBDBMigrationServiceName  string // non_bdb_migration_service_name
	NonBDBMigrationLogRedirect  bool   // non_bdb_migration_log_redirect
	NonBDBCustomMapping         string // non_bdb_custom_mapping

	LMTP     LMTP     // lmtp_* parameters
	TLS      TLS      // parameters of the TLS library
	Postlmtp Postlmtp // postlmtp_* parameters, which Postfix does not have

	params  []*Param          // the table that fills this value
	values  *maincf.Values    // as set in main.cf and by overrides
	text    map[string]string // expanded text of all parameters in the table
	expand  maincf.Lookup     // what $name stands for
	release release           // of the Postfix whose defaults count
}
