package lmtp

import (
	"fmt"
	"strconv"
	"strings"

	"postlmtp/internal/address"
)

// A command is one line in Session.out that has one reply.
type command struct {
	stage Stage
	rcpt  int    // index of the recipient, for StageRcpt
	end   int    // offset in Session.out behind its line end
	shown string // in traces in place of the line; empty: the line
}

// CheckAddress says why an address cannot be sent in a command: a line end in
// it would end the command, and the rest would be another one. Deliver refuses
// the whole transaction for such an address.
func CheckAddress(addr string) error {
	if strings.ContainsAny(addr, "\r\n\x00") {
		return fmt.Errorf("send address %q: line end or NUL in it", addr)
	}
	return nil
}

// check refuses what would break the framing of commands.
func (t *Transaction) check() error {
	if err := CheckAddress(t.Sender); err != nil {
		return &LocalError{Stage: StageMail, Err: err}
	}
	for i := range t.Recipients {
		if err := CheckAddress(t.Recipients[i].Address); err != nil {
			return &LocalError{Stage: StageRcpt, Err: err}
		}
	}
	return nil
}

// A commander builds command lines.
type commander struct {
	caps *Capabilities
	opt  *Options
	t    *Transaction
}

func (c *commander) addr(b []byte, addr string) []byte {
	if !c.opt.Unquoted {
		addr = address.QuoteEnvelope(addr)
	}
	b = append(b, '<')
	b = append(b, addr...)
	return append(b, '>')
}

// mail appends MAIL FROM without its line end. The order of parameters is
// Postfix's.
func (c *commander) mail(b []byte) []byte {
	t := c.t
	b = c.addr(append(b, "MAIL FROM:"...), t.Sender)
	if c.caps.SizeOffered && !t.Downgrade && t.Size >= 0 { // RFC 1870
		b = strconv.AppendInt(append(b, " SIZE="...), t.Size, 10)
	}
	if c.caps.EightBitMIME { // RFC 6152
		switch t.Encoding {
		case "8bit":
			b = append(b, " BODY=8BITMIME"...)
		case "7bit":
			b = append(b, " BODY=7BIT"...)
		case "":
		default:
			c.opt.warningf("%sunknown content encoding: %s", c.opt.prefix(), t.Encoding)
		}
	}
	if c.caps.DSN { // RFC 3461
		if t.EnvID != "" {
			b = append(append(b, " ENVID="...), address.XText(t.EnvID, "+=")...)
		}
		b = append(b, c.ret()...)
	}
	if c.caps.SMTPUTF8 && t.SMTPUTF8 { // RFC 6531
		b = append(b, " SMTPUTF8"...)
	}
	if c.caps.RequireTLS && t.RequireTLS { // RFC 8689
		b = append(b, " REQUIRETLS"...)
	}
	if c.caps.Auth != "" && t.EmptyAuth { // RFC 4954 section 5
		b = append(b, " AUTH=<>"...)
	}
	return b
}

func (c *commander) ret() string {
	switch {
	case c.t.RequireTLS && !c.caps.RequireTLS:
		return " RET=HDRS" // RFC 8689 section 5: do not return the content
	case c.t.Ret == RetFull:
		return " RET=FULL"
	case c.t.Ret == RetHeaders:
		return " RET=HDRS"
	}
	return ""
}

// rcpt appends RCPT TO without its line end.
func (c *commander) rcpt(b []byte, rcpt *Recipient) []byte {
	b = c.addr(append(b, "RCPT TO:"...), rcpt.Address)
	if c.caps.DSN || c.t.ORcptAnyway {
		if v := address.ORCPT(rcpt.ORcpt, rcpt.Original, c.t.UTF8ORcpt); v != "" {
			b = append(append(b, " ORCPT="...), v...)
		}
	}
	if !c.caps.DSN {
		return b
	}
	sep := " NOTIFY="
	for _, n := range [...]struct {
		bit  Notify
		word string
	}{{NotifyNever, "NEVER"}, {NotifySuccess, "SUCCESS"}, {NotifyFailure, "FAILURE"}, {NotifyDelay, "DELAY"}} {
		if rcpt.Notify&n.bit != 0 {
			b = append(append(b, sep...), n.word...)
			sep = ","
		}
	}
	return b
}

type xforwardAttr struct {
	bit         XForwardSet
	name, value string
}

// xforward appends the XFORWARD command of a stage without its line end, or
// nothing if it would have no attribute (XFORWARD_README).
func (c *commander) xforward(b []byte, stage Stage) []byte {
	x := c.t.XForward
	if x == nil || c.caps.XForward == 0 {
		return b
	}
	attrs := [...]xforwardAttr{
		{XForwardName, "NAME", known(x.Name)},
		{XForwardAddr, "ADDR", known(x.Addr)},
		{XForwardPort, "PORT", known(x.Port)},
		{},
	}
	if stage == StageXForwardProto {
		attrs = [...]xforwardAttr{
			{XForwardProto, "PROTO", known(x.Proto)},
			{XForwardHelo, "HELO", x.Helo},
			{XForwardIdent, "IDENT", x.Ident},
			{XForwardSource, "SOURCE", x.source()},
		}
	}
	verb := "XFORWARD"
	for _, a := range attrs {
		if c.caps.XForward&a.bit == 0 || a.value == "" {
			continue
		}
		b = append(b, verb...)
		verb = ""
		b = append(append(append(b, ' '), a.name...), '=')
		b = append(b, address.XText(a.value, "")...)
	}
	return b
}

// known is the empty string for an attribute that Postfix calls unknown.
func known(s string) string {
	if strings.EqualFold(s, "unknown") {
		return ""
	}
	return s
}

func (x *XForward) source() string {
	switch x.RewriteContext {
	case "":
		return ""
	case "local":
		return "LOCAL"
	}
	return "REMOTE"
}
