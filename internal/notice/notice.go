// Package notice mails transcripts of sessions to the postmaster, by way of
// cleanup(8) (notify_classes, error_notice_recipient).
//
// # Contract
//
// Post takes the transcript of one session and composes a mail like that of
// Postfix's own agent. What comes from a server is made printable, and every
// line of it starts with a space.
//
// # Failure policy
//
// These mails are of little weight: one that cannot be posted is dropped, with
// a warning. They have the double-bounce address for a sender, so that they do
// not bounce, and deliveries of mail from it do not lead to further notices.
package notice

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"postlmtp/internal/ipc"
)

// Logger takes warnings.
type Logger interface {
	Warningf(format string, args ...any)
}

// Options are the settings of a Poster.
type Options struct {
	Service    ipc.Service   // cleanup(8)
	Timeout    time.Duration // ipc_timeout
	Flags      int           // for cleanup(8), see Flags
	Sender     string        // $double_bounce_sender@$myhostname
	Recipient  string        // error_notice_recipient
	MyHostname string
	MailName   string // mail_name
	// Obsolete is header_from_format = obsolete.
	Obsolete bool
	UTF8     bool // smtputf8_enable: UTF-8 in the transcript stays
	Log      Logger
}

// The flags for cleanup(8) that notices can have.
const (
	flagFilter = 2 | 64 // content filters and Milters
	flagMapped = 32     // addresses are looked up as for any mail
	flagUTF8   = 512    // whether SMTPUTF8 is needed is found by looking
)

// Flags are the flags for cleanup(8), by internal_mail_filter_classes and
// smtputf8_autodetect_classes.
func Flags(filterClasses, utf8Classes string) int {
	flags := flagMapped
	if hasWord(filterClasses, "notify") {
		flags |= flagFilter
	}
	if hasWord(utf8Classes, "notify") || hasWord(utf8Classes, "all") {
		flags |= flagUTF8
	}
	return flags
}

func hasWord(list, word string) bool {
	for _, w := range strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) }) {
		if w == word {
			return true
		}
	}
	return false
}

// Poster posts notices. Many goroutines may use one.
type Poster struct{ opt Options }

// New returns a Poster.
func New(opt Options) *Poster { return &Poster{opt} }

// Post posts the transcript of a session with a server, "host[addr]:port".
func (p *Poster) Post(ctx context.Context, server string, transcript []string) {
	now := time.Now()
	err := ipc.Post(ctx, p.opt.Service, p.opt.Timeout, p.opt.Flags, func(queueID string) []ipc.Record {
		return p.compose(queueID, server, transcript, now)
	})
	var refused *ipc.PostError
	var failed *ipc.Error
	switch {
	case err == nil || errors.As(err, &refused): // cleanup(8) says itself what it does not like
	case errors.As(err, &failed) && failed.Step == ipc.Connect:
		p.opt.Log.Warningf("%v", err)
		p.opt.Log.Warningf("postmaster notify: %s", failed.Cause())
	default:
		p.opt.Log.Warningf("postmaster notify: %v", err)
	}
}

// compose makes the records of a notice.
func (p *Poster) compose(queueID, server string, transcript []string, now time.Time) []ipc.Record {
	opt := &p.opt
	records := []ipc.Record{
		{Type: 'T', Data: fmt.Sprintf("%d %d", now.Unix(), now.Nanosecond()/1000)},
		{Type: 'A', Data: "log_message_origin=local"},
		{Type: 'A', Data: "trace_flags=0"},
		{Type: 'S', Data: opt.Sender},
		{Type: 'R', Data: opt.Recipient},
		{Type: 'M'},
	}
	add := func(format string, args ...any) {
		records = append(records, ipc.Record{Type: 'N', Data: fmt.Sprintf(format, args...)})
	}
	date := now.Format("Mon, _2 Jan 2006 15:04:05 -0700 (MST)")
	add("Received: by %s (%s)", opt.MyHostname, opt.MailName)
	add("\tid %s; %s", queueID, date)
	add("Date: %s", date)
	daemon := "MAILER-DAEMON@" + opt.MyHostname
	if opt.Obsolete {
		add("From: %s (Mail Delivery System)", daemon)
		add("To: %s (Postmaster)", opt.Recipient)
	} else {
		add("From: Mail Delivery System <%s>", daemon)
		add("To: Postmaster <%s>", opt.Recipient)
	}
	add("Subject: %s LMTP client: errors from %s", opt.MailName, server)
	add("")
	add("Unexpected response from %s.", server)
	add("")
	add("Transcript of session follows.")
	add("")
	for _, line := range transcript {
		for _, part := range wrap(p.printable(line)) {
			add(" %s", part)
		}
	}
	add("")
	add("For other details, see the local mail logfile")
	return append(records, ipc.Record{Type: 'X'}, ipc.Record{Type: 'E'})
}

// printable replaces control characters, and what is not text.
func (p *Poster) printable(line string) string {
	var b strings.Builder
	for i := 0; i < len(line); {
		r, n := utf8.DecodeRuneInString(line[i:])
		if r < ' ' || r == 0x7f || r == utf8.RuneError && n == 1 || r >= utf8.RuneSelf && !p.opt.UTF8 {
			b.WriteString("?")
			i++
			continue
		}
		b.WriteString(line[i : i+n])
		i += n
	}
	return b.String()
}
