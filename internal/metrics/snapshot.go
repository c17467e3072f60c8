package metrics

import (
	"maps"
	"slices"
)

// Values are series that have labels in common. The keys of Counts are a name,
// and the labels that are not in common: name{label="value"}.
type Values struct {
	Counts     map[string]float64   `json:"counts,omitempty"`
	Histograms map[string]Histogram `json:"histograms,omitempty"`
	// Times are moments, in seconds since 1970, of which the latest counts.
	Times map[string]float64 `json:"times,omitempty"`
}

func newValues() Values {
	return Values{Counts: make(map[string]float64), Histograms: make(map[string]Histogram), Times: make(map[string]float64)}
}

// count notes a counter that is not zero.
func (v Values) count(key string, n uint64) {
	if n > 0 {
		v.Counts[key] = float64(n)
	}
}

// plus returns the sum of two Values, which stay as they are.
func (v Values) plus(o Values) Values {
	sum := newValues()
	for _, part := range []Values{v, o} {
		for k, n := range part.Counts {
			sum.Counts[k] += n
		}
		for k, h := range part.Histograms {
			sum.Histograms[k] = sum.Histograms[k].plus(h)
		}
		for k, t := range part.Times {
			sum.Times[k] = max(sum.Times[k], t)
		}
	}
	return sum
}

// A Snapshot is what one process, or several of the same service, have counted.
// Snapshots are values: what is done with one does not change another.
type Snapshot struct {
	Process      Values            `json:"process"`
	Destinations map[string]Values `json:"destinations,omitempty"`
}

// NewSnapshot returns one in which nothing is counted.
func NewSnapshot() Snapshot {
	return Snapshot{Process: newValues(), Destinations: make(map[string]Values)}
}

// Plus returns the sum of two snapshots. The destinations of s keep their names;
// those of o have one if it is known, or if there is room for it, and are
// counted as Other else. So the sum is bounded however many are added, and a
// name that is once in it stays in it.
func (s Snapshot) Plus(o Snapshot) Snapshot {
	sum := Snapshot{Process: s.Process.plus(o.Process), Destinations: maps.Clone(s.Destinations)}
	if sum.Destinations == nil {
		sum.Destinations = make(map[string]Values)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Destinations)) {
		to := name
		if _, known := sum.Destinations[name]; !known && sum.named() >= MaxDestinations {
			to = Other
		}
		sum.Destinations[to] = sum.Destinations[to].plus(o.Destinations[name])
	}
	return sum
}

// Names returns a snapshot that has counted nothing at the same destinations:
// what is added to it gets the names that it would get in s.
func (s Snapshot) Names() Snapshot {
	names := NewSnapshot()
	for name := range s.Destinations {
		names.Destinations[name] = newValues()
	}
	return names
}

// named is how many destinations have a name of their own.
func (s Snapshot) named() int {
	n := len(s.Destinations)
	if _, other := s.Destinations[Other]; other {
		n--
	}
	return n
}

// Total returns the sum of a counter over all destinations that match: key is
// its name, or the name and labels.
func (s Snapshot) Total(key string) float64 {
	total := s.Process.Counts[key]
	for _, v := range s.Destinations {
		total += v.Counts[key]
	}
	return total
}
