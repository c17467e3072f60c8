// Package sasl is the client side of SASL (RFC 4422): the mechanisms behind
// go-sasl's Client interface, their security properties, and the choice of one
// of those that a server offers.
//
// # Contract
//
// Choose returns the strongest mechanism that the server offers, that is known
// here, that has all properties which the policy demands, and that the login
// can be used with. The order is that of the Cyrus SASL library, which Postfix
// uses:
//
//	SCRAM-SHA-512-PLUS, -256-PLUS, -1-PLUS   under TLS, if the policy says so
//	SCRAM-SHA-512, SCRAM-SHA-256, SCRAM-SHA-1
//	DIGEST-MD5
//	EXTERNAL      with a client certificate, for a login without a password
//	CRAM-MD5
//	PLAIN, LOGIN
//	XOAUTH2, OAUTHBEARER   the password is an access token
//	ANONYMOUS
//
// The properties of each mechanism are those of the Cyrus library, too:
//
//	              noplaintext noactive nodictionary noanonymous mutual_auth
//	SCRAM-…            yes       yes        -           yes         yes
//	DIGEST-MD5         yes        -         -           yes         yes
//	EXTERNAL           yes        -        yes          yes          -
//	CRAM-MD5           yes        -         -           yes          -
//	PLAIN, LOGIN        -         -         -           yes          -
//	XOAUTH2, …          -         -         -           yes          -
//	ANONYMOUS          yes        -         -            -           -
//
// None has forward_secrecy. Tokens come last but for ANONYMOUS, because a
// password does not say that it is one: who has a token for a server that takes
// passwords, too, names the mechanism in lmtp_sasl_mechanism_filter.
//
// # Failure policy
//
// No error and no value that can be printed has a password in it. A client
// gives up at the first challenge that it does not expect, with an *Error whose
// Short is in the words of the Cyrus library, because those are in bounces and
// in what people search for. SCRAM and DIGEST-MD5 insist that the server proves that
// it knows the password, too (Finish).
//
// # Where Cyrus does otherwise
//
//   - When a server offers EXTERNAL, the Cyrus library of Postfix takes it, and
//     fails for want of an external identity, although PLAIN or CRAM-MD5 is
//     offered. Here EXTERNAL is taken only where it can work.
//   - A server that welcomes a SCRAM client without its proof is trusted by
//     Postfix; here it is not.
//
// # Known limits
//
// GSSAPI, GS2 and NTLM are not there: a Kerberos client would be a library with
// many more parsers of outside bytes than all the rest, for LMTP servers that
// nobody is known to have. Security layers are never negotiated; Postfix does
// not either.
package sasl
