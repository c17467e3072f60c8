package config

func loggingRows(c *Config) []*Param {
	return []*Param{
		yesno("postlmtp_extra_logging", &c.Postlmtp.ExtraLogging, "yes",
			"Log what Postfix does not: hints after failed connections, and lines about mail that the server may have without having said so").since("postlmtp"),
		text("syslog_name", &c.SyslogName, "${multi_instance_name?{$multi_instance_name}:{postfix}}",
			"First part of the tag of log lines").min(1),
		text("syslog_facility", &c.SyslogFacility, "mail",
			"Syslog facility").min(1),
		text("maillog_file", &c.MaillogFile, "",
			"Log file of Postfix's own logging service; empty for syslog").since("3.4"),
		list("maillog_file_prefixes", &c.MaillogFilePrefixes, "/var, /dev/stdout",
			"Where maillog_file may be").min(1).since("3.4"),
		text("maillog_file_permissions", &c.MaillogFilePermissions, "0600",
			"Mode of a new log file; set by postlogd(8)").min(1).since("3.9").noEffect(),
		text("postlog_service_name", &c.PostlogServiceName, "postlog",
			"Service that writes maillog_file").min(1).since("3.4"),
		number("delay_logging_resolution_limit", &c.DelayLoggingResolutionLimit, "2",
			"Digits after the point in delay= and delays=").max(6).since("2.3"),
		text("info_log_address_format", &c.InfoLogAddressFormat, "external",
			"Addresses in the log quoted as in a header (external) or raw (internal)").min(1).since("3.5"),
		yesno("lmtp_log_tls_feature_status", &c.LMTP.LogTLSFeatureStatus, "yes",
			"Add tls= to the lines of deliveries").since("3.11"),
		yesno("helpful_warnings", &c.HelpfulWarnings, "yes",
			"Warn about likely mistakes").since("2.0"),
		yesno("respectful_logging", &c.RespectfulLogging, "${{$compatibility_level} <level {3.6} ? {no} : {yes}}",
			"Wording of some log messages of other programs").since("3.6").noEffect(),
		text("debug_peer_list", &c.DebugPeerList, "",
			"Servers whose sessions are logged in detail"),
		number("debug_peer_level", &c.DebugPeerLevel, "2",
			"How much more detail that is").min(1).noEffect(),
	}
}
