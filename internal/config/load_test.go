package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postlmtp/internal/maincf"
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

func TestLoadOverrides(t *testing.T) {
	overrides := []maincf.Override{{Name: "lmtp_tcp_port", Value: "1"}, {Name: "a", Value: "x"}, {Name: "lmtp_tcp_port", Value: "2"}}
	c, _, err := load(t, "lmtp_tcp_port = 0\nlmtp_lhlo_name = $a.$service_name.$process_name\nservice_name = no\n",
		Options{Overrides: overrides, Service: "archive", Process: "lmtp2"})
	if err != nil {
		t.Fatal(err)
	}
	if c.LMTP.TCPPort != "2" || c.LMTP.LHLOName != "x.archive.lmtp2" || c.ServiceName != "archive" {
		t.Errorf("got %q %q %q", c.LMTP.TCPPort, c.LMTP.LHLOName, c.ServiceName)
	}
	if !c.IsSet("lmtp_tcp_port") || !c.IsSet("a") || c.IsSet("max_use") {
		t.Error("IsSet is wrong")
	}
	if file, line := c.Origin("lmtp_tcp_port"); file != "" || line != 0 {
		t.Errorf("origin of an override: %s %d", file, line)
	}
	if file, line := c.Origin("lmtp_lhlo_name"); filepath.Base(file) != "main.cf" || line != 2 {
		t.Errorf("origin: %s %d", file, line)
	}
	for name, want := range map[string]string{"a": "x", "max_use": "100", "lmtp_lhlo_name": "x.archive.lmtp2"} {
		if got, ok := c.Text(name); !ok || got != want {
			t.Errorf("Text(%s) = %q, %v", name, got, ok)
		}
	}
	if text, ok := c.Text("nosuch"); ok {
		t.Errorf("Text of nothing: %q", text)
	}
}

// All mistakes are found in one go, each with its place, and the value that
// is left is usable.
func TestLoadErrors(t *testing.T) {
	c, warnings, err := load(t, `max_use = none
compatibility_level = x
lmtp_lhlo_timeout = ?
soft_bounce = perhaps
lmtp_lhlo_name = ${
a = 1
a = 2
postlmtp_process_concurrency = -1
`, Options{Overrides: []maincf.Override{{Name: "lmtp_quit_timeout", Value: "0", File: "master.cf", Line: 9}}})
	var list Errors
	if !errors.As(err, &list) {
		t.Fatalf("error %v", err)
	}
	want := map[string]struct {
		line int
		text string
	}{
		"compatibility_level":          {2, `malformed compatibility level syntax: "x"`},
		"max_use":                      {1, "bad numerical configuration: max_use = none"},
		"lmtp_lhlo_timeout":            {3, "parameter lmtp_lhlo_timeout: bad time value or unit: ?"},
		"soft_bounce":                  {4, "bad boolean configuration: soft_bounce = perhaps"},
		"lmtp_lhlo_name":               {5, "dictionary mail_dict: macro processing error"},
		"lmtp_quit_timeout":            {9, "invalid lmtp_quit_timeout: 0 (min 1)"},
		"postlmtp_process_concurrency": {8, "invalid postlmtp_process_concurrency parameter value -1 < 0"},
	}
	for _, e := range list {
		w := want[e.Param]
		if e.Text != w.text || e.Line != w.line || e.File == "" {
			t.Errorf("%s: %q at %s:%d", e.Param, e.Text, e.File, e.Line)
		}
		delete(want, e.Param)
	}
	if len(want) > 0 {
		t.Errorf("not found: %v", want)
	}
	if !strings.Contains(err.Error(), "none; ") {
		t.Errorf("Error() = %q", err)
	}
	var one *Error
	if !errors.As(err, &one) || one != list[0] {
		t.Error("errors.As does not find a single mistake")
	}
	if c.MaxUse != 100 || c.LMTP.LHLOTimeout != 300*time.Second || c.LMTP.LHLOName != "mail.example.org" || c.LMTP.QuitTimeout != 300*time.Second {
		t.Errorf("values after mistakes: %+v", c.LMTP)
	}
	if len(warnings) != 1 || !strings.HasSuffix(warnings[0].Text, "line 7: overriding earlier entry: a=1") {
		t.Errorf("warnings %v", warnings)
	}
}

func TestLoadNoFile(t *testing.T) {
	c, _, err := Load(Options{Dir: t.TempDir()})
	if c != nil || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, %v", c, err)
	}
}

func TestDefaultsByRelease(t *testing.T) {
	for _, test := range []struct{ version, protocols, digest string }{
		{"3.5.27", "!SSLv2, !SSLv3", "md5"},
		{"3.6.0", ">=TLSv1", "sha256"},
		{"3.7.11", ">=TLSv1", "sha256"},
		{"3.12-20260821", ">=TLSv1", "sha256"},
		{"", ">=TLSv1", "sha256"},
		{"strange", ">=TLSv1", "sha256"},
	} {
		c, _, err := load(t, "compatibility_level = 3.6\n", Options{MailVersion: test.version})
		if err != nil {
			t.Fatal(err)
		}
		if c.LMTP.TLSProtocols != test.protocols || c.LMTP.TLSFingerprintDigest != test.digest || c.MailVersion != test.version {
			t.Errorf("%s: %q, %q, %q", test.version, c.LMTP.TLSProtocols, c.LMTP.TLSFingerprintDigest, c.MailVersion)
		}
	}
	c, _, err := load(t, "", Options{Defaults: map[string]string{"queue_directory": "/q", "daemon_directory": "/d"}})
	if err != nil || c.QueueDirectory != "/q" || c.DaemonDirectory != "/d" {
		t.Errorf("built-in defaults: %v", err)
	}
}

