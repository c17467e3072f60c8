package maincf

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseMaster(t *testing.T) {
	const in = `# service type  private unpriv  chroot  wakeup  maxproc command + args
smtp      inet  n       -       y       -       -       smtpd
127.0.0.1:2525 inet n   -       n       -       0       smtpd
    -o smtpd_x=1
pickup    unix  n       -       y       60      1       pickup
qmgr      unix  n       -       n       300     1       qmgr
tlsmgr    unix  -       -       y       1000?   1       tlsmgr
lmtp      unix  -       -       y       -       -       lmtp
  -o lmtp_connect_timeout=5
# comment
  -o { lmtp_sasl_password_maps = static:a b } -o{x=y}

  -v flags=DO
lmtp      unix  -       n       n       -       20      lmtp -olmtp_tcp_port=25
bad       unix  -       -       x       -       -       lmtp
bad       foo   -       -       -       -       -       lmtp
bad       inet  y       -       -       -       -       lmtp
bad       inet  -       -       -       -       -       lmtp
bad       unix  -       -       -       -       many    lmtp
bad       unix  -       -       -       -       -       -
bad       unix  -       -       -       -       -
bad       -     -       -       -       -       -       lmtp
bad
bad       unix  -       -       -       -       -       lmtp { a
bad       unix  -       -       -       -       -       lmtp {a}b
scan	unix	-	-	n	-	10x	dir/smtp
bsmtp     pass  -       -       n       -       -       lmtp
`
	services, warnings, err := ParseMaster(strings.NewReader(in), "m")
	if err != nil {
		t.Fatal(err)
	}
	want := []Service{
		{Name: "smtp", Type: "inet", Private: No, Chroot: Yes, MaxProc: DefaultMaxProc, Command: "smtpd", Line: 2},
		{Name: "127.0.0.1:2525", Type: "inet", Private: No, Chroot: No, MaxProc: 0, Command: "smtpd", Args: []string{"-o", "smtpd_x=1"}, Line: 3},
		{Name: "pickup", Type: "unix", Private: No, Chroot: Yes, Wakeup: 60, MaxProc: 1, Command: "pickup", Line: 5},
		{Name: "qmgr", Type: "unix", Private: No, Chroot: No, Wakeup: 300, MaxProc: 1, Command: "qmgr", Line: 6},
		{Name: "tlsmgr", Type: "unix", Chroot: Yes, Wakeup: 1000, WakeupIfUsed: true, MaxProc: 1, Command: "tlsmgr", Line: 7},
		{Name: "lmtp", Type: "unix", Chroot: Yes, MaxProc: DefaultMaxProc, Command: "lmtp", Line: 8,
			Args: []string{"-o", "lmtp_connect_timeout=5", "-o", "lmtp_sasl_password_maps = static:a b", "-o{x=y}", "-v", "flags=DO"}},
		{Name: "lmtp", Type: "unix", Unprivileged: No, Chroot: No, MaxProc: 20, Command: "lmtp", Line: 14, Args: []string{"-olmtp_tcp_port=25"}},
		{Name: "scan", Type: "unix", Chroot: No, MaxProc: 10, Command: "dir/smtp", Line: 26},
		{Name: "bsmtp", Type: "pass", Chroot: No, MaxProc: DefaultMaxProc, Command: "lmtp", Line: 27},
	}
	for i := range want {
		want[i].File = "m"
	}
	if d := cmp.Diff(want, services); d != "" {
		t.Error(d)
	}
	wantWarnings := []string{
		`m: line 15: field "chroot": bad value: "x"`,
		`m: line 16: bad transport type: foo`,
		`m: line 17: inet service cannot be private`,
		`m: line 18: inet service cannot be private`,
		`m: line 19: field "max_proc": bad value: "many"`,
		`m: line 20: field "command" has no default value`,
		`m: line 21: missing "command" field`,
		`m: line 22: field "transport type" has no default value`,
		`m: line 23: missing "transport type" field`,
		`m: line 24: missing '}' in "{ a"`,
		`m: line 25: syntax error after '}' in "{a}b"`,
	}
	var got []string
	for _, w := range warnings {
		got = append(got, w.Text)
	}
	if d := cmp.Diff(wantWarnings, got); d != "" {
		t.Error(d)
	}

	s, ok := FindService(services, "lmtp", "unix")
	if !ok || s.MaxProc != 20 {
		t.Errorf("FindService: %+v, %v", s, ok)
	}
	if _, ok := FindService(services, "lmtp", "inet"); ok {
		t.Error("found a service of another type")
	}
	if s, ok := FindService(services, "scan", ""); !ok || s.Program() != "smtp" {
		t.Errorf("FindService: %+v, %v", s, ok)
	}
}

func TestSwitch(t *testing.T) {
	if !Unset.Or(true) || Unset.Or(false) || !Yes.Or(false) || No.Or(true) {
		t.Error("Or is wrong")
	}
}

func TestArgOverrides(t *testing.T) {
	for _, test := range []struct {
		args string // separated by |
		want string // name=value, separated by |
		err  string
	}{
		{"", "", ""},
		{"-t|unix|-u|-v|-o|a=b|-o|c = d e|flags=X|-o|x=y", "a=b|c=d e", ""},
		{"-oa=b|-vvoc=d|-vo|e=f", "a=b|c=d|e=f", ""},
		{"-i|5s|-m3|-n|-o|-o|a=1", "max_idle=5s|max_use=3|a=1", ""},
		{"-s|2|-r|x|-o|a=1|-o|a=2", "a=1|a=2", ""},
		{"-o|a=1|--|-o|b=1", "a=1", ""},
		{"-o|a=1|-|-o|b=1", "a=1", ""},
		{"-o", "", "option requires an argument: -o"},
		{"-o|a", "", `invalid "-o a" option value: missing '=' after attribute name`},
	} {
		var args []string
		if test.args != "" {
			args = strings.Split(test.args, "|")
		}
		got, err := ArgOverrides(args, "m", 7)
		var texts []string
		for _, o := range got {
			texts = append(texts, o.Name+"="+o.Value)
			if o.File != "m" || o.Line != 7 {
				t.Errorf("%q: %+v", test.args, o)
			}
		}
		if s := strings.Join(texts, "|"); s != test.want {
			t.Errorf("%q: got %q, want %q", test.args, s, test.want)
		}
		if (err == nil) != (test.err == "") || err != nil && err.Error() != test.err {
			t.Errorf("%q: %v, want %q", test.args, err, test.err)
		}
	}
}

func FuzzParseMaster(f *testing.F) {
	f.Add("a unix - - - 1? 2 c -o { a = b } x\n")
	f.Add("a inet n - - - - c {{}\n  }")
	f.Fuzz(func(t *testing.T, in string) {
		services, _, _ := ParseMaster(strings.NewReader(in), "m")
		for _, s := range services {
			if s.Name == "" || s.Command == "" || s.MaxProc < DefaultMaxProc || s.Wakeup < 0 {
				t.Errorf("%q: %+v", in, s)
			}
			s.Overrides()
		}
	})
}
