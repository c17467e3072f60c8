// Package tlspolicy decides how a connection is protected by TLS, and judges
// the server that answered.
//
// # Purpose
//
// An [Engine] holds what is read before the jail: trust anchors, client
// certificates, and the parameters that begin with lmtp_tls_. For one server
// of one destination, [Engine.Policy] gives a [Policy]: a security level, and
// what the server has to prove. [Engine.Client] turns a policy into the
// configuration of one handshake with crypto/tls, whose [Handshake.Verdict]
// says what the server proved. [Engine.RequireTLS] and [Status] are the rules
// and the tls= field of RFC 8689.
//
// # Contract
//
// The engine always completes a handshake and then judges, as Postfix does, so
// that the caller can say QUIT to a server that failed. No certificate check
// is left to the defaults of crypto/tls: InsecureSkipVerify is set, and the
// chain, the names, fingerprints and TLSA records are checked in
// VerifyConnection, which runs for resumed sessions too. A caller that goes on
// after a verdict that is not OK breaks the policy: [Verdict.OK] is the one
// question to ask.
//
// [Policy.Identity] has everything that the policy depends on. Two connections
// may be used in place of each other only if their identities are equal.
//
// # Failure policy
//
// A policy that cannot be computed is an *[Error] with a temporary status:
// mail waits, it is never sent under a weaker policy. Files that cannot be read
// disable TLS as a whole, with a warning; what requires TLS is then deferred.
// Texts are Postfix's.
//
// # Limits
//
// crypto/tls has TLS 1.0 to 1.3, no anonymous ciphers, no finite-field
// Diffie-Hellman, no DSA, no raw public keys. A list of protocols with a hole
// in it loses the part below the hole. Cipher lists are evaluated to the
// suites that crypto/tls has (its order is fixed, and TLS 1.3 suites cannot be
// chosen, which is so in OpenSSL too). Certificate revocation lists are not
// read. The files of CApath are read once, at start.
package tlspolicy

import "postlmtp/internal/dsn"

// A Logger takes what Postfix's TLS library would log.
type Logger interface {
	Infof(format string, args ...any)
	Warningf(format string, args ...any)
}

type silent struct{}

func (silent) Infof(string, ...any)    {}
func (silent) Warningf(string, ...any) {}

// An Error is a policy that cannot be computed or satisfied. Why has already
// been logged where Postfix logs it.
type Error struct {
	Diagnosis dsn.Diagnosis
}

func (e *Error) Error() string { return "find TLS policy: " + e.Diagnosis.Reason }

// misconfigured is the error for every mistake in the settings.
func misconfigured() *Error { return problem("4.7.5", "client TLS configuration problem") }

func problem(status, reason string) *Error {
	return &Error{Diagnosis: dsn.Diagnosis{Status: status, Reason: reason}}
}
