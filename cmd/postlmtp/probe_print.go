package main

import (
	"fmt"
	"io"

	"postlmtp/internal/probe"
)

// A stepPrinter shows the steps of a probe as they are done.
type stepPrinter struct {
	w io.Writer
	painter
	quiet  bool
	sent   bool   // a message is sent, not only asked for
	server string // that the last step was about
}

// step shows one step.
func (p *stepPrinter) step(s probe.Step) {
	if s.Server != p.server && s.Server != "" {
		fmt.Fprintf(p.w, "\n%s\n", p.paint(bold, harmless(s.Server)))
	}
	p.server = s.Server
	word, colour := map[probe.Result]string{
		probe.OK: "ok", probe.Note: "note", probe.Warning: "WARN", probe.Failed: "FAIL",
	}[s.Result], map[probe.Result]string{
		probe.OK: green, probe.Note: cyan, probe.Warning: yellow, probe.Failed: bold + ";" + red,
	}[s.Result]
	fmt.Fprintf(p.w, "%s  %s  %-11s  ", p.paint(dim, fmt.Sprintf("%8.1f ms", s.TookMS)),
		p.paint(colour, fmt.Sprintf("%-4s", word)), s.Name)
	text := s.Text
	if s.Errno != "" {
		text += " (" + s.Errno + ")"
	}
	p.wrapped("", text, stepIndent)
	for _, fact := range s.Facts {
		p.below("", fact)
	}
	p.labelled("cause: ", s.Cause)
	p.labelled("cure:  ", s.Cure)
	for _, line := range s.Log {
		p.below("log:   ", line)
	}
	if p.quiet {
		return
	}
	for _, line := range s.Dialog {
		mark := map[string]string{"client": ">", "server": "<"}[line.Who]
		if mark == "" {
			mark = "-"
		}
		fmt.Fprintf(p.w, "%*s%s %s\n", stepIndent, "", p.paint(dim, fmt.Sprintf("%8.1f ms %s", line.AtMS, mark)), harmless(line.Text))
	}
}

// stepIndent is where the text of steps begins.
const stepIndent = 32

func (p *stepPrinter) labelled(label, text string) {
	if text != "" {
		p.below(p.paint(bold, label), text)
	}
}

// below prints text under the text of its step.
func (p *stepPrinter) below(label, text string) {
	fmt.Fprintf(p.w, "%*s", stepIndent, "")
	p.wrapped(label, text, stepIndent+7*min(1, len(label)))
}

// wrapped prints text whose first line has begun already.
func (p *stepPrinter) wrapped(label, text string, indent int) {
	fmt.Fprint(p.w, label)
	text = harmless(text)
	lines := []string{text} // as it is, if it fits
	if limit := max(width+12-indent, 40); len(text) > limit {
		lines = wrap(text, limit)
	}
	for i, line := range lines {
		if i > 0 {
			fmt.Fprintf(p.w, "%*s", indent, "")
		}
		fmt.Fprintln(p.w, line)
	}
}

// verdict says how it ended.
func (p *stepPrinter) verdict(r *probe.Report) {
	text, colour := "Mail would go through.", green
	switch {
	case r.Good && p.sent:
		text = "The message was delivered."
	case !r.Good && p.sent:
		text, colour = "The message was not delivered to all: see FAIL above.", red
	case !r.Good:
		text, colour = "Mail would not go through as it should: see FAIL above.", red
	}
	fmt.Fprintf(p.w, "\n%s\n", p.paint(bold+";"+colour, text))
}
