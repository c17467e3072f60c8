package status

import (
	"time"

	"postlmtp/internal/metrics"
)

// A Report is what one process tells of itself. Its JSON form is what travels
// over the sockets, and what postlmtp status --json prints.
type Report struct {
	Service string    `json:"service"`
	PID     int       `json:"pid"`
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	Now     time.Time `json:"now"`
	Slots   int       `json:"slots"` // deliveries that it may do at once

	InFlight   map[string]int `json:"in_flight"`  // how many deliveries are at which stage
	Deliveries []Delivery     `json:"deliveries"` // the oldest first, at most MaxDeliveries
	Pool       []Pooled       `json:"pool"`       // open sessions without work
	Errors     []Error        `json:"errors"`     // the latest of each destination

	Counted metrics.Snapshot `json:"counted"`
}

// MaxDeliveries is how many deliveries a report tells of one by one.
const MaxDeliveries = 500

// A Delivery is one request of the queue manager that is being worked on.
type Delivery struct {
	QueueID     string    `json:"queue_id"`
	Destination string    `json:"destination"` // as the queue manager has it
	Server      string    `json:"server"`      // as relay= in the log; empty before there is one
	Recipients  int       `json:"recipients"`
	Size        int64     `json:"size"`
	Stage       string    `json:"stage"`
	Since       time.Time `json:"since"`       // when it began
	StageSince  time.Time `json:"stage_since"` // when it came to the stage
}

// Pooled are the idle sessions with one server.
type Pooled struct {
	Server   string `json:"server"`
	Sessions int    `json:"sessions"`
}

// An Error is why mail for a destination was not delivered, the last time.
type Error struct {
	Destination string    `json:"destination"`
	Text        string    `json:"text"`
	At          time.Time `json:"at"`
	Count       int       `json:"count"` // of all errors with that destination
}

// Oldest returns the age of the delivery that has been going on for the longest
// time, 0 if there is none.
func (r Report) Oldest() time.Duration {
	if len(r.Deliveries) == 0 {
		return 0
	}
	return max(r.Now.Sub(r.Deliveries[0].Since), 0)
}

// idle is how many sessions are in the pool.
func (r Report) idle() int {
	n := 0
	for _, p := range r.Pool {
		n += p.Sessions
	}
	return n
}
