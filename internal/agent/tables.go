package agent

import (
	"context"
	"path/filepath"

	"postlmtp/internal/maillog"
	"postlmtp/internal/report"
	"postlmtp/internal/table"
)

// tables are the lookup tables and lists that parameters name, opened before
// the jail.
type tables struct {
	set    *table.Set
	filter *table.Maps // lmtp_delivery_status_filter
	log    *maillog.Logger

	fastFlushDomains  func(string) bool
	cacheDestinations func(string) bool
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
	t.fastFlushDomains = wordList(s.FastFlushDomains)
	t.cacheDestinations = wordList(s.LMTP.ConnectionCacheDestinations)
	return t, nil
}

func (t *tables) changed() (string, bool) { return t.set.Changed() }

func (t *tables) fastFlush(domain string) bool {
	return t.fastFlushDomains != nil && t.fastFlushDomains(domain)
}

func (t *tables) cacheDestination(name string) bool {
	return t.cacheDestinations != nil && t.cacheDestinations(name)
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
