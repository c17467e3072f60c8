package content

import (
	"bytes"
	"errors"

	"postlmtp/internal/address"
	"postlmtp/internal/queuefile"
)

// maxDeliveredTo is how many Delivered-To headers are looked at.
const maxDeliveredTo = 1000

// DeliveredTo reports whether the message header that src is positioned at has
// a Delivered-To header with the address: it was here before, and delivering
// it with another such header would make it go round for ever. The address is
// in internal form; utf8Enabled is smtputf8_enable. The error is that of
// reading; a malformed file is for [Copy] to report.
func DeliveredTo(src *queuefile.Records, addr string, utf8Enabled bool) (bool, error) {
	want := address.Fold(address.QuoteHeader(addr), utf8Enabled)
	inLine := false // the record goes on with the line of the one before it
	for seen := 0; seen < maxDeliveredTo; {
		rec, err := src.Next()
		if err != nil {
			var bad *queuefile.BadRecordError
			if errors.As(err, &bad) {
				err = nil
			}
			return false, err
		}
		if rec.Type != queuefile.TypeLine && rec.Type != queuefile.TypePart {
			return false, nil
		}
		begins := !inLine
		inLine = rec.Type == queuefile.TypePart
		if !begins {
			continue
		}
		n := headerNameLen(rec.Data)
		switch {
		case n == 0 && (len(rec.Data) == 0 || !isSpace(rec.Data[0])):
			return false, nil // end of the header
		case !equalFold(rec.Data[:n], "delivered-to"):
			continue
		}
		seen++
		_, value, _ := bytes.Cut(rec.Data, []byte(":"))
		value = bytes.TrimLeft(value, " \t\n\v\f\r")
		if address.Fold(string(value), utf8Enabled) == want {
			return true, nil
		}
	}
	return false, nil
}

// isSpace is the isspace of the C locale.
func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }
