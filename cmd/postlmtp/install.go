package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"postlmtp/internal/check"
	"postlmtp/internal/install"
)

func installUsage() usage {
	return usage{name: "install", text: `Put the daemon into Postfix: the program beside Postfix's own, in daemon_directory
and under a name of its own, and a service in master.cf, which is a copy of the
service lmtp with its limits. With --replace the service lmtp itself is switched
over. The changes are shown first, made by postconf(1), and written down, so that
postlmtp uninstall goes back exactly. No file of Postfix is overwritten.

Usage: postlmtp install [OPTION]...

Options:
`, after: `
Examples:
  postlmtp install --dry-run
  sudo postlmtp install                     a service postlmtp, to try with one domain
  sudo postlmtp install --replace --reload  all mail by LMTP from now on
  sudo postlmtp install -c /etc/postfix-in --service=golmtp --yes

The exit status is 0 if all was done, 1 if not: then nothing was changed, unless the
message says otherwise.
`}
}

func uninstallUsage() usage {
	return usage{name: "uninstall", text: `Undo postlmtp install: main.cf and master.cf become what they were, to the byte,
if nobody has changed them since; else only what install added is taken out. The
program, if install has copied it, is removed when no service of any instance runs
it any more: with --reload after that; without, while Postfix runs, it is left, and
how to remove it is said.

Usage: postlmtp uninstall [OPTION]...

Options:
`, after: `
Examples:
  sudo postlmtp uninstall
  sudo postlmtp uninstall --service=lmtp --reload

The exit status is 0 if all was done, 1 if not.
`}
}

// installOptions are the options of install and uninstall.
type installOptions struct {
	install.Options
	json, dry, yes, reload, force bool
	color                         string
}

func installFlags(o *installOptions) *pflag.FlagSet {
	flags := newFlags("install")
	dirFlag(flags, &o.Dir)
	flags.StringVar(&o.Service, "service", "", "the new service `NAME` (default: postlmtp), or with --replace the one to switch over (default: lmtp)")
	flags.BoolVar(&o.Replace, "replace", false, "switch an existing service over instead of adding one")
	flags.StringVar(&o.Like, "like", "lmtp", "the service that a new one is a copy of `NAME`")
	flags.StringVar(&o.Program, "program", "", "the daemon to copy `FILE` (default: the one that belongs to this program)")
	flags.StringVar(&o.Name, "name", daemonFile, "its file name in daemon_directory `NAME`")
	doFlags(flags, o)
	return flags
}

func uninstallFlags(o *installOptions) *pflag.FlagSet {
	flags := newFlags("uninstall")
	dirFlag(flags, &o.Dir)
	flags.StringVar(&o.Service, "service", "", "the service to take out `NAME` (default: the only one)")
	flags.BoolVar(&o.force, "force", false, "also if mail is still sent to the service")
	doFlags(flags, o)
	return flags
}

func doFlags(flags *pflag.FlagSet, o *installOptions) {
	flags.BoolVarP(&o.dry, "dry-run", "n", false, "show the changes, and make none")
	flags.BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	flags.BoolVar(&o.reload, "reload", false, "run postfix reload when all is done")
	flags.BoolVar(&o.json, "json", false, "print the plan as one JSON object; makes changes only with --yes")
	colorFlag(flags, &o.color)
}

// installCommand is postlmtp install.
func installCommand(args []string, stdout, stderr io.Writer) int {
	var o installOptions
	flags := installFlags(&o)
	if status, done := installUsage().parse(flags, args, stdout, stderr); done {
		return status
	}
	if flags.NArg() > 0 {
		return misused(stderr, "install", fmt.Errorf("unexpected argument %q", flags.Arg(0)))
	}
	o.Dir = absolute(o.Dir)
	if o.Service == "" {
		o.Service = "postlmtp"
		if o.Replace {
			o.Service = "lmtp"
		}
	}
	var err error
	if o.Program, err = findDaemon("--program", o.Program); err != nil {
		return complain(stderr, "install", err)
	}
	plan, err := install.Prepare(o.Options)
	if err != nil {
		return complain(stderr, "install", err)
	}
	after := fmt.Sprintf("Send a domain through it: \"example.com  %s:unix:private/dovecot-lmtp\" in transport_maps.\n", o.Service)
	if o.Replace {
		after = ""
	}
	after += fmt.Sprintf("Undo: postlmtp uninstall -c %s --service=%s\n", o.Dir, o.Service)
	return carryOut("install", plan, o, after, stdout, stderr)
}

