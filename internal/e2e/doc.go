// Package e2e holds the tests on real parts: a private instance of the
// machine's Postfix whose master.cf names the lmtp daemon of this tree, and
// Dovecot's LMTP server or a recording sink as the destination.
//
// # What runs
//
// Every instance has its own configuration, queue, data and daemon directories
// under one temporary directory, its own log file and free ports on 127.0.0.1.
// Nothing under /etc/postfix, /var/spool/postfix or /etc/dovecot is written.
// The daemon is built by the test as a static binary and put, under its own
// file name, into a private daemon_directory among links to Postfix's programs.
// When a test ends, fails or is killed, its process groups are killed and its
// directory is removed.
//
// TestPain and TestSamples have a whole machine instead (see machine), where the
// usual places hold copies. TestPain with -update writes what
// docs/troubleshooting.md shows.
//
// # Which agent
//
// The environment variable POSTLMTP_E2E_AGENT selects the delivery agent under
// test: "ours" (the default) or "postfix", which is Postfix's own lmtp program.
// The tests pass on both, so that what they expect is proven on the original.
// Where ours differs on purpose, the test asks the agent and says why.
//
// # Requirements
//
// Root (the cases that log by syslog also CAP_SYS_ADMIN, for a mount namespace
// with a /dev/log of their own), and the packages that .ci/install installs. A
// test that cannot run says so loudly; with CI=true it fails. E2E_KEEP=1 keeps the directories, and
// POSTLMTP_E2E_SLOW sets how long the slow delivery of the reload test takes
// (a Go duration, 20s unless set). POSTLMTP_E2E_BINARY names a binary to test
// instead of one built from the tree.
package e2e
