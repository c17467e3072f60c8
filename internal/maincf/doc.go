// Package maincf reads the text of Postfix's main.cf and master.cf, and the
// small languages inside them: "name = value" lines, "-o name=value" words,
// $name expansion with its conditions and relations, and the grammars of
// time, number and boolean values.
//
// The package knows no parameter by name: which parameters exist, what their
// defaults are and what they mean is for package config.
//
// # Contract
//
// Everything behaves as it does in Postfix 3.6 and later (postconf(5),
// master(5)), down to the text of warnings and errors, so that an operator
// who searches for a message finds Postfix's documentation of it. Where the
// C programs stop at the first mistake, functions here return an error that
// carries file and line and leave it to the caller what to do.
//
// # Failure policy
//
// A line of main.cf that cannot be parsed is an error: Postfix programs do
// not start with such a file. A line of master.cf that cannot be parsed is
// skipped with a warning, because it is the master daemon's business and
// must not keep an unrelated service from running. All input is bounded: see
// MaxFileSize, MaxLineLength and MaxExpansion.
//
// # Known limits
//
// Operators that compare compatibility levels (<level and so on) and the
// functions for domains are always known here, while Postfix has them since 3.6
// and 3.11.
package maincf
