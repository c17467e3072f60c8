package lab

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"

	"postlmtp/internal/attr"
)

// A Posted is a mail that the agent posted through cleanup(8).
type Posted struct {
	Flags   int
	Records []PostedRecord
	Problem string // what broke the posting off; "" for a complete one
}

// A PostedRecord is one record of a posted mail.
type PostedRecord struct {
	Type byte
	Data string
}

// cleanup serves one client of the cleanup service.
func (s *services) cleanup(c net.Conn) {
	how := s.how("cleanup")
	place := s.place()
	hello := new(attr.List)
	if s.lab.opts.dialect().greets {
		hello.String(attr.Protocol, "cleanup_protocol")
	}
	if hello.String("queue_id", postedID).Send(c) != nil {
		return
	}
	br := bufio.NewReader(c)
	in := attr.NewReader(br, attr.Limits{})
	mail := &Posted{Flags: in.Int("flags")}
	if err := in.End(); err != nil {
		if !errors.Is(err, io.EOF) {
			mail.Problem = err.Error()
			s.record(Record{Service: "cleanup", Mail: mail, place: place})
		}
		return
	}
	if err := mail.read(br); err != nil {
		mail.Problem = err.Error()
	} else {
		place = s.place()
	}
	s.record(Record{Service: "cleanup", Mail: mail, place: place})
	status := 0
	switch {
	case how == HangsUp || mail.Problem != "":
		return
	case how == Fails:
		status = 1
	}
	_ = new(attr.List).Int(attr.Status, status).String("reason", "").Send(c)
}

// postedID is the queue ID that the cleanup stand-in hands out.
const postedID = "C0FFEE0001"

// maxPosted bounds the number of records of a posted mail and maxRecord the
// size of each.
const (
	maxPosted = 100_000
	maxRecord = 1 << 20
)

// read reads records up to the end record.
func (p *Posted) read(r *bufio.Reader) error {
	for len(p.Records) < maxPosted {
		rec, err := readPosted(r)
		if err != nil {
			return fmt.Errorf("read record: %w", err)
		}
		p.Records = append(p.Records, rec)
		if rec.Type == 'E' {
			return nil
		}
	}
	return errors.New("read record: too many")
}

// readPosted reads one record: type, length in base 128, data.
func readPosted(r *bufio.Reader) (PostedRecord, error) {
	kind, err := r.ReadByte()
	if err != nil {
		return PostedRecord{}, err
	}
	size := 0
	for shift := 0; ; shift += 7 {
		b, err := r.ReadByte()
		if err != nil {
			return PostedRecord{}, err
		}
		size |= int(b&0x7f) << shift
		if b&0x80 == 0 {
			break
		}
		if shift > 14 {
			return PostedRecord{}, errors.New("length out of range")
		}
	}
	if size > maxRecord {
		return PostedRecord{}, errors.New("length out of range")
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(r, data); err != nil {
		return PostedRecord{}, err
	}
	return PostedRecord{Type: kind, Data: string(data)}, nil
}
