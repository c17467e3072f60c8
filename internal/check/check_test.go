package check

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// site is a small configuration.
type site struct {
	main, master string            // further lines
	files        map[string]string // below the directory
	doveconf     string            // what it prints; empty: there is none
	service      string
	prepare      func(t *testing.T, dir string)
}

const usualMaster = "lmtp unix - - n - - lmtp\n"

// write makes the site's files. DIR in any text stands for the directory.
func (s site) write(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "check")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	master := s.master
	if master == "" {
		master = usualMaster
	}
	files := map[string]string{
		"daemon/master": "\x00mail_version=3.7.11\x00", "daemon/lmtp": "", "daemon/postlmtp-lmtp": "",
		"queue/private/.keep": "", "etc/hosts": "192.0.2.1 imap imap.example.com\n",
		"main.cf": "queue_directory = DIR/queue\ndaemon_directory = DIR/daemon\nmail_owner = nobody\nmyhostname = mx.example.com\ncompatibility_level = 3.6\n" +
			"smtputf8_enable = no\n" + s.main,
		"master.cf": master,
	}
	for name, text := range s.files {
		files[name] = text
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if s.prepare != nil {
		s.prepare(t, dir)
	}
	return dir
}

func (s site) run(t *testing.T) (string, []Finding) {
	dir := s.write(t)
	return dir, Run(Options{Dir: dir, Service: s.service, Program: "postlmtp-lmtp", Etc: filepath.Join(dir, "etc"),
		Doveconf: func() (string, error) {
			if s.doveconf == "" {
				return "", errors.New("not installed")
			}
			return strings.ReplaceAll(s.doveconf, "DIR", dir), nil
		}})
}

// socket makes a listening socket below the directory.
func socket(name string, mode os.FileMode) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
}

const dovecotSmall = `protocols = imap lmtp
base_dir = DIR/run
default_process_limit = 100
lmtp_user_concurrency_limit = 10
service imap {
  process_limit = 5
}
service lmtp {
  client_limit = 1
  process_limit = 4
  unix_listener DIR/queue/private/dovecot-lmtp {
    mode = 0600
  }
}
`

