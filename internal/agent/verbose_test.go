package agent

import (
	"testing"

	"postlmtp/internal/config"
	"postlmtp/internal/maillog"
	"postlmtp/internal/nexthop"
	"postlmtp/internal/request"
	"postlmtp/internal/table"
)

func TestDebugged(t *testing.T) {
	const destination = "[192.0.2.7]:24"
	for _, tt := range []struct {
		list  string
		minor int
		want  bool
	}{
		{"", 7, false},
		{"host.example.com", 7, true},
		{"example.com", 7, true},
		{".example.com", 7, false}, // parent_domain_matches_subdomains
		{"!host.example.com, example.com", 7, false},
		{"192.0.2.0/24", 7, true},
		{"192.0.3.0/24", 7, false},
		{"[192.0.2.7]:24", 7, true},
		{"[192.0.2.7]:24", 5, false}, // since 3.6
		{"static:yes", 7, true},
		{"fail:no", 7, false},
	} {
		s := &settings{
			Config:  &config.Config{DebugPeerList: tt.list, ParentDomainMatchesSubdomains: "debug_peer_list"},
			release: Release{Major: 3, Minor: tt.minor},
		}
		list, err := openDebugPeers(s, table.NewSet(table.Options{}))
		if err != nil {
			t.Fatal(err)
		}
		tables := &tables{debug: list, log: maillog.Discard()}
		ep := nexthop.Endpoint{Network: "unix", Host: "host.example.com", Path: "192.0.2.7"}
		if got := s.debugged(tables, &request.Request{Nexthop: destination}, ep); got != tt.want {
			t.Errorf("%q, 3.%d: %v, want %v", tt.list, tt.minor, got, tt.want)
		}
	}
}

func TestPropagates(t *testing.T) {
	for list, want := range map[string]bool{"canonical, virtual": false, "virtual generic": true, "": false} {
		if got, err := propagates(list); got != want || err != nil {
			t.Errorf("%q: %v, %v", list, got, err)
		}
	}
	if _, err := propagates("generic, nonsense"); err == nil ||
		err.Error() != `unknown propagate_unmatched_extensions value "nonsense" in "generic, nonsense"` {
		t.Error(err)
	}
}

// TestLongKeys: up to Postfix 3.11 a socketmap: table is asked for long keys,
// too; as "not found" they would pass header checks unseen.
func TestLongKeys(t *testing.T) {
	for minor, want := range map[int]int{7: 0, 11: 0, 12: 10_000} {
		s := &settings{Config: &config.Config{SocketmapMaxQuerySize: 10_000}, release: Release{Major: 3, Minor: minor}}
		if tables, err := openTables(s, maillog.Discard()); err != nil || tables.set.Options().SocketmapMaxQuery != want {
			t.Errorf("3.%d: %d, %v", minor, tables.set.Options().SocketmapMaxQuery, err)
		}
	}
}
