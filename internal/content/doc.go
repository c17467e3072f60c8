// Package content turns the content records of a queue file into what an LMTP
// server reads after DATA: lines that end with CRLF, with a dot added in front
// of a dot that begins a line (RFC 5321 section 4.5.2).
//
// # The path of a record
//
//	queuefile.Records -> [MIME stage] -> wire writer -> io.Writer
//
// The wire writer joins the parts of long lines, completes the last line,
// breaks lines at lmtp_line_length_limit, and adds dots. It is all there is in
// the usual case. The MIME stage is in the path only when the message must go
// out as 7-bit text (8BITMIME is not offered): it parses the message into
// headers and body lines, rewrites what is 8-bit into quoted-printable, and
// hands on headers and body lines as separate events. Checks and rewriting of
// headers and body lines belong between the two: an implementation of sink
// that wraps another one.
//
// # Contract
//
// [Copy] writes the content and not the final dot. Its output is what
// Postfix's own client sends, byte for byte, with the exceptions below. The
// memory it uses does not depend on the message. [DeliveredTo] is the loop
// check that goes with a prepended Delivered-To header.
//
// # Failure policy
//
// Errors say whose fault it is: [*WriteError] the server or the connection,
// [*BadRecordError] the queue file, [*MIMEError] the message, anything else
// ([*queuefile.ReadError]) the machine. After any error the rest of the output
// is dropped, and the transaction must be abandoned without a final dot.
//
// # Known differences from Postfix
//
// A line feed within a record, which cleanup(8) never writes, ends a line
// here; Postfix sends it bare, which some servers take for a line end and
// others do not. A lmtp_line_length_limit of 1, with which Postfix never
// comes to an end, counts as 2.
//
// # Known limits
//
// Headers are not converted: an 8-bit header stays 8-bit. Text without MIME
// headers is 7-bit by definition, and is not converted either. The MIME stage
// cuts off headers that are longer than header_size_limit.
package content
