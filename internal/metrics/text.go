package metrics

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ContentType is that of what Write prints.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// A Service is what is known of one service in master.cf: what its processes
// have counted, those that have ended included, and how those are that live.
type Service struct {
	Counted     Snapshot
	Processes   int            // that live
	Unreachable int            // of these, that did not answer
	Slots       int            // deliveries that they may do at once
	InFlight    map[string]int // by stage
	Oldest      time.Duration  // age of the oldest delivery
	Idle        int            // open sessions without work
}

// Write prints the services, by name, in Prometheus's text format.
func Write(w io.Writer, services map[string]Service) error {
	out := bufio.NewWriter(w)
	names := slices.Sorted(maps.Keys(services))
	for _, f := range families() {
		p := &printer{out: out, family: f}
		for _, name := range names {
			p.service(name, services[name])
		}
	}
	return out.Flush()
}

// printer prints one family.
type printer struct {
	out    *bufio.Writer
	family family
	begun  bool // the lines before the first series are printed
}

func (p *printer) service(name string, s Service) {
	labels := `service="` + escape(name) + `"`
	if n, is := s.moment(p.family.name); is {
		p.series("", labels, n)
		return
	}
	if p.family.name == inFlight {
		for _, stage := range slices.Sorted(maps.Keys(s.InFlight)) {
			p.series("", labels+`,stage="`+escape(stage)+`"`, float64(s.InFlight[stage]))
		}
		return
	}
	p.values(labels, s.Counted.Process)
	for _, destination := range slices.Sorted(maps.Keys(s.Counted.Destinations)) {
		p.values(labels+`,destination="`+escape(destination)+`"`, s.Counted.Destinations[destination])
	}
}

// moment returns the gauges that have no more labels.
func (s Service) moment(name string) (float64, bool) {
	switch name {
	case processes:
		return float64(s.Processes), true
	case slots:
		return float64(s.Slots), true
	case oldest:
		return s.Oldest.Seconds(), true
	case idleSessions:
		return float64(s.Idle), true
	case unreachable:
		return float64(s.Unreachable), true
	}
	return 0, false
}

// values prints those that belong to the family.
func (p *printer) values(labels string, v Values) {
	if t, ok := v.Times[p.family.name]; ok {
		p.series("", labels, t)
	}
	if h, ok := v.Histograms[p.family.name]; ok {
		p.histogram(labels, h)
	}
	for _, key := range slices.Sorted(maps.Keys(v.Counts)) {
		name, more, _ := strings.Cut(key, "{")
		if name != p.family.name {
			continue
		}
		all := labels
		if more = strings.TrimSuffix(more, "}"); more != "" {
			all += "," + more
		}
		p.series("", all, v.Counts[key])
	}
}

func (p *printer) histogram(labels string, h Histogram) {
	var below uint64
	for i, bound := range boundsOf(p.family.name) {
		if i < len(h.Buckets) {
			below += h.Buckets[i]
		}
		p.series("_bucket", labels+`,le="`+number(bound)+`"`, float64(below))
	}
	p.series("_bucket", labels+`,le="+Inf"`, float64(h.count()))
	p.series("_sum", labels, h.Sum)
	p.series("_count", labels, float64(h.count()))
}

// series prints one line, after those that say what it is. Errors of the writer
// are those of its Flush.
func (p *printer) series(suffix, labels string, value float64) {
	if !p.begun {
		p.begun = true
		fmt.Fprintf(p.out, "# HELP %s %s\n# TYPE %s %s\n", p.family.name, p.family.help, p.family.name, p.family.kind)
	}
	fmt.Fprintf(p.out, "%s%s{%s} %s\n", p.family.name, suffix, labels, number(value))
}

func number(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

// escape makes a text fit for the value of a label.
func escape(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(strings.ToValidUTF8(s, "?"))
}
