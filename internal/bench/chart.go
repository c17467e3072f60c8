package bench

import (
	"fmt"
	"html"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// A chart shows one ratio of all cases.
type chart struct {
	file, title string
	pick        func(Comparison) Ratio
}

func chartList() []chart {
	return []chart{
		{"deliveries", "Deliveries per second: ours against the better of Postfix", func(c Comparison) Ratio { return c.PerSecond }},
		{"processor", "Processor time per delivery: how many times less ours takes", func(c Comparison) Ratio { return c.CPU }},
		{"memory", "Memory: how many times less ours holds", func(c Comparison) Ratio { return c.Memory }},
		{"latency", "Half of the deliveries: how many times faster ours is", func(c Comparison) Ratio { return c.P50 }},
	}
}

// WriteCharts writes one SVG file for each kind of ratio into a directory.
func (r *Report) WriteCharts(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write charts: %w", err)
	}
	for _, c := range chartList() {
		if err := os.WriteFile(filepath.Join(dir, c.file+".svg"), []byte(r.chart(c)), 0o644); err != nil {
			return fmt.Errorf("write charts: %w", err)
		}
	}
	return nil
}

// Measures of a chart.
const (
	chartWidth  = 860
	chartLabels = 300 // room for the names
	chartRow    = 26
	chartTop    = 56
)

// chart draws horizontal bars from 1, which is equality, on a logarithmic
// scale: to the right ours is better.
func (r *Report) chart(c chart) string {
	most := 2.0
	for _, res := range r.Cases {
		m := c.pick(res.Better[Best]).Median
		if m > 0 {
			most = max(most, m, 1/m)
		}
	}
	span := math.Ceil(math.Log2(most)*2) / 2
	middle := chartLabels + (chartWidth-chartLabels)/2.0
	scale := ((chartWidth-chartLabels)/2.0 - 50) / span
	at := func(ratio float64) float64 { return middle + math.Log2(ratio)*scale }
	height := chartTop + chartRow*len(r.Cases) + 30
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n", chartWidth, height)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="#fff"/><text x="12" y="22" font-size="15" font-weight="bold">%s</text>`+"\n", html.EscapeString(c.title))
	for step := -math.Floor(span); step <= span; step++ {
		ratio := math.Exp2(step)
		label := fmt.Sprintf("%.3g×", ratio)
		fmt.Fprintf(&b, `<line x1="%[1]f" x2="%[1]f" y1="%[2]d" y2="%[3]d" stroke="#ddd"/><text x="%[1]f" y="%[4]d" text-anchor="middle" fill="#666">%[5]s</text>`+"\n",
			at(ratio), chartTop-8, height-24, chartTop-12, label)
	}
	for i, res := range r.Cases {
		ratio := c.pick(res.Better[Best])
		if ratio.Median <= 0 {
			continue
		}
		y := chartTop + chartRow*i
		colour := "#2a7f3f"
		if ratio.Median < 1 {
			colour = "#b23b3b"
		}
		from, to := min(at(1), at(ratio.Median)), max(at(1), at(ratio.Median))
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`, chartLabels-8, y+15, html.EscapeString(res.Case.String()))
		fmt.Fprintf(&b, `<rect x="%f" y="%d" width="%f" height="16" fill="%s"/>`, from, y+2, to-from, colour)
		fmt.Fprintf(&b, `<text x="%f" y="%d">%.2f</text>`+"\n", to+5, y+15, ratio.Median)
	}
	fmt.Fprintf(&b, `<line x1="%[1]f" x2="%[1]f" y1="%[2]d" y2="%[3]d" stroke="#000"/>`+"\n", at(1), chartTop-8, height-24)
	fmt.Fprintf(&b, `<text x="12" y="%d" fill="#666">right of 1 ours is better; median of %d rounds; %s</text></svg>`+"\n",
		height-8, r.Plan.Rounds, html.EscapeString(fmt.Sprintf("%d processors, Postfix %s", r.Machine.CPUs, r.Machine.Postfix)))
	return b.String()
}
