package queuefile

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestPath(t *testing.T) {
	hashed := func(depth int) Hash { return Hash{Names: []string{"Deferred", "active"}, Depth: depth} }
	for _, tt := range []struct {
		queue, id string
		hash      Hash
		want      string
	}{
		{"active", "A6D8C9EE74C", Hash{}, "active/A6D8C9EE74C"},
		{"deferred", "A6D8C9EE74C", Hash{Names: []string{"defer"}}, "deferred/A6D8C9EE74C"},
		{"deferred", "A6D8C9EE74C", hashed(0), "deferred/A/A6D8C9EE74C"},
		{"deferred", "A6D8C9EE74C", hashed(3), "deferred/A/6/D/A6D8C9EE74C"},
		{"deferred", "AB", hashed(4), "deferred/A/B/_/_/AB"},
		{"deferred", "4jXPML6q9dz1WTJV", hashed(2), "deferred/E/A/4jXPML6q9dz1WTJV"},
		{"active", "4jXPFC4rkNz1WTn6", hashed(5), "active/A/6/D/8/C/4jXPFC4rkNz1WTn6"},
		{"deferred", "4jXPML6q9dz1WTJV", hashed(7), "deferred/E/A/7/A/5/_/_/4jXPML6q9dz1WTJV"},
		{"deferred", "0123456789z", hashed(1), "deferred/D/0123456789z"},
		{"deferred", "012345678z", hashed(1), "deferred/0/012345678z"}, // too short to be long
		{"deferred", "012345AEIOz1", hashed(2), "deferred/0/0/012345AEIOz1"},
		{"deferred", "example_com", hashed(1), "deferred/e/example_com"},
	} {
		got, err := Path(tt.queue, tt.id, tt.hash)
		if err != nil || got != tt.want {
			t.Errorf("Path(%q, %q, %+v) = %q, %v, want %q", tt.queue, tt.id, tt.hash, got, err, tt.want)
		}
	}
}

func TestPathRefuses(t *testing.T) {
	for _, tt := range []struct{ queue, id, what string }{
		{"", "A", "mail queue name"}, {"../x", "A", "mail queue name"}, {"act_ive", "A", "mail queue name"},
		{strings.Repeat("a", 101), "A", "mail queue name"}, {"aktiv\xff", "A", "mail queue name"},
		{"active", "", "mail queue id"}, {"active", "..", "mail queue id"}, {"active", "A/B", "mail queue id"},
		{"active", "A B", "mail queue id"}, {"active", strings.Repeat("A", 256), "mail queue id"},
		{"active", "A\x00", "mail queue id"},
	} {
		got, err := Path(tt.queue, tt.id, Hash{})
		var name *NameError
		if !errors.As(err, &name) || name.What != tt.what || got != "" {
			t.Errorf("Path(%q, %q) = %q, %v", tt.queue, tt.id, got, err)
		}
	}
}

func TestIDs(t *testing.T) {
	created := time.Unix(1795340415, 683404_000)
	if got := ShortID(created, 0x9EE74C); got != "A6D8C9EE74C" {
		t.Errorf("ShortID = %q", got)
	}
	if got := LongID(created, 10413900); got != "4jXPFC4rkNz1WTn6" {
		t.Errorf("LongID = %q", got)
	}
}

// FuzzPath: whatever passes stays within the queue, and a long id that we made
// hashes by its microseconds.
func FuzzPath(f *testing.F) {
	f.Add("active", "4jXPFC4rkNz1WTn6", 2, uint32(683404))
	f.Add("deferred", "../../etc/passwd", 1, uint32(0))
	f.Fuzz(func(t *testing.T, queue, id string, depth int, usec uint32) {
		h := Hash{Names: []string{queue}, Depth: depth % 20}
		p, err := Path(queue, id, h)
		if err == nil && (strings.Contains(p, "..") || !strings.HasPrefix(p, queue+"/") || !strings.HasSuffix(p, "/"+id)) {
			t.Errorf("Path(%q, %q) = %q", queue, id, p)
		}
		created := time.Unix(1795340415, int64(usec%1e6)*1000)
		if got, want := hashKey(LongID(created, uint64(usec))), ShortID(created, 0)[:5]; got != want {
			t.Errorf("long id of %d us hashes by %q, want %q", usec%1e6, got, want)
		}
	})
}
