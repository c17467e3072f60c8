package queuefile

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Inspection is what a queue file says about its message, as far as somebody
// needs it who delivers the message in place of the queue manager.
type Inspection struct {
	Envelope   Envelope // its Recipients are those that are not finished
	Done       []string // recipients that are
	DataOffset int64
	Size       int64 // of the content, as the queue manager counts it
}

// maxRecipients bounds an Inspection.
const maxRecipients = 1_000_000

// Inspect reads the envelope of a queue file, in front of the content and
// behind it.
func Inspect(f *File) (*Inspection, error) {
	in := &inspector{records: f.Records(0)}
	for !in.ended {
		rec, err := in.records.Next()
		if err != nil {
			return nil, fmt.Errorf("inspect queue file %s: %w", f.Path(), err)
		}
		if err := in.record(rec); err != nil {
			return nil, fmt.Errorf("inspect queue file %s: offset %d: %w", f.Path(), rec.Offset, err)
		}
	}
	if in.out.DataOffset == 0 {
		return nil, fmt.Errorf("inspect queue file %s: no size record", f.Path())
	}
	return &in.out, nil
}

// inspector is the state of Inspect.
type inspector struct {
	records *Records
	out     Inspection
	next    Recipient // collects what stands in front of a recipient record
	ended   bool
}

func (in *inspector) record(rec Record) error {
	e, text := &in.out.Envelope, string(rec.Data)
	switch rec.Type {
	case TypeSize:
		return in.size(text)
	case TypeTime:
		seconds, err := strconv.ParseInt(strings.Fields(text + " 0")[0], 10, 64)
		if err != nil {
			return err
		}
		e.Arrival = time.Unix(seconds, 0)
	case TypeFullName:
		e.FullName = text
	case TypeSender:
		e.Sender = text
	case TypeAttribute:
		name, value, _ := strings.Cut(text, "=")
		return in.attribute(name, value)
	case TypeOriginal:
		in.next.Original = text
	case TypeRecipient, TypeDone:
		return in.recipient(rec.Type, text)
	case TypeCancelled:
		in.next = Recipient{}
	case TypeEnd:
		in.ended = true
	}
	return nil
}

// size reads the first record.
func (in *inspector) size(text string) error {
	fields := strings.Fields(text)
	numbers := make([]int64, len(fields))
	for i, field := range fields {
		var err error
		if numbers[i], err = strconv.ParseInt(field, 10, 64); err != nil {
			return err
		}
	}
	if len(numbers) < 2 || numbers[1] <= 0 {
		return errors.New("bad size record")
	}
	in.out.Size, in.out.DataOffset = numbers[0], numbers[1]
	if len(numbers) > 5 {
		in.out.Envelope.SendOpts = int(numbers[5])
	}
	return nil
}

func (in *inspector) attribute(name, value string) (err error) {
	e := &in.out.Envelope
	switch name {
	case attrLogIdent:
		e.QueueID = value
	case attrContext:
		e.Context = value
	case attrEnvelopeID:
		e.EnvelopeID = value
	case attrRet:
		e.Ret, err = strconv.Atoi(value)
	case attrEncoding:
		e.Encoding = value
	case attrNotify:
		in.next.Notify, err = strconv.Atoi(value)
	case attrORcpt:
		in.next.ORcpt = value
	}
	return err
}

func (in *inspector) recipient(typ byte, address string) error {
	if len(in.out.Envelope.Recipients)+len(in.out.Done) >= maxRecipients {
		return errors.New("too many recipients")
	}
	in.next.Address = address
	if in.next.Original == "" {
		in.next.Original = address
	}
	if typ == TypeDone {
		in.out.Done = append(in.out.Done, address)
	} else {
		in.out.Envelope.Recipients = append(in.out.Envelope.Recipients, in.next)
	}
	in.next = Recipient{}
	return nil
}
