package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"postlmtp/internal/config"
)

func configUsage() usage {
	return usage{name: "config", text: `Show the values of parameters as the daemon sees them: those of main.cf and,
with --service, those of a service in master.cf, with defaults filled in and
everything expanded.

Usage: postlmtp config [OPTION]... [PARAMETER]...

Without a PARAMETER it shows all that the daemon knows.

Options:
`, after: `
Examples:
  postlmtp config lmtp_connect_timeout lmtp_host_lookup
  postlmtp config --service=cyrus lmtp_tls_security_level
  postlmtp config --json | jq '.[] | select(.set)'

The exit status is 0 if the daemon would start with these settings, 1 if it would
not, or if a PARAMETER is unknown.
`}
}

// configOptions are the options of config.
type configOptions struct {
	dir     string
	service string
	json    bool
}

func configFlags(opts *configOptions) *pflag.FlagSet {
	flags := newFlags("config")
	dirFlag(flags, &opts.dir)
	flags.StringVar(&opts.service, "service", "", "add the -o options of a service in master.cf, `NAME` or NAME/TYPE")
	flags.BoolVar(&opts.json, "json", false, "print one JSON array, with where each value is set")
	return flags
}

// configCommand is postlmtp config.
func configCommand(args []string, stdout, stderr io.Writer) int {
	var opts configOptions
	flags := configFlags(&opts)
	if status, done := configUsage().parse(flags, args, stdout, stderr); done {
		return status
	}
	if err := showConfig(opts, flags.Args(), stdout, stderr); err != nil {
		return complain(stderr, "config", err)
	}
	return exitOK
}

// showConfig prints values and, apart from them, what is wrong with any.
func showConfig(opts configOptions, names []string, stdout, stderr io.Writer) error {
	warn := func(warnings []config.Warning) {
		for _, w := range warnings {
			fmt.Fprintf(stderr, "postlmtp config: warning: %v\n", w)
		}
	}
	options := config.Options{Dir: opts.dir}
	if opts.service != "" {
		name, kind, _ := strings.Cut(opts.service, "/")
		var warnings []config.Warning
		var err error
		options, warnings, err = config.ServiceOptions(options, name, kind)
		warn(warnings)
		if err != nil {
			return err
		}
	}
	c, warnings, err := loadConfig(options)
	warn(warnings)
	if c == nil {
		return err
	}
	show := config.Print
	if opts.json {
		show = printSettings
	}
	unknown, werr := show(stdout, c, names)
	if werr != nil {
		return werr
	}
	return errors.Join(mistakes(err), unknownNames(unknown))
}

// A setting is one parameter, for programs.
type setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Set   bool   `json:"set"` // not a default
	File  string `json:"file,omitempty"`
	Line  int    `json:"line,omitempty"`
}

// printSettings is config.Print for programs.
func printSettings(w io.Writer, c *config.Config, names []string) (unknown []string, err error) {
	if len(names) == 0 {
		for _, p := range config.Params() {
			names = append(names, p.Name)
		}
		slices.Sort(names)
	}
	list := []setting{}
	for _, name := range names {
		value, ok := c.Text(name)
		if !ok {
			unknown = append(unknown, name)
			continue
		}
		file, line := c.Origin(name)
		list = append(list, setting{name, value, c.IsSet(name), file, line})
	}
	return unknown, printJSON(w, list)
}

// loadConfig loads twice: defaults depend on the release of the installed
// Postfix, and where that is found depends on a parameter.
func loadConfig(o config.Options) (*config.Config, []config.Warning, error) {
	c, warnings, err := config.Load(o)
	if c == nil {
		return nil, warnings, err
	}
	version, verr := config.InstalledVersion(c.DaemonDirectory)
	if verr != nil {
		// The values are shown all the same, with the newest defaults.
		note := config.Warning{Text: fmt.Sprintf("defaults are those of the newest Postfix: %v", verr)}
		return c, append(warnings, note), err
	}
	o.MailVersion = version
	return config.Load(o)
}

// mistakes adds to each mistake where it was made.
func mistakes(err error) error {
	var list config.Errors
	if !errors.As(err, &list) {
		return err
	}
	var all []error
	for _, m := range list {
		text := m.Text
		for _, w := range m.Warnings {
			text += " (" + w + ")"
		}
		if m.File != "" {
			text = fmt.Sprintf("%s, line %d: %s", m.File, m.Line, text)
		}
		all = append(all, errors.New(text))
	}
	return errors.Join(all...)
}

func unknownNames(names []string) error {
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("unknown parameter: %s", strings.Join(names, ", "))
}
