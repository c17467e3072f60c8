// Package metrics counts what deliveries do, for Prometheus and for people.
//
// A [Set] has the counters of one process. Each destination has its own, which
// are plain numbers that many goroutines add to without a lock; the first
// [MaxDestinations] have a name, what comes after them is counted as "other",
// so that no sender and no table can make the number of series grow. A
// [Snapshot] is what a Set has counted up to a moment: it can be sent, stored,
// and added to others. [Write] prints snapshots in Prometheus's text format.
//
// There is no registry and no reflection here, because a daemon that master(8)
// starts on demand pays for both at each start; see docs/architecture.md. That
// the text is what Prometheus wants is what the tests are for.
package metrics
