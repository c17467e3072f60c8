// Package hostile holds tests that attack the whole daemon from both sides: by
// LMTP servers that do what no server should, and by messages that are made to
// be read as more than one.
//
// With a hostile server the delivery to it ends, in bounded time and memory,
// with its recipients still in the queue unless the server said otherwise;
// meanwhile the same process delivers other mail, and nothing that the server
// said reaches the log or a bounce with its control characters.
//
// With a hostile message a strict server, which takes CR LF for the end of a
// line and nothing else, gets one message, and its lines are those of the queue
// file; and servers that read line ends in other ways (bare LF, bare CR) still
// see one message.
package hostile
