package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"postlmtp/internal/config"
	"postlmtp/internal/maincf"
)

// A usage is what a command has to say about itself.
type usage struct {
	name  string
	text  string // before the options
	after string // behind them: examples, exit status
}

// parse reads the command line. It reports done if there is nothing more to do,
// and the exit status.
func (u usage) parse(flags *pflag.FlagSet, args []string, stdout, stderr io.Writer) (status int, done bool) {
	err := flags.Parse(args)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		fmt.Fprint(stdout, u.text+flags.FlagUsages()+u.after)
		return exitOK, true
	case err != nil:
		return misused(stderr, u.name, err), true
	}
	return exitOK, false
}

// newFlags returns an empty set of options.
func newFlags(name string) *pflag.FlagSet {
	flags := pflag.NewFlagSet(name, pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.SortFlags = false
	return flags
}

// dirFlag adds the option -c.
func dirFlag(flags *pflag.FlagSet, dir *string) {
	flags.StringVarP(dir, "config-dir", "c", cmp.Or(os.Getenv("MAIL_CONFIG"), config.DefaultDir), "where main.cf and master.cf are `DIR`")
}

func colorFlag(flags *pflag.FlagSet, when *string) {
	flags.StringVar(when, "color", "auto", "colours: auto, always or never `WHEN`")
}

// daemonFile is the name of the daemon in daemon_directory.
const daemonFile = "postlmtp-lmtp"

// usualService returns the service that is meant when none is named: the first
// in master.cf that runs our daemon, or else lmtp.
func usualService(dir string) string {
	services, _, err := maincf.ReadMaster(filepath.Join(dir, "master.cf"))
	if err != nil {
		return "lmtp"
	}
	i := slices.IndexFunc(services, func(s maincf.Service) bool { return s.Program() == daemonFile })
	if i < 0 {
		return "lmtp"
	}
	return services[i].Name
}

// absolute makes the name of a directory independent of where we are.
func absolute(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		return abs
	}
	return dir
}

// bounded returns a context that ends after a time, or when somebody interrupts.
func bounded(limit time.Duration) (context.Context, func()) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	if limit <= 0 {
		return ctx, stop
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	return ctx, func() { cancel(); stop() }
}

// printed is the status after a report was printed.
func printed(stderr io.Writer, command string, err error) int {
	if err != nil {
		return complain(stderr, command, err)
	}
	return exitOK
}

// complain prints an error, each of its lines.
func complain(stderr io.Writer, command string, err error) int {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintf(stderr, "postlmtp %s: %s\n", command, line)
	}
	return exitFail
}
