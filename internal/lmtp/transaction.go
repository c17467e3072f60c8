package lmtp

import (
	"io"
	"time"
)

// Notify is the set of events that the sender wants to hear of (RFC 3461
// section 4.1), with the bits of the queue manager's request.
type Notify int

// The bits of Notify.
const (
	NotifyNever   Notify = 1
	NotifySuccess Notify = 2
	NotifyFailure Notify = 4
	NotifyDelay   Notify = 8
)

// Ret says how much of the message a failure notice returns (RFC 3461 section
// 4.3), with the numbers of the queue manager's request.
type Ret int

// The values of Ret; zero is unset.
const (
	RetFull    Ret = 1
	RetHeaders Ret = 2
)

// A Probe says where a transaction that only asks for addresses ends.
type Probe int

// The probes.
const (
	NoProbe   Probe = iota // deliver the message
	ProbeRcpt              // lmtp_address_verify_target = rcpt: ends after RCPT TO
	ProbeData              // lmtp_address_verify_target = data: ends after DATA
)

// A Recipient is one RCPT TO. Recipients are told apart by their index: the
// same address may occur twice and has two outcomes then.
type Recipient struct {
	Address  string // internal form, after generic mapping
	Original string // internal form; for ORCPT= when ORcpt is empty
	ORcpt    string // "type;address", decoded
	Notify   Notify
}

// XForward are the attributes of the original client (XFORWARD_README). Empty
// ones are not available.
type XForward struct {
	Name, Addr, Port, Proto, Helo, Ident string
	// RewriteContext is the request's: "local" is sent as SOURCE=LOCAL,
	// anything else as SOURCE=REMOTE.
	RewriteContext string
}

// A Transaction is one message on a session, or a probe. Parameters are sent if
// the server offers the extension that they belong to.
type Transaction struct {
	Sender    string // internal form, after generic mapping; empty for the null sender
	Size      int64  // as counted by the queue; negative is unknown
	Encoding  string // "7bit", "8bit" or empty
	Downgrade bool   // Body converts to 7bit: no SIZE=, because the size is not known
	EnvID     string // decoded
	Ret       Ret

	SMTPUTF8   bool // the sender asked for SMTPUTF8
	UTF8ORcpt  bool // any SMTPUTF8 bit is set in the request: ORCPT may be of type utf-8
	RequireTLS bool // RFC 8689; where the server does not offer it, RET=HDRS
	EmptyAuth  bool // lmtp_send_dummy_mail_auth: send AUTH=<>

	// Idle: the session lay idle, and is asked by RSET whether it is alive
	// (lmtp_rset_timeout), in the same flight as MAIL FROM if the server
	// pipelines. An error with StageResetProbe says that it is not: the session
	// is closed, and nothing has happened.
	Idle     bool
	XForward *XForward // nil: lmtp_send_xforward_command = no
	// TraceID names the message to a Cyrus that offers TRACE: letters, digits,
	// "-", "_" and ".", at most 255; empty: not sent (postlmtp_send_trace).
	TraceID string
	// ORcptAnyway sends ORCPT= to servers without DSN, too (postlmtp_orcpt).
	ORcptAnyway bool
	Recipients  []Recipient
	Probe       Probe

	// Chunks, if set, has the content go by BDAT (RFC 3030): the server must
	// offer CHUNKING. A probe uses DATA all the same.
	Chunks *ChunkPool
	// Body writes the content as it goes over the wire: lines that end in
	// CRLF, dots doubled unless Chunks is set, no final dot. When it fails because w failed, the
	// error that it returns does not matter; any other error becomes a
	// LocalError; if it has a method Partial() bool that says so, what was
	// written before is still sent off. It is not called for a probe, nor if no
	// recipient is left.
	Body func(w io.Writer) error
	// PauseBeforeDot is the PIX workaround delay_dotcrlf: content is sent off,
	// and so much later the final dot. BDAT has no dot.
	PauseBeforeDot time.Duration
	// FinalGrace is how long final replies are awaited after the context ended.
	FinalGrace time.Duration

	// OnMail is called when MAIL FROM is about to be sent: the connection is
	// set up.
	OnMail func()
	// OnRcpt is called for each recipient whose RCPT TO got a reply that is not
	// a success: the recipient is rejected.
	OnRcpt func(i int, r Reply)
	// OnFinal is called with the reply that decides an accepted recipient: its
	// own reply to the final dot, of any kind; for ProbeRcpt the success of
	// RCPT TO; for ProbeData the 3xx reply to DATA with Enhanced set to 2.0.0.
	OnFinal func(i int, r Reply)
}
