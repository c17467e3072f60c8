package queuefile

import (
	"fmt"
	"io"
)

// NoOffset is the offset of a recipient that has no record in the queue file,
// as in requests that another delivery agent passes on.
const NoOffset int64 = -1

// MarkDone marks the recipient whose record begins at offset as finished, so
// that the queue manager never offers it again: the type byte R becomes D, in
// one positioned write, after what happened to the recipient was reported.
//
// [NoOffset] is no error and does nothing; nor does a record that is marked
// already. Any other byte at the offset means that the offset is not the one
// of a recipient: it is left alone and the error says so, because a stray byte
// in the content or in another recipient would be worse than a duplicate. An
// error of any kind means that the recipient may be delivered again.
func (f *File) MarkDone(offset int64) error {
	if offset == NoOffset {
		return nil
	}
	if offset <= 0 {
		return fmt.Errorf("mark recipient done in %s: bad offset %d", f.path, offset)
	}
	var b [1]byte
	if n, err := f.f.ReadAt(b[:], offset); n < 1 {
		if err == io.EOF {
			return fmt.Errorf("mark recipient done in %s: offset %d is after the end", f.path, offset)
		}
		return fmt.Errorf("mark recipient done in %s: %w", f.path, err)
	}
	switch b[0] {
	case TypeDone:
		return nil
	case TypeRecipient:
	default:
		return fmt.Errorf("mark recipient done in %s: no recipient record at offset %d (found byte %#02x)",
			f.path, offset, b[0])
	}
	if err := f.f.writeByte(TypeDone, offset); err != nil {
		return fmt.Errorf("mark recipient done in %s: %w", f.path, err)
	}
	return nil
}

// MarkCorrupt sets the mode of the file to 0400, which makes the queue manager
// move it to the corrupt queue, provided that the final status of the request
// is not zero. The process needs the effective uid of mail_owner.
func (f *File) MarkCorrupt() error {
	if err := f.f.chmod(corruptMode); err != nil {
		return fmt.Errorf("mark queue file %s as corrupt: %w", f.path, err)
	}
	return nil
}
