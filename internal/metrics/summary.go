package metrics

import (
	"strings"
	"time"
)

// A Summary is what people want to know of a destination first.
type Summary struct {
	Sent        float64 `json:"sent"`
	Deferred    float64 `json:"deferred"`
	Bounced     float64 `json:"bounced"` // softly bounced ones are deferred
	Verified    float64 `json:"verified"`
	Unconfirmed float64 `json:"unconfirmed"`
	Opened      float64 `json:"sessions_opened"`
	Reused      float64 `json:"sessions_reused"`
	Failed      float64 `json:"session_failures"`
	Bytes       float64 `json:"content_bytes"`
	// Final50 and Final99 are how long half and 99 of 100 final replies took at
	// most, in seconds.
	Final50 float64 `json:"final_reply_p50_seconds"`
	Final99 float64 `json:"final_reply_p99_seconds"`
	// Down: what was tried last has failed.
	Down bool `json:"down"`
}

// Summary sums the values of a destination up.
func (v Values) Summary() Summary {
	s := Summary{
		Unconfirmed: v.Counts[unconfirmed],
		Opened:      v.Counts[opened],
		Reused:      v.Counts[reused],
		Bytes:       v.Counts[contentBytes],
		Final50:     v.Histograms[finalTime].quantile(0.5, timeBounds()),
		Final99:     v.Histograms[finalTime].quantile(0.99, timeBounds()),
		Down:        v.Times[lastFailure] > v.Times[lastSuccess],
	}
	for key, n := range v.Counts {
		switch {
		case strings.HasPrefix(key, failures+"{"):
			s.Failed += n
		case !strings.HasPrefix(key, deliveries+"{"):
		case strings.Contains(key, `result="sent"`):
			s.Sent += n
		case strings.Contains(key, `result="bounced"`):
			s.Bounced += n
		case strings.Contains(key, `result="verified"`):
			s.Verified += n
		default:
			s.Deferred += n
		}
	}
	return s
}

// Rates are the deliveries of each second between two summaries.
type Rates struct {
	Sent     float64 `json:"sent"`
	Deferred float64 `json:"deferred"`
	Bounced  float64 `json:"bounced"`
	Bytes    float64 `json:"content_bytes"`
}

// Since returns the rates since an earlier summary, 0 for a time that is none.
func (s Summary) Since(before Summary, span time.Duration) Rates {
	if span <= 0 {
		return Rates{}
	}
	per := func(now, then float64) float64 { return max(now-then, 0) / span.Seconds() }
	return Rates{per(s.Sent, before.Sent), per(s.Deferred, before.Deferred), per(s.Bounced, before.Bounced), per(s.Bytes, before.Bytes)}
}

// quantile estimates below which value a part of the observations lies, as
// histogram_quantile() of Prometheus does: evenly spread in each bucket.
func (h Histogram) quantile(part float64, bounds []float64) float64 {
	rank := part * float64(h.count())
	below, lower := 0.0, 0.0
	for i, bound := range bounds {
		if i >= len(h.Buckets) {
			break
		}
		n := float64(h.Buckets[i])
		if n > 0 && below+n >= rank {
			return lower + (bound-lower)*(rank-below)/n
		}
		below, lower = below+n, bound
	}
	if h.count() == 0 {
		return 0
	}
	return bounds[len(bounds)-1]
}
