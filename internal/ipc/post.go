package ipc

import (
	"bufio"
	"context"
	"time"

	"postlmtp/internal/attr"
)

// A Record is a record of a mail that is posted: the types are those of
// queue files.
type Record struct {
	Type byte
	Data string
}

// Post posts a mail through cleanup(8). compose makes the records of it from
// the queue ID that it gets, envelope and end included; flags say how it is
// handled. The error of a mail that was refused is a *PostError. The time limit
// is for each step.
func Post(ctx context.Context, svc Service, timeout time.Duration, flags int, compose func(queueID string) []Record) error {
	c, err := dial(ctx, svc, timeout)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()

	c.SetDeadline(time.Now().Add(timeout))
	if c.in.Next() == attr.Protocol {
		if err := c.expect(c.in.String(attr.Protocol)); err != nil {
			return c.failed(ctx, Read, err)
		}
	}
	queueID := c.in.String("queue_id")
	if err := c.in.End(); err != nil {
		return c.failed(ctx, Read, err)
	}
	c.SetDeadline(time.Now().Add(timeout))
	w := bufio.NewWriter(c)
	if err := new(attr.List).Int("flags", flags).Send(w); err != nil {
		return c.failed(ctx, Write, err)
	}
	for _, rec := range compose(queueID) {
		w.WriteByte(rec.Type)
		w.Write(recordLength(len(rec.Data)))
		w.WriteString(rec.Data)
	}
	if err := w.Flush(); err != nil {
		return c.failed(ctx, Write, err)
	}
	c.SetDeadline(time.Now().Add(timeout))
	c.in.SetMode(attr.Skip) // a reason may follow
	status := c.in.Int(attr.Status)
	if err := c.in.Err(); err != nil {
		return c.failed(ctx, Read, err)
	}
	if status != 0 {
		return &PostError{Status: status}
	}
	return nil
}

// PostError reports a mail that cleanup(8) did not take.
type PostError struct{ Status int }

func (e *PostError) Error() string { return "post mail: refused" }

// recordLength is the length of a record: seven bits in a byte, the lowest
// first.
func recordLength(n int) []byte {
	var b []byte
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}
