package queuefile

import (
	"fmt"
	"time"
)

// Envelope is what a queue file says about a message besides its content. Only
// Sender and Recipients are needed; the sender may be empty.
type Envelope struct {
	Arrival    time.Time // zero: now
	QueueID    string    // attribute log_ident
	FullName   string
	Context    string // attribute rewrite_context: "local" or "remote"
	EnvelopeID string // RFC 3461 ENVID, decoded
	Ret        int    // RFC 3461 RET: 0 none, 1 full, 2 headers
	Sender     string
	Attributes []Attribute // further attributes of the first segment
	Recipients []Recipient
	Encoding   string // "7bit", "8bit" or "" for unknown
	SendOpts   int    // smtputf8/sendopts bits
	EditRoom   bool   // leave room for changes, as cleanup(8) does for Milters
}

// Attribute is a name=value pair.
type Attribute struct{ Name, Value string }

// Recipient is one recipient of an [Envelope].
type Recipient struct {
	Address   string
	Original  string // before aliases; empty: Address
	ORcpt     string // RFC 3461 ORCPT "type;address", decoded; empty: "rfc822;" and Address
	Notify    int    // RFC 3461 NOTIFY bits; 0 none
	Extracted bool   // put it behind the content (sendmail -t)
}

// Layout says where things are in a queue file that was written.
type Layout struct {
	DataOffset  int64   // of the first content record
	ContentSize int64   // bytes from DataOffset to the end of the content
	Recipients  []int64 // offset of each recipient's record, in the order of the envelope
	Size        int64   // of the file
}

// The names of attributes that have a meaning for the format.
const (
	attrCreateTime = "create_time"
	attrLogIdent   = "log_ident"
	attrContext    = "rewrite_context"
	attrEnvelopeID = "envelope_id"
	attrRet        = "ret_flags"
	attrNotify     = "notify_flags"
	attrORcpt      = "dsn_orig_rcpt"
	attrEncoding   = "encoding"
)

const (
	sizeFormat    = "%15d %15d %15d %15d %15d %15d"
	pointerFormat = "%15d"
	pointerWidth  = 15 // data bytes of a pointer record, which edits rely on
)

// writeEnvelope writes the first segment, up to the start of the content.
func (w *Writer) writeEnvelope() {
	e := &w.env
	if e.Arrival.IsZero() {
		e.Arrival = time.Now()
	}
	w.recordf(TypeSize, sizeFormat, 0, 0, 0, 0, 0, 0) // filled in at the end
	w.recordf(TypeTime, "%d %d", e.Arrival.Unix(), e.Arrival.Nanosecond()/1000)
	w.attribute(attrCreateTime, fmt.Sprint(e.Arrival.Unix()))
	if e.FullName != "" {
		w.recordf(TypeFullName, "%s", e.FullName)
	}
	w.attribute(attrLogIdent, e.QueueID)
	w.attribute(attrContext, e.Context)
	w.attribute(attrEnvelopeID, e.EnvelopeID)
	if e.Ret != 0 {
		w.attribute(attrRet, fmt.Sprint(e.Ret))
	}
	w.recordf(TypeSender, "%s", e.Sender)
	if e.EditRoom && len(e.Sender) < pointerWidth {
		w.pad(TypePointer, pointerWidth-len(e.Sender))
	}
	for _, a := range e.Attributes {
		w.attribute(a.Name, a.Value)
	}
	if w.writeRecipients(false) && e.EditRoom {
		w.recordf(TypePointer, pointerFormat, 0)
	}
	w.recordf(TypeMessage, "")
	w.layout.DataOffset = w.offset
}

// writeTrailer writes everything behind the content.
func (w *Writer) writeTrailer() {
	e := &w.env
	if e.EditRoom {
		w.recordf(TypePointer, pointerFormat, 0)
	}
	w.layout.ContentSize = w.offset - w.layout.DataOffset
	w.recordf(TypeExtracted, "")
	w.attribute(attrEncoding, e.Encoding)
	if e.EditRoom {
		w.recordf(TypePointer, pointerFormat, 0)
	}
	w.writeRecipients(true)
	if e.EditRoom && !w.hasRecipients(false) {
		w.recordf(TypePointer, pointerFormat, 0)
	}
	w.recordf(TypeEnd, "")
	w.layout.Size = w.offset
}

// writeRecipients writes the recipients of one of the two segments that may
// have some, and reports whether there was one.
func (w *Writer) writeRecipients(extracted bool) bool {
	for i, r := range w.env.Recipients {
		if r.Extracted != extracted {
			continue
		}
		if r.Notify != 0 {
			w.attribute(attrNotify, fmt.Sprint(r.Notify))
		}
		if r.ORcpt == "" && r.Address != "" {
			r.ORcpt = "rfc822;" + r.Address
		}
		w.attribute(attrORcpt, r.ORcpt)
		if r.Original == "" {
			r.Original = r.Address
		}
		w.recordf(TypeOriginal, "%s", r.Original)
		w.layout.Recipients[i] = w.offset
		w.recordf(TypeRecipient, "%s", r.Address)
	}
	return w.hasRecipients(extracted)
}

func (w *Writer) hasRecipients(extracted bool) bool {
	for _, r := range w.env.Recipients {
		if r.Extracted == extracted {
			return true
		}
	}
	return false
}

// sizeRecord returns the data of the size record, once all is known.
func (w *Writer) sizeRecord() string {
	options := 0
	for _, r := range w.env.Recipients {
		options |= r.Notify << 1 // queue manager: act on NOTIFY
	}
	return fmt.Sprintf(sizeFormat, w.layout.ContentSize, w.layout.DataOffset,
		len(w.env.Recipients), options, w.layout.ContentSize, w.env.SendOpts)
}

// attribute writes an attribute record, unless the value is empty.
func (w *Writer) attribute(name, value string) {
	if value != "" {
		w.recordf(TypeAttribute, "%s=%s", name, value)
	}
}

// pad writes a record that makes the one before it long enough to be
// overwritten by a pointer.
func (w *Writer) pad(typ byte, n int) {
	w.recordf(typ, "%*d", max(n-2, 1), 0)
}
