package config

func tableRows(c *Config) []*Param {
	return []*Param{
		text("default_database_type", &c.DefaultDatabaseType, "hash",
			"Type of tables given without a type where allowed").min(1).notYet(),
		yesno("daemon_table_open_error_is_fatal", &c.DaemonTableOpenErrorIsFatal, "no",
			"Abort instead of soft-failing when a table cannot be opened").since("2.9").notYet(),
		text("proxymap_service_name", &c.ProxymapServiceName, "proxymap",
			"proxymap socket").min(1).since("2.6").notYet(),
		text("proxywrite_service_name", &c.ProxywriteServiceName, "proxywrite",
			"proxywrite socket (auth cache)").min(1).since("2.6").notYet(),
		number("berkeley_db_create_buffer_size", &c.BerkeleyDBCreateBufferSize, "16777216",
			"hash/btree tables").min(1).since("2.0").noEffect(),
		number("berkeley_db_read_buffer_size", &c.BerkeleyDBReadBufferSize, "131072",
			"hash/btree tables").min(1).since("2.0").noEffect(),
		long("lmdb_map_size", &c.LMDBMapSize, "16777216",
			"lmdb tables").min(1).since("2.11").noEffect(),
		number("socketmap_max_reply_size", &c.SocketmapMaxReplySize, "100000",
			"socketmap tables").min(1).since("3.10").notYet(),
		number("socketmap_max_query_size", &c.SocketmapMaxQuerySize, "10000",
			"socketmap tables").min(1).since("3.12").notYet(),
		text("non_bdb_migration_level", &c.NonBDBMigrationLevel, "disable",
			"Redirect of hash/btree tables").min(1).since("3.11").notYet(),
		text("non_bdb_migration_service_name", &c.NonBDBMigrationServiceName, "nbdb_reindex",
			"Redirect of hash/btree tables").since("3.11").notYet(),
		yesno("non_bdb_migration_log_redirect", &c.NonBDBMigrationLogRedirect, "yes",
			"Logging of that redirect").since("3.11").notYet(),
		text("non_bdb_custom_mapping", &c.NonBDBCustomMapping, "",
			"Redirect of hash/btree tables").since("3.11").notYet(),
	}
}
