package metrics

import (
	"sync/atomic"
	"time"
)

// A Result is the end of an attempt to deliver to a recipient.
type Result int

// The results, in the words of the log; SoftBounced is SOFTBOUNCE there. Verified
// is the answer to a probe for an address, whatever it is.
const (
	Sent Result = iota
	Deferred
	Bounced
	SoftBounced
	Verified
	results
)

func (r Result) String() string {
	return [...]string{"sent", "deferred", "bounced", "softbounced", "verified"}[r]
}

// A Reason is why there is no session, or none any more.
type Reason int

// The reasons.
const (
	Lookup      Reason = iota // no address for the name
	Missing                   // no such socket
	Permission                // the socket is out of reach
	Refused                   // nobody listens
	Unreachable               // no way to the host
	ConnectTime               // the connection took too long
	Connect                   // anything else about it
	Greeting                  // the server's greeting or answer to LHLO was a refusal
	TLS                       // no TLS, or not as demanded
	Auth                      // the login failed
	Timeout                   // the server took too long to answer
	Lost                      // the server hung up
	Protocol                  // replies that do not fit the commands
	Stale                     // a kept session was dead; a new one was tried
	Internal                  // a failure on our side
	reasons
)

func (r Reason) String() string {
	return [...]string{"lookup", "missing", "permission", "refused", "unreachable", "connect_timeout", "connect",
		"greeting", "tls", "auth", "timeout", "lost", "protocol", "stale", "internal"}[r]
}

// Enhanced status codes are counted by class and subject (RFC 3463): 2.1, 4.4.
const (
	classes  = 3 // 2, 4, 5
	subjects = 9 // 0 to 7, and anything else
)

// statusIndex returns the place of an enhanced status code. What is none counts
// as 5.other.
func statusIndex(code string) int {
	class, subject := 2, subjects-1
	if len(code) >= 3 && code[1] == '.' {
		switch code[0] {
		case '2':
			class = 0
		case '4':
			class = 1
		}
		if c := code[2]; c >= '0' && c <= '7' && (len(code) == 3 || code[3] == '.') {
			subject = int(c - '0')
		}
	}
	return class*subjects + subject
}

// statusText is the opposite of statusIndex.
func statusText(i int) string {
	class, subject := "245"[i/subjects:i/subjects+1], i%subjects
	if subject == subjects-1 {
		return class + ".other"
	}
	return class + "." + string(rune('0'+subject))
}

// tlsVersions are the versions that are told apart, in the words of the log.
func tlsVersions() [3]string { return [...]string{"TLSv1.3", "TLSv1.2", "older"} }

// A Destination has the counters of one destination. Its methods may be called
// by any number of goroutines. Get one from [Set.Destination].
type Destination struct {
	deliveries [results][classes * subjects]atomic.Uint64
	failures   [reasons]atomic.Uint64
	tls        [3]atomic.Uint64

	unconfirmed, opened, reused, authFailures, bytes atomic.Uint64

	connect, hello, handshake, transaction, final times
	recipients                                    counts

	lastSuccess, lastFailure atomic.Int64 // in ms since 1970
}

// Settled counts the end of an attempt for one recipient.
func (d *Destination) Settled(r Result, status string) { d.deliveries[r][statusIndex(status)].Add(1) }

// Unconfirmed counts recipients who may have a message that they will get again.
func (d *Destination) Unconfirmed(n int) { d.unconfirmed.Add(uint64(n)) }

// Connected counts a connection and the time that it took.
func (d *Destination) Connected(took time.Duration) { d.connect.observe(took) }

// Opened counts a session that is ready for its first message, took so long
// after the connection, and has this version of TLS, empty for none.
func (d *Destination) Opened(took time.Duration, tls string) {
	d.opened.Add(1)
	d.hello.observe(took)
	d.worked()
	if tls == "" {
		return
	}
	versions := tlsVersions()
	for i := range versions {
		if versions[i] == tls || i == len(versions)-1 {
			d.tls[i].Add(1)
			return
		}
	}
}

// Handshake counts a TLS handshake.
func (d *Destination) Handshake(took time.Duration) { d.handshake.observe(took) }

// Reused counts another use of a session.
func (d *Destination) Reused() { d.reused.Add(1) }

// Failed counts a session that could not be opened, or broke. A stale session
// says nothing about the destination.
func (d *Destination) Failed(r Reason) {
	d.failures[r].Add(1)
	if r == Auth {
		d.authFailures.Add(1)
	}
	if r != Stale && r != Internal {
		later(&d.lastFailure, time.Now())
	}
}

// Content counts bytes of message content.
func (d *Destination) Content(n int64) {
	if n > 0 {
		d.bytes.Add(uint64(n))
	}
}

// Transaction counts a message with n recipients that was sent to its end.
func (d *Destination) Transaction(n int, took time.Duration) {
	d.recipients.observe(float64(n))
	d.transaction.observe(took)
	d.worked()
}

// Final counts the time of a reply that settled a recipient for good. Deferred
// ones do not belong here: their times say nothing about those of deliveries.
func (d *Destination) Final(took time.Duration) { d.final.observe(took) }

func (d *Destination) worked() { later(&d.lastSuccess, time.Now()) }

// later moves a time forward, never back.
func later(at *atomic.Int64, now time.Time) {
	for ms := now.UnixMilli(); ; {
		was := at.Load()
		if was >= ms || at.CompareAndSwap(was, ms) {
			return
		}
	}
}
