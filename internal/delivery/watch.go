package delivery

import (
	"crypto/tls"

	"postlmtp/internal/lmtp"
	"postlmtp/internal/nexthop"
	"postlmtp/internal/request"
)

// A Watcher is told what deliveries do, for metrics and for people. Nothing
// depends on it. Its Watches must not block.
type Watcher interface {
	// Begin is told of a request that is going to be delivered.
	Begin(req *request.Request) Watch
}

// A Watch follows one request. It is used by one goroutine. Times are those of
// the calls.
type Watch interface {
	// Connecting: a server is turned to. Connected or Failed follows.
	Connecting(ep nexthop.Endpoint)
	// Connected: the server has accepted the connection. Opened or Failed follows.
	Connected()
	// Opened: the session is ready for its first message. State is nil without TLS.
	Opened(state *tls.ConnectionState)
	// Leased: a session that was kept is used again.
	Leased(ep nexthop.Endpoint)
	// Stale: it was dead. Nothing has happened, and another one is tried.
	Stale()
	// Stage: the dialog has come to a stage.
	Stage(s lmtp.Stage)
	// Content: so many bytes of content were produced for the server.
	Content(bytes int64)
	// Final: the server has answered the end of the message for a recipient;
	// settled, if not by a deferral.
	Final(settled bool)
	// Done: a message with so many recipients was sent to its end, and answered.
	Done(recipients int)
	// Unconfirmed: the end of the message was not answered for so many recipients.
	Unconfirmed(recipients int)
	// Failed: there is no session, or it broke, or the message was refused.
	Failed(t Trouble, err error)
	// End: nothing follows.
	End()
}

// Trouble is what a failure is about.
type Trouble int

// What there is.
const (
	TroubleLookup  Trouble = iota // finding the server
	TroubleConnect                // connecting to it
	TroubleHello                  // greeting and LHLO
	TroubleTLS
	TroubleLogin
	TroubleMessage // the transaction
)

// nobody is a Watcher and a Watch for when there is none.
type nobody struct{}

func (nobody) Begin(*request.Request) Watch { return nobody{} }
func (nobody) Connecting(nexthop.Endpoint)  {}
func (nobody) Connected()                   {}
func (nobody) Opened(*tls.ConnectionState)  {}
func (nobody) Leased(nexthop.Endpoint)      {}
func (nobody) Stale()                       {}
func (nobody) Stage(lmtp.Stage)             {}
func (nobody) Content(int64)                {}
func (nobody) Final(bool)                   {}
func (nobody) Done(int)                     {}
func (nobody) Unconfirmed(int)              {}
func (nobody) Failed(Trouble, error)        {}
func (nobody) End()                         {}
