package master

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseInvocation(t *testing.T) {
	const dir = "/usr/lib/postfix/sbin/lmtp"
	base := Invocation{Service: "lmtp", Transport: "unix", Sockets: 1, FlagsWord: "flags="}
	with := func(change func(*Invocation)) Invocation {
		inv := base
		change(&inv)
		return inv
	}
	for _, c := range []struct {
		name string
		argv []string
		env  []string
		want Invocation
	}{
		{"plain", []string{"lmtp", "-t", "unix"}, nil, base},
		{"path", []string{dir, "-t", "unix"}, nil, base},
		{"as master does it", []string{"lmtp", "-n", "out", "-t", "UNIX", "-u", "-c", "-v", "-o", "a=b", "-o", " c = d e ", "flags=DX"},
			[]string{"MAIL_CONFIG=/etc/postfix", "MAIL_LOGTAG=postfix-1", "LANG=C", "GENERATION=17",
				"POSTLOG_SERVICE=/var/spool/postfix/public/postlog", "POSTLOG_HOSTNAME=mail.example.com"},
			with(func(i *Invocation) {
				i.Service, i.Unprivileged, i.Chroot, i.Verbose = "out", true, true, 1
				i.Overrides = []Override{{"a", "b"}, {"c", "d e"}}
				i.Flags, i.FlagsWord = Flags{DeliveredTo: true, Final: true}, "flags=DX"
				i.ConfigDirectory, i.LogTag, i.Generation = "/etc/postfix", "postfix-1", 15
				i.PostlogService, i.PostlogHostname = "/var/spool/postfix/public/postlog", "mail.example.com"
			})},
		{"joined letters and values", []string{"lmtp", "-lzcuvvtinet", "-s3", "-ox="}, []string{"MAIL_VERBOSE=", "MAIL_DEBUG="},
			with(func(i *Invocation) {
				i.Alone, i.Unlimited, i.Chroot, i.Unprivileged, i.Transport, i.Sockets = true, true, true, true, "inet", 3
				i.Verbose, i.Debug, i.Overrides = 3, true, []Override{{"x", ""}}
			})},
		{"order of overrides", []string{"lmtp", "-t", "unix", "-m", "5", "-o", "max_use=7", "-i", "10s", "-r", "3600", "-d", "-D", "-V"}, nil,
			with(func(i *Invocation) {
				i.Overrides = []Override{{"max_use", "5"}, {"max_use", "7"}, {"max_idle", "10s"}}
				i.Retire, i.NoDetach, i.Debug, i.Stderr = time.Hour, true, true, true
			})},
		{"last flags win", []string{"lmtp", "-t", "unix", "FLAGS=DORX", "Flags=R"}, nil,
			with(func(i *Invocation) { i.Flags, i.FlagsWord = Flags{ReturnPath: true}, "Flags=R" })},
		{"dashes end options", []string{"lmtp", "-t", "unix", "--", "flags=O"}, nil,
			with(func(i *Invocation) { i.Flags, i.FlagsWord = Flags{OrigRcpt: true}, "flags=O" })},
		{"one shot", []string{"lmtp", "-S"}, nil,
			with(func(i *Invocation) { i.OneShot, i.Transport = true, "" })},
		{"worker", []string{"lmtp", "-t", "unix"}, []string{"POSTLMTP_CONTROL=7", "POSTLMTP_BOUND=20"},
			with(func(i *Invocation) { i.Control, i.Bound = 7, 20 })},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.want.Argv = c.argv
			got, err := ParseInvocation(c.argv, c.env)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestParseInvocationErrors(t *testing.T) {
	for _, c := range []struct {
		words, env []string
		want       string
	}{
		{[]string{"-x"}, nil, "invalid option: x"},
		{[]string{"-cx"}, nil, "invalid option: x"},
		{[]string{"-o"}, nil, "invalid option: o"},
		{[]string{"--chroot"}, nil, "invalid option: -"},
		{[]string{"--c"}, nil, "invalid option: -"},
		{[]string{"---c"}, nil, "invalid option: -"},
		{[]string{"-c=yes"}, nil, "invalid option: ="},
		{[]string{"-o", "noequals"}, nil, `invalid "-o noequals" option value: missing '=' after attribute name`},
		{[]string{"-o", "two words=x"}, nil, `invalid "-o two words=x" option value: missing '=' after attribute name`},
		{[]string{"-o", " =x"}, nil, `invalid "-o  =x" option value: missing attribute name`},
		{[]string{"-o", "  "}, nil, `invalid "-o   " option value: missing attribute name`},
		{[]string{"-s", "0"}, nil, "invalid socket_count: 0"},
		{[]string{"-s", "many"}, nil, "invalid socket_count: many"},
		{[]string{"-s", "99999999999999999999"}, nil, "invalid socket_count: 99999999999999999999"},
		{[]string{"-r", "-1"}, nil, "invalid retirement time: -1"},
		{[]string{"-t", "pass"}, nil, "unsupported transport type: pass"},
		{[]string{"-t", "unix", "hello"}, nil, "unknown attribute name: hello"},
		{[]string{"-t", "unix", "-", "-c"}, nil, "unknown attribute name: -"},
		{[]string{"-t", "unix", "flags"}, nil, "unknown attribute name: flags"},
		{[]string{"-t", "unix", "flags=DZ"}, nil, `unknown flags=DZ value "Z" in "DZ"`},
		{[]string{"-t", "unix", "flags=d"}, nil, `unknown flags=d value "d" in "d"`},
		{[]string{"-t", "unix"}, []string{"GENERATION=8"}, "bad generation: 8"},
		{[]string{"-t", "unix"}, []string{"GENERATION=777777777777"}, "bad generation: 777777777777"},
		{[]string{"-t", "unix"}, []string{"POSTLMTP_CONTROL=2"}, "bad POSTLMTP_CONTROL: 2"},
		{[]string{"-t", "unix"}, []string{"POSTLMTP_CONTROL=7", "POSTLMTP_BOUND=many"}, "bad POSTLMTP_BOUND: many"},
	} {
		_, err := ParseInvocation(append([]string{"lmtp"}, c.words...), c.env)
		if err == nil || err.Error() != c.want {
			t.Errorf("%q: got %v, want %s", c.words, err, c.want)
		}
	}
	for _, words := range [][]string{nil, {"-h"}, {"--help"}, {"-v"}} {
		_, err := ParseInvocation(append([]string{"lmtp"}, words...), nil)
		var byHand *ByHandError
		if !errors.As(err, &byHand) || !strings.Contains(err.Error(), "postlmtp demo") {
			t.Errorf("%q: got %v, want a ByHandError", words, err)
		}
	}
	if _, err := ParseInvocation(nil, nil); err == nil {
		t.Error("no words at all: no error")
	}
}

func FuzzParseInvocation(f *testing.F) {
	f.Add("-t\nunix\n-o\na = b\nflags=DORX", "GENERATION=17\nMAIL_CONFIG=/etc")
	f.Add("-lzcuvvtinet\n-s3", "")
	f.Fuzz(func(t *testing.T, words, env string) {
		inv, err := ParseInvocation(append([]string{"lmtp"}, strings.Split(words, "\n")...), strings.Split(env, "\n"))
		if err != nil {
			return
		}
		if inv.Sockets < 1 || inv.Sockets > maxSockets || (!inv.OneShot && inv.Transport != "unix" && inv.Transport != "inet") {
			t.Errorf("%q: odd result %+v", words, inv)
		}
		for _, o := range inv.Overrides {
			if o.Name == "" || strings.ContainsAny(o.Name, "= \t\n") {
				t.Errorf("%q: odd name %q", words, o.Name)
			}
		}
	})
}
