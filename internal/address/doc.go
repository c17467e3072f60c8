// Package address converts mail addresses between the forms that Postfix and
// LMTP use.
//
// # Forms
//
// Inside Postfix (queue file, delivery request, lookup keys) an address is in
// internal form: local part, last '@', domain, no quoting at all, so the local
// part may hold spaces, quotes or another '@'. Two external forms exist:
//
//   - the envelope form (RFC 5321) of MAIL FROM and RCPT TO: [QuoteEnvelope];
//   - the header form (RFC 5322) of Return-Path, Delivered-To, ORCPT and of
//     to=<...> in the mail log when info_log_address_format = external:
//     [QuoteHeader], and back with [UnquoteHeader].
//
// In both, a local part that is a dot-string stays as it is, and anything else
// becomes one quoted-string. Bytes above 127 never need quoting, so a UTF-8
// local part goes out as UTF-8. The domain is never touched.
//
// [XText] and [UXText] encode ESMTP parameter values (RFC 3461, RFC 6533),
// [ORCPT] chooses between them. [IDNA.ASCIIDomain] converts internationalized
// domains (UTS 46). [Fold] and [EqualFold] compare without
// regard to case.
//
// # Failure policy
//
// Quoting cannot fail. Decoders and domain conversions return an error and
// never a partial result. All functions are pure and safe for concurrent use.
//
// # Known limits
//
// Source routes ("@a,@b:user@c") are skipped by the header form, as Postfix
// does, and not understood otherwise. Domains are not validated except by the
// IDNA conversions.
package address
