package agent

import (
	"context"
	"path/filepath"

	"postlmtp/internal/maillog"
	"postlmtp/internal/match"
	"postlmtp/internal/report"
	"postlmtp/internal/table"
)

// tables are the lookup tables and lists that parameters name, opened before
// the jail.
type tables struct {
	set    *table.Set
	filter *table.Maps // lmtp_delivery_status_filter
	flush  *match.List // fast_flush_domains
	cache  *match.List // lmtp_connection_cache_destinations
	srv    *match.List // use_srv_lookup
	log    *maillog.Logger
}

func openTables(s *settings, log *maillog.Logger) (*tables, error) {
	set := table.NewSet(table.Options{
		Log:               log,
		UTF8:              s.SMTPUTF8Enable,
		OpenErrorsEnd:     s.DaemonTableOpenErrorIsFatal,
		ProxymapSocket:    filepath.Join("private", s.ProxymapServiceName),
		InstanceFlags:     s.release.AtLeast(3, 11),
		Timeout:           s.IPCTimeout,
		SocketmapMaxReply: s.SocketmapMaxReplySize,
		SocketmapMaxQuery: s.SocketmapMaxQuerySize,
	})
	t := &tables{set: set, log: log}
	var err error
	if t.filter, err = set.OpenMaps("lmtp_delivery_status_filter", s.LMTP.DeliveryStatusFilter, 0); err != nil {
		return nil, err
	}
	parents, err := match.ParentStyle(context.Background(), s.ParentDomainMatchesSubdomains, "fast_flush_domains", set)
	if err != nil {
		return nil, err
	}
	if t.flush, err = match.ParseDomains(s.FastFlushDomains, match.Options{
		Param: "fast_flush_domains", Parents: parents, Tables: set,
	}); err != nil {
		return nil, err
	}
	if t.cache, err = match.ParseStrings(s.LMTP.ConnectionCacheDestinations, match.Options{
		Param: "lmtp_connection_cache_destinations", Tables: set,
	}); err != nil {
		return nil, err
	}
	if t.srv, err = match.ParseStrings(s.UseSRVLookup, match.Options{Param: "use_srv_lookup", Tables: set}); err != nil {
		return nil, err
	}
	return t, nil
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
	found, err := list.Match(context.Background(), name)
	if err != nil {
		t.log.Warningf("%v", err)
	}
	return found && err == nil
}

// statusFilter is lmtp_delivery_status_filter. A lookup that fails leaves the
// status as it is: the mail's fate is decided already.
func (t *tables) statusFilter() report.Filter {
	if t.filter.Empty() {
		return nil
	}
	return report.Lookup(func(key string) (string, bool) {
		value, found, err := t.filter.Find(context.Background(), key)
		if err != nil {
			t.log.Warningf("smtp_delivery_status_filter: %v", err)
		}
		return value, found && err == nil
	})
}
