package agent

import (
	"context"

	"postlmtp/internal/lmtp"
	"postlmtp/internal/maillog"
	"postlmtp/internal/master"
	"postlmtp/internal/match"
	"postlmtp/internal/nexthop"
	"postlmtp/internal/request"
	"postlmtp/internal/table"
)

// openDebugPeers parses debug_peer_list.
func openDebugPeers(s *settings, set *table.Set) (*match.List, error) {
	parents, err := match.ParentStyle(context.Background(), s.ParentDomainMatchesSubdomains, "debug_peer_list", set)
	if err != nil {
		return nil, err
	}
	return match.ParseHosts(s.DebugPeerList, match.Options{Param: "debug_peer_list", Parents: parents, Tables: set})
}

// trace logs the dialog of every delivery with -v, and of those to a peer in
// debug_peer_list, whatever debug_peer_level: there is one level of detail.
func (s *settings) trace(inv master.Invocation, t *tables, log *maillog.Logger) func(*request.Request, nexthop.Endpoint) func(lmtp.TraceEvent) {
	if inv.Verbose == 0 && t.debug.Empty() {
		return nil
	}
	return func(req *request.Request, ep nexthop.Endpoint) func(lmtp.TraceEvent) {
		if inv.Verbose == 0 && !s.debugged(t, req, ep) {
			return nil
		}
		return func(e lmtp.TraceEvent) { logDialog(log, ep.Relay(), e) }
	}
}

// debugged tells whether debug_peer_list has the destination of a request, as
// the queue manager has it, or the server.
func (s *settings) debugged(t *tables, req *request.Request, ep nexthop.Endpoint) bool {
	if s.release.AtLeast(3, 6) && t.matchesHost(t.debug, req.Nexthop, "noaddr") {
		return true
	}
	return t.matchesHost(t.debug, ep.Host, ep.Address())
}

// logDialog writes one line of a dialog as Postfix does at -v.
func logDialog(log *maillog.Logger, relay string, e lmtp.TraceEvent) {
	switch e.Kind {
	case lmtp.TraceCommand:
		log.Infof("> %s: %s", relay, e.Line)
	case lmtp.TraceReply:
		log.Infof("< %s: %.100s", relay, e.Line)
	case lmtp.TraceReplaced:
		log.Infof("< %s: replaced by: %.100s", relay, e.Line)
	case lmtp.TraceBody:
		log.Infof("> %s: (%d bytes of message content)", relay, e.Size)
	case lmtp.TraceTLS:
		log.Infof("- %s: TLS established", relay)
	}
}
