package request

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"

	"postlmtp/internal/attr"
	"postlmtp/internal/dsn"
)

// Hello is the way an agent greets, by the release of the queue manager. A
// queue manager of 3.5 that gets the other one stops the transport for a
// minute; one of 3.6 or later only logs a warning.
type Hello int

// The greetings.
const (
	HelloStatus   Hello = iota // status 0: Postfix 3.5 and older
	HelloProtocol              // the name of the protocol: Postfix 3.6 and later
)

// Greet tells the queue manager that the agent is ready for a request.
func Greet(w io.Writer, hello Hello) error {
	var l attr.List
	if hello == HelloStatus {
		l.Int(attr.Status, 0)
	} else {
		l.String(attr.Protocol, protocolName)
	}
	if err := l.Send(w); err != nil {
		return fmt.Errorf("greet the queue manager: %w", err)
	}
	return nil
}

// Limits bounds what Read takes. A zero field stands for the value of
// DefaultLimits.
type Limits struct {
	Recipients int   // number of recipients
	Bytes      int64 // bytes of the request on the wire
	Value      int   // bytes of one attribute
}

// DefaultLimits returns bounds that no real request comes near: the queue
// manager passes at most default_destination_recipient_limit recipients (50),
// and even without that limit no more than it holds in memory for a message
// (qmgr_message_recipient_limit, 20000). A request above them is refused, and
// its message stays in the queue.
func DefaultLimits() Limits {
	return Limits{Recipients: 100_000, Bytes: 64 << 20, Value: attr.DefaultLimits().Value}
}

// Read reads one request. The stamps are as the queue manager sent them; the
// agent sets AgentHandoff if it is zero.
func Read(r io.Reader, limits Limits) (*Request, error) {
	def := DefaultLimits()
	if limits.Recipients <= 0 {
		limits.Recipients = def.Recipients
	}
	if limits.Bytes <= 0 {
		limits.Bytes = def.Bytes
	}
	in := attr.NewReader(r, attr.Limits{Value: limits.Value, Total: limits.Bytes})

	req, count, err := readCommon(in)
	if errors.Is(err, io.EOF) {
		return nil, ErrNoRequest
	}
	if err == nil {
		err = checkCommon(req, count, limits)
	}
	if err == nil {
		err = readRecipients(in, req, count)
	}
	if err != nil {
		return nil, &FormatError{QueueID: req.QueueID, Err: err}
	}
	return req, nil
}

// readCommon reads the first list: all but the recipients, and their number.
func readCommon(r *attr.Reader) (req *Request, count int, err error) {
	req = new(Request)
	req.Flags = Flags(r.Int("flags"))
	req.QueueName = r.String("queue_name")
	req.QueueID = r.String("queue_id")
	req.Offset = r.Long(attrOffset)
	req.Size = r.Long("size")
	req.Nexthop = r.String("nexthop")
	req.Encoding = r.String("encoding")
	// The attribute has had two names, and was not there before 3.0.
	switch name := r.Next(); name {
	case attrSMTPUTF8, attrSendOpts:
		req.SendOpts = SendOpts(r.Int(name))
	}
	req.Sender = r.String("sender")
	req.EnvelopeID = r.String("envelope_id")
	req.Ret = Ret(r.Int("ret_flags"))
	stamps := r.Data("time")
	req.Client.Name = r.String("log_client_name")
	req.Client.Address = r.String("log_client_address")
	req.Client.Port = r.String("log_client_port")
	req.Client.Protocol = r.String("log_protocol_name")
	req.Client.Helo = r.String("log_helo_name")
	req.SASLMethod = r.String("sasl_method")
	req.SASLUsername = r.String("sasl_username")
	req.SASLSender = r.String("sasl_sender")
	req.LogIdent = r.String("log_ident")
	req.RewriteContext = r.String("rewrite_context")
	count = r.Int("recipient_count")
	if err := r.End(); err != nil {
		return req, 0, err
	}
	req.Stamps, err = decodeStamps(stamps)
	return req, count, err
}

// checkCommon checks what every delivery relies on. A queue manager that works
// never fails here.
func checkCommon(req *Request, count int, limits Limits) error {
	switch {
	case req.Nexthop == "":
		return errors.New("empty next-hop destination")
	case count <= 0:
		return fmt.Errorf("no recipients in delivery request for destination %s", req.Nexthop)
	case count > limits.Recipients:
		return fmt.Errorf("%d recipients in delivery request, limit %d", count, limits.Recipients)
	case req.Offset < 0:
		return fmt.Errorf("bad data offset %d", req.Offset)
	}
	return nil
}

func readRecipients(r *attr.Reader, req *Request, count int) error {
	for range count {
		rcpt := ReadRecipient(r)
		if err := r.End(); err != nil {
			if errors.Is(err, io.EOF) { // between two lists, but inside the request
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("recipient %d of %d: %w", len(req.Recipients)+1, count, err)
		}
		// -1 as a 32-bit system writes it.
		if rcpt.Offset == math.MaxUint32 && strconv.IntSize == 32 {
			rcpt.Offset = -1
		}
		req.Recipients = append(req.Recipients, rcpt)
	}
	return nil
}

// Finish tells the queue manager how the request ended: status 0 when each
// recipient is finished, else not 0. The diagnosis is empty, unless the
// destination as a whole failed: then it is what the queue manager holds other
// mail for that destination back with.
func Finish(w io.Writer, status int, hop dsn.Diagnosis) error {
	var l attr.List
	AddDiagnosis(&l, hop)
	l.Int(attr.Status, status) // the same name again, now a number
	if err := l.Send(w); err != nil {
		return fmt.Errorf("send delivery status: %w", err)
	}
	return nil
}
