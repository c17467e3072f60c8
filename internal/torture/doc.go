// Package torture holds tests that break everything around the daemon, at
// random, and then count: nothing lost, nothing doubled without an excuse.
//
// Each run is a world of its own, made from its seed: some messages, an LMTP
// server whose connections are cut or stall at random bytes, status services
// that fail, processes that are killed or reloaded in mid-delivery. The queue
// manager's part retries what is left, first under fire and then in peace,
// until every recipient is settled. Then the server's own record of what it
// stored is compared with the marks in the queue files, the bounces, and the
// mail log:
//
//   - every recipient is settled: delivered, or bounced by the server's word;
//   - none counts as sent without having been stored;
//   - none was stored twice, unless the answer to the first copy was cut off,
//     or the daemon was killed: the protocol leaves no choice then;
//   - each recipient has one final line in the log.
//
// POSTLMTP_TORTURE_RUNS sets the number of runs, POSTLMTP_TORTURE_SEED the
// first seed: "make torture" runs 2,000 of them. A failure names its seed.
package torture
