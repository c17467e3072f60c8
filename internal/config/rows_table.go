package config

func tableRows(c *Config) []*Param {
	return []*Param{
		text("default_database_type", &c.DefaultDatabaseType, "cdb",
			"What hash: is replaced by (non_bdb_migration_level); the default depends on how Postfix was built").min(1).before("3.11", "hash"),
		text("default_cache_db_type", &c.DefaultCacheDBType, "lmdb",
			"What btree: is replaced by; the default depends on how Postfix was built").min(1).since("3.11"),
		yesno("daemon_table_open_error_is_fatal", &c.DaemonTableOpenErrorIsFatal, "no",
			"End when a table cannot be opened; otherwise the mail that needs it is deferred").since("2.9"),
		text("proxymap_service_name", &c.ProxymapServiceName, "proxymap",
			"Service that reads proxy: tables").min(1).since("2.6"),
		text("proxywrite_service_name", &c.ProxywriteServiceName, "proxywrite",
			"Service that writes proxy: tables").min(1).since("2.6"),
		number("berkeley_db_create_buffer_size", &c.BerkeleyDBCreateBufferSize, "16777216",
			"For writing Berkeley DB files").min(1).since("2.0").noEffect(),
		number("berkeley_db_read_buffer_size", &c.BerkeleyDBReadBufferSize, "131072",
			"For the Berkeley DB library, which this program does not use").min(1).since("2.0").noEffect(),
		long("lmdb_map_size", &c.LMDBMapSize, "16777216",
			"For the LMDB library, which this program does not use").min(1).since("2.11").noEffect(),
		number("socketmap_max_reply_size", &c.SocketmapMaxReplySize, "100000",
			"Largest reply of a socketmap: server").min(1).since("3.10"),
		number("socketmap_max_query_size", &c.SocketmapMaxQuerySize, "10000",
			"Largest query to a socketmap: server").min(1).since("3.12"),
		text("non_bdb_migration_level", &c.NonBDBMigrationLevel, "disable",
			"Whether hash: and btree: are replaced: disable, enable-redirect, or enable-reindex (make the new file if there is none)").min(1).since("3.11"),
		text("non_bdb_migration_service_name", &c.NonBDBMigrationServiceName, "nbdb_reindex",
			"Service that makes the new files").since("3.11"),
		yesno("non_bdb_migration_log_redirect", &c.NonBDBMigrationLogRedirect, "yes",
			"Log each replacement").since("3.11"),
		text("non_bdb_custom_mapping", &c.NonBDBCustomMapping, "",
			"Table from hash, btree, hash:/file or btree:/file to what replaces it").since("3.11"),
	}
}
