// Package torture holds tests that break everything around the daemon, and then
// count: nothing lost, nothing doubled without an excuse.
//
// # At random
//
// Each run of TestTorture is a world of its own, made from its seed: some
// messages, an LMTP server whose connections are cut or stall at random bytes,
// and none, one or two of the enemies: signals, limits, services that fail, a queue
// manager that goes away (see enemies). The queue manager's part retries what is left,
// first under fire and then in peace, until every recipient is settled. Then the
// server's own record of what it stored is compared with the marks in the queue
// files, the bounces, and the mail log:
//
//   - every recipient is settled: delivered, or bounced by the server's word; a
//     message that arrives is one that was queued, from its sender, for nobody but its
//     recipients;
//   - none is marked as sent by a request in which the server did not say so;
//   - none was stored twice, unless the answer to the first copy was cut off, and
//     then the log says that it was not confirmed; or the process was killed before the
//     mark; or the mark could not be written, and then the log says so: nobody has a
//     choice then. Nor is anybody bounced twice;
//   - a request has an answer, unless its process was made to end, and the status 0
//     leaves nobody;
//   - each recipient has one line that says that it was sent, unless the process was
//     killed between the mark and the line;
//   - each transaction begins in a clean session;
//   - no descriptors are left open, and all processes end.
//
// Sender and original recipients name the request, so that each copy and each record
// is held to the one request that it came by.
//
// # In order
//
// TestEveryCut cuts a dialog after each of its bytes, in both directions, in each
// way. TestDamagedFile truncates a queue file at each byte. Others have single
// faults, and load.
//
// POSTLMTP_TORTURE_RUNS sets the number of random runs, POSTLMTP_TORTURE_SEED the
// first seed: "make torture" runs 2,000 of them and prints what was done. A failure
// names its seed. POSTLMTP_SOAK sets the number of deliveries of TestSoak: "make
// soak" makes 100,000.
package torture
