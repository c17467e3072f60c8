package config

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// load writes main.cf with the given text and loads it.
func load(t *testing.T, main string, o Options) (*Config, []Warning, error) {
	t.Helper()
	o.Dir = t.TempDir()
	if o.Hostname == "" {
		o.Hostname = "mail.example.org"
	}
	if err := os.WriteFile(filepath.Join(o.Dir, "main.cf"), []byte(main), 0o644); err != nil {
		t.Fatal(err)
	}
	return Load(o)
}

func TestLoadDefaults(t *testing.T) {
	c, warnings, err := load(t, "", Options{})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("Load: %v, %v", err, warnings)
	}
	if c.LMTP.DataDoneTimeout != 600*time.Second {
		t.Errorf("lmtp_data_done_timeout = %v", c.LMTP.DataDoneTimeout)
	}
	if c.MyHostname != "mail.example.org" || c.MyDomain != "example.org" || c.LMTP.LHLOName != "mail.example.org" {
		t.Errorf("myhostname = %s, mydomain = %s", c.MyHostname, c.MyDomain)
	}
	if got := c.KnownPorts(); got["lmtp"] != 24 || got["smtps"] != 465 || len(got) != 5 {
		t.Errorf("known_tcp_ports = %v", got)
	}
	if c.SyslogName != "postfix" || c.LMTP.TLSFingerprintDigest != "md5" || c.SMTPUTF8Enable {
		t.Errorf("compatibility level 0: %q %q %v", c.SyslogName, c.LMTP.TLSFingerprintDigest, c.SMTPUTF8Enable)
	}
}
