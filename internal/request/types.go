package request

import "time"

// Flags are the option bits of a delivery request. Bits that are not named
// here are kept and mean nothing to an agent.
type Flags int

// The option bits of a delivery request.
const (
	MarkDone      Flags = 1    // mark a recipient done in the queue file after a successful delivery
	Bounce        Flags = 2    // for information only
	MTAVerify     Flags = 256  // address probe of the mail system: the answer goes to verify(8)
	UserVerify    Flags = 512  // address probe of a user (sendmail -bv): the answer goes to trace(8)
	Record        Flags = 1024 // sendmail -v: report each attempt to trace(8) as well
	ConnLoad      Flags = 2048 // a saved connection for this destination may be used
	ConnStore     Flags = 4096 // the connection may be saved for the next delivery to this destination
	RecordDelayed Flags = 8192 // report the success of a delivery, whose delay was reported, to trace(8)
)

// traceMask holds the bits that the bounce, defer and trace services are told.
const traceMask = MTAVerify | UserVerify | Record | RecordDelayed

// Trace returns the bits of f that the bounce, defer and trace services are
// told.
func (f Flags) Trace() Flags { return f & traceMask }

// Probe says whether the request only asks if its recipients are deliverable:
// nothing may be delivered.
func (f Flags) Probe() bool { return f&(MTAVerify|UserVerify) != 0 }

// SendOpts are the option bits that came with the message. Bits that are not
// named here are kept and mean nothing.
type SendOpts int

// The option bits of a message.
const (
	UTF8Requested  SendOpts = 1  // the sender asked for SMTPUTF8 (RFC 6531)
	UTF8Header     SendOpts = 2  // a header of the message has UTF-8
	UTF8Sender     SendOpts = 4  // the envelope sender has UTF-8
	UTF8Recipient  SendOpts = 8  // an envelope recipient of this request has UTF-8
	TLSNotRequired SendOpts = 16 // the header "TLS-Required: no" (RFC 8689)
	RequireTLS     SendOpts = 32 // REQUIRETLS (RFC 8689)
)

// Notify says which notices the sender asked for by the NOTIFY parameter of
// RFC 3461 section 4.1. Zero: the sender did not say.
type Notify int

// The bits of Notify.
const (
	NotifyNever   Notify = 1
	NotifySuccess Notify = 2
	NotifyFailure Notify = 4
	NotifyDelay   Notify = 8
)

// Ret says how much of the message a notice returns: the RET parameter of
// RFC 3461 section 4.3. Zero: the sender did not say.
type Ret int

// The values of Ret.
const (
	RetFull    Ret = 1
	RetHeaders Ret = 2
)

// A Recipient is one recipient of a request. Its identity is its Offset: the
// same address can be there more than once.
type Recipient struct {
	Offset   int64  // position of its record in the queue file, in bytes; -1: nothing to mark there
	Address  string // where to deliver, internal form, not quoted
	Original string // the address as the sender gave it; may be empty
	ORcpt    string // the ORCPT parameter "type;xtext" of RFC 3461; may be empty
	Notify   Notify
}

// Stamps are the moments in the life of a delivery. A zero time is a moment
// that has not come (or that nobody recorded).
type Stamps struct {
	IncomingArrival time.Time // the message came in
	ActiveArrival   time.Time // it entered the active queue
	AgentHandoff    time.Time // it was handed to the agent
	ConnSetupDone   time.Time // the connection was ready for the message
	DeliverDone     time.Time // the delivery ended
	ReuseCount      int       // deliveries that the connection had made before
}

// Client describes the remote client that the message came from, for the
// XFORWARD command. Unknown values are empty.
type Client struct{ Name, Address, Port, Protocol, Helo string }

// A Request asks the agent to deliver one message to some recipients at one
// destination.
type Request struct {
	Flags     Flags
	QueueName string // the queue that the file is in, usually "active"
	QueueID   string // name of the queue file
	Offset    int64  // where the content starts in the queue file, in bytes
	Size      int64  // size of the content as the queue manager estimates it, in bytes
	Nexthop   string // the destination, not parsed
	Encoding  string // "7bit", "8bit" or empty for not known
	SendOpts  SendOpts

	Sender     string // envelope sender, internal form; empty is the null sender
	EnvelopeID string // ENVID of RFC 3461, as it came; may be empty
	Ret        Ret
	Stamps     Stamps
	Client     Client

	SASLMethod, SASLUsername, SASLSender string

	LogIdent       string // queue ID for XFORWARD IDENT
	RewriteContext string // "local" or "remote"
	Recipients     []Recipient
}

// An Attempt says where and when a recipient was tried: the relay=, conn_use=,
// delays= and tls= fields of its log line.
type Attempt struct {
	Relay  string // "host[address]:port"; "none" without a connection
	Stamps Stamps
	TLS    string // the tls= field; empty leaves it out

	// Connection counts the connections of the process, 0 for none; deliveries
	// that share one have the same.
	Connection int64
	// Unconfirmed: the server did not answer the end of the message, and may
	// have it for this recipient.
	Unconfirmed bool
}
