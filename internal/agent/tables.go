package agent

import (
	"context"
	"path/filepath"
	"strings"

	"postlmtp/internal/dns"
	"postlmtp/internal/lmtp"
	"postlmtp/internal/maillog"
	"postlmtp/internal/match"
	"postlmtp/internal/report"
	"postlmtp/internal/table"
	"postlmtp/internal/table/reindex"
)

// tables are the lookup tables and lists that parameters name, opened before
// the jail.
type tables struct {
	set    *table.Set
	status *table.Maps // lmtp_delivery_status_filter
	reply  *table.Maps // lmtp_reply_filter
	dns    *table.Maps // lmtp_dns_reply_filter
	lhlo   *table.Maps // lmtp_discard_lhlo_keyword_address_maps
	flush  *match.List // fast_flush_domains
	cache  *match.List // lmtp_connection_cache_destinations
	srv    *match.List // use_srv_lookup
	debug  *match.List // debug_peer_list
	edit   *editing
	log    *maillog.Logger
}

func openTables(s *settings, log *maillog.Logger) (*tables, error) {
	set := table.NewSet(table.Options{
		Log:               log,
		UTF8:              s.SMTPUTF8Enable,
		OpenErrorsEnd:     s.DaemonTableOpenErrorIsFatal,
		Settled:           s.settled,
		ProxymapSocket:    filepath.Join("private", s.ProxymapServiceName),
		InstanceFlags:     s.release.AtLeast(3, 11),
		ASCIIEntries:      s.release.AtLeast(3, 11),
		PlainLists:        !s.release.AtLeast(3, 8),
		Timeout:           s.IPCTimeout,
		Migration:         s.migration(),
		SocketmapMaxReply: s.SocketmapMaxReplySize,
		SocketmapMaxQuery: s.socketmapMaxQuery(),
	})
	t := &tables{set: set, log: log}
	for _, m := range []struct {
		maps  **table.Maps
		param string
		value string
		flags table.Flags
	}{
		{&t.status, "lmtp_delivery_status_filter", s.LMTP.DeliveryStatusFilter, table.Lock | table.UTF8},
		{&t.reply, "lmtp_reply_filter", s.LMTP.ReplyFilter, table.Lock | table.FoldFixed},
		{&t.dns, "lmtp_dns_reply_filter", s.LMTP.DNSReplyFilter, table.Lock},
		{&t.lhlo, "lmtp_discard_lhlo_keyword_address_maps", s.LMTP.DiscardLHLOKeywordAddressMaps, table.Lock},
	} {
		var err error
		if *m.maps, err = set.OpenMaps(m.param, m.value, m.flags); err != nil {
			return nil, err
		}
	}
	var err error
	if t.edit, err = openEditing(s, set); err != nil {
		return nil, err
	}
	if t.debug, err = openDebugPeers(s, set); err != nil {
		return nil, err
	}
	return t, t.openLists(s)
}

// socketmapMaxQuery bounds the keys that socketmap: tables are asked for; longer
// ones are not found. Postfix does so since 3.12; before, it asks for any.
func (s *settings) socketmapMaxQuery() int {
	if !s.release.AtLeast(3, 12) {
		return 0
	}
	return s.SocketmapMaxQuerySize
}

// migration is what Postfix from 3.11 on does with hash: and btree:; nil if
// nothing.
func (s *settings) migration() *table.Migration {
	if !s.release.AtLeast(3, 11) || s.NonBDBMigrationLevel == "disable" {
		return nil
	}
	m := &table.Migration{
		Hash: s.DefaultDatabaseType, Btree: s.DefaultCacheDBType,
		Custom: s.NonBDBCustomMapping, Log: s.NonBDBMigrationLogRedirect,
	}
	if s.NonBDBMigrationLevel == "enable-reindex" {
		c := &reindex.Client{QueueDirectory: s.QueueDirectory, Service: s.NonBDBMigrationServiceName}
		m.Reindex = c.Do
	}
	return m
}

// openLists parses the match lists.
func (t *tables) openLists(s *settings) error {
	parents, err := match.ParentStyle(context.Background(), s.ParentDomainMatchesSubdomains, "fast_flush_domains", t.set)
	if err != nil {
		return err
	}
	if t.flush, err = match.ParseDomains(s.FastFlushDomains, match.Options{
		Param: "fast_flush_domains", Parents: parents, Tables: t.set,
	}); err != nil {
		return err
	}
	if t.cache, err = match.ParseStrings(s.LMTP.ConnectionCacheDestinations, match.Options{
		Param: "lmtp_connection_cache_destinations", Tables: t.set,
	}); err != nil {
		return err
	}
	if t.srv, err = match.ParseStrings(s.UseSRVLookup, match.Options{Param: "use_srv_lookup", Tables: t.set}); err != nil {
		return err
	}
	return nil
}

func (t *tables) changed() (string, bool) { return t.set.Changed() }

// fastFlush: fast_flush_domains. Where the list cannot tell, flush(8) is not
// told: it is a hint for later, and no mail depends on it.
func (t *tables) fastFlush(domain string) bool { return t.matches(t.flush, domain) }

// cacheDestination: lmtp_connection_cache_destinations.
func (t *tables) cacheDestination(name string) bool { return t.matches(t.cache, name) }

// useSRV: use_srv_lookup.
func (t *tables) useSRV(service string) bool { return t.matches(t.srv, service) }

func (t *tables) matches(list *match.List, name string) bool {
	return t.judge(list.Match(context.Background(), name))
}

// matchesHost is matches for a list of hosts.
func (t *tables) matchesHost(list *match.List, name, address string) bool {
	return t.judge(list.MatchHost(context.Background(), name, address))
}

// judge takes a list that cannot tell for one without a match.
func (t *tables) judge(found bool, err error) bool {
	if err != nil {
		t.log.Warningf("%v", err)
	}
	return found && err == nil
}

// statusFilter is lmtp_delivery_status_filter. A lookup that fails leaves the
// status as it is: the mail's fate is decided already, and Maps has logged why.
func (t *tables) statusFilter() report.Filter {
	if t.status.Empty() {
		return nil
	}
	return report.Lookup(func(key string) (string, bool) {
		value, found, err := t.status.Find(context.Background(), key)
		return value, found && err == nil
	})
}

// replyFilter is lmtp_reply_filter.
func (t *tables) replyFilter() func(line string) (string, bool, error) {
	if t.reply.Empty() {
		return nil
	}
	return func(line string) (string, bool, error) { return t.reply.Find(context.Background(), line) }
}

// dnsFilter is lmtp_dns_reply_filter.
func (t *tables) dnsFilter() dns.Filter {
	if t.dns.Empty() {
		return nil
	}
	return func(record string) (string, bool, error) { return t.dns.Find(context.Background(), record) }
}

// discard returns the LHLO keywords to overlook of a server, by its address or
// the path of its socket: its entry in lmtp_discard_lhlo_keyword_address_maps,
// or else lmtp_discard_lhlo_keywords.
func (t *tables) discard(words []string) func(address string) (lmtp.Discard, error) {
	others := lmtp.ParseDiscard(strings.Join(words, " "))
	return func(address string) (lmtp.Discard, error) {
		if t.lhlo.Empty() {
			return others, nil
		}
		value, found, err := t.lhlo.Find(context.Background(), address)
		if err != nil || !found {
			return others, err
		}
		return lmtp.ParseDiscard(value), nil
	}
}
