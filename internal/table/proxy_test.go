package table_test

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"postlmtp/internal/lab"
	"postlmtp/internal/table"
)

// startProxymap runs Postfix's proxymap(8) under a stand-in for master(8), and
// returns the path of its socket.
func startProxymap(t *testing.T, settings ...string) string {
	t.Helper()
	out, err := exec.Command(postfixTool(t, "postconf"), "-dh", "daemon_directory").Output()
	if err != nil {
		t.Fatal(err)
	}
	l, err := lab.New("", lab.Options{
		Agent:   filepath.Join(strings.TrimSpace(string(out)), "proxymap"),
		Command: "proxymap",
		Service: "proxymap",
		MainCF:  settings,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, line := range l.Log() {
				t.Log(line)
			}
		}
		l.Close()
	})
	return filepath.Join(l.QueueDirectory(), "private", "proxymap")
}

// TestProxymap: proxymap(8) finds what postmap finds.
func TestProxymap(t *testing.T) {
	hasType(t, "hash")
	g := newGenerator(31)
	path, known := source(t, g, 2000, 300, 2000, false)
	makeMap(t, "hash", path)
	pattern := filepath.Join(t.TempDir(), "pattern")
	write(t, pattern, "/^(a.*)@(.*)/ $2-$1\n/[[:upper:]]/i folded\n/^b/ b\n")
	hash, regexp := "hash:"+path, "regexp:"+pattern
	socket := startProxymap(t, "proxy_read_maps = proxy:"+hash+" proxy:"+regexp)
	log := new(recorder)
	set := table.NewSet(table.Options{Log: log, UTF8: true, ProxymapSocket: socket})
	defer set.Close()

	keys := g.queries(known, false)
	for _, spec := range []string{hash, regexp} {
		want, _ := postmap(t, spec, keys)
		proxied, err := set.Open("proxy:"+spec, postmapFlags|table.Lock)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			value, found, err := proxied.Lookup(context.Background(), key)
			if wanted, known := want[key]; err != nil || found != known || value != wanted {
				t.Fatalf("%s: %q: %q, %v, %v; postmap has %q, %v", spec, key, value, found, err, wanted, known)
			}
		}
		if proxied.Fixed() != (spec == hash) {
			t.Errorf("%s: fixed %v", spec, proxied.Fixed())
		}
	}

	denied, err := set.Open("proxy:static:x", postmapFlags)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = denied.Lookup(context.Background(), "key")
	const text = "proxymap service is not configured for table \"static:x\""
	if err == nil || err.Error() != "proxy:static:x: "+text {
		t.Errorf("denied: %v", err)
	}
	if last := log.lines[len(log.lines)-1]; last != "warning: proxy:static:x is unavailable. "+text {
		t.Errorf("log: %s", last)
	}

	// The form of the protocol is found out.
	other := table.NewSet(table.Options{Log: log, ProxymapSocket: socket, InstanceFlags: true})
	defer other.Close()
	proxied, err := other.Open("proxy:"+hash, postmapFlags)
	if err != nil {
		t.Fatal(err)
	}
	if _, found, err := proxied.Lookup(context.Background(), known[0]); !found || err != nil {
		t.Errorf("other form: %v, %v", found, err)
	}
}
