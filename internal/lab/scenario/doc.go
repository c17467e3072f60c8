// Package scenario reads, runs and judges scenarios: one text file for each
// small world in which a delivery agent is watched. The same file drives any
// agent, Postfix's own included, so that two agents can be compared by what
// they do and not by how they look inside.
//
// # The file
//
// A file is a title, in lines that start with #, and sections. A section
// begins with a line "== NAME" and ends where the next one begins; blank lines
// at its end do not count.
//
//	== settings       lines of main.cf
//	== agent          "words: flags=DORX", "release: 3.5", "limit: 1", "verbose: 1",
//	                  "service: NAME", "chroot: yes" (needs root)
//	== hosts          what the agent is to find in /etc/hosts (needs root)
//	== table NAME     a file that settings name as {dir}/NAME
//	== services       "bounce: missing": a lab.Behaviour for each service
//	== server NAME    the script of an LMTP server: see lab.Script
//	== message        the message, as text
//	== records        or its queue file records: "N text", "L text", "p text";
//	                  text in double quotes is a Go string, and "x"*3000 repeats it;
//	                  "N*20 text" is 20 such records;
//	                  a last line "cut" leaves the end of the file away
//	== request        the delivery request: "KEY: VALUE" lines, see below
//	== differs        why our agent is to do something else than Postfix's
//	== differs until RELEASE FACET...   or "differs from": why it does under
//	                  such releases, in these facets, when they are compared
//	== expect FACET   what is to be seen
//	== ours FACET     the same for our agent, where it differs on purpose
//	== ours FACET from RELEASE   and where it says that in other words from such
//	                  a release on
//
// There may be several messages and requests: a request is about the message
// before it (a small one if there is none) and each request gets a queue file
// of its own. {NAME} in settings and requests stands for the place of a
// server: unix:public/NAME or [127.0.0.1]:PORT.
//
// # Requests
//
// Keys that start a recipient or describe the one before them:
//
//	rcpt: ADDRESS     orig: ADDRESS (default: the same)   orcpt: rfc822;ADDRESS
//	notify: never success failure delay                   offset: -1
//	rcpts: 300 u%d@example.com    many recipients
//
// All others: nexthop (default: the first server), flags (names or numbers:
// done bounce mta-verify user-verify record load store record-delayed;
// default "done bounce"), sender, encoding, sendopts (utf8 utf8-header
// utf8-sender utf8-recipient tls-optional requiretls), envid, ret (full, hdrs),
// client-name, client-address, client-port, client-protocol, client-helo,
// log-ident, rewrite-context, queue-id, queue-name, size, file (absent, locked,
// not-ready, no-access, empty, directory), pause (a time to wait before it),
// replace ("old" "new": Go strings, replaced in the request on its way),
// reload (yes: `postfix reload` before it), touch (a table that changes before
// it), raw (a Go string to send instead of the request).
//
// # Facets
//
// What is compared, each as text, absent meaning empty:
//
//	server     every byte that the LMTP servers got, line by line
//	log        the agent's log lines
//	requests   what the services of the mail system were asked
//	status     the final status of each request
//	file       the queue files afterwards: D or R for each recipient, and
//	           what else has changed
//	process    status messages and exit status of the agent's processes
//
// What differs from run to run is replaced: delays, ports and directories. Of
// many lines in a row that differ in their numbers only, the first and the last
// are shown, with a check sum of all.
//
// # Failure policy
//
// A line that a facet has and the file has not is a difference, whatever it
// says. A scenario that cannot be run as written (a misspelled key, an agent
// that does not start) is an error and never a difference.
package scenario
