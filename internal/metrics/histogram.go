package metrics

import (
	"sync/atomic"
	"time"
)

// times is a histogram of durations, with the bounds of timeBounds.
type times struct {
	buckets [20]atomic.Uint64 // the last one has no bound
	sum     atomic.Int64      // in ns
}

func (h *times) observe(d time.Duration) {
	d = max(d, 0)
	h.buckets[timeBucket(d)].Add(1)
	h.sum.Add(int64(d))
}

// timeBucket returns the first bucket whose bound is not below d.
func timeBucket(d time.Duration) int {
	bounds := [...]time.Duration{500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
		10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond,
		500 * time.Millisecond, time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second, 30 * time.Second,
		time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute}
	for i, bound := range bounds {
		if d <= bound {
			return i
		}
	}
	return len(bounds)
}

func (h *times) values() Histogram {
	v := Histogram{Sum: time.Duration(h.sum.Load()).Seconds()}
	for i := range h.buckets {
		v.Buckets = append(v.Buckets, h.buckets[i].Load())
	}
	return v
}

// counts is a histogram of small numbers, with the bounds of countBounds.
type counts struct {
	buckets [11]atomic.Uint64
	sum     atomic.Uint64
}

func (h *counts) observe(n float64) {
	bounds := countBounds()
	i := 0
	for i < len(bounds) && n > bounds[i] {
		i++
	}
	h.buckets[i].Add(1)
	h.sum.Add(uint64(n))
}

func (h *counts) values() Histogram {
	v := Histogram{Sum: float64(h.sum.Load())}
	for i := range h.buckets {
		v.Buckets = append(v.Buckets, h.buckets[i].Load())
	}
	return v
}

// A Histogram is what was observed. Buckets count what lies between two bounds;
// the last one has no upper bound.
type Histogram struct {
	Buckets []uint64 `json:"buckets"`
	Sum     float64  `json:"sum"`
}

// count is the number of observations.
func (h Histogram) count() uint64 {
	var n uint64
	for _, b := range h.Buckets {
		n += b
	}
	return n
}

// plus returns the sum of two histograms of the same family.
func (h Histogram) plus(o Histogram) Histogram {
	sum := Histogram{Sum: h.Sum + o.Sum, Buckets: make([]uint64, max(len(h.Buckets), len(o.Buckets)))}
	for i := range h.Buckets {
		sum.Buckets[i] += h.Buckets[i]
	}
	for i := range o.Buckets {
		sum.Buckets[i] += o.Buckets[i]
	}
	return sum
}
