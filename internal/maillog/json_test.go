package maillog

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func exampleEvent() DeliveryEvent {
	return DeliveryEvent{
		DeliveryLine: DeliveryLine{
			QueueID: "4bKxyz0abcz1", To: "user@example.net", OrigTo: "alias@example.net",
			Relay: "mail.example.net[192.0.2.1]:24", ReuseCount: 4,
			Delay: 1250 * time.Millisecond, A: 14 * time.Millisecond, B: 5100 * time.Microsecond,
			C: 99 * time.Millisecond, D: -time.Second,
			TLS: "may:none", DSN: "2.0.0", Status: "sent",
			Text: "250 2.0.0 <user@example.net> \"abc\\\" Saved \u00fc \U0001F600\n",
		},
		Time:    time.Date(2026, 11, 22, 1, 2, 3, 4_500_000, time.UTC),
		Service: "lmtp", Sender: "s@example.com", Nexthop: "inet:mail.example.net:24", Size: 1234,
		Connection: "77.3",
	}
}

func TestDeliveryEvent(t *testing.T) {
	full := exampleEvent()
	bare := DeliveryEvent{DeliveryLine: DeliveryLine{QueueID: "A", To: "u@x", OrigTo: "U@X", DSN: "4.4.1", Status: "deferred", Text: "no"},
		Unconfirmed: true}
	for _, c := range []struct {
		event DeliveryEvent
		want  string
	}{
		{full, `{"event":"delivery","time":"2026-11-22T01:02:03.004Z","service":"lmtp","queue_id":"4bKxyz0abcz1",` +
			`"sender":"s@example.com","to":"user@example.net","orig_to":"alias@example.net","size":1234,` +
			`"nexthop":"inet:mail.example.net:24","relay":"mail.example.net[192.0.2.1]:24","connection":"77.3","conn_use":5,` +
			`"delay":1.25,"delays":{"before_qmgr":0.014,"in_qmgr":0.0051,"connection":0.099,"transmission":0},` +
			`"tls":"may:none","dsn":"2.0.0","status":"sent","unconfirmed":false,` +
			`"reply":"250 2.0.0 <user@example.net> \"abc\\\" Saved \u00fc \ud83d\ude00\u000a"}`},
		{bare, `{"event":"delivery","time":"0001-01-01T00:00:00.000Z","service":"","queue_id":"A",` +
			`"sender":"","to":"u@x","size":0,"nexthop":"","relay":"none",` +
			`"delay":0,"delays":{"before_qmgr":0,"in_qmgr":0,"connection":0,"transmission":0},` +
			`"dsn":"4.4.1","status":"deferred","unconfirmed":true,"reply":"no"}`},
	} {
		var out bytes.Buffer
		ToWriter(&out, "postfix/lmtp").DeliveryEvent(c.event)
		_, got, _ := strings.Cut(out.String(), "]: ")
		if got != c.want+"\n" {
			t.Errorf("got  %swant %s", got, c.want)
		}
	}
	Discard().DeliveryEvent(full)
}

// What is too long is cut where the object stays one, and the entry is not cut
// by the log.
func TestDeliveryEventTooLong(t *testing.T) {
	e := exampleEvent()
	for _, s := range []*string{&e.QueueID, &e.To, &e.OrigTo, &e.Relay, &e.TLS, &e.DSN, &e.Status, &e.Text,
		&e.Service, &e.Sender, &e.Nexthop, &e.Connection} {
		*s += strings.Repeat("\U0001F600", 1000)
	}
	var out bytes.Buffer
	ToWriter(&out, "postfix/lmtp").DeliveryEvent(e)
	_, text, _ := strings.Cut(strings.TrimSuffix(out.String(), "\n"), "]: ")
	var got map[string]any
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	reply, _ := got["reply"].(string)
	if got["truncated"] != true || !strings.HasPrefix(e.Text, reply) || len(reply) < 50 {
		t.Errorf("truncated %v, reply %q", got["truncated"], reply)
	}
}

// FuzzDeliveryEvent: whatever comes from servers and senders, the entry is one
// JSON object that fits, and says what it was given.
func FuzzDeliveryEvent(f *testing.F) {
	f.Add("u@example.net", "250 2.0.0 \xff\"\\\u0000ok", "inet:x", int64(5))
	f.Fuzz(func(t *testing.T, to, text, nexthop string, delay int64) {
		e := exampleEvent()
		e.To, e.OrigTo, e.Sender, e.Text, e.Nexthop, e.Relay, e.Delay = to, text, to, text, nexthop, nexthop, time.Duration(delay)
		line := e.Format()
		if len(line) > maxText || printable(line, false) != line {
			t.Fatalf("%d bytes: %q", len(line), line)
		}
		var got struct {
			To, Reply, Nexthop string
			Truncated          bool
			Delay              float64
		}
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		clean := func(s string) string { return string([]rune(s)) }
		if !got.Truncated && (got.To != clean(to) || got.Reply != clean(text) || got.Nexthop != clean(nexthop)) {
			t.Errorf("got %+v of %q %q %q", got, to, text, nexthop)
		}
		if !strings.HasPrefix(clean(to), got.To) || !strings.HasPrefix(clean(text), got.Reply) {
			t.Errorf("got %+v of %q %q", got, to, text)
		}
	})
}
