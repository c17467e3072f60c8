package config

func loggingRows(c *Config) []*Param {
	return []*Param{
		text("syslog_name", &c.SyslogName, "${multi_instance_name?{$multi_instance_name}:{postfix}}",
			"Log prefix; default uses multi_instance_name").min(1),
		text("syslog_facility", &c.SyslogFacility, "mail",
			"Syslog facility").min(1),
		text("maillog_file", &c.MaillogFile, "",
			"Log via postlogd(8) to a file or /dev/stdout").since("3.4"),
		list("maillog_file_prefixes", &c.MaillogFilePrefixes, "/var, /dev/stdout",
			"Allowed log file locations").min(1).since("3.4"),
		text("maillog_file_permissions", &c.MaillogFilePermissions, "0600",
			"Mode of a new log file (postlogd)").min(1).since("3.9").noEffect(),
		text("postlog_service_name", &c.PostlogServiceName, "postlog",
			"Public socket of postlogd(8)").min(1).since("3.4"),
		number("delay_logging_resolution_limit", &c.DelayLoggingResolutionLimit, "2",
			"Digits after the dot in delay= / delays=").max(6).since("2.3"),
		text("info_log_address_format", &c.InfoLogAddressFormat, "external",
			"Quoted (external) or raw (internal) addresses in to=/orig_to=").min(1).since("3.5"),
		yesno("lmtp_log_tls_feature_status", &c.LMTP.LogTLSFeatureStatus, "yes",
			"Add `tls=` to delivery log lines (TLS builds)").since("3.11").notYet(),
		yesno("helpful_warnings", &c.HelpfulWarnings, "yes",
			"Extra hints (port 465, pipelining)").since("2.0"),
		yesno("respectful_logging", &c.RespectfulLogging, "${{$compatibility_level} <level {3.6} ? {no} : {yes}}",
			"Loaded; affects wording in other programs").since("3.6").noEffect(),
		text("debug_peer_list", &c.DebugPeerList, "",
			"Peers for which logging verbosity is raised; nexthop match since 3.6").notYet(),
		number("debug_peer_level", &c.DebugPeerLevel, "2",
			"Verbosity increment for those peers").min(1).notYet(),
	}
}
