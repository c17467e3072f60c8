package lmtp

import (
	"crypto/tls"
	"time"
)

// A Logger takes log lines. Lines are complete: the engine puts the queue ID in
// front where Postfix does.
type Logger interface {
	Infof(format string, args ...any)
	Warningf(format string, args ...any)
}

// Hooks tie a session to the delivery that uses it now; see Session.Use.
// Any of them may be missing.
type Hooks struct {
	Log     Logger
	QueueID string           // in front of some log lines
	Trace   func(TraceEvent) // every command and reply line, in order
	Stage   func(Stage)      // the dialog has come to a stage; it may be told of one again
	Odd     func()           // the server said something odd; see ProtocolError
	Masked  func()           // the greeting is good, and masked; before LHLO
	// Strange takes the first line that comes in place of a greeting and is no
	// reply: see Stranger. The greeting is still waited for.
	Strange func(line string)
}

// A TraceKind says what a TraceEvent is.
type TraceKind int

// The kinds of trace events.
const (
	TraceCommand  TraceKind = iota // a command, or the final dot; the content of BDAT follows as TraceBody
	TraceReply                     // a reply line as it came, made printable
	TraceReplaced                  // what the reply filter made of the line before
	TraceBody                      // message content was sent: Size bytes on the wire
	TraceTLS                       // the TLS handshake was completed
)

// A TraceEvent is one line of the dialog, for verbose logging, for transcripts
// and for people. The line has no line end. Events come from the goroutine that
// uses the session.
type TraceEvent struct {
	Kind   TraceKind
	Line   string
	Size   int64
	Excess bool // a reply line beyond what is kept of one reply; not for transcripts
}

// Timeouts are the limits of the stages, by Postfix parameter. A zero limit
// stands for the parameter's default.
type Timeouts struct {
	LHLO     time.Duration // lmtp_lhlo_timeout: greeting and LHLO
	StartTLS time.Duration // lmtp_starttls_timeout: STARTTLS and handshake
	XForward time.Duration // lmtp_xforward_timeout
	Mail     time.Duration // lmtp_mail_timeout
	Rcpt     time.Duration // lmtp_rcpt_timeout: each RCPT TO
	DataInit time.Duration // lmtp_data_init_timeout
	DataXfer time.Duration // lmtp_data_xfer_timeout: content, and the reply to each chunk but the last
	DataDone time.Duration // lmtp_data_done_timeout: each final reply
	Reset    time.Duration // lmtp_rset_timeout
	Quit     time.Duration // lmtp_quit_timeout

	// PerRequestDeadline is lmtp_per_request_deadline: a limit is for all
	// input and output of a request instead of for each read and write.
	PerRequestDeadline bool
	// MinDataRate is lmtp_min_data_rate in bytes per second: with
	// PerRequestDeadline, so much content buys another second. Zero is 500.
	MinDataRate int
}

// Options are the settings of a session.
type Options struct {
	LHLOName string // lmtp_lhlo_name
	// Peer is "host[addr]" and PeerPort "host[addr]:port" (both "host[path]"
	// for a unix socket), Addr the address or path alone: for log lines.
	Peer, PeerPort, Addr string

	// TLS, if set, starts TLS before the greeting (lmtp_tls_wrappermode).
	TLS *tls.Config
	// AcceptTLS judges a server when a handshake is done, before anything is
	// sent to it under TLS. Its error ends Open or StartTLS; the session is
	// then good for Quit and Close only. Nil accepts every server.
	AcceptTLS func(*tls.ConnectionState) error

	Timeouts Timeouts
	Discard  Discard // lmtp_discard_lhlo_keywords or the server's entry in the address maps

	UTF8            bool // smtputf8_enable: keep UTF-8 in replies
	Unquoted        bool // lmtp_quote_rfc821_envelope = no
	HelpfulWarnings bool // helpful_warnings
	LineLimit       int  // line_length_limit for replies; 0 is 2048

	// ReplyFilter is lmtp_reply_filter: it sees each reply line, made
	// printable, and may replace it. An error is the session's LocalError; the
	// function logs it itself.
	ReplyFilter func(line string) (string, bool, error)

	Hooks Hooks
}

func (t Timeouts) withDefaults() Timeouts {
	def := func(p *time.Duration, d time.Duration) {
		if *p <= 0 {
			*p = d
		}
	}
	def(&t.LHLO, 300*time.Second)
	def(&t.StartTLS, 300*time.Second)
	def(&t.XForward, 300*time.Second)
	def(&t.Mail, 300*time.Second)
	def(&t.Rcpt, 300*time.Second)
	def(&t.DataInit, 120*time.Second)
	def(&t.DataXfer, 180*time.Second)
	def(&t.DataDone, 600*time.Second)
	def(&t.Reset, 20*time.Second)
	def(&t.Quit, 300*time.Second)
	if t.MinDataRate <= 0 {
		t.MinDataRate = 500
	}
	return t
}

// of returns the limit of a stage.
func (t *Timeouts) of(s Stage) time.Duration {
	switch s {
	case StageConnect, StageGreeting, StageLHLO, StageXClient, StageAuth:
		return t.LHLO
	case StageStartTLS, StageTLS:
		return t.StartTLS
	case StageXForwardNameAddr, StageXForwardProto:
		return t.XForward
	case StageTrace, StageMail:
		return t.Mail
	case StageRcpt:
		return t.Rcpt
	case StageData:
		return t.DataInit
	case StageBody, StageChunk:
		return t.DataXfer
	case StageFinal:
		return t.DataDone
	case StageReset, StageResetProbe:
		return t.Reset
	}
	return t.Quit
}

func (o *Options) infof(format string, args ...any) {
	if o.Hooks.Log != nil {
		o.Hooks.Log.Infof(format, args...)
	}
}

func (o *Options) warningf(format string, args ...any) {
	if o.Hooks.Log != nil {
		o.Hooks.Log.Warningf(format, args...)
	}
}

func (o *Options) trace(ev TraceEvent) {
	if o.Hooks.Trace != nil {
		o.Hooks.Trace(ev)
	}
}

// at tells that the dialog has come to a stage.
func (o *Options) at(stage Stage) {
	if o.Hooks.Stage != nil {
		o.Hooks.Stage(stage)
	}
}

// prefix is the queue ID as it stands in front of log lines.
func (o *Options) prefix() string {
	if o.Hooks.QueueID == "" {
		return ""
	}
	return o.Hooks.QueueID + ": "
}