func TestFindings(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("not root: the findings about accounts are those of this one")
	}
	private := "virtual_transport = lmtp:unix:private/dovecot-lmtp\n"
	open := socket("queue/private/dovecot-lmtp", 0o666)
	older := func(t *testing.T, dir string) {
		then := time.Now().Add(-time.Hour)
		for _, name := range []string{"table.db", "table.cdb"} {
			if err := os.Chtimes(filepath.Join(dir, name), then, then); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
		}
		if err := os.Chtimes(filepath.Join(dir, "table"), then.Add(time.Minute), then.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name string
		site site
		want string // "PL010 main.cf:7 part of the text | part of the fix"; empty: nothing
	}{
		{"nothing", site{main: private, prepare: open}, ""},
		{"no file", site{prepare: func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, "main.cf")) }}, "PL001 main.cf no such file | correct the file"},
		{"syntax", site{main: "x y\n"}, "PL001 main.cf:7 missing '=' | correct the file"},
		{"value", site{main: "lmtp_mail_timeout = soon\n"}, "PL002 main.cf:7 invalid lmtp_mail_timeout | does not start"},
		{"defined twice", site{main: "lmtp_mail_timeout = 1\nlmtp_mail_timeout = 2\n"}, "PL003 main.cf:8 overriding earlier entry | correct"},
		{"metrics for everybody", site{main: "postlmtp_metrics_listen = 0.0.0.0:9154\n"}, "PL003 main.cf:7 not an address of the loopback interface | look into"},
		{"metrics from nowhere", site{main: "postlmtp_metrics_listen = unix:x\npostlmtp_status_directory =\n"}, "PL003 main.cf:7 postlmtp_status_directory is empty | look into"},
		{"status elsewhere", site{main: "postlmtp_status_directory = /run\n"}, "PL003 main.cf:7 must be below the queue directory | look into"},
		{"line of master.cf", site{master: usualMaster + "lmtp unix -\n"}, "PL004 master.cf:2 missing | passes over"},
		{"words of the service", site{master: "lmtp unix - - n - - lmtp flags=Q\n"}, "PL005 master.cf:1 unknown flags=Q | correct"},
		{"password table", site{main: "lmtp_sasl_auth_enable = yes\n"}, "PL005 master.cf:1 specify a password table | correct what"},
		{"no program", site{master: "lmtp unix - - n - - lmtp\nx unix - - n - - nothing/lmtp\n"}, "PL006 master.cf:2 nothing/lmtp, which does not exist | postlmtp install"},
		{"no service", site{master: "smtp unix - - n - - smtp\n"}, "PL007 master.cf no service delivers by LMTP | postlmtp install"},
		{"no such service", site{service: "cyrus"}, "PL007 master.cf there is no cyrus | postlmtp install"},
		{"release", site{files: map[string]string{"daemon/master": "?"}}, "PL008 main.cf:2 the release of Postfix is not found | daemon_directory"},
		{"misspelt", site{main: "lmtp_conect_timeout = 1s\n"}, "PL010 main.cf:7 lmtp_conect_timeout is no parameter | lmtp_connect_timeout?"},
		{"misspelt, ours", site{main: "postlmtp_process_concurency = 1\n"}, "PL010 main.cf:7 postlmtp_process_concurency | postlmtp_process_concurrency?"},
		{"misspelt prefix", site{main: "lmpt_connect_timeout = 1s\n"}, "PL010 main.cf:7 lmpt_connect_timeout | lmtp_connect_timeout?"},
		{"misspelt in master.cf", site{master: usualMaster + "  -o lmtp_conect_timeout=1s\n"}, "PL010 master.cf:1 lmtp_conect_timeout | lmtp_connect_timeout?"},
		{"somebody's own", site{main: "lmtp_own = 5s\nlmtp_mail_timeout = $lmtp_own\n"}, ""},
		{"of smtp", site{main: "smtp_connect_timeout = 5s\nsmtp_whatever = 1\n"}, ""},
		{"no effect", site{main: "lmtp_tls_session_cache_database = btree:x\n"}, "PL011 main.cf:7 lmtp_tls_session_cache_database | "},
		{"no effect with logins", site{main: "lmtp_sasl_auth_enable = yes\nlmtp_sasl_password_maps = static:a:b\nlmtp_sasl_path = x\n"}, "PL011 main.cf:9 lmtp_sasl_path | nothing needs"},
		{"name of old", site{main: "lmtp_sasl_auth_enforce = yes\n"}, "PL003 main.cf:7 not used any more | "},
		{"limit of nobody", site{main: "ltmp_destination_concurrency_limit = 2\n"}, "PL020 main.cf:7 no service ltmp | lmtp_destination_concurrency_limit?"},
		{"flags", site{master: "lmtp unix - - n - - lmtp flags=DR\n"}, "PL021 master.cf:1 flags=DR needs lmtp_destination_recipient_limit = 1 | postconf -e"},
		{"flags, limited", site{main: "default_destination_recipient_limit = $one\none = 1\n", master: "lmtp unix - - n - - lmtp flags=DR\n"}, ""},
		{"limits of another name", site{main: "lmtp_destination_concurrency_limit = 2\n", master: usualMaster + "golmtp unix - - n - - postlmtp-lmtp\n"},
			"PL022 main.cf:7 does not count for the service golmtp | golmtp_destination_concurrency_limit = $lmtp_destination_concurrency_limit"},
		{"jail", site{main: "virtual_transport = lmtp:unix:DIR/run/lmtp\n", master: "lmtp unix - - y - - lmtp\n", prepare: socket("run/lmtp", 0o666)},
			"PL030 main.cf:7 the service lmtp is chrooted | chroot column"},
		{"jail, below it", site{main: "virtual_transport = lmtp:unix:DIR/queue/private/x\n", master: "lmtp unix - - y - - lmtp\n"},
			"PL030 main.cf:7 chrooted | name it unix:private/x"},
		{"no socket", site{main: private}, "PL031 main.cf:7 queue/private/dovecot-lmtp does not exist | unix_listener"},
		{"socket of others", site{main: private, prepare: socket("queue/private/dovecot-lmtp", 0o600)}, "PL032 main.cf:7 is closed to nobody | right to write"},
		{"directory of others", site{main: private, prepare: func(t *testing.T, dir string) {
			open(t, dir)
			os.Chmod(filepath.Join(dir, "queue/private"), 0o700)
		}}, "PL032 main.cf:7 queue/private is closed to nobody | right to search"},
		{"no socket but a file", site{main: "virtual_transport = lmtp:unix:file\n", prepare: func(t *testing.T, dir string) {
			os.WriteFile(filepath.Join(dir, "queue/file"), nil, 0o666)
			os.Chmod(filepath.Join(dir, "queue/file"), 0o666)
		}}, "PL033 main.cf:7 queue/file is a file | name the socket"},
		{"hosts file", site{main: "relay_transport = lmtp:inet:imap:24\n"}, "PL034 main.cf:7 imap is in the hosts file (192.0.2.1) | native"},
		{"hosts file, native", site{main: "relay_transport = lmtp:inet:imap:24\nlmtp_host_lookup = native\n"}, ""},
		{"destination", site{main: "relay_transport = lmtp:[::1:24\n"}, "PL040 main.cf:7 relay_transport = lmtp:[::1:24 | a destination is"},
		{"destination in a table", site{main: "transport_maps = texthash:DIR/table\n", files: map[string]string{"table": "# x\nexample.com lmtp:host:port:x\n"}},
			"PL040 table:2 example.com lmtp:host:port:x | a destination is"},
		{"service", site{main: "mailbox_transport = lmpt:unix:x\n"}, "PL041 main.cf:7 no service lmpt | lmtp:unix:x?"},
		{"service in a word of master.cf", site{master: usualMaster + "smtp inet n - - - - smtpd -o content_filter=lmpt:x\n"},
			"PL041 master.cf:2 no service lmpt | lmtp:x?"},
		{"service forgotten", site{main: "mailbox_transport = unix:private/x\n"}, "PL041 main.cf:7 no service unix | lmtp:unix:private/x"},
		{"pattern with a text behind it", site{master: usualMaster + "smtp unix - - n - - smtp\nerror unix - - n - - error\n", main: "transport_maps = pcre:DIR/table\n", files: map[string]string{
			"table": "/^a\\/ b@/i error:5.1.1 no such user here\nif /x y/\n!,c d, smtp:\nendif\n"}}, ""},
		{"pattern with what it matched", site{main: "transport_maps = regexp:DIR/table\n",
			files: map[string]string{"table": "/(.*)/ lmtp:unix:private/$1\n/x(y)/ ${1}:z\n"}}, ""},
		{"sender without a transport", site{main: "sender_dependent_default_transport_maps = texthash:DIR/table\n",
			files: map[string]string{"table": "a@example.com dunno\n"}}, ""},
		{"limits of others", site{main: "smtpd_recipient_limit = 500\nqmgr_message_recipient_limit = 10000\n"}, ""},
		{"service in a table of patterns", site{main: "transport_maps = regexp:DIR/table\n", files: map[string]string{"table": "/^a b/ lmpt:x\n"}}, "PL041 table:1 no service lmpt | "},
		{"old table of transports", site{main: "transport_maps = hash:DIR/table\n", files: map[string]string{"table": "x lmtp:[::1]:24\n", "table.db": ""}, prepare: older},
			"PL050 main.cf:7 table.db is older than | postmap hash:"},
		{"no table of transports", site{main: "transport_maps = proxy:hash:DIR/table\n", files: map[string]string{"table": ""}}, "PL051 main.cf:7 table.db cannot be opened | postmap"},
		{"no table of ours", site{main: "lmtp_generic_maps = hash:DIR/none\n"}, "PL051 main.cf:7 none.db | make the table"},
		{"plain text passwords", site{main: "lmtp_sasl_auth_enable = yes\nlmtp_sasl_password_maps = static:a:b\nlmtp_sasl_security_options =\nrelay_transport = lmtp:[192.0.2.1]:24\n"},
			"PL060 main.cf:9 allows plain-text passwords | encrypt"},
		{"plain text passwords, at home", site{main: "lmtp_sasl_auth_enable = yes\nlmtp_sasl_password_maps = static:a:b\nlmtp_sasl_security_options =\nrelay_transport = lmtp:[127.0.0.1]:24\n"}, ""},
		{"TLS and a socket", site{main: private + "lmtp_tls_security_level = may\n", prepare: open}, "PL061 main.cf:8 makes no sense | none"},
		{"TLS, but not for a socket", site{main: private + "lmtp_tls_security_level = may\nlmtp_tls_policy_maps = texthash:DIR/policy\n",
			prepare: open, files: map[string]string{"policy": "private/dovecot-lmtp none\n"}}, ""},
		{"wrapper mode", site{main: "lmtp_tls_wrappermode = yes\n"}, "PL062 main.cf:7 needs lmtp_tls_security_level | encrypt"},
		{"no CA", site{main: "lmtp_tls_security_level = verify\n"}, "PL063 main.cf:7 no CA is trusted | lmtp_tls_CAfile"},
		{"processes of Dovecot", site{main: private, prepare: open, doveconf: strings.ReplaceAll(dovecotSmall, "lmtp_user", "x")}, "PL070 master.cf:1 takes 4 connections | process_limit = 20"},
		{"user limit of Dovecot", site{main: private, prepare: open, doveconf: strings.ReplaceAll(dovecotSmall, "process_limit = 4", "process_limit = 40")}, "PL071 master.cf:1 10 deliveries to one user | bursts"},
		{"no lmtp in Dovecot", site{main: private + "lmtp_destination_concurrency_limit = 4\n", prepare: open,
			doveconf: strings.ReplaceAll(dovecotSmall, "imap lmtp\n", "imap\n")}, "PL072 main.cf:7 does not have lmtp | protocols"},
		{"another socket of Dovecot", site{main: private, prepare: open, doveconf: strings.ReplaceAll(dovecotSmall, "DIR/queue/private/dovecot-lmtp", "lmtp")},
			"PL073 main.cf:7 run/lmtp | unix_listener"},
	}
	seen := map[string]bool{}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir, got := tt.site.run(t)
			number, rest, _ := strings.Cut(tt.want, " ")
			seen[number] = true
			place, rest, _ := strings.Cut(rest, " ")
			text, fix, _ := strings.Cut(rest, " |")
			fix = strings.TrimSpace(fix)
			if tt.want == "" {
				if len(got) > 0 {
					t.Errorf("unexpected: %s", show(got))
				}
				return
			}
			if len(got) != 1 {
				t.Fatalf("%d findings: %s", len(got), show(got))
			}
			f := got[0]
			whole := strings.TrimPrefix(f.Place(), dir+"/") + " " + f.Text
			if f.Number != number || !strings.HasPrefix(whole, place+" ") && f.File != "" || !strings.Contains(whole, text) || !strings.Contains(f.Fix, fix) {
				t.Errorf("got %s\nwant %s", show(got), tt.want)
			}
		})
	}
	for _, k := range Catalogue() {
		if !seen[k.Number] {
			t.Errorf("%s (%s) has no test", k.Number, k.Title)
		}
	}
}

