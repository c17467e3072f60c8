// Package generic maps addresses of this machine to addresses that are good
// elsewhere (lmtp_generic_maps, generic(5)).
//
// # Lookup
//
// The tables are asked for, in this order, until one has an answer:
//
//	user+ext@domain   the address
//	user@domain       the same without its extension
//	user+ext, user    the user, if domain is local to this machine
//	@domain           the domain
//
// An address is looked up in quoted form: "a b"@domain. All but the first are looked up only in tables whose keys are
// fixed: a pattern sees the whole address.
//
// # Result
//
// A result "@other" keeps the user and changes the domain. The first address of
// any other result is what counts, completed by trivial-rewrite(8): a domain is
// added if there is none. The extension that was left away is added to it only
// if propagate_unmatched_extensions says so.
//
// # Failure policy
//
// A lookup that fails, a result that has no address in it, or a
// trivial-rewrite(8) that cannot be reached is an error. Postfix's agent ends
// itself then. Here the mail is deferred by the caller.
//
// Many goroutines may use one Map.
package generic
