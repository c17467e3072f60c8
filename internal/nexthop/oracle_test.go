package nexthop_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"
	"testing"
	"time"

	"postlmtp/internal/dns"
	"postlmtp/internal/dsn"
	"postlmtp/internal/lab"
	"postlmtp/internal/lab/lacking"
	"postlmtp/internal/nexthop"
	"postlmtp/internal/request"
)

// postfixLab is a lab with the machine's own lmtp(8), to compare with.
func postfixLab(t *testing.T) *lab.Lab {
	t.Helper()
	const agent = "/usr/lib/postfix/sbin/lmtp"
	why := ""
	if _, err := os.Stat(agent); err != nil {
		why = "Debian's package postfix"
	} else if os.Geteuid() != 0 {
		why = "root"
	} else if _, err := user.Lookup("postfix"); err != nil {
		why = "the user postfix"
	}
	if why != "" {
		lacking.Stop(t, why)
	}
	l, err := lab.New("", lab.Options{Agent: agent, User: "postfix", ThrottleTime: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// postfixSays delivers a message to a destination where it cannot go, and
// returns the status and the reason.
func postfixSays(t *testing.T, l *lab.Lab, destination string) (said string, err error) {
	t.Helper()
	req, err := l.Queue(lab.Message{Sender: "sender@example.com", Content: "Subject: x\n\nx\n",
		Recipients: []request.Recipient{{Address: "user@example.com", Original: "user@example.com"}}})
	if err != nil {
		t.Fatal(err)
	}
	req.Nexthop = destination
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := l.Deliver(ctx, req); err != nil {
		return "", err
	}
	for _, r := range l.Records() {
		if r.Get("queue_id") == req.QueueID && (r.Service == "defer" || r.Service == "bounce") {
			return r.Get("status") + " " + r.Get("reason"), nil
		}
	}
	return "nothing", nil
}

// weSay returns the same from this package.
func weSay(t *testing.T, parser nexthop.Parser, o nexthop.Options, destination string) string {
	t.Helper()
	diagnosis := func(err error) string {
		var bad *nexthop.DestinationError
		var lookup *nexthop.LookupError
		var dial *nexthop.DialError
		d := dsn.Diagnosis{Reason: fmt.Sprint(err)}
		switch {
		case errors.As(err, &lookup):
			d = lookup.Diagnosis
		case errors.As(err, &bad):
			d = bad.Diagnosis
		case errors.As(err, &dial):
			d = dial.Diagnosis
		}
		return d.Status + " " + d.Reason
	}
	n, err := parser.Parse(destination)
	if err != nil {
		return diagnosis(err)
	}
	endpoints := []nexthop.Endpoint{n.Unix()}
	if !n.IsUnix() {
		last := n.Elements[len(n.Elements)-1]
		if endpoints, err = nexthop.NewResolver(o).Resolve(t.Context(), last, false); err != nil {
			return diagnosis(err)
		}
	}
	conn, err := nexthop.Dial(t.Context(), endpoints[len(endpoints)-1], nexthop.DialOptions{})
	if err != nil {
		return diagnosis(err)
	}
	conn.Close()
	return "connected"
}

func options(t *testing.T) nexthop.Options {
	t.Helper()
	system, err := dns.NewSystem("/etc")
	if err != nil {
		t.Fatal(err)
	}
	return nexthop.Options{Names: dns.New(system, dns.Options{}), Source: system, DNS: true, IPv4: true, IPv6: true}
}

// The words for what goes wrong are those of Postfix.
func TestTextsOfPostfix(t *testing.T) {
	l := postfixLab(t)
	t.Chdir(l.QueueDirectory())
	parser := nexthop.Parser{MyHostname: lab.Hostname, DefaultService: "24"}
	file := l.Dir() + "/file"
	if err := errors.Join(os.WriteFile(file, nil, 0o666), os.Chmod(file, 0o666)); err != nil {
		t.Fatal(err)
	}
	// The lab has inet_protocols = ipv4 and lmtp_host_lookup = native.
	native, all, both := options(t), options(t), options(t)
	native.DNS, native.Native, native.IPv6 = false, true, false
	all.Support = nexthop.Disabled
	both.Native, both.IPv6 = true, false
	tests := []struct {
		settings    []string
		o           nexthop.Options
		destination string
	}{
		{nil, native, "unix:private/none"},
		{nil, native, "unix:" + file},
		{nil, native, "unix:" + file + "/x"},
		{nil, native, "unix:" + strings.Repeat("x", 107)},
		{nil, native, "unix:" + strings.Repeat("x", 108)},
		{nil, native, "inet:127.0.0.1:1"},
		{nil, native, "inet:[127.0.0.1]:1"},
		{nil, native, "127.0.0.1:2, 127.0.0.1:1"},
		{nil, native, "localhost:1"},
		{nil, native, "[::1]:1"},
		{[]string{"inet_protocols = all"}, all, "[::1]:1"},
		{[]string{"inet_protocols = all"}, all, "[ipv6:::1]:1"},
		{[]string{"lmtp_host_lookup = dns"}, four(options(t)), "[::1]:1"},
		{[]string{"lmtp_host_lookup = dns, native"}, both, "[::1]:1"},
	}
	for _, tt := range tests {
		if err := errors.Join(l.Configure(tt.settings), l.Reload()); err != nil {
			t.Fatal(err)
		}
		want, err := postfixSays(t, l, tt.destination)
		if err != nil {
			t.Fatal(err)
		}
		if got := weSay(t, parser, tt.o, tt.destination); got != want {
			t.Errorf("%s %v:\n we say  %s\n Postfix %s", tt.destination, tt.settings, got, want)
		}
	}
}

func four(o nexthop.Options) nexthop.Options {
	o.IPv6 = false
	return o
}

// What ends Postfix's agent has the same words in ours.
func TestFatalTextsOfPostfix(t *testing.T) {
	l := postfixLab(t)
	parser := nexthop.Parser{DefaultService: "24"}
	// Each costs the second that Postfix's programs sleep before they die.
	for _, destination := range []string{
		"host:65536", "host:24x", "host:no-such", "[host]x", "2001:db8::1", "127.0.0.1:1,host:0",
	} {
		n, err := parser.Parse(destination)
		if err != nil {
			t.Fatal(err)
		}
		text := n.Err().(*nexthop.DestinationError).Diagnosis.Reason
		said, err := "", lab.ErrThrottled
		for errors.Is(err, lab.ErrThrottled) && len(l.Grep("fatal: "+text)) == 0 {
			said, err = postfixSays(t, l, destination)
		}
		if err == nil {
			t.Errorf("%s: we say %s\n Postfix %s", destination, text, said)
		}
		if lines := l.Grep("fatal: " + text); len(lines) == 0 {
			t.Errorf("%s: we say %q, Postfix does not; log:\n%v", destination, text, l.Grep("fatal"))
		}
	}
}
