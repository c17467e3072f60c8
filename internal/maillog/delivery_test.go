package maillog

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The table of roundings that Postfix prints (delay_logging_resolution_limit).
func TestFormatDelay(t *testing.T) {
	for _, c := range []struct {
		in    string
		limit int
		want  string
	}{
		{"0s", 2, "0"},
		{"0.0004s", 2, "0"},
		{"0.0049s", 2, "0"},
		{"0.005s", 2, "0.01"},
		{"0.0051s", 2, "0.01"},
		{"0.014s", 2, "0.01"},
		{"0.099s", 2, "0.1"},
		{"0.123s", 2, "0.12"},
		{"0.996s", 2, "1"},
		{"0.999999s", 2, "1"},
		{"1s", 2, "1"},
		{"1.04s", 2, "1"},
		{"1.05s", 2, "1.1"},
		{"1.25s", 2, "1.3"},
		{"9.94s", 2, "9.9"},
		{"9.96s", 2, "10"},
		{"10.4s", 2, "10"},
		{"10.5s", 2, "11"},
		{"99.5s", 2, "100"},
		{"12345.678s", 2, "12346"},
		{"0.00012s", 6, "0.00012"},
		{"0.000001s", 6, "0.000001"},
		{"0.0000009s", 6, "0"},
		{"0.012345s", 6, "0.012"},
		{"0.5s", 0, "1"},
		{"0.4s", 0, "0"},
		{"0.06s", 1, "0.1"},
		{"0.04s", 1, "0"},
		{"-5s", 2, "0"},
		{"0.123s", 99, "0.12"},
		{"0.6s", -1, "1"},
	} {
		d, err := time.ParseDuration(c.in)
		if err != nil {
			t.Fatal(err)
		}
		if got := FormatDelay(d, c.limit); got != c.want {
			t.Errorf("%s, limit %d: got %s, want %s", c.in, c.limit, got, c.want)
		}
	}
	if got := FormatDelay(math.MaxInt64, 6); got != "9223372037" {
		t.Errorf("longest: got %s", got)
	}
}

// Whatever the delay, the text is near it, short, and without needless digits.
func FuzzFormatDelay(f *testing.F) {
	f.Add(int64(996*time.Millisecond), 2)
	f.Fuzz(func(t *testing.T, ns int64, limit int) {
		d := time.Duration(ns)
		text := FormatDelay(d, limit)
		got, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatalf("%v: %q is no number", d, text)
		}
		want := max(d, 0).Seconds()
		limit = min(max(limit, 0), 6)
		if tolerance := max(want*0.051, 0.51*math.Pow10(-limit)+1e-6); math.Abs(got-want) > tolerance {
			t.Errorf("%v, limit %d: %q is too far off", d, limit, text)
		}
		if _, decimals, ok := strings.Cut(text, "."); ok {
			if len(decimals) == 0 || len(decimals) > limit || strings.HasSuffix(decimals, "0") {
				t.Errorf("%v, limit %d: %q has odd decimals", d, limit, text)
			}
		}
	})
}

func TestDeliveryLine(t *testing.T) {
	full := DeliveryLine{
		QueueID: "4bKxyz0abcz1", To: "user@example.net", OrigTo: "alias@example.net",
		Relay: "mail.example.net[192.0.2.1]:24", ReuseCount: 4,
		Delay: 1250 * time.Millisecond, A: 14 * time.Millisecond, B: 5100 * time.Microsecond,
		C: 99 * time.Millisecond, D: 1130 * time.Millisecond,
		TLS: "may:none", DSN: "2.0.0", Status: "sent",
		Text: "250 2.0.0 <user@example.net> abc Saved",
	}
	same := full
	same.OrigTo, same.ReuseCount, same.TLS, same.Relay = "User@Example.NET", 0, "", "mail.example.net[private/dovecot-lmtp]"
	refused := DeliveryLine{
		QueueID: "A6D8C9EE74C", To: `"u 1"@example.net`, Delay: -time.Second, A: time.Millisecond,
		DSN: "4.4.1", Status: "deferred",
		Text: "connect to mail.example.net[192.0.2.1]:24: Connection refused",
	}
	for _, c := range []struct {
		line DeliveryLine
		want string
	}{
		{full, "4bKxyz0abcz1: to=<user@example.net>, orig_to=<alias@example.net>, relay=mail.example.net[192.0.2.1]:24, conn_use=5, delay=1.3, delays=0.01/0.01/0.1/1.1, tls=may:none, dsn=2.0.0, status=sent (250 2.0.0 <user@example.net> abc Saved)"},
		{same, "4bKxyz0abcz1: to=<user@example.net>, relay=mail.example.net[private/dovecot-lmtp], delay=1.3, delays=0.01/0.01/0.1/1.1, dsn=2.0.0, status=sent (250 2.0.0 <user@example.net> abc Saved)"},
		{refused, `A6D8C9EE74C: to=<"u 1"@example.net>, relay=none, delay=0, delays=0/0/0/0, dsn=4.4.1, status=deferred (connect to mail.example.net[192.0.2.1]:24: Connection refused)`},
	} {
		var out bytes.Buffer
		l := ToWriter(&out, "postfix/lmtp")
		l.Delivery(c.line)
		_, got, _ := strings.Cut(out.String(), "]: ")
		if got != c.want+"\n" {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
	Discard().Delivery(full)
}
