package delivery

import (
	"slices"

	"postlmtp/internal/address"
	"postlmtp/internal/request"
)

// The SMTPUTF8 bits of a request that name a place with UTF-8 in it.
const (
	utf8Addresses = request.UTF8Sender | request.UTF8Recipient
	utf8Anywhere  = request.UTF8Header | utf8Addresses
)

// needsUTF8 tells whether the message cannot go without SMTPUTF8: the sender
// asked for it, and something that an old server would choke on has UTF-8.
func (j *job) needsUTF8() bool {
	return j.req.SendOpts&request.UTF8Requested != 0 && j.req.SendOpts&utf8Anywhere != 0
}

// plainHeader tells whether a message that needs SMTPUTF8 goes to a server
// without it as mail with raw UTF-8 in its header went before there was
// SMTPUTF8 (postlmtp_smtputf8_downgrade): unchanged, so that signatures hold,
// to a server that takes 8-bit text. That is so for text in the header only. An
// address with UTF-8 has no other form (RFC 6531 section 3.2), and changing the
// header (RFC 6857) is for whoever stores it.
func (x *transfer) plainHeader() bool {
	j, caps := x.j, x.s.Caps()
	if !j.d.opt.UTF8Downgrade || caps.SMTPUTF8 || !caps.EightBitMIME ||
		!j.needsUTF8() || j.req.SendOpts&utf8Addresses != 0 {
		return false
	}
	return address.IsASCII(j.req.Sender) && !slices.ContainsFunc(j.req.Recipients, func(r request.Recipient) bool {
		return !address.IsASCII(r.Address)
	})
}
