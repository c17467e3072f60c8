package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/pflag"

	"postlmtp/internal/probe"
)

func probeUsage() usage {
	return usage{name: "probe", text: `Go the way of a delivery step by step, with the settings and the code of the
daemon, and tell what is found: addresses, connection, greeting, capabilities,
TLS, login, and what the server says to each RECIPIENT. Nothing is sent.

Usage: postlmtp probe [OPTION]... DESTINATION [RECIPIENT]...

DESTINATION is what stands in transport_maps behind the name of the service:
unix:PATH, inet:HOST:PORT, inet:[ADDRESS]:PORT, or a list of hosts.

Options:
`, after: `
Examples:
  postlmtp probe unix:private/dovecot-lmtp
  sudo postlmtp probe --as-daemon unix:private/dovecot-lmtp jim@example.com
  postlmtp probe --service=cyrus --all inet:imap.example.com:24 jim
  postlmtp probe --send=test.eml inet:[127.0.0.1]:24 jim@example.com

The exit status is 0 if mail would go through, 1 if not.
`}
}

// probeOptions are the options of probe.
type probeOptions struct {
	dir, service, from, send, color string
	asDaemon, json, all, quiet      bool
	timeout                         time.Duration
}

func probeFlags(o *probeOptions) *pflag.FlagSet {
	flags := newFlags("probe")
	flags.StringVar(&o.from, "from", "", "the envelope sender `ADDRESS` (default: the null sender)")
	flags.StringVar(&o.send, "send", "", "deliver the message in `FILE` to every RECIPIENT")
	flags.BoolVar(&o.all, "all", false, "visit every address, not just the first that works")
	o.visit(flags, 2*time.Minute)
	return flags
}

// visit adds the options of every command that goes the way of a delivery, and
// how long it may take.
func (o *probeOptions) visit(flags *pflag.FlagSet, limit time.Duration) {
	dirFlag(flags, &o.dir)
	flags.StringVar(&o.service, "service", "", "the service in master.cf whose settings count `NAME` (default: the first that runs postlmtp-lmtp, or else lmtp)")
	flags.BoolVar(&o.asDaemon, "as-daemon", false, "become mail_owner in the chroot jail of the service; needs root")
	flags.BoolVarP(&o.quiet, "quiet", "q", false, "no dialog, only steps")
	flags.BoolVar(&o.json, "json", false, "print one JSON object")
	flags.DurationVar(&o.timeout, "timeout", limit, "give up after `TIME`, such as 30s")
	colorFlag(flags, &o.color)
}

// probeCommand is postlmtp probe.
func probeCommand(args []string, stdout, stderr io.Writer) int {
	var o probeOptions
	flags := probeFlags(&o)
	if status, done := probeUsage().parse(flags, args, stdout, stderr); done {
		return status
	}
	switch {
	case flags.NArg() == 0:
		return misused(stderr, "probe", errors.New("a DESTINATION is missing"))
	case o.send != "" && flags.NArg() == 1:
		return misused(stderr, "probe", errors.New("--send needs a RECIPIENT"))
	}
	run := probe.Options{Destination: flags.Arg(0), Recipients: flags.Args()[1:], Sender: o.from, All: o.all}
	if o.send != "" {
		file, err := os.Open(o.send)
		if err != nil {
			return complain(stderr, "probe", err)
		}
		defer file.Close()
		if run.Message, err = probe.Text(file, o.from, run.Recipients); err != nil {
			return complain(stderr, "probe", err)
		}
		defer run.Message.Close()
	}
	return runProbe("probe", o, run, stdout, stderr)
}

// runProbe is what probe and replay have in common.
func runProbe(command string, o probeOptions, run probe.Options, stdout, stderr io.Writer) int {
	paint, err := newPainter(o.color, stdout)
	if err != nil {
		return misused(stderr, command, err)
	}
	o.dir = absolute(o.dir)
	if o.service == "" {
		o.service = usualService(o.dir)
	}
	p, err := probe.New(o.dir, o.service)
	if err != nil {
		return complain(stderr, command, err)
	}
	if o.asDaemon {
		if err := p.Enter(); err != nil {
			return complain(stderr, command, fmt.Errorf("--as-daemon: %w", err))
		}
	} else if err := p.Chdir(); err != nil {
		// Only sockets below it are out of reach then, and that will show.
		fmt.Fprintf(stderr, "postlmtp %s: %v\n", command, err)
	}
	out := &stepPrinter{w: stdout, painter: paint, quiet: o.quiet, sent: run.Message != nil}
	if !o.json {
		run.OnStep = out.step
	}
	ctx, cancel := bounded(o.timeout)
	defer cancel()
	report := p.Run(ctx, run)
	if o.json {
		if err := printJSON(stdout, report); err != nil {
			return complain(stderr, command, err)
		}
	} else {
		out.verdict(report)
	}
	if !report.Good {
		return exitFail
	}
	return exitOK
}

// printJSON prints a value for other programs.
func printJSON(w io.Writer, value any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(value)
}
