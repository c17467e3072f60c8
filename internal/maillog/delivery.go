package maillog

import (
	"strconv"
	"strings"
	"time"
)

// DeliveryLine is what became of one recipient: the line that log parsers
// count. The order of its fields is a contract with them.
type DeliveryLine struct {
	QueueID string
	// To and OrigTo are the recipient and the original recipient, without
	// angle brackets, in the form of info_log_address_format. OrigTo is
	// printed if it is not empty and differs from To by more than case.
	To, OrigTo string
	// Relay is "host[address]:port", "host[path]" or "none"; empty counts
	// as "none".
	Relay string
	// ReuseCount is how many deliveries the session had before this one;
	// conn_use= prints one more, and nothing if it is 0.
	ReuseCount int
	// Delay is the total since arrival; A to D are its parts: before the
	// queue manager, in the queue manager, connection set-up, transmission.
	// Negative values count as 0.
	Delay, A, B, C, D time.Duration
	// TLS is the value of tls=, empty for none (before Postfix 3.11).
	TLS string
	// DSN is the three-number status, Status the word after "status=" (sent,
	// deferred, bounced, …), Text the reason that goes into parentheses.
	DSN, Status, Text string
}

// Delivery logs d at severity info. Delays are rounded as
// [Options].DelayResolution says.
func (l *Logger) Delivery(d DeliveryLine) {
	if l.sock == nil && l.copy == nil {
		return
	}
	l.write(info, d.Format(l.resolution))
}

// Format returns the text of the line, before hygiene and cutting, with at
// most resolution decimals in delays.
func (d DeliveryLine) Format(resolution int) string {
	b := make([]byte, 0, 256+len(d.Text))
	b = append(append(append(append(b, d.QueueID...), ": to=<"...), d.To...), '>')
	if d.OrigTo != "" && !strings.EqualFold(d.OrigTo, d.To) {
		b = append(append(append(b, ", orig_to=<"...), d.OrigTo...), '>')
	}
	b = append(append(b, ", relay="...), orElse(d.Relay, "none")...)
	if d.ReuseCount > 0 {
		b = strconv.AppendInt(append(b, ", conn_use="...), int64(d.ReuseCount+1), 10)
	}
	b = appendDelay(append(b, ", delay="...), d.Delay, resolution)
	b = appendDelay(append(b, ", delays="...), d.A, resolution)
	for _, part := range [...]time.Duration{d.B, d.C, d.D} {
		b = appendDelay(append(b, '/'), part, resolution)
	}
	if d.TLS != "" {
		b = append(append(b, ", tls="...), d.TLS...)
	}
	b = append(append(b, ", dsn="...), d.DSN...)
	b = append(append(b, ", status="...), d.Status...)
	b = append(append(append(b, " ("...), d.Text...), ')')
	return string(b)
}

const (
	maxResolution = 6
	million       = int64(1_000_000)
)

// FormatDelay prints d in seconds with at most two significant digits and at
// most resolution decimals (0 to 6, delay_logging_resolution_limit; values
// outside are brought to the nearer end), in Postfix's own rounding: none of
// the usual formats gives the same digits. A negative d counts as 0. What lies
// below a microsecond is ignored.
func FormatDelay(d time.Duration, resolution int) string {
	return string(appendDelay(nil, d, resolution))
}

func appendDelay(b []byte, d time.Duration, resolution int) []byte {
	if d < 0 {
		d = 0
	}
	resolution = min(max(resolution, 0), maxResolution)
	sec, usec := int64(d/time.Second), int64(d%time.Second/time.Microsecond)
	unit := delayUnit(sec, usec, resolution)
	if unit > 1 {
		usec += unit / 2
	}
	if usec >= million {
		sec++
		usec -= million
	}
	b = strconv.AppendInt(b, sec, 10)
	if usec < unit {
		return b
	}
	b = append(b, '.')
	for place := million / 10; place > 0 && usec >= unit; place /= 10 {
		b = append(b, byte('0'+usec/place))
		usec %= place
	}
	return b
}

// delayUnit is the smallest step, in microseconds, that is worth printing:
// the resolution, or the second significant digit if that is coarser.
func delayUnit(sec, usec int64, resolution int) int64 {
	unit := million
	for range resolution {
		unit /= 10
	}
	switch {
	case unit == million:
	case sec >= 10:
		return million
	case sec > 0:
		return million / 10
	default:
		for usec >= 100*unit {
			unit *= 10
		}
	}
	return unit
}
