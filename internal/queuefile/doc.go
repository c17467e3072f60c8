// Package queuefile reads, marks and builds Postfix queue files.
//
// A queue file is a sequence of typed records: an envelope, the message
// content, and information extracted from it. The queue manager tells a
// delivery agent where the content begins and at which offset each recipient
// record lies; the agent streams the content, and overwrites the type byte of
// a recipient record when that recipient is finished.
//
// # Contract
//
//   - [Path] maps a queue name and id to a path relative to the queue
//     directory; nothing else in a request becomes part of a path.
//   - [Open] checks that the file is fit for delivery and takes the shared
//     lock that all delivery agents hold until they are done.
//   - [File.Records] iterates over records as Postfix's own agents do: pointer
//     records are followed and padding is skipped, so that the edits of
//     Milters come out in place. Memory is bounded by one buffer of 64 KB
//     whatever the file says; content records that are longer come out in
//     parts of type [TypePart].
//   - [File.MarkDone] and [File.MarkCorrupt] are the only writes.
//   - [Writer] and [Create] build files as cleanup(8) does, for tests and
//     demonstrations.
//
// # Failure policy
//
// What the file says wrongly is a [*BadRecordError]: retrying will not help.
// What the operating system says is a [*ReadError] or a plain error: the mail
// may be fine and must not be bounced. [Open] has one error for each thing
// that a caller does differently: [NameError], [ErrNotExist],
// [NotRegularError], [NotReadyError], [ErrLocked].
//
// A [File] may be used by several goroutines, a [Records] by one at a time.
//
// # Known limits
//
// A record that is no content record must fit into the 64 KB buffer; a longer
// one is reported as bad. Files are limited to what a signed 64-bit offset
// reaches. The lock is flock(2), the default on Linux; fcntl locks are not
// supported.
package queuefile
