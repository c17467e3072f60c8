// Package bench measures delivery agents side by side: Postfix's own lmtp and
// ours, the same messages, the same LMTP server, the same load, in turns within
// one run, so that whatever else the machine does concerns both.
//
// # What is measured
//
// Run takes cases: so many requests at once, of such a message, to so many
// recipients, over such a socket. For each case there is a world of
// internal/lab for each agent, in which the agent is started, counted and
// renewed as master(8) does it; a load generator in the role of the queue
// manager; and a Sink, an LMTP server that does nothing but count. All agents
// get warm, and then take turns in short windows. A round of windows, one for
// each agent, yields one ratio; what is reported is the median of all rounds.
//
//   - deliveries for each second;
//   - processor time for each delivery: user and system time of all processes of
//     the agent, those that have ended included, and of scache(8) where Postfix
//     uses it;
//   - memory: the proportional set sizes (PSS) of all these processes, while the
//     sink holds so many deliveries up as the case has at once;
//   - latency from the connection to the final status, half and 99 of 100.
//
// Ceiling measures what the sink takes from a client that replays prepared bytes
// over open connections. Under some loads the least agent takes its turn, too,
// which does all parts of a delivery and understands none. StartUp measures the time until a new agent greets.
// Pipeline has a private Postfix drain a full queue through each agent.
//
// # Failure policy
//
// A delivery that does not end well is an error that ends the run: numbers of
// an agent that fails are worthless.
//
// # Known limits
//
// Sink, load generator and agent share the processors, so that the ratio of
// deliveries is nearer to 1 than that of processor time. To keep their share
// small, sink, load and log are one event loop in one thread; with TLS or a round
// trip time the sink has goroutines. The round trip time is
// made in the sink: it delays replies, and the greeting by two round trips, one
// of which stands for the TCP handshake; it does not slow the transport of
// large messages. Linux only.
package bench
