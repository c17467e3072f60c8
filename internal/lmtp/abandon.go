package lmtp

import (
	"errors"
	"time"
)

// abandon ends a transaction without content, and finds out whether the replies
// so far went to the right commands: if one was counted too many, the reply to
// DATA is still to come. An error says that they did not. Any other trouble is
// not the message's: the session is closed, or spoiled, and the error is nil.
func (a *attempt) abandon() error {
	if a.s.closed {
		return nil // MAIL was refused and the connection lost
	}
	if a.data != nil && a.data.Code/100 == 3 {
		return a.emptyContent()
	}
	r, err := a.s.ask(StageReset, "RSET")
	switch {
	case errors.Is(err, ErrDesync):
		return err
	case err != nil:
		return nil
	}
	// An accepted recipient makes DATA's reply a 3xx one. Where DATA has
	// another reply, and RSET, which is never answered so, has this one, it
	// was DATA's. (With RCPT's acceptance shifted, too, DATA has a 2xx one.)
	slipped := r.Code/100 == 3 && a.data != nil && (len(a.accepted) > 0 || a.data.Success())
	if slipped || a.s.inputWaits() {
		return a.s.fail(StageReset, ErrDesync)
	}
	if !r.Success() {
		a.s.spoiled = true
	}
	return nil
}

// emptyContent ends a transaction whose DATA was accepted although there is
// nobody to deliver to (RFC 2033 section 4.2 forbids that): a dot and nothing
// else. By RFC 2033 no reply is due, but a server that is wrong in the one
// thing may be wrong in the other; one reply is awaited for as long as for
// RSET. The session is not used again. Where MAIL was refused and recipients were
// not, the server has somebody to deliver to, and a dot would be an empty message:
// then the connection is closed, which no server takes for the end of content.
func (a *attempt) emptyContent() error {
	s := a.s
	s.spoiled = true
	if s.inputWaits() {
		return s.fail(StageData, ErrDesync)
	}
	if len(a.accepted) > 0 {
		s.Close()
		return nil
	}
	s.group()
	s.add(StageFinal, 0, append(s.out, '.'))
	s.traceCommands()
	s.wire.begin(min(s.opt.Timeouts.DataDone, s.opt.Timeouts.Reset), 0)
	_, err := s.rw.Write(s.out)
	if err == nil {
		_, err = s.reply()
	}
	if err != nil {
		s.Close()
	}
	return nil
}

// early reads the replies that are there although the final dot was not sent,
// and settles recipients with them: the server may refuse the rest of the
// content, and hang up. The k-th reply is that of the k-th accepted recipient,
// and of nobody else. A success confirms nothing, because the server has not
// seen all of the message; there it ends, as with anything else that is odd.
// From a connection that is alive only what waits already is read.
func (a *attempt) early(alive bool) {
	s := a.s
	s.wire.begin(drainTime, 0)
	s.wire.bound(time.Now().Add(drainTime))
	for a.final < len(a.accepted) {
		if alive && !s.inputWaits() {
			return
		}
		r, err := s.reply()
		if class := r.Code / 100; err != nil || class != 4 && class != 5 {
			return
		}
		s.refuseMail(r)
		a.settle(a.accepted[a.final], r)
		a.final++
	}
}
