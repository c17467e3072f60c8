package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"postlmtp/internal/bench"
	"postlmtp/internal/config"

	"github.com/spf13/pflag"
)

func benchUsage() usage {
	return usage{name: "bench", text: `Measure the daemon beside Postfix's own lmtp: the same messages, the same LMTP
server, the same load, in turns within one run.

Usage: postlmtp bench [OPTION]...

It runs both agents as master(8) does, in a temporary directory, and has a private
Postfix drain a queue through each of them, for which it needs root. It reports
deliveries per second, processor time for each delivery, memory, latency, and
ratios: how many times better ours is, as the median of all rounds. On a machine
that has other work, only the ratios mean something.

Options:
`, after: `
Examples:
  sudo postlmtp bench
  sudo postlmtp bench --full --json > bench.json
  sudo postlmtp bench --match=unix

The exit status is 0 if everything was measured, 1 if not.
`}
}

// benchOptions are the options of the bench.
type benchOptions struct {
	suite  bench.Suite
	quick  bool
	json   bool
	svg    string
	report string
}

func benchFlags(opts *benchOptions) *pflag.FlagSet {
	flags := newFlags("bench")
	flags.StringVar(&opts.suite.Ours, "agent", "", "the daemon to measure `FILE` (default: the one that belongs to this program)")
	flags.StringVar(&opts.suite.Daemons, "daemons", "/usr/lib/postfix/sbin", "Postfix's daemon_directory `DIR`")
	flags.BoolVar(&opts.quick, "quick", false, "the most important loads, in less than a minute; the default")
	flags.BoolVar(&opts.suite.Full, "full", false, "all loads, longer, and more messages in the pipeline")
	flags.StringVar(&opts.suite.Match, "match", "", "only loads whose description has this `TEXT` in it, and nothing else")
	flags.BoolVar(&opts.json, "json", false, "print the report as JSON")
	flags.StringVar(&opts.svg, "svg", "", "write charts of the ratios into `DIR`")
	flags.StringVar(&opts.report, "report", "", "write the report as Markdown to `FILE`")
	return flags
}

// benchCommand is postlmtp bench.
func benchCommand(args []string, stdout, stderr io.Writer) int {
	var opts benchOptions
	flags := benchFlags(&opts)
	if status, done := benchUsage().parse(flags, args, stdout, stderr); done {
		return status
	}
	switch {
	case flags.NArg() > 0:
		return misused(stderr, "bench", fmt.Errorf("unexpected argument %q", flags.Arg(0)))
	case opts.quick && opts.suite.Full:
		return misused(stderr, "bench", errors.New("--quick and --full exclude each other"))
	}
	opts.suite.Command = opts.command()
	if err := opts.run(stdout, stderr); err != nil {
		return complain(stderr, "bench", err)
	}
	return exitOK
}

// command is the command line, as far as it matters for what is measured.
func (o *benchOptions) command() string {
	line := "postlmtp bench --quick"
	if o.suite.Full {
		line = "postlmtp bench --full"
	}
	if o.suite.Match != "" {
		line += fmt.Sprintf(" --match %q", o.suite.Match)
	}
	return line
}

// run measures, and writes what is wanted.
func (o *benchOptions) run(stdout, stderr io.Writer) error {
	agent, err := findAgent(o.suite.Ours)
	if err != nil {
		return err
	}
	o.suite.Ours, o.suite.Version = agent, version
	if o.suite.Release, err = config.InstalledVersion(o.suite.Daemons); err != nil {
		return fmt.Errorf("look at Postfix: %w", err)
	}
	o.suite.Log = func(format string, args ...any) {
		fmt.Fprintf(stderr, "measuring: "+format+"\n", args...)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	report, err := o.suite.Run(ctx)
	if err != nil {
		return err
	}
	if o.json {
		err = printJSON(stdout, report)
	} else {
		err = report.WriteText(stdout)
	}
	if o.svg != "" {
		err = errors.Join(err, report.WriteCharts(o.svg))
	}
	if o.report != "" {
		err = errors.Join(err, o.writeReport(report))
	}
	return err
}

// writeReport writes the Markdown document, with links to the charts.
func (o *benchOptions) writeReport(report *bench.Report) error {
	charts := ""
	if o.svg != "" {
		rel, err := filepath.Rel(filepath.Dir(o.report), o.svg)
		if err != nil {
			return fmt.Errorf("write report: %w", err)
		}
		charts = filepath.ToSlash(rel)
	}
	f, err := os.Create(o.report)
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return errors.Join(report.WriteMarkdown(f, charts), f.Close())
}
