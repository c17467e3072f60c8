package bench

// reasons explains the numbers at the end of the document: what bounds them, and
// what was tried.
const reasons = `
## What bounds these numbers

**A delivery in system calls.** One message of 4 KB to one recipient over a kept
session takes about 25 calls.

| for | calls | needed |
|---|---|---|
| the request | accept4, fcntl, 2 epoll_ctl, write (greeting), read, write (status), close | all but fcntl and one epoll_ctl, which Go's poller makes |
| the queue file | openat, fstat, flock, 2 pread64, pwrite64 (mark), close | all; one pread64 proves that the mark goes to a recipient's record |
| the dialog | write (RSET to DATA), read, write (content and dot), read | all: two flights |
| the dialog in step | 3 ioctl(SIOCINQ) | no, for speed; yes, for safety: a reply that was not asked for must not be taken for another |
| the log | write | yes |
| waiting | about 2 epoll_pwait | yes |

Not contacted on success: bounce, defer, trace, flush. Taken out so far: the wait
for the queue manager's close (Linux does not lose what was written before a
close), the lstat before the open, the PEEK reads, the growing of a stack for each
connection, and four of five turns of the run-time system's watcher of threads, which Linux's default timer slack of 50 µs
lets run every 70 µs (PR_SET_TIMERSLACK is 1 ms in the worker). Half of what is
left is the kernel's.

**Deliveries/s gain less than processor time.** Load, sink and log of the bench
share the processors with the agent: with a share of h for each delivery the
ratio of rates on machines that are full is at most (p + h) / (o + h), where p and
o are the agents' shares. The bench's own share is one event loop, mostly system
calls. More threads for ours (GOMAXPROCS) raise the rate with many processors, and
cost a quarter more processor time for each delivery with two.

**Round trips.** Over a kept session Postfix waits three times: for RSET, for
the envelope with DATA, for the content. Ours sends RSET with the envelope: twice.
So 3 / 2 = 1.5 is all that can be had on a slow line without CHUNKING, since DATA
must be answered before the content goes (RFC 5321), and a session must be known
to be alive before a message is entrusted to it. With postlmtp_chunking everything
goes in one flight: 3 / 1.

**TLS.** Without lmtp_tls_connection_reuse neither agent keeps sessions with TLS,
as Postfix documents it: each delivery is a handshake, of which the server's half,
in the sink, is the same for both. With it, Postfix's dialog goes through
tlsproxy(8), and ours stays in the process.

**Memory at a concurrency of 1** is two processes of a Go program, where Postfix
has one small C program whose library other programs of Postfix share. About half
of it is clean pages of the program file; the parent's heap is 1.5 MB. What is
bought with it is that one more delivery at a time costs some 50 KB instead of a
process of a megabyte.

**Start-up** is two program starts, parent and worker, each with about a
millisecond for Go's run-time system and the initialization of packages. The
worker has the release of Postfix from its parent, and reads the settings once;
the parent reads them twice (0.15 ms), because where the release is found is a
setting. What is left is the price of the thin parent (see architecture.md).

**The ceiling** of prepared bytes has none of the parts of a delivery but the
dialog: no agent can come near it. The least agent is the honest bound.
`
