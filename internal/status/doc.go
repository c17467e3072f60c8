// Package status lets people and Prometheus look into the running daemons.
//
// # Purpose
//
// master(8) starts and ends processes as it likes, several of one service may
// live at once, and an old one may still be busy while a new one works already.
// An operator wants to see them as one, with counters that never go back.
//
// # How it works
//
// Each process keeps its counters (package metrics) and the table of its
// deliveries in memory, where they cost next to nothing, and has a socket in the
// status directory, below the queue directory, where it tells them to whoever
// asks. A process that ends adds its counters to the state file there. Whoever
// wants to know, see [Directory.Collect], asks all sockets and adds the state
// file. What a process has told is also noted in the state file, until it ends:
// so the sum stands when a process is killed, and what is lost are the counts
// since it was last asked.
//
// The one that answers Prometheus is any process that has the lock of the
// listener: when it ends, the next one has the lock. See [Process.Serve]. The
// tool can do the same, as a process that stays.
//
// # Contract
//
// Only processes of the directory's owner (mail_owner) take part, and only they
// and root can look. Each step that needs privileges or a path outside of the
// jail is in [Prepare]; [Process.Open] comes in the jail and before the
// sandbox, and after it only sockets of the directory are renamed and removed.
//
// # Failure policy
//
// Mail does not depend on any of this. What fails is an error of Prepare or
// Open, and the daemon goes on without; what fails later is a gap in what is
// told. A reader that hangs holds up nobody but itself.
//
// # Known limits
//
// Counters begin at zero when the machine does. A daemon that runs privileged
// ("n" in the column unpriv of master.cf) cannot be looked into, because it
// cannot trust a directory of mail_owner.
package status
