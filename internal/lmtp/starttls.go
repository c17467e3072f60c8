package lmtp

import (
	"context"
	"crypto/tls"
)

// StartTLS sends STARTTLS, shakes hands with cfg, and says LHLO again. A
// refused STARTTLS is a *ReplyError after which the session goes on without
// TLS; a failed handshake is a *ConnError with StageTLS; a refused LHLO is a
// *ReplyError with StageLHLO; a server that Options.AcceptTLS does not accept is
// the error of that. Judging the certificate is up to cfg and AcceptTLS.
func (s *Session) StartTLS(ctx context.Context, cfg *tls.Config) (*tls.ConnectionState, error) {
	defer s.watch(ctx)()
	r, err := s.ask(StageStartTLS, "STARTTLS")
	if err != nil {
		return nil, err
	}
	if !r.Success() {
		return nil, &ReplyError{Stage: StageStartTLS, Reply: r}
	}
	if err := s.handshake(cfg); err != nil {
		return nil, err
	}
	s.caps = Capabilities{}
	if err := s.hello(); err != nil {
		return nil, err
	}
	return s.TLS(), nil
}

// handshake puts TLS under the dialog. The limit is for the handshake as a
// whole: a server that sends a byte now and then does not prolong it.
func (s *Session) handshake(cfg *tls.Config) error {
	s.opt.at(StageTLS)
	perReq := s.wire.setPerRequest(true)
	s.wire.begin(s.opt.Timeouts.StartTLS, 0)
	conn := tls.Client(s.wire, cfg)
	err := conn.Handshake()
	s.wire.setPerRequest(perReq)
	if err != nil {
		return s.fail(StageTLS, err)
	}
	// What came behind the reply in plain text is nobody's reply under TLS
	// (RFC 3207 section 6): the new reader starts empty.
	s.tls, s.rw = conn, conn
	s.replies = newReplyReader(s.rw, &s.opt)
	s.opt.trace(TraceEvent{Kind: TraceTLS})
	if s.opt.AcceptTLS == nil {
		return nil
	}
	if err := s.opt.AcceptTLS(s.TLS()); err != nil {
		s.refused, s.spoiled = true, true
		return err
	}
	return nil
}

// setPerRequest says whether limits are for a request as a whole, and returns
// what was so before.
func (w *wire) setPerRequest(on bool) (before bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before, w.perReq = w.perReq, on
	return before
}
