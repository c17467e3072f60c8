package probe

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"postlmtp/internal/queuefile"
	"postlmtp/internal/request"
)

// A Message is a message to be sent: always from a copy, which nobody but this
// process sees. It has to be opened before the jail, and to be closed.
type Message struct {
	file   *queuefile.File
	offset int64
	size   int64
	env    queuefile.Envelope
	done   []string
}

// maxMessage bounds a message that is not from the queue.
const maxMessage = 1 << 30

// Text makes a message of a text in the format of RFC 5322.
func Text(r io.Reader, sender string, recipients []string) (*Message, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxMessage))
	if err != nil {
		return nil, err
	}
	e := queuefile.Envelope{Sender: sender, QueueID: "PROBE", Context: "local", Encoding: "7bit"}
	if bytes.ContainsFunc(text, func(r rune) bool { return r > 0x7f }) {
		e.Encoding = "8bit"
	}
	for _, address := range recipients {
		e.Recipients = append(e.Recipients, queuefile.Recipient{Address: address})
	}
	return hidden(func(path string) error {
		_, err := queuefile.Create(path, e, bytes.NewReader(text))
		return err
	})
}

// Queued makes a message of a copy of a queue file.
func Queued(path string) (*Message, error) {
	source, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a FIFO without a writer would wait
	if err != nil {
		return nil, err
	}
	defer source.Close()
	info, err := source.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	return hidden(func(path string) error {
		dst, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o700)
		if err != nil {
			return err
		}
		_, err = io.Copy(dst, source)
		return errors.Join(err, dst.Close())
	})
}

// hidden opens a queue file that is gone from the file system already.
func hidden(create func(path string) error) (*Message, error) {
	dir, err := os.MkdirTemp("", "postlmtp-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "PROBE")
	if err := create(path); err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o700); err != nil {
		return nil, err
	}
	file, err := queuefile.Open(path)
	if err != nil {
		return nil, err
	}
	in, err := queuefile.Inspect(file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &Message{file: file, offset: in.DataOffset, size: in.Size, env: in.Envelope, done: in.Done}, nil
}

// Close ends the message.
func (m *Message) Close() error { return m.file.Close() }

// Recipients are those of the envelope that are not finished.
func (m *Message) Recipients() []string {
	var list []string
	for _, r := range m.env.Recipients {
		list = append(list, r.Address)
	}
	return list
}

// Done are the recipients that the queue manager is done with.
func (m *Message) Done() []string { return m.done }

// apply makes a request for the message. The sender is the message's.
func (m *Message) apply(req *request.Request) {
	req.Offset, req.Size = m.offset, m.size
	req.Encoding, req.SendOpts = m.env.Encoding, request.SendOpts(m.env.SendOpts)
	req.Sender, req.EnvelopeID, req.Ret = m.env.Sender, m.env.EnvelopeID, request.Ret(m.env.Ret)
	if m.env.Context != "" {
		req.RewriteContext = m.env.Context
	}
	if !m.env.Arrival.IsZero() {
		req.Stamps.IncomingArrival = m.env.Arrival
	}
	for _, r := range m.env.Recipients {
		req.Recipients = append(req.Recipients, request.Recipient{Offset: queuefile.NoOffset,
			Address: r.Address, Original: r.Original, ORcpt: r.ORcpt, Notify: request.Notify(r.Notify)})
	}
}
