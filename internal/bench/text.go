package bench

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// WriteText writes the report for people.
func (r *Report) WriteText(w io.Writer) error {
	fmt.Fprintf(w, "%s\n", r.Machine)
	for _, c := range r.Cases {
		if err := c.writeText(w); err != nil {
			return err
		}
	}
	for _, c := range r.Ceilings {
		fmt.Fprintf(w, "\nCeiling, %s: the sink takes %.0f messages/s from a client that replays bytes; ours is %.0f %% of it.\n",
			c.Case, c.PerSecond, 100*c.Fraction)
	}
	if s := r.StartUp; s != nil {
		fmt.Fprintf(w, "\nStart-up to the first greeting: %s %s, %s %s; ours is %s times faster.\n",
			s.Agents[0].Name, duration(s.Agents[0].Seconds), s.Agents[1].Name, duration(s.Agents[1].Seconds), s.Better)
	}
	if p := r.Pipeline; p != nil {
		p.writeText(w)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(w, "\nNote: %s\n", n)
	}
	_, err := fmt.Fprintf(w, "\nTook %v.\n", r.Took.Round(time.Second))
	return err
}

// writeText writes one case as a table.
func (c CaseResult) writeText(w io.Writer) error {
	fmt.Fprintf(w, "\n%s\n", c.Case)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "\tdeliveries/s\tprocessor\tmemory\tprocesses\thalf within\t99 % within\tsessions each\t\n")
	for _, a := range c.Agents {
		fmt.Fprintf(t, "%s\t%.0f\t%s\t%s\t%d\t%s\t%s\t%.2f\t\n", a.Name, a.PerSecond, duration(a.CPU),
			megabytes(a.Memory.PSS), a.Memory.Processes, duration(a.P50), duration(a.P99), a.Sessions)
	}
	for _, a := range c.Agents[:len(c.Agents)-1] {
		writeRatios(t, "ours : "+a.Name, c.Better[a.Name])
	}
	if len(c.Agents) > 2 {
		writeRatios(t, "ours : better of them", c.Better[Best])
	}
	if err := t.Flush(); err != nil || c.Least == nil {
		return err
	}
	_, err := fmt.Fprintf(w, "The least that an agent can do: %.0f deliveries/s, ours is %s of it; its processor time is %s, %s of ours.\n",
		c.Least.PerSecond, c.Least.Fraction.percent(), duration(c.Least.CPU), c.Least.CPUFraction.percent())
	return err
}

func writeRatios(w io.Writer, name string, c Comparison) {
	fmt.Fprintf(w, "%s\t%s\t%s\t%.2f\t\t%s\t%s\t\t\n", name, c.PerSecond, c.CPU, c.Memory.Median, c.P50, c.P99)
}

func (p *PipelineResult) writeText(w io.Writer) {
	fmt.Fprintf(w, "\nWhole pipeline: a private Postfix drains %d messages\n", p.Messages)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "\tmessages/s\tprocessor of all Postfix\t\n")
	for _, a := range p.Agents {
		fmt.Fprintf(t, "%s\t%.0f\t%s\t\n", a.Name, a.PerSecond, duration(a.CPU))
	}
	fmt.Fprintf(t, "ours : %s\t%s\t%s\t\n", p.Agents[0].Name, p.Better.PerSecond, p.Better.CPU)
	t.Flush()
}

// String describes the machine in one line, and a warning in another.
func (m Machine) String() string {
	s := fmt.Sprintf("%d × %s, %s, Linux %s, Postfix %s, postlmtp %s",
		m.CPUs, m.CPU, megabytes(m.Memory), m.Kernel, m.Postfix, m.Ours)
	if m.Noisy() {
		s += "\nThe machine had other work (load averages " + m.Load + "): ratios count, and they are rough."
	}
	return s
}

// String is the median with the least and the greatest.
func (r Ratio) String() string { return fmt.Sprintf("%.2f (%.2f–%.2f)", r.Median, r.Min, r.Max) }

// percent is the same of a share.
func (r Ratio) percent() string {
	return fmt.Sprintf("%.0f %% (%.0f–%.0f)", 100*r.Median, 100*r.Min, 100*r.Max)
}

func duration(seconds float64) string {
	switch {
	case seconds < 1e-3:
		return fmt.Sprintf("%.0f µs", seconds*1e6)
	case seconds < 1:
		return fmt.Sprintf("%.1f ms", seconds*1e3)
	}
	return fmt.Sprintf("%.2f s", seconds)
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
