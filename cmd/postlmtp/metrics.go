package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/spf13/pflag"

	"postlmtp/internal/metrics"
	"postlmtp/internal/status"
)

func metricsUsage() usage {
	return usage{name: "metrics", text: `Print the metrics of all processes of the daemon, those that have ended included, in
the format of Prometheus; or serve them, as a process that stays when the daemons
have no work and leave. The daemons themselves need no setting for this.

Usage: postlmtp metrics [OPTION]...

Options:
`, after: `
Examples:
  sudo postlmtp metrics | grep unconfirmed
  sudo postlmtp metrics | promtool check metrics
  sudo postlmtp metrics --listen=127.0.0.1:9154

The exit status is 0 if all is well, 1 if nothing can be told, 3 if a process did
not answer. With --listen it ends when it is interrupted, with 0.
`}
}

// metricsOptions are the options of metrics.
type metricsOptions struct {
	dir, listen string
	json        bool
}

func metricsFlags(o *metricsOptions) *pflag.FlagSet {
	flags := newFlags("metrics")
	dirFlag(flags, &o.dir)
	flags.StringVar(&o.listen, "listen", "", "serve them at /metrics of this loopback `ADDRESS:PORT`")
	flags.BoolVar(&o.json, "json", false, "print one JSON object")
	return flags
}

// metricsCommand is postlmtp metrics.
func metricsCommand(args []string, stdout, stderr io.Writer) int {
	var o metricsOptions
	flags := metricsFlags(&o)
	if status, done := metricsUsage().parse(flags, args, stdout, stderr); done {
		return status
	}
	listen, err := status.ParseListen(o.listen)
	switch {
	case err != nil:
		return misused(stderr, "metrics", err)
	case flags.NArg() > 0:
		return misused(stderr, "metrics", fmt.Errorf("unexpected argument %q", flags.Arg(0)))
	case listen.Socket != "":
		return misused(stderr, "metrics", errors.New("--listen takes ADDRESS:PORT"))
	case o.json && o.listen != "":
		return misused(stderr, "metrics", errors.New("--json and --listen exclude each other"))
	}
	// Before root's rights are given up, which low ports need.
	var l net.Listener
	if o.listen != "" {
		if l, err = net.Listen("tcp", listen.Address.String()); err != nil {
			return complain(stderr, "metrics", err)
		}
		defer l.Close()
	}
	dir, err := statusDirectory(o.dir, l != nil)
	if err != nil {
		return complain(stderr, "metrics", err)
	}
	defer dir.Close()
	if l != nil {
		ctx, stop := bounded(0)
		defer stop()
		dir.ServeMetrics(ctx, l)
		return exitOK
	}
	return printMetrics(dir, o.json, stdout, stderr)
}

func printMetrics(dir *status.Directory, asJSON bool, stdout, stderr io.Writer) int {
	c, err := dir.Collect(context.Background())
	if err == nil && asJSON {
		err = printJSON(stdout, c)
	} else if err == nil {
		err = metrics.Write(stdout, c.Services)
	}
	switch {
	case err != nil:
		return complain(stderr, "metrics", err)
	case len(c.Unreachable) > 0:
		return exitWarnings
	}
	return exitOK
}
