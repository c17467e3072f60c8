// Package delivery is the middle of the agent: it offers one message to the
// servers of its destination until no recipient is left, and settles each
// recipient exactly once.
//
// # Contract
//
// Deliver takes a request whose queue file is open and locked. When it returns,
// every recipient has been reported through the Reporter, and the finished ones
// are marked in the queue file; or Result.Abandoned is set, because the context
// ended, and recipients that were not settled yet are exactly as they were
// before: still in the queue, with nothing reported.
//
// # The loop
//
// The destination is a list of elements, and each element resolves to a list of
// endpoints. One after the other is offered what is left, until nothing is:
//
//   - a failure is a fact with a scope (Recipient, Message, Site); judge says
//     whether the recipients that it touches bounce, are deferred, or are left
//     for the next server;
//   - whether an endpoint is the last one is a parameter of each step;
//   - who is left after the last endpoint is settled with the last reason that was
//     about it; a permanent one counts no more once a later element has servers.
//
// # Sessions
//
// A session comes from the pool where the request and the settings allow it,
// and goes back there when its dialog ended in good order. A pooled
// session is asked by RSET whether it is alive. If it breaks before the server has
// answered anything else, the message is offered again over a new connection to
// the same endpoint: a stale session is never the message's fault.
//
// # Failure policy
//
// A failure of ours (a file that cannot be read, a setting that makes no sense)
// defers; only what a server says, or the message itself, bounces. The
// destination is reported to the queue manager as failing only for a failure
// with scope Site, and not if any session of the same request came to its end.
package delivery
