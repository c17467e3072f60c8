// Package config knows every parameter by name. It turns main.cf, the
// options of a service in master.cf and built-in defaults into one typed
// value, the Config.
//
// # The table
//
// A parameter is one row of the table: its name, its default, its bounds,
// since which release Postfix has it, a line of documentation, and a pointer
// to the field of Config that receives its value. Parsing, checks,
// docs/parameters.md and what the tool prints all come from the row. To add
// a parameter is to add a field and a row.
//
// The table holds all parameters that Postfix's lmtp(8) reads, from 3.5 to
// 3.12. Rows that are marked missing are parsed and checked, but ask for what
// Go's TLS library does not have; Config.Unsupported tells which of these the
// administrator has set. Rows that are marked noEffect have no influence on the
// delivery by LMTP in Postfix either, or concern machinery that this program
// does not need.
//
// # Defaults
//
// Where releases differ the default is that of the installed Postfix
// (Options.MailVersion); if the release is unknown, that of the newest.
// myhostname and mydomain are computed as Postfix does it: from the name of
// the machine, with mydomain appended if it has no dot. Postfix compiles a
// few paths into its programs. Here they are those of Debian, except that
// daemon_directory is the first of the usual directories that contains a
// program named master.
//
// A reference to $name sees all parameters of the table, whatever the order
// in which Postfix happens to initialize them; postconf -x does the same. A
// name that neither main.cf nor the table has expands to nothing.
//
// # Failure policy
//
// Load collects all mistakes, in Postfix's words, and returns them as Errors.
// Where there is more than one, Postfix may name another one first. The
// Config that it returns along with them is good for display only:
// parameters with a mistake have their default.
package config
