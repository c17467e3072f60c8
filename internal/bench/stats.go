package bench

import (
	"slices"
	"time"
)

// median returns the middle of some numbers, 0 of none.
func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Clone(v)
	slices.Sort(v)
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// percentile returns the time that p of 100 are not above.
func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)*p/100, len(sorted)-1)]
}

// A Ratio is how much better ours is: the median, the least and the greatest of
// all rounds.
type Ratio struct {
	Median, Min, Max float64
}

// ratioOf sums up the rounds.
func ratioOf(v []float64) Ratio {
	if len(v) == 0 {
		return Ratio{}
	}
	return Ratio{median(v), slices.Min(v), slices.Max(v)}
}
