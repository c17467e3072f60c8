// Package table reads Postfix's lookup tables: what a parameter names as
// type:name. It only reads, it needs no library of any database, and it opens
// files before the process gives up its privileges.
//
// # Types
//
//	hash btree             Berkeley DB files, see package bdb
//	lmdb cdb               see the packages of the same names
//	texthash inline        "key value" text; cidr: networks
//	regexp pcre            see packages posix, pcre and rules
//	static environ fail    the same answer always; the environment; an error
//	randmap                one of several answers
//	unionmap pipemap       the answers of several tables, together or in a row
//	socketmap tcp          servers, see package remote
//	proxy                  any type, by way of proxymap(8), see package proxymap
//
// Every other type (ldap, mysql, pgsql, sqlite, memcache, nis, ...) is reached
// by way of proxymap(8): naming it directly is an error that says so.
//
// A Migration has hash: and btree: replaced by other types, as Postfix 3.11 can;
// see also package reindex.
//
// # Contract
//
// A Set opens tables. It serves repeated opens of one table, with the same
// flags, from one instance, and knows the files that tables were read from:
// Changed tells when one of them is not what it was, which is when Postfix's
// processes restart. Maps is an ordered list of tables.
//
// A lookup has a key and is answered with a value, with "not found", or with
// an error: the table cannot tell now. Nobody may take an error for "not
// found"; mail whose delivery depends on the answer is deferred. Keys are folded
// to lower case if the flags of the open ask for that. Partial lookups (parent
// domains, the user name alone) are left to the caller; Fixed tells whether
// they make sense.
//
// All methods may be called by several goroutines at once.
//
// # Failure policy
//
// A table that cannot be opened does not end the process (unless
// daemon_table_open_error_is_fatal is set): the error is logged, and each
// lookup in that table fails with a warning that says why. Rules of a text
// table that make no sense are skipped with a warning. The texts are Postfix's.
//
// # Known limits
//
// A key with a NUL byte, which Postfix cannot have, is never found. Results are
// what Postfix's 64-bit builds on Linux give; an lmdb: file of a 32-bit machine
// is refused.
package table

import "context"

// A Table is an open lookup table.
type Table interface {
	// Lookup returns the value of a key. An error means that the table cannot
	// tell; it is an *Error, or the error of ctx wrapped in one.
	Lookup(ctx context.Context, key string) (value string, found bool, err error)

	// Fixed reports whether the keys of the table are fixed strings, so that
	// it makes sense to look for a part of a name (its parent domains). It
	// does not with patterns.
	Fixed() bool

	// String returns "type:name" as the log has it.
	String() string
}

// An Error says that a lookup failed.
type Error struct {
	Table  string // type:name
	Config bool   // a mistake in the configuration, not a temporary problem
	Err    error  // the cause
}

// Error implements error.
func (e *Error) Error() string { return e.Table + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
