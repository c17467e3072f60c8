// Package lab is a small world for a delivery agent: stand-ins for all that an
// LMTP agent of Postfix has to do with, so that an agent's binary can be run,
// watched and measured without Postfix, without root and without a network.
//
// A Lab has
//
//   - master(8): starts processes of the agent on demand with the arguments,
//     the environment, the descriptors and the working directory of the real
//     thing, up to a process limit, and keeps the books of their TAKEN and
//     AVAIL messages; Reload, Retire and Stop do what `postfix reload`, the
//     idle end and `postfix stop` do to an agent;
//   - qmgr(8): Queue writes a queue file, Deliver hands a request over and
//     returns the final status, File looks at what became of the queue file;
//   - bounce(8), as bounce, defer and trace, verify(8), flush(8),
//     trivial-rewrite(8), proxymap(8), whose tables are empty, and cleanup(8):
//     Records tells what they were asked; Options.Behaviour makes one of them
//     fail, Behave does so later;
//   - scache(8), which keeps open connections for Postfix's own agent;
//   - postlogd(8): Log tells what the agent logged;
//   - an LMTP server that follows a script: Serve. It listens on a UNIX-domain
//     or a TCP socket and records every byte and when it came.
//
// The agent can be any binary that keeps to the protocols, Postfix's own lmtp
// included, which is what the differential tests live on. Postfix's own
// binary wants the users and groups of an installed Postfix to exist (mail_owner
// and setgid_group), nothing else of it.
//
// # Contract
//
// A Lab is built by New in a directory of its own and ends with Close, which
// leaves no process behind. All methods may be called from several goroutines.
// What has happened before a Deliver returns is visible to a call of Log,
// Records, Processes or File after it; what an agent does after it has sent
// the final status becomes visible with Retire.
//
// # Failure policy
//
// A stand-in believes nothing: a request that breaks the protocol is recorded
// with an attribute BROKEN that says why. Every wait of a method is bounded by
// its context. An agent that dies before it has served a client throttles the
// service, as under master(8), and Deliver then returns ErrThrottled.
//
// # Known limits
//
// There is one service in a lab. The
// trivial-rewrite stand-in completes a missing domain and does nothing else.
// Each process of the agent leads a process group of its own, where under
// master(8) all share one.
package lab
