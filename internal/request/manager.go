package request

import (
	"errors"
	"fmt"
	"io"

	"postlmtp/internal/attr"
	"postlmtp/internal/dsn"
)

// Dialect is what a queue manager speaks, by its release.
type Dialect int

// The dialects.
const (
	Postfix35  Dialect = iota // 3.5: greeted with a status; attribute smtputf8
	Postfix36                 // 3.6 to 3.9: greeted with the protocol; attribute smtputf8
	Postfix310                // 3.10 and later: attribute sendopts
)

// Hello returns the greeting that the dialect wants.
func (d Dialect) Hello() Hello {
	if d == Postfix35 {
		return HelloStatus
	}
	return HelloProtocol
}

// ReadHello reads an agent's greeting. The error is io.EOF where the agent
// closed the connection instead.
//
// ReadHello and ReadFinish may read ahead: pass both the same *bufio.Reader if
// the agent at the other end might send both at once.
func ReadHello(r io.Reader) (Hello, error) {
	in := attr.NewReader(r, attr.Limits{})
	if in.Next() == attr.Protocol {
		name := in.String(attr.Protocol)
		err := in.End()
		if err == nil && name != protocolName {
			err = fmt.Errorf("unexpected protocol %q", name)
		}
		return HelloProtocol, helloError(err)
	}
	status := in.Int(attr.Status)
	err := in.End()
	if err == nil && status != 0 {
		err = fmt.Errorf("status %d", status)
	}
	return HelloStatus, helloError(err)
}

func helloError(err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return fmt.Errorf("read agent's greeting: %w", err)
}

// Encode sends the request, in one Write.
func (req *Request) Encode(w io.Writer, dialect Dialect) error {
	var l attr.List
	l.Int("flags", int(req.Flags)).
		String("queue_name", req.QueueName).
		String("queue_id", req.QueueID).
		Long(attrOffset, req.Offset).
		Long("size", req.Size).
		String("nexthop", req.Nexthop).
		String("encoding", req.Encoding)
	if dialect == Postfix310 {
		l.Int(attrSendOpts, int(req.SendOpts))
	} else {
		l.Int(attrSMTPUTF8, int(req.SendOpts))
	}
	l.String("sender", req.Sender).
		String("envelope_id", req.EnvelopeID).
		Int("ret_flags", int(req.Ret)).
		Data("time", req.Stamps.encode()).
		String("log_client_name", req.Client.Name).
		String("log_client_address", req.Client.Address).
		String("log_client_port", req.Client.Port).
		String("log_protocol_name", req.Client.Protocol).
		String("log_helo_name", req.Client.Helo).
		String("sasl_method", req.SASLMethod).
		String("sasl_username", req.SASLUsername).
		String("sasl_sender", req.SASLSender).
		String("log_ident", req.LogIdent).
		String("rewrite_context", req.RewriteContext).
		Int("recipient_count", len(req.Recipients))
	data := l.Bytes()
	for _, rcpt := range req.Recipients {
		var one attr.List
		data = append(data, AddRecipient(&one, rcpt).Bytes()...)
	}
	if _, err := w.Write(data); err != nil {
		return fmt.Errorf("send delivery request: %w", err)
	}
	return nil
}

// ReadFinish reads what Finish sends. An agent that closed the connection
// without a status gives io.ErrUnexpectedEOF.
func ReadFinish(r io.Reader) (status int, hop dsn.Diagnosis, err error) {
	in := attr.NewReader(r, attr.Limits{})
	hop = ReadDiagnosis(in)
	status = in.Int(attr.Status)
	err = in.End()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return 0, dsn.Diagnosis{}, fmt.Errorf("read delivery status: %w", err)
	}
	return status, hop, nil
}