func show(list []Finding) string {
	var b bytes.Buffer
	for _, f := range list {
		fmt.Fprintf(&b, "\n%s %s %s: %s | %s", f.Number, f.Severity, f.Place(), f.Text, f.Fix)
	}
	return b.String()
}

func TestUsers(t *testing.T) {
	for _, tt := range []struct {
		name string
		site site
		want string // part of the one that is found, empty for none
	}{
		{"nobody", site{main: "lmtp_destination_recipient_limit = 1\nx = notlmtp:y lmtp\n"}, ""},
		{"transport", site{main: "relay_transport = lmtp:inet:x\n"}, "main.cf:7: relay_transport = lmtp:inet:x"},
		{"name alone", site{main: "relay_transport = lmtp\n"}, "main.cf:7: relay_transport = lmtp"},
		{"table", site{main: "transport_maps = texthash:DIR/table\n", files: map[string]string{"table": "a lmtp:inet:x\n"}}, "table:1: a lmtp:inet:x"},
		{"word of master.cf", site{master: usualMaster + "smtp inet n - - - - smtpd -o content_filter=lmtp:inet:x\n"}, "master.cf:2: -o content_filter=lmtp:inet:x"},
		{"table without a file", site{main: "transport_maps = static:lmtp:inet:x\n"}, "main.cf:7: transport_maps = static:lmtp:inet:x"},
		{"table in line", site{main: "transport_maps = inline:{{a.example = lmtp:inet:x}}\n"}, "main.cf:7: transport_maps = inline:"},
		{"filter", site{main: "smtpd_client_restrictions = check_client_access static:{FILTER lmtp:inet:x}\n"}, "main.cf:7: smtpd_client_restrictions"},
		{"restrictions in master.cf", site{master: usualMaster + "smtp inet n - - - - smtpd\n -o { smtpd_client_restrictions = check_client_access static:{FILTER lmtp:inet:x} }\n"},
			"master.cf:2: -o smtpd_client_restrictions"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := tt.site.write(t)
			got := strings.ReplaceAll(strings.Join(Users(dir, "lmtp"), "\n"), dir+"/", "")
			if tt.want == "" && got != "" || !strings.HasPrefix(got, tt.want) || strings.Contains(got, "\n") {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"lmtp", "lmtp", 0}, {"lmpt", "lmtp", 1}, {"ltmp", "lmtp", 1}, {"lmt", "lmtp", 1}, {"smtp", "lmtp", 1}, {"a", "bcd", 3}} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("%s %s: %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestCatalogue(t *testing.T) {
	var last string
	for _, k := range Catalogue() {
		if k.Number <= last || k.Title == "" {
			t.Errorf("%s after %s", k.Number, last)
		}
		last = k.Number
	}
	if !slices.IsSortedFunc(Catalogue(), func(a, b Kind) int { return strings.Compare(a.Number, b.Number) }) {
		t.Error("not in order")
	}
}

// FuzzSources: no source of a table, and nothing that doveconf prints, breaks
// the reader.
func FuzzSources(f *testing.F) {
	f.Add("a b\n  c\n/x/ y:z\n# c\n")
	f.Add(dovecotSmall)
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "table")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, kind := range []string{"texthash:", "pcre:"} {
			for _, e := range source(kind + path) {
				if e.value == "" || e.line == 0 {
					t.Errorf("%+v", e)
				}
			}
		}
		parseDovecot(text).listeners()
	})
}
