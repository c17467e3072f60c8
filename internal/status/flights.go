package status

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"
)

// flights is the table of the deliveries that go on, and of the last errors.
type flights struct {
	mu     sync.Mutex
	flying map[*Flight]struct{}
	errors map[string]*Error
}

// maxErrors is how many destinations are told the last error of.
const maxErrors = 100

// maxErrorText bounds the text of an error, which may come from a server.
const maxErrorText = 300

// A Flight is one delivery that goes on. Its methods belong to the goroutine
// that delivers.
type Flight struct {
	table *flights
	mu    sync.Mutex
	d     Delivery
}

// begin adds a delivery to the table.
func (t *flights) begin(d Delivery) *Flight {
	d.Since = time.Now()
	d.StageSince = d.Since
	f := &Flight{table: t, d: d}
	t.mu.Lock()
	t.flying[f] = struct{}{}
	t.mu.Unlock()
	return f
}

// Stage notes that the delivery comes to a stage, and tells when it came to the
// one before.
func (f *Flight) Stage(stage string) (before time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before = f.d.StageSince
	if f.d.Stage != stage {
		f.d.Stage, f.d.StageSince = stage, time.Now()
	}
	return before
}

// Server notes which server the delivery has turned to.
func (f *Flight) Server(name string) {
	f.mu.Lock()
	f.d.Server = name
	f.mu.Unlock()
}

// End takes the delivery off the table.
func (f *Flight) End() {
	f.table.mu.Lock()
	delete(f.table.flying, f)
	f.table.mu.Unlock()
}

// failed notes an error with a destination.
func (t *flights) failed(destination, text string) {
	if len(text) > maxErrorText {
		text = text[:maxErrorText] + "..."
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.errors[destination]
	if e == nil {
		if len(t.errors) >= maxErrors {
			t.forgetOldest()
		}
		e = &Error{Destination: destination}
		t.errors[destination] = e
	}
	e.Text, e.At = text, time.Now()
	e.Count++
}

func (t *flights) forgetOldest() {
	oldest := slices.MinFunc(slices.Collect(maps.Values(t.errors)), func(a, b *Error) int { return a.At.Compare(b.At) })
	delete(t.errors, oldest.Destination)
}

// fill fills in what a report says of the table.
func (t *flights) fill(r *Report) {
	t.mu.Lock()
	all := slices.Collect(maps.Keys(t.flying))
	for _, e := range t.errors {
		r.Errors = append(r.Errors, *e)
	}
	t.mu.Unlock()
	for _, f := range all {
		f.mu.Lock()
		d := f.d
		f.mu.Unlock()
		r.Deliveries = append(r.Deliveries, d)
		r.InFlight[d.Stage]++
	}
	slices.SortFunc(r.Deliveries, func(a, b Delivery) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.QueueID, b.QueueID))
	})
	if len(r.Deliveries) > MaxDeliveries {
		r.Deliveries = r.Deliveries[:MaxDeliveries]
	}
	slices.SortFunc(r.Errors, func(a, b Error) int { return b.At.Compare(a.At) })
}
