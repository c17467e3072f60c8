package main

import (
	"fmt"
	"io"
	"os/exec"

	"github.com/spf13/pflag"

	"postlmtp/internal/check"
)

func checkUsage() usage {
	return usage{name: "check", text: `Read the configuration of Postfix as the LMTP transports see it, and find what is
wrong, misspelt, suspicious or without effect. Nothing is changed, and nobody is
connected to.

Usage: postlmtp check [OPTION]...

Options:
`, after: `
Examples:
  postlmtp check
  postlmtp check --service=lmtp --json
  postlmtp check -c /etc/postfix-out --dovecot-config=none

The exit status is 0 if there is nothing but notes, 1 if there are errors, 3 if
there is nothing worse than warnings. Each finding has a number; --list explains
them.
`}
}

// checkOptions are the options of check.
type checkOptions struct {
	dir, service, dovecot, color string
	json, list                   bool
}

func checkFlags(o *checkOptions) *pflag.FlagSet {
	flags := newFlags("check")
	dirFlag(flags, &o.dir)
	flags.StringVar(&o.service, "service", "", "only this service in master.cf `NAME` (default: all that run lmtp or postlmtp-lmtp)")
	flags.StringVar(&o.dovecot, "dovecot-config", "", "Dovecot's configuration `FILE`, or none (default: what doveconf reads)")
	flags.BoolVar(&o.json, "json", false, "print one JSON array")
	flags.BoolVar(&o.list, "list", false, "print the numbers of all findings and what they are")
	colorFlag(flags, &o.color)
	return flags
}

// checkCommand is postlmtp check.
func checkCommand(args []string, stdout, stderr io.Writer) int {
	var o checkOptions
	flags := checkFlags(&o)
	if status, done := checkUsage().parse(flags, args, stdout, stderr); done {
		return status
	}
	if flags.NArg() > 0 {
		return misused(stderr, "check", fmt.Errorf("unexpected argument %q", flags.Arg(0)))
	}
	paint, err := newPainter(o.color, stdout)
	if err != nil {
		return misused(stderr, "check", err)
	}
	if o.list {
		if o.json {
			return printed(stderr, "check", printJSON(stdout, check.Catalogue()))
		}
		for _, k := range check.Catalogue() {
			fmt.Fprintf(stdout, "%s  %-7s  %s\n", k.Number, k.Severity, k.Title)
		}
		return exitOK
	}
	findings := check.Run(check.Options{Dir: absolute(o.dir), Service: o.service, Program: daemonFile, Doveconf: doveconf(o.dovecot)})
	if o.json {
		if findings == nil {
			findings = []check.Finding{}
		}
		if err := printJSON(stdout, findings); err != nil {
			return complain(stderr, "check", err)
		}
	} else {
		printFindings(stdout, paint, findings)
	}
	return worst(findings)
}

// worst is the exit status.
func worst(findings []check.Finding) int {
	status := exitOK
	for _, f := range findings {
		switch f.Severity {
		case check.Error:
			return exitFail
		case check.Warning:
			status = exitWarnings
		}
	}
	return status
}

// printFindings shows findings to people.
func printFindings(w io.Writer, paint painter, findings []check.Finding) {
	count := map[check.Severity]int{}
	for _, f := range findings {
		count[f.Severity]++
		colour := map[check.Severity]string{check.Error: bold + ";" + red, check.Warning: yellow, check.Note: cyan}[f.Severity]
		fmt.Fprintf(w, "%s %s  %s", f.Number, paint.paint(colour, string(f.Severity)), f.Place())
		if f.Service != "" {
			fmt.Fprintf(w, "  (service %s)", f.Service)
		}
		fmt.Fprintln(w)
		for _, line := range wrap(f.Text, width-6) {
			fmt.Fprintf(w, "      %s\n", line)
		}
		for i, line := range wrap(f.Fix, width-11) {
			label := "fix: "
			if i > 0 {
				label = "     "
			}
			fmt.Fprintf(w, "      %s%s\n", paint.paint(bold, label), line)
		}
	}
	if len(findings) == 0 {
		fmt.Fprintln(w, paint.paint(green, "Nothing to mend."))
		return
	}
	fmt.Fprintf(w, "\n%s, %s, %s.\n", plural(count[check.Error], "error"), plural(count[check.Warning], "warning"), plural(count[check.Note], "note"))
}

// doveconf returns how to ask Dovecot for its settings.
func doveconf(file string) func() (string, error) {
	if file == "none" {
		return nil
	}
	return func() (string, error) {
		args := []string{"-a"}
		if file != "" {
			args = append(args, "-c", file)
		}
		out, err := exec.Command("doveconf", args...).Output()
		return string(out), err
	}
}
