// Package content turns the content records of a queue file into what an LMTP
// server reads after DATA: lines that end with CRLF, with a dot added in front
// of a dot that begins a line (RFC 5321 section 4.5.2); or without that dot, after
// BDAT (RFC 3030).
//
// # The path of a record
//
//	queuefile.Records -> [MIME stage [-> editor]] -> wire writer -> io.Writer
//
// The wire writer joins the parts of long lines, completes the last line,
// breaks lines at lmtp_line_length_limit, and adds dots. It is all there is in
// the usual case. The MIME stage is in the path when the message must go out as
// 7-bit text (8BITMIME is not offered), is checked, or has addresses rewritten:
// it parses the message into headers and body lines, makes what is 8-bit
// quoted-printable, and hands on headers and body lines as separate events. The
// editor applies lmtp_header_checks and the like to these, and
// lmtp_generic_maps to the addresses of the message's own header.
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
// [*BadRecordError] the queue file, [*MIMEError] the message,
// [*CheckError] and [*GenericError] our tables, anything else
// ([*queuefile.ReadError]) the machine. After any error the transaction must be
// abandoned without a final dot. What was written before goes out if the error
// says so (Partial), and is dropped otherwise; that is as in Postfix.
//
// # Known differences from Postfix
//
// A line feed within a record, which cleanup(8) never writes, ends a line
// here; Postfix sends it bare, which some servers take for a line end and
// others do not: text that PREPEND puts in may have one, from a folded header.
// A lmtp_line_length_limit of 1, with which Postfix never comes to an end,
// counts as 2. A header that REPLACE gives another name has its addresses
// rewritten if that is the name of an address header; Postfix cuts it up at the
// length of the old name.
//
// # Known limits
//
// Headers are not converted: an 8-bit header stays 8-bit. Text without MIME
// headers is 7-bit by definition, and is not converted either. The MIME stage
// cuts off headers that are longer than header_size_limit. A header or line is
// checked as far as its first NUL byte.
package content
