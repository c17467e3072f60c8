package status

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"postlmtp/internal/metrics"
)

// A View is a collection as people look at it.
type View struct {
	At time.Time `json:"at"`
	// Interval is the time that rates are over, in seconds; 0: there are none.
	Interval    float64       `json:"interval"`
	Services    []ServiceView `json:"services"`
	Unreachable []string      `json:"unreachable"` // processes that did not answer
}

// A ServiceView is one service in master.cf.
type ServiceView struct {
	Service      string            `json:"service"`
	Processes    []ProcessView     `json:"processes"`
	Unreachable  int               `json:"unreachable"`
	Slots        int               `json:"slots"`
	InFlight     int               `json:"in_flight"`
	Stages       map[string]int    `json:"stages"`
	Destinations []DestinationView `json:"destinations"` // the busiest first
	Deliveries   []Delivery        `json:"deliveries"`   // the oldest first
	Pool         []Pooled          `json:"pool"`
	Errors       []Error           `json:"errors"` // the latest first
}

// A ProcessView is one process.
type ProcessView struct {
	PID     int       `json:"pid"`
	Version string    `json:"version"`
	Started time.Time `json:"started"`
}

// A DestinationView is one destination.
type DestinationView struct {
	Destination string `json:"destination"`
	metrics.Summary
	PerSecond metrics.Rates `json:"per_second"`
}

// NewView makes a view of a collection, with the rates since an earlier one,
// which may be the zero value.
func NewView(c Collection, at time.Time, before Collection, then time.Time) View {
	v := View{At: at, Unreachable: c.Unreachable}
	var span time.Duration
	if before.Services != nil {
		span = at.Sub(then)
		v.Interval = span.Seconds()
	}
	for _, name := range slices.Sorted(maps.Keys(c.Services)) {
		now := c.Services[name]
		s := ServiceView{Service: name, Unreachable: now.Unreachable, Slots: now.Slots, Stages: now.InFlight}
		for stage := range now.InFlight {
			s.InFlight += now.InFlight[stage]
		}
		for destination, values := range now.Counted.Destinations {
			sum := values.Summary()
			was := before.Services[name].Counted.Destinations[destination].Summary()
			s.Destinations = append(s.Destinations, DestinationView{destination, sum, sum.Since(was, span)})
		}
		for _, r := range c.Reports {
			if r.Service == name {
				s.add(r)
			}
		}
		s.sort()
		v.Services = append(v.Services, s)
	}
	return v
}

// add adds what one process tells.
func (s *ServiceView) add(r Report) {
	s.Processes = append(s.Processes, ProcessView{r.PID, r.Version, r.Started})
	s.Deliveries = append(s.Deliveries, r.Deliveries...)
	for _, p := range r.Pool {
		i := slices.IndexFunc(s.Pool, func(q Pooled) bool { return q.Server == p.Server })
		if i < 0 {
			s.Pool = append(s.Pool, p)
			continue
		}
		s.Pool[i].Sessions += p.Sessions
	}
	for _, e := range r.Errors {
		i := slices.IndexFunc(s.Errors, func(f Error) bool { return f.Destination == e.Destination })
		if i < 0 {
			s.Errors = append(s.Errors, e)
			continue
		}
		count := s.Errors[i].Count + e.Count
		if e.At.After(s.Errors[i].At) {
			s.Errors[i] = e
		}
		s.Errors[i].Count = count
	}
}

func (s *ServiceView) sort() {
	slices.SortFunc(s.Destinations, func(a, b DestinationView) int {
		busy := func(d DestinationView) float64 { return d.PerSecond.Sent + d.PerSecond.Deferred + d.PerSecond.Bounced }
		all := func(d DestinationView) float64 { return d.Sent + d.Deferred + d.Bounced }
		return cmp.Or(cmp.Compare(busy(b), busy(a)), cmp.Compare(all(b), all(a)), cmp.Compare(a.Destination, b.Destination))
	})
	slices.SortFunc(s.Deliveries, func(a, b Delivery) int { return a.Since.Compare(b.Since) })
	slices.SortFunc(s.Pool, func(a, b Pooled) int {
		return cmp.Or(cmp.Compare(b.Sessions, a.Sessions), cmp.Compare(a.Server, b.Server))
	})
	slices.SortFunc(s.Errors, func(a, b Error) int { return b.At.Compare(a.At) })
}
