// Package master is the child side of master(8): how the daemon is started,
// what it inherits, how it drops privileges, accepts requests, and leaves.
//
// # Purpose
//
// master(8) starts a process for a line of master.cf when a client connects to
// the service's socket, hands it the listening socket, and counts it as idle or
// busy. Postfix's own delivery agent serves one request at a time. Ours may
// serve many in one process. This package keeps both within what master
// believes about its children. It knows nothing of mail: it hands each accepted
// connection to a function.
//
// # Who calls what, in order
//
//	inv, err := ParseInvocation(os.Args, os.Environ()) // options, environment
//	err = inv.CheckDescriptors()                       // refuses to be run by hand
//	... log, settings, the bound on parallel requests ...
//	owner, err := LookupMailOwner("postfix")           // mail_owner
//	if NeedsSupervisor(inv, bound) {
//		status, err := Supervise(inv, Jail{…}, log)    // P: until W is drained
//		os.Exit(status)
//	}
//	... tables, certificates, log socket: all that must be open in the jail ...
//	process, err := PreJail(inv, queueDirectory, bound)
//	err = EnterJail(Jail{…})
//	err = Serve(ctx, Settings{Process: process, …}, handle)
//
// An error before Serve is a start-up error: the process logs it and exits
// with a status other than 0, so that master waits a minute before it tries
// again. When Serve returns nil the process exits with 0. Each of these
// functions is called once in the life of a process.
//
// # Two process models
//
// Classic (bound 1) is Postfix's own: the process says TAKEN, serves one
// request, says AVAIL; several processes stand side by side, and an exclusive
// lock on pid/TRANSPORT.SERVICE decides which of them waits for a connection.
// At the end of its life (max_use, max_idle, a changed table, end of file on
// the status socket after "postfix reload") it exits with 0 between requests.
//
// Concurrent (bound N > 1): the process that master started, P, starts the
// worker W, which is the same executable with the same arguments, descriptors
// and one more, a socket between the two. W does all the work: it accepts a
// connection only when one of its N slots is free, so that at the bound further
// connections stay in the listen queue. Neither sends a status message, so that
// master counts P as idle and starts no further process. Connections that the
// queue manager opens ahead of need count as slot users while they wait.
//
// W drains when it is told to leave: by end of file on the status socket, after
// max_use connections for each slot, when a table has changed, after max_idle
// without work, or when P is gone. It stops accepting, closes its listening
// sockets, tells P, and finishes what it has, however long that takes. A
// handler that still waits for the first byte of a request goes on waiting,
// since the queue manager may send one at any time. P exits at once, with
// status 0. This matters: master cannot hear a process of an older generation
// and counts it as idle until it exits, and so would start no other while
// connections wait. With P gone it starts a new process at the next connection,
// with the new settings, next to the old worker. Nothing is lost on the way:
// master holds the listening socket too, so that a connection in its queue
// stays there when W closes its copy, and W never closes between accept and
// serve. During such an overlap more than N requests may run: the old worker's
// in addition to the new one's.
//
// P has dropped all privileges, holds only the log and the socket to W, and
// waits. If W dies before it has served one request, P exits with W's status
// (128 plus the number of a signal) and master throttles the service, which is
// right for a broken set-up. If W dies later, P warns and exits with 0: one
// crash must not stop the service for a minute.
//
// # Signals
//
// "postfix stop" sends SIGTERM to the whole process group. Nothing new is
// accepted, the context of every handler is cancelled with the cause
// [ErrStopping], and handlers get StopGrace to end; then Serve returns nil
// whether they have ended or not. P exits with 0 at once: master is gone or, if
// it removed the service from its table, waits in a tight loop for P and has
// sent the signal to P only; W then drains. SIGHUP, SIGPIPE and SIGXFSZ are
// ignored.
//
// # Watchdog
//
// daemon_timeout limits how long a handler goes without progress; [Pat] says
// that there was some. When it expires the handler's context is cancelled with
// the cause [ErrWatchdog]; if the handler does not end within StopGrace it is
// given up: a classic process exits with a status other than 0, as Postfix's
// does, and a worker drains and leaves the lost handler behind. The connection
// of a lost handler stays open until the process ends, so that the queue manager
// does not try the message again while the handler may still deliver it.
//
// The same limit holds for the main loop. If that does not come round, the
// handlers are told to stop as by SIGTERM, and the process exits with a failure
// after StopGrace, without a panic.
//
// # Failure policy
//
// Serve does not recover a panic in a handler: the caller does, who knows what
// to say about the delivery. Unless it does, the whole process dies.
//
// # Known limits
//
// Linux only. Services of type pass are refused. mail_owner and its groups are
// looked up in /etc/passwd and /etc/group, as a static binary can. Where
// getopt(3) takes "-o=x" for the value "=x", this package takes it for "x".
// The retirement time of option -r is parsed and not used, as in Postfix's
// lmtp(8). Nobody is left to log the crash of a worker that is draining.
package master

// Logger is what this package needs of a log.
type Logger interface {
	Infof(format string, args ...any)
	Warningf(format string, args ...any)
}