func TestHostname(t *testing.T) {
	for _, test := range []struct{ main, machine, host, domain string }{
		{"", "a.example.com", "a.example.com", "example.com"},
		{"", "a", "a.localdomain", "localdomain"},
		{"mydomain = example.net", "a", "a.example.net", "example.net"},
		{"mydomain = example.net", "a.example.com", "a.example.com", "example.net"},
		{"myhostname = b", "a.example.com", "b", "localdomain"},
		{"myhostname = b.c.d", "a", "b.c.d", "c.d"},
		{"d = example.org\nmydomain = $d", "a", "a.example.org", "example.org"},
		{"h = b.example.org\nmyhostname = $h", "a", "b.example.org", "example.org"},
	} {
		c, _, err := load(t, test.main+"\n", Options{Hostname: test.machine})
		if err != nil || c.MyHostname != test.host || c.MyDomain != test.domain {
			t.Errorf("%q on %s: %s, %s, %v", test.main, test.machine, c.MyHostname, c.MyDomain, err)
		}
	}
	// Values that refer to each other do not loop.
	if c, _, err := load(t, "myhostname = $mydomain\n", Options{Hostname: "a"}); err != nil || c.MyHostname != "localdomain" {
		t.Errorf("myhostname from mydomain: %v", err)
	}
	for _, main := range []string{"mydomain = $myhostname", "mydomain = $myhostname\nmyhostname = $mydomain"} {
		if _, _, err := load(t, main+"\n", Options{Hostname: "a"}); err == nil {
			t.Errorf("%q: no error", main)
		}
	}
}

func TestServiceOptions(t *testing.T) {
	dir := t.TempDir()
	master := `lmtp unix - - n - - lmtp -o a=1
other unix - - n - 3 lmtp -m 7
  -o { lmtp_lhlo_name = x.example } -v
wrong unix - - n - - lmtp -o novalue
`
	if err := os.WriteFile(filepath.Join(dir, "master.cf"), []byte(master), 0o600); err != nil {
		t.Fatal(err)
	}
	o, warnings, err := ServiceOptions(Options{Dir: dir, Overrides: []maincf.Override{{Name: "z", Value: "9"}}}, "other", "")
	if err != nil || len(warnings) > 0 || o.Service != "other" || o.Process != "lmtp" {
		t.Fatalf("%+v, %v, %v", o, warnings, err)
	}
	path := filepath.Join(dir, "master.cf")
	want := []maincf.Override{{Name: "max_use", Value: "7", File: path, Line: 2},
		{Name: "lmtp_lhlo_name", Value: "x.example", File: path, Line: 2}, {Name: "z", Value: "9"}}
	if d := cmp.Diff(want, o.Overrides); d != "" {
		t.Error(d)
	}
	if _, _, err := ServiceOptions(Options{Dir: dir}, "other", "inet"); err == nil {
		t.Error("found a service of another type")
	}
	var fe *maincf.FileError
	if _, _, err := ServiceOptions(Options{Dir: dir}, "wrong", ""); !errors.As(err, &fe) || fe.Line != 4 {
		t.Errorf("bad option: %v", err)
	}
	if _, _, err := ServiceOptions(Options{Dir: t.TempDir()}, "lmtp", ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no master.cf: %v", err)
	}
}

func TestInstalledVersion(t *testing.T) {
	dir := t.TempDir()
	for _, test := range []struct{ program, want string }{
		{"xx\x00mail_version=3.7.11\x00yy", "3.7.11"},
		{"mail_version=%s\x00mail_version=\x00mail_version=3.12-20260821", "3.12-20260821"},
		{"mail_version=x", ""},
		{"", ""},
		{"\x7fELF\x00start\x003.11.7\x00GLIBC_2.4\x00127.0.0.1\x003.11.7\x00", "3.11.7"},
		{"x\x003.12-20260821\x00", "3.12-20260821"},
		{"x\x003.12-20260821-nonprod\x00", "3.12-20260821-nonprod"},
		{"x\x003.11.0-RC1\x00", "3.11.0-RC1"},
		{"x\x003.11.7\x002.34\x00", ""}, // which of them?
	} {
		if err := os.WriteFile(filepath.Join(dir, "master"), []byte(test.program), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := InstalledVersion(dir); got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%q: %q, %v", test.program, got, err)
		}
	}
	_, lmtp, version := needPostfix(t)
	if got, err := InstalledVersion(filepath.Dir(lmtp)); got != version || err != nil {
		t.Errorf("installed: %q, %v, want %q", got, err, version)
	}
}