// uninstallCommand is postlmtp uninstall.
func uninstallCommand(args []string, stdout, stderr io.Writer) int {
	var o installOptions
	flags := uninstallFlags(&o)
	if status, done := uninstallUsage().parse(flags, args, stdout, stderr); done {
		return status
	}
	if flags.NArg() > 0 {
		return misused(stderr, "uninstall", fmt.Errorf("unexpected argument %q", flags.Arg(0)))
	}
	o.Dir = absolute(o.Dir)
	if o.Service == "" {
		list, err := install.Installed(o.Dir)
		switch {
		case err != nil:
			return complain(stderr, "uninstall", err)
		case len(list) == 0:
			return complain(stderr, "uninstall", fmt.Errorf("nothing was installed into %s by postlmtp install", o.Dir))
		case len(list) > 1:
			return complain(stderr, "uninstall", fmt.Errorf("name one with --service: %s", strings.Join(list, ", ")))
		}
		o.Service = list[0]
	}
	plan, err := install.Removal(o.Dir, o.Service)
	if err != nil {
		return complain(stderr, "uninstall", err)
	}
	if users := check.Users(o.Dir, o.Service); plan.Drops() && len(users) > 0 && !o.force {
		return complain(stderr, "uninstall", fmt.Errorf("mail is still sent to the service %s (--force takes it out all the same):\n%s",
			o.Service, strings.Join(users, "\n")))
	}
	return carryOut("uninstall", plan, o, "", stdout, stderr)
}

// carryOut shows a plan, and does what it says if that is wanted.
func carryOut(command string, plan *install.Plan, o installOptions, after string, stdout, stderr io.Writer) int {
	paint, err := newPainter(o.color, stdout)
	if err != nil {
		return misused(stderr, command, err)
	}
	if o.json {
		if err := printJSON(stdout, plan); err != nil {
			return complain(stderr, command, err)
		}
	} else {
		printPlan(stdout, paint, plan)
	}
	if o.dry || o.json && !o.yes {
		return exitOK
	}
	if !o.yes {
		if agreed, err := agree(stdout); err != nil || !agreed {
			return complain(stderr, command, errors.Join(errors.New("nothing was changed"), err))
		}
	}
	if err := plan.Apply(); err != nil {
		return complain(stderr, command, err)
	}
	if o.reload {
		if err := reload(o.Dir, plan); err != nil {
			return complain(stderr, command, err)
		}
	} else {
		now := fmt.Sprintf("Now: postfix -c %s reload\n", o.Dir)
		if left := plan.Left(); left != "" {
			now += fmt.Sprintf("Then: rm %s\n", left)
			if o.json {
				fmt.Fprintf(stderr, "postlmtp %s: %s is left, because Postfix still runs it: remove it after a reload\n", command, left)
			}
		}
		after = now + after
	}
	if !o.json {
		fmt.Fprintf(stdout, "\n%s\n%s", paint.paint(green, "Done."), after)
	}
	return exitOK
}

// reloadTime is how long master(8) may take to read master.cf, after postfix(1)
// has told it to and is gone.
const reloadTime = time.Second

// reload has Postfix use the changed files, and then removes a program that
// nobody runs any more.
func reload(dir string, plan *install.Plan) error {
	if out, err := exec.Command("postfix", "-c", dir, "reload").CombinedOutput(); err != nil {
		err = fmt.Errorf("all is changed, but postfix reload failed: %w\n%s", err, strings.TrimSpace(string(out)))
		if left := plan.Left(); left != "" {
			err = fmt.Errorf("%w\n%s is left, because Postfix still runs it", err, left)
		}
		return err
	}
	if plan.Left() == "" {
		return nil
	}
	time.Sleep(reloadTime)
	return plan.RemoveProgram()
}

// agree asks.
func agree(stdout io.Writer) (bool, error) {
	if !isTerminal(os.Stdin) {
		return false, errors.New("say --yes to go on where there is nobody to ask")
	}
	fmt.Fprint(stdout, "\nGo on? [y/N] ")
	answer, err := bufio.NewReader(os.Stdin).ReadString('\n')
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes", err
}

// printPlan shows what is going to be done.
func printPlan(w io.Writer, paint painter, p *install.Plan) {
	switch p.Program.Action {
	case "copy", "replace":
		fmt.Fprintf(w, "%s %s\n     to %s\n", p.Program.Action, p.Program.From, p.Program.To)
		if _, err := os.Stat("/sys/fs/selinux/enforce"); err == nil {
			fmt.Fprintf(w, "SELinux: semanage fcontext -a -t postfix_smtp_exec_t %s; restorecon %s\n", p.Program.To, p.Program.To)
		}
	default:
		fmt.Fprintf(w, "%s %s\n", p.Program.Action, p.Program.To)
	}
	for _, args := range p.Commands {
		fmt.Fprintf(w, "postconf -c %s %s '%s'\n", p.Dir, args[0], strings.Join(args[1:], " "))
	}
	for _, f := range p.Files {
		if f.Diff == "" {
			continue
		}
		fmt.Fprintln(w)
		for line := range strings.Lines(f.Diff) {
			line = strings.TrimSuffix(line, "\n")
			colour := map[byte]string{'+': green, '-': red, '@': cyan}[line[0]]
			if colour != "" {
				line = paint.paint(colour, line)
			}
			fmt.Fprintln(w, line)
		}
	}
	if p.Restores() {
		fmt.Fprintf(w, "\n%s are as install left them, and become what they were before.\n", fileNames(p))
	}
}

func fileNames(p *install.Plan) string {
	var names []string
	for _, f := range p.Files {
		names = append(names, filepath.Base(f.Path))
	}
	return strings.Join(names, " and ")
}
