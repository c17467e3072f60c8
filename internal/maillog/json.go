package maillog

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// DeliveryEvent is what became of one recipient, for programs: what the
// delivery line has, and what it has no room for.
type DeliveryEvent struct {
	DeliveryLine
	Time    time.Time
	Service string // in master.cf
	Sender  string // empty for the null sender
	Nexthop string // the destination as the queue manager has it
	Size    int64  // of the message, as the queue manager counts it
	// Connection names the connection to the server, empty without one: no other
	// of this machine is called so while the process lives.
	Connection string
	// Unconfirmed: the server may have the message without having said so.
	Unconfirmed bool
}

// DeliveryEvent logs e at severity info, as one JSON object.
func (l *Logger) DeliveryEvent(e DeliveryEvent) {
	if l.sock == nil && l.copy == nil {
		return
	}
	l.write(info, e.Format())
}

// How long the parts of the object may be, so that it fits into an entry of the
// log (maxText) as a whole: half an object is of no use. Encoded; the reply has
// what is left, which is at least 70 bytes.
const (
	maxEventWord    = 60
	maxEventPlace   = 200
	maxEventAddress = 240
)

// Format returns the object: ASCII, in one line, at most as long as an entry may
// be. Strings that were too long are cut, and "truncated" says so.
func (e DeliveryEvent) Format() string {
	w := &eventWriter{}
	w.text("event", "delivery", maxEventWord)
	w.text("time", e.Time.UTC().Format("2006-01-02T15:04:05.000Z"), maxEventWord)
	w.text("service", e.Service, maxEventWord)
	w.text("queue_id", e.QueueID, maxEventWord)
	w.text("sender", e.Sender, maxEventAddress)
	w.text("to", e.To, maxEventAddress)
	if e.OrigTo != "" && !strings.EqualFold(e.OrigTo, e.To) {
		w.text("orig_to", e.OrigTo, maxEventAddress)
	}
	w.raw("size", strconv.FormatInt(e.Size, 10))
	w.text("nexthop", e.Nexthop, maxEventPlace)
	w.text("relay", orElse(e.Relay, "none"), maxEventPlace)
	if e.Connection != "" {
		w.text("connection", e.Connection, maxEventWord)
		w.raw("conn_use", strconv.Itoa(e.ReuseCount+1))
	}
	w.raw("delay", eventSeconds(e.Delay))
	w.raw("delays", fmt.Sprintf(`{"before_qmgr":%s,"in_qmgr":%s,"connection":%s,"transmission":%s}`,
		eventSeconds(e.A), eventSeconds(e.B), eventSeconds(e.C), eventSeconds(e.D)))
	if e.TLS != "" {
		w.text("tls", e.TLS, maxEventWord)
	}
	w.text("dsn", e.DSN, maxEventWord)
	w.text("status", e.Status, maxEventWord)
	w.raw("unconfirmed", strconv.FormatBool(e.Unconfirmed))
	const tail = `,"reply":"","truncated":true}`
	w.text("reply", e.Text, maxText-w.b.Len()-len(tail))
	if w.truncated {
		w.raw("truncated", "true")
	}
	w.b.WriteByte('}')
	return w.b.String()
}

// eventSeconds is a time in seconds, exact to the microsecond.
func eventSeconds(d time.Duration) string {
	return strconv.FormatFloat(math.Round(max(d, 0).Seconds()*1e6)/1e6, 'f', -1, 64)
}

// eventWriter writes the members of a JSON object.
type eventWriter struct {
	b         bytes.Buffer
	truncated bool
}

func (w *eventWriter) raw(name, value string) {
	if w.b.Len() == 0 {
		w.b.WriteByte('{')
	} else {
		w.b.WriteByte(',')
	}
	w.b.WriteString(`"` + name + `":` + value)
}

// text writes a string, of which it takes as much as fits into limit when it is
// encoded. What is not ASCII is escaped, so that the log's own hygiene leaves
// the object alone.
func (w *eventWriter) text(name, value string, limit int) {
	w.raw(name, `"`)
	room := limit
	for len(value) > 0 {
		r, size := utf8.DecodeRuneInString(value)
		escaped := escapeRune(r)
		if len(escaped) > room {
			w.truncated = true
			break
		}
		w.b.WriteString(escaped)
		room -= len(escaped)
		value = value[size:]
	}
	w.b.WriteByte('"')
}

// escapeRune returns a character as it stands in a JSON string (RFC 8259
// section 7). Bytes that are no UTF-8 become U+FFFD.
func escapeRune(r rune) string {
	switch {
	case r == '"' || r == '\\':
		return `\` + string(r)
	case r >= ' ' && r < 0x7f:
		return string(r)
	case r > 0xffff:
		r -= 0x10000
		return fmt.Sprintf(`\u%04x\u%04x`, 0xd800+(r>>10), 0xdc00+(r&0x3ff))
	}
	return fmt.Sprintf(`\u%04x`, r)
}
