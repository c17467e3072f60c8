// Package lmtp holds one LMTP session with one server (RFC 2033): greeting,
// LHLO, STARTTLS, any number of transactions, RSET, QUIT.
//
// # Contract
//
// The engine returns facts and knows no policy: whether a refusal bounces,
// defers or sends the mail to another server is for the caller to say.
//
//   - [Open] takes a connection and says hello. [Session.StartTLS],
//     [Session.XClient] and [Session.Auth] follow in this order, where they are
//     wanted; the first two say hello again. [Session.Deliver] offers one
//     message to any number of recipients. [Session.Quit] and [Session.Close]
//     end it.
//   - A failure is one of three kinds, never mixed. [*ReplyError]: the server
//     said no, in a reply to a command that concerns all recipients that have
//     no reply of their own. [*ConnError]: the dialog broke: lost, timed out,
//     abandoned, or out of step. [*LocalError]: something on our side failed.
//   - A recipient has at most one outcome: Transaction.OnRcpt for a rejected
//     RCPT TO, or Transaction.OnFinal for the reply that decides it. OnFinal is
//     called as each reply arrives and before the next one is read, so that
//     what the server has promised is recorded before anything else can fail.
//     A recipient without a call shares the error that Deliver returns.
//   - A reply is only ever taken for the answer to the command that it answers.
//     Replies are counted against commands. Bytes from the server where none
//     may be are an [ErrDesync]; nobody's outcome is taken from them. QUIT is
//     sent after all final replies were read, never with the final dot. A
//     success that arrives before the final dot was sent confirms nothing.
//   - A server that has closed its side of the connection gets neither the final
//     dot nor a last chunk: it could store the message, and could not say so.
//
// # Pipelining
//
// When the server offers PIPELINING (RFC 2920), XFORWARD, TRACE, MAIL, all RCPT and
// DATA go out as one group, of any size, while the replies are read at the same
// time: neither side can block the other, however small the buffers are.
// Outcomes of the group are held back until the whole group was answered
// consistently, or the connection was lost. Without PIPELINING every command
// waits for its reply.
//
// # Chunking
//
// With Transaction.Chunks the content goes by BDAT (RFC 3030), in chunks of at
// most 64 KB. On a session that lay idle a message up to that size goes in one
// flight: RSET, MAIL, all RCPT and BDAT LAST with the content, in one write where
// the socket's buffer takes it: one round trip. If the server refuses all
// recipients the content was sent for nothing, and the server has to discard it;
// RSET shows that it is in step. Any other message goes when the envelope was
// answered, each chunk while the reply to the one before is awaited, and the last
// one when all others were taken: a refused chunk ends the transaction before the
// server can have all of the message.
//
// # Time
//
// Every stage has its own limit ([Timeouts]), which applies to every single
// read and write, or with PerRequestDeadline to all input and output of one
// request. Time spent elsewhere does not count. When the context ends, whatever
// is going on is abandoned at once and the connection is closed; but once the
// final dot, BDAT LAST or a flight is on its way the transaction goes on for Transaction.FinalGrace,
// because the server may already have stored the message.
//
// In a flight the limit of each reply is that of final replies: the server may
// store the message before it says anything.
//
// # Limits
//
// Replies are bounded: 2048 bytes for a line, about twice that for the text of
// a multi-line reply, a megabyte for everything that is read in the hope of
// its end. What exceeds the first two is cut and the reply stands; what exceeds
// the last ends the session.
//
// A session is used by one goroutine at a time.
//
// # Where Postfix does otherwise
//
//   - Bytes that come before a command was sent are taken by Postfix for the
//     answer to it; here the connection is dropped.
//   - A success before the final dot is taken by Postfix for a delivery. Here it
//     settles nobody. A 4xx or 5xx reply before the dot settles its recipient in
//     both; here the transaction ends with it.
//   - Postfix sends QUIT with the final dot, and may take the 221 for a delivery.
//   - A rejected recipient is reported at once by Postfix; here when the reply
//     to DATA, or to the RSET in its place, shows that no reply has slipped: a
//     3xx reply to that RSET although recipients were accepted, or bytes behind
//     it, or a 3xx reply to RCPT when that to DATA never comes, say that one has.
//   - When DATA is accepted for nobody, Postfix waits lmtp_data_done_timeout for
//     the reply to a lone dot, which RFC 2033 does not grant; here it is
//     lmtp_rset_timeout, and the session is not used again.
//   - A reply that has no end after a megabyte ends the session.
//
// # Known limits
//
// Whether unread bytes wait in the kernel, or the end, is known for connections
// that give access to their descriptor (TCP, unix) and for those with a method
// Pending() bool. For others only bytes that were read already are noticed.
package lmtp
