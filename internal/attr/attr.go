// Package attr reads and writes the attribute lists that Postfix's processes
// exchange over local sockets: the NUL separated form that every release uses
// for all internal traffic except that of anvil(8).
//
// A list is a sequence of name and value, each ended by a NUL byte, and ends
// with one more NUL, an empty name:
//
//	status NUL 0 NUL NUL
//
// A name can occur more than once and the order has meaning, so a list is
// never a map. List builds one, Reader takes them apart one attribute after the
// other in the order of the protocol.
//
// Numbers are the unsigned decimal text of a bit pattern: an int of -1 is
// 4294967295, a long of -1 is 18446744073709551615. Binary data is base64.
//
// # Failure policy
//
// Writing cannot fail before the bytes go out. A NUL inside a value, which the
// format cannot carry, becomes a question mark: what reaches a value from
// outside (the text of a server's reply) must not be able to end the list.
//
// Reading is bounded (Limits) and the first error sticks: the calls after it
// return zero values, and Err and End tell it. The end of the stream before
// the first byte of a list is io.EOF, a normal event; inside a list it is
// io.ErrUnexpectedEOF. An error of the stream itself, a timeout among them, can
// be found with errors.Is; everything else is a *FormatError.
//
// # Known limits
//
// Hash tables and the plain and base64 forms of the protocol are not covered:
// nothing on the path of a delivery uses them.
package attr

import "fmt"

// A FormatError says that bytes from the peer are not what the protocol wants.
type FormatError struct {
	Attribute string // the attribute that was expected or read; may be empty
	Problem   string // what is wrong, in words
}

// Error implements error.
func (e *FormatError) Error() string {
	if e.Attribute == "" {
		return "read attributes: " + e.Problem
	}
	return fmt.Sprintf("read attribute %s: %s", e.Attribute, e.Problem)
}

// Protocol is the name of the attribute by which a server of Postfix 3.6 and
// later greets: a list of its own, before the server reads anything.
const Protocol = "protocol"

// Status is the name of the attribute that most answers consist of.
const Status = "status"
