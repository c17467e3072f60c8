package bench

import (
	"fmt"
	"io"
	"strings"
)

// WriteMarkdown writes the report as a document. charts is the directory of the
// charts as a link from there, empty without any.
func (r *Report) WriteMarkdown(w io.Writer, charts string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Performance\n\nMeasured %s by `%s`; with `--report` it writes this page. The tables up to \"What bounds these numbers\" are not typed by hand.\n\n",
		r.Started.UTC().Format("2006-01-02"), r.Command)
	fmt.Fprintf(&b, "- machine: %d processors (%s), %s memory, Linux %s\n- Postfix %s, postlmtp %s\n",
		r.Machine.CPUs, r.Machine.CPU, megabytes(r.Machine.Memory), r.Machine.Kernel, r.Machine.Postfix, r.Machine.Ours)
	if r.Machine.Noisy() {
		fmt.Fprintf(&b, "- **the machine was shared and noisy** (load averages %s before the run): only the ratios mean something, and they are rough\n", r.Machine.Load)
	}
	fmt.Fprintf(&b, "- %d rounds, windows of %v; a ratio is how many times better ours is: the median of all rounds, with the least and the greatest\n", r.Plan.Rounds, r.Plan.Window)
	b.WriteString(`
Both agents run as under master(8), in turns within one run, with the same
messages, the same LMTP server and the same load. "Better of Postfix" is the
better of Postfix with its connection cache and without, in each round. Processor
time is user and system time of all processes of the agent, scache(8) included;
memory is the sum of their PSS. See internal/bench for what is measured and how.

`)
	if charts != "" {
		for _, c := range chartList() {
			fmt.Fprintf(&b, "![%s](%s/%s.svg)\n\n", c.title, charts, c.file)
		}
	}
	b.WriteString("## Ratios: ours against the better of Postfix\n\n")
	b.WriteString("| load | deliveries/s | processor time | memory | half within | 99 % within | deliveries/s against Postfix's default |\n|---|---|---|---|---|---|---|\n")
	for _, c := range r.Cases {
		best := c.Better[Best]
		fmt.Fprintf(&b, "| %s | %s | %s | %.2f | %s | %s | %s |\n", c.Case, best.PerSecond, best.CPU, best.Memory.Median, best.P50, best.P99,
			c.Better[Cached].PerSecond)
	}
	b.WriteString(`
Postfix's default is a cache on demand: the queue manager asks its agent to keep
sessions as soon as deliveries to a destination overlap or follow one another, as
they do under all these loads, so that "Postfix, cache" is its default. CHUNKING
is postlmtp_chunking = yes, for ours only. "Sessions kept" with TLS is
lmtp_tls_connection_reuse = yes for all, with Postfix's tlsproxy(8) counted in.
`)
	b.WriteString("\n## Numbers\n\n")
	b.WriteString("| load | agent | deliveries/s | processor time each | memory | processes | half within | 99 % within | sessions each |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, c := range r.Cases {
		for _, a := range c.Agents {
			fmt.Fprintf(&b, "| %s | %s | %.0f | %s | %s | %d | %s | %s | %.2f |\n", c.Case, a.Name, a.PerSecond,
				duration(a.CPU), megabytes(a.Memory.PSS), a.Memory.Processes, duration(a.P50), duration(a.P99), a.Sessions)
		}
	}
	r.writeRest(&b)
	b.WriteString(reasons)
	_, err := io.WriteString(w, b.String())
	return err
}

// writeRest writes what is not a case.
func (r *Report) writeRest(b *strings.Builder) {
	if p := r.Pipeline; p != nil {
		fmt.Fprintf(b, "\n## The whole pipeline\n\nA private Postfix drains %d messages. Processor time is that of all of Postfix, the agent included.\n\n", p.Messages)
		b.WriteString("| agent | messages/s | processor time each |\n|---|---|---|\n")
		for _, a := range p.Agents {
			fmt.Fprintf(b, "| %s | %.0f | %s |\n", a.Name, a.PerSecond, duration(a.CPU))
		}
		fmt.Fprintf(b, "| ratio | %s | %s |\n", p.Better.PerSecond, p.Better.CPU)
	}
	if len(r.Ceilings) > 0 {
		r.writeCeilings(b)
	}
	if s := r.StartUp; s != nil {
		b.WriteString("\n## Start-up\n\n| agent | time to the first greeting |\n|---|---|\n")
		for _, a := range s.Agents {
			fmt.Fprintf(b, "| %s | %s |\n", a.Name, duration(a.Seconds))
		}
		fmt.Fprintf(b, "| ratio | %s |\n", s.Better)
	}
	if len(r.Notes) > 0 {
		b.WriteString("\n## Notes\n\n")
		for _, n := range r.Notes {
			fmt.Fprintf(b, "- %s\n", n)
		}
	}
}

// writeCeilings writes what bounds the deliveries for each second.
func (r *Report) writeCeilings(b *strings.Builder) {
	b.WriteString("\n## The ceiling\n\nWhat the sink takes from a client that replays prepared bytes over open connections: no queue manager, no queue file, no log.\n\n")
	b.WriteString("| load | ceiling, messages/s | ours, of it |\n|---|---|---|\n")
	for _, c := range r.Ceilings {
		fmt.Fprintf(b, "| %s | %.0f | %.0f %% |\n", c.Case, c.PerSecond, 100*c.Fraction)
	}
	b.WriteString(`
A delivery has more parts than that. The least agent does all of them and nothing
else: it takes the request from the queue manager's socket, opens, locks and reads
the queue file, holds the dialog over a kept session, writes the line of the log,
marks the recipient and gives the status. What it says is prepared; it understands
nothing, checks nothing, and has no time limits. It is one event loop in one
thread (internal/bench, least.go). It takes its turns beside the agents.

| load | least agent, messages/s | ours, of it | its processor time each | of ours |
|---|---|---|---|---|
`)
	for _, c := range r.Cases {
		if l := c.Least; l != nil {
			fmt.Fprintf(b, "| %s | %.0f | %s | %s | %s |\n", c.Case, l.PerSecond, l.Fraction.percent(), duration(l.CPU), l.CPUFraction.percent())
		}
	}
}
