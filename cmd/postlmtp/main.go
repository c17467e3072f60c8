// Command postlmtp is the person's tool of the LMTP delivery agent: it shows,
// checks and explains what the daemon does. The daemon itself is the command
// lmtp, which master(8) of Postfix runs.
//
//	postlmtp COMMAND [OPTION]... [ARGUMENT]...
//	postlmtp --help
//	postlmtp COMMAND --help
//
// The exit status is the same for all commands: 0 if all is well or done, 1 if
// something is wrong or was not done, 2 for a command line that makes no sense,
// and 3 if there is nothing worse than warnings.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/pflag"
)

// version is set by the linker.
var version = "unknown"

// Exit statuses, the same for all commands.
const (
	exitOK       = 0
	exitFail     = 1
	exitUsage    = 2
	exitWarnings = 3
)

// A command is one thing that the tool can do.
type command struct {
	name    string
	summary string
	run     func(args []string, stdout, stderr io.Writer) int
	flags   func() *pflag.FlagSet // for completion
	words   func() []string       // what its argument may be, for completion; nil: anything
}

// commands lists what the tool can do, in the order of the help text.
func commands() []command {
	return []command{
		{"probe", "go the way of a delivery step by step and tell what is found", probeCommand,
			func() *pflag.FlagSet { return probeFlags(new(probeOptions)) }, nil},
		{"check", "find what is wrong with the configuration", checkCommand,
			func() *pflag.FlagSet { return checkFlags(new(checkOptions)) }, nil},
		{"install", "put the daemon into Postfix, beside its own lmtp or in its place", installCommand,
			func() *pflag.FlagSet { return installFlags(new(installOptions)) }, nil},
		{"uninstall", "undo install, exactly", uninstallCommand,
			func() *pflag.FlagSet { return uninstallFlags(new(installOptions)) }, nil},
		{"status", "show what the running daemons do, or how they are installed", statusCommand,
			func() *pflag.FlagSet { return statusFlags(new(statusOptions)) }, nil},
		{"metrics", "print or serve the metrics of the daemons for Prometheus", metricsCommand,
			func() *pflag.FlagSet { return metricsFlags(new(metricsOptions)) }, nil},
		{"replay", "deliver a copy of a queue file outside the queue", replayCommand,
			func() *pflag.FlagSet { return replayFlags(new(replayOptions)) }, nil},
		{"config", "show the values of parameters as the daemon sees them", configCommand,
			func() *pflag.FlagSet { return configFlags(new(configOptions)) }, nil},
		{"demo", "deliver a few messages on embedded parts and show what happens", demoCommand,
			func() *pflag.FlagSet { return demoFlags(new(demoOptions)) }, nil},
		{"bench", "measure the daemon beside Postfix's own lmtp", benchCommand,
			func() *pflag.FlagSet { return benchFlags(new(benchOptions)) }, nil},
		{"completion", "print a script that completes commands and options in a shell", completionCommand, completionFlags, shellNames},
		{"help", "say what a command can do", helpCommand, helpFlags, commandNames},
	}
}

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run finds the command and runs it.
func run(args []string, stdout, stderr io.Writer) int {
	flags := pflag.NewFlagSet("postlmtp", pflag.ContinueOnError)
	flags.SetInterspersed(false) // options after the command are the command's
	flags.SetOutput(io.Discard)
	showVersion := flags.Bool("version", false, "print the version")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		help(stdout)
		return exitOK
	case err != nil:
		return misused(stderr, "", err)
	case *showVersion:
		fmt.Fprintf(stdout, "postlmtp %s\n", version)
		return exitOK
	case flags.NArg() == 0:
		help(stderr)
		return exitUsage
	}
	return runCommand(flags.Arg(0), flags.Args()[1:], stdout, stderr)
}

// commandNames are the names of all commands.
func commandNames() []string {
	var names []string
	for _, c := range commands() {
		names = append(names, c.name)
	}
	return names
}

// runCommand runs the command of a name.
func runCommand(name string, args []string, stdout, stderr io.Writer) int {
	for _, c := range commands() {
		if c.name == name {
			return c.run(args, stdout, stderr)
		}
	}
	return misused(stderr, "", fmt.Errorf("there is no command %q", name))
}

func helpUsage() usage {
	return usage{name: "help", text: `Say what a command can do, as its option --help does, or which commands there are.

Usage: postlmtp help [COMMAND]
`, after: `
Examples:
  postlmtp help
  postlmtp help probe

The exit status is 0.
`}
}

func helpFlags() *pflag.FlagSet { return newFlags("help") }

// helpCommand is postlmtp help.
func helpCommand(args []string, stdout, stderr io.Writer) int {
	flags := helpFlags()
	if status, done := helpUsage().parse(flags, args, stdout, stderr); done {
		return status
	}
	switch flags.NArg() {
	case 0:
		help(stdout)
		return exitOK
	case 1:
		return runCommand(flags.Arg(0), []string{"--help"}, stdout, stderr)
	}
	return misused(stderr, "help", errors.New("name one command"))
}

// help prints what the tool can do.
func help(w io.Writer) {
	fmt.Fprint(w, `postlmtp: the tool of an LMTP delivery agent for Postfix

Usage: postlmtp COMMAND [OPTION]...

Commands:
`)
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-10s %s\n", c.name, c.summary)
	}
	fmt.Fprint(w, `
Options:
  --help     this text; behind a command: what the command can do
  --version  the version

The exit status of every command: 0 if all is well or done, 1 if something is wrong
or was not done, 2 if the command line makes no sense, 3 if there are warnings only.

The daemon is another program, which Postfix's master(8) runs: see postlmtp-lmtp(8).
`)
}

// misused reports a command line that makes no sense.
func misused(stderr io.Writer, command string, err error) int {
	name := "postlmtp"
	if command != "" {
		name += " " + command
	}
	fmt.Fprintf(stderr, "%s: %v\nTry: %s --help\n", name, err, name)
	return exitUsage
}
