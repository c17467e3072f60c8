package delivery

import (
	"postlmtp/internal/dsn"
)

// Scope says what a failure touches: the smallest thing that explains it.
type Scope int

const (
	// Recipient: the server refused one recipient.
	Recipient Scope = iota
	// Message: every recipient of this message, but not the destination.
	Message
	// Site: the server itself; the queue manager may throttle the destination.
	Site
)

func (s Scope) String() string {
	return [...]string{"recipient", "message", "site"}[s]
}

// Failure is a fact about a delivery that went wrong: what it touches, and the
// diagnosis as it will stand in the log and in the bounce.
type Failure struct {
	Scope     Scope
	Diagnosis dsn.Diagnosis
	// SoftNonFinal marks a permanent failure that another server may not
	// have, such as a missing SMTPUTF8 extension: it is permanent only at
	// the last server.
	SoftNonFinal bool
}

// Verdict is what becomes of the recipients that a failure touches.
type Verdict int

const (
	Bounce Verdict = iota
	Defer
	TryNext
)

func (v Verdict) String() string {
	return [...]string{"bounce", "defer", "try next"}[v]
}

// judge decides what a failure means. The class of the enhanced status code
// decides between permanent and temporary, never the reply code.
// At every server but the last, what may pass by itself is left to the next
// one; with soft_bounce so are permanent failures, which the defer service
// would record in the end anyway.
func judge(f Failure, final, softBounce bool) Verdict {
	soft := temporary(f.Diagnosis)
	if !final && (soft || softBounce || f.SoftNonFinal) {
		return TryNext
	}
	if soft {
		return Defer
	}
	return Bounce
}

// temporary tells whether a failure may pass by itself.
func temporary(d dsn.Diagnosis) bool { return dsn.Class(d.Status) == dsn.Transient }
