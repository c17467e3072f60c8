// Package check reads a configuration of Postfix as the LMTP transports in it
// see it, and finds what is wrong, suspicious or without effect.
//
// # Contract
//
// [Run] returns findings, each with a number that never changes its meaning
// (see [Catalogue]), a severity, the place in the configuration, and what to do
// about it. Nothing is changed, nobody is connected to: what only shows on the
// wire is for package probe.
//
// The settings of each service are loaded and the daemon is built by package
// agent, as the daemon does it: what stops the daemon is an error here.
//
// # Limits
//
// Destinations are looked for in the parameters that name transports and in
// those of their tables that have a text source. Dovecot is asked where doveconf
// can be run, and is taken for the server behind the sockets that it listens on.
package check

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"postlmtp/internal/agent"
	"postlmtp/internal/config"
	"postlmtp/internal/dns"
	"postlmtp/internal/maillog"
	"postlmtp/internal/maincf"
	"postlmtp/internal/permit"
)

// Severity says how bad a finding is.
type Severity string

// The severities.
const (
	Error   Severity = "error"   // mail is not delivered, or the daemon does not start
	Warning Severity = "warning" // not what was meant, in all likelihood
	Note    Severity = "note"    // good to know
)

// A Finding is one thing that was found.
type Finding struct {
	Number   string   `json:"number"`
	Severity Severity `json:"severity"`
	Service  string   `json:"service,omitempty"`
	File     string   `json:"file,omitempty"`
	Line     int      `json:"line,omitempty"`
	Text     string   `json:"text"`
	Fix      string   `json:"fix"`
}

// Place returns "file:line", "file", or nothing.
func (f Finding) Place() string {
	if f.Line > 0 {
		return fmt.Sprintf("%s:%d", f.File, f.Line)
	}
	return f.File
}

// Options say what to check.
type Options struct {
	Dir     string // of main.cf and master.cf
	Service string // only this one; empty: all that run lmtp or our daemon
	Program string // the file name of our daemon in daemon_directory
	// Doveconf returns Dovecot's settings, as doveconf -a prints them; nil:
	// Dovecot is not asked.
	Doveconf func() (string, error)
	Etc      string // where the hosts file is; empty: /etc
}

// checker is one run.
type checker struct {
	opt      Options
	values   *maincf.Values
	config   *config.Config // of main.cf alone
	services []maincf.Service
	targets  []*target
	dovecot  *dovecot
	hosts    *dns.Hosts
	findings []Finding

	unreleased bool // the release of Postfix was not found
}

// target is one service that delivers by LMTP.
type target struct {
	service maincf.Service
	config  *config.Config // nil: it cannot be loaded
	tool    *agent.Tool    // nil: the daemon would not start
	owner   permit.Account
	sockets []place // destinations that are sockets
	hosts   []place // and others
}

// place is a destination and where it is named.
type place struct {
	nexthop string
	file    string
	line    int
}

// Run checks. The findings are in the order of files and lines, the gravest
// first.
func Run(o Options) []Finding {
	c := &checker{opt: o}
	if c.load() {
		for _, t := range c.targets {
			c.target(t)
		}
		c.names()
		c.limits()
		c.destinations()
		c.tables()
		for _, t := range c.targets {
			c.sockets(t)
			c.hostNames(t)
			c.security(t)
		}
		c.askDovecot()
	}
	rank := map[Severity]int{Error: 0, Warning: 1, Note: 2}
	slices.SortStableFunc(c.findings, func(a, b Finding) int { return rank[a.Severity] - rank[b.Severity] })
	return c.findings
}

// found adds a finding, unless it is there already: services share main.cf.
func (c *checker) found(f Finding) {
	f.Severity = severityOf(f.Number)
	for _, other := range c.findings {
		if other.Number == f.Number && other.Text == f.Text && other.Place() == f.Place() {
			return
		}
	}
	c.findings = append(c.findings, f)
}

// at adds a finding about a parameter.
func (c *checker) at(number, param, service, text, fix string) {
	f := Finding{Number: number, Service: service, Text: text, Fix: fix}
	if e, ok := c.values.Get(param); ok {
		f.File, f.Line = e.File, e.Line
	}
	c.found(f)
}

// load reads the files. Without them there is nothing else to check.
func (c *checker) load() bool {
	mainFile, masterFile := filepath.Join(c.opt.Dir, "main.cf"), filepath.Join(c.opt.Dir, "master.cf")
	c.values = maincf.NewValues()
	if _, err := c.values.ReadFile(mainFile); err != nil {
		c.unreadable(mainFile, err)
		return false
	}
	var warnings []maincf.Warning
	var err error
	if c.services, warnings, err = maincf.ReadMaster(masterFile); err != nil {
		c.unreadable(masterFile, err)
		return false
	}
	for _, w := range warnings {
		c.found(Finding{Number: "PL004", File: cmp.Or(w.File, masterFile), Line: w.Line, Text: w.Text, Fix: "correct the line: master(8) passes over it"})
	}
	cfg, _, err := config.Load(config.Options{Dir: c.opt.Dir})
	if cfg == nil {
		c.unreadable(mainFile, err)
		return false
	}
	c.config = cfg
	if snapshot, _ := dns.Load(cmp.Or(c.opt.Etc, "/etc")); snapshot != nil {
		c.hosts = snapshot.Hosts
	}
	c.findTargets()
	return true
}

func (c *checker) unreadable(file string, err error) {
	f := Finding{Number: "PL001", File: file, Text: err.Error(), Fix: "correct the file: no program of Postfix starts with it"}
	var at *maincf.FileError
	if errors.As(err, &at) {
		f.File, f.Line = at.File, at.Line
	}
	c.found(f)
}

// findTargets finds the services that deliver by LMTP.
func (c *checker) findTargets() {
	for _, s := range c.services {
		ours := s.Program() == "lmtp" || s.Program() == c.opt.Program
		if c.opt.Service != "" {
			ours = s.Name == c.opt.Service
		}
		if ours && !slices.ContainsFunc(c.targets, func(t *target) bool { return t.service.Name == s.Name && t.service.Type == s.Type }) {
			c.targets = append(c.targets, &target{service: s})
		}
	}
	if len(c.targets) == 0 {
		name := cmp.Or(c.opt.Service, c.opt.Program)
		c.found(Finding{Number: "PL007", File: filepath.Join(c.opt.Dir, "master.cf"),
			Text: "no service delivers by LMTP: there is no " + name, Fix: "postlmtp install adds one"})
	}
}

// target loads the settings of a service, and builds its daemon.
func (c *checker) target(t *target) {
	o, _, err := config.ServiceOptions(config.Options{Dir: c.opt.Dir}, t.service.Name, t.service.Type)
	if err != nil {
		c.found(Finding{Number: "PL005", Service: t.service.Name, File: t.service.File, Line: t.service.Line, Text: err.Error(), Fix: "correct the words of the service"})
		return
	}
	program := filepath.Join(c.config.DaemonDirectory, t.service.Command)
	if !exists(program) {
		c.found(Finding{Number: "PL006", Service: t.service.Name, File: t.service.File, Line: t.service.Line,
			Text: "the service runs " + program + ", which does not exist", Fix: "postlmtp install, or correct the command"})
	}
	if _, err := config.InstalledVersion(c.config.DaemonDirectory); err != nil {
		c.unreleased = true
		c.at("PL008", "daemon_directory", t.service.Name, fmt.Sprintf("the release of Postfix is not found in %s: %v", c.config.DaemonDirectory, err),
			"correct daemon_directory; the daemon then guesses by the greeting of a running server, and takes 3.5 or 3.6")
	} else {
		o.MailVersion, _ = config.InstalledVersion(c.config.DaemonDirectory)
	}
	cfg, warnings, err := config.Load(o)
	t.config = cfg
	for _, w := range warnings {
		w.Text = strings.TrimPrefix(w.Text, fmt.Sprintf("%s, line %d: ", w.File, w.Line))
		c.found(Finding{Number: "PL003", Service: t.service.Name, File: cmp.Or(w.File, filepath.Join(c.opt.Dir, "main.cf")), Line: w.Line, Text: w.Text, Fix: "correct the line"})
	}
	var mistakes config.Errors
	if errors.As(err, &mistakes) {
		for _, m := range mistakes {
			c.found(Finding{Number: "PL002", Service: t.service.Name, File: m.File, Line: m.Line,
				Text: strings.Join(append(m.Warnings, m.Text), ": "), Fix: "correct the value: the daemon does not start with it"})
		}
		return
	}
	c.effects(t)
	c.build(t)
}

// effects reports settings that nothing acts on.
func (c *checker) effects(t *target) {
	for _, u := range t.config.Unsupported() {
		if !strings.HasPrefix(u.Name, "lmtp_") {
			continue
		}
		c.found(Finding{Number: "PL011", Service: t.service.Name, File: u.File, Line: u.Line,
			Text: fmt.Sprintf("%s = %s has no effect: %s", u.Name, u.Value, u.Why), Fix: "remove it, or leave it for Postfix's own lmtp"})
	}
	for _, p := range config.Params() {
		if p.NoEffect && strings.HasPrefix(p.Name, "lmtp_") && t.config.IsSet(p.Name) {
			file, line := t.config.Origin(p.Name)
			c.found(Finding{Number: "PL011", Service: t.service.Name, File: file, Line: line,
				Text: p.Name + " has no effect on deliveries: " + p.Doc, Fix: "nothing needs to be done"})
		}
	}
}

// build builds the daemon. What it would log is in the log lines.
func (c *checker) build(t *target) {
	var lines logLines
	var err error
	t.tool, err = agent.ForTool(agent.ToolOptions{Dir: c.opt.Dir, Service: t.service.Name, Log: maillog.ToWriter(&lines, agent.Program)})
	for _, line := range lines {
		c.logged(t, line)
	}
	if err != nil {
		if c.unreleased {
			return // that is why
		}
		c.found(Finding{Number: "PL005", Service: t.service.Name, File: t.service.File, Line: t.service.Line,
			Text: err.Error(), Fix: "the daemon ends with this message at start; correct what it names"})
		return
	}
	for _, param := range slices.Sorted(maps.Keys(t.tool.StatusMistakes)) {
		file, line := t.config.Origin(param)
		c.found(Finding{Number: "PL003", Service: t.service.Name, File: file, Line: line, Text: fmt.Sprintf("%s: %v", param, t.tool.StatusMistakes[param]),
			Fix: "correct the value: nobody can look into the daemon as is asked for"})
	}
	t.owner = permit.Account{Name: "root"}
	if t.tool.Jail.Owner != nil {
		o := t.tool.Jail.Owner
		t.owner = permit.Account{Name: o.Name, UID: o.UID, Groups: o.Groups}
	}
}

// logged sorts a line of the daemon's log.
func (c *checker) logged(t *target, line string) {
	text := strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(line, "warning: "), "error: "), ": ")
	f := Finding{Service: t.service.Name, Text: text}
	f.File, f.Line = c.naming(text)
	switch {
	case strings.Contains(text, "is older than source file"):
		f.Number, f.Fix = "PL050", "postmap the source, then postfix reload"
	case strings.HasPrefix(line, "error: "), strings.HasPrefix(text, "open database"), strings.HasPrefix(text, "unsupported dictionary"):
		f.Number, f.Fix = "PL051", "make the table, or remove it from the parameter: what depends on it is deferred"
	case strings.Contains(text, "has no effect"), isLoadWarning(c, text):
		return // said better already
	default:
		f.Number, f.Fix = "PL003", "see the text: the daemon logs it at start"
	}
	c.found(f)
}

// naming finds the parameter that names a table which a log line is about.
func (c *checker) naming(text string) (file string, line int) {
	for _, name := range c.values.Names() {
		e, _ := c.values.Get(name)
		value, err := maincf.Expand(e.Text, c.lookup)
		if err != nil {
			continue
		}
		for _, spec := range tableWords(value) {
			if _, path, _ := strings.Cut(spec, ":"); strings.Contains(text, path) {
				return e.File, e.Line
			}
		}
	}
	return "", 0
}

func isLoadWarning(c *checker, text string) bool {
	return slices.ContainsFunc(c.findings, func(f Finding) bool { return f.Number == "PL003" && strings.HasSuffix(text, f.Text) })
}

// logLines takes log entries, "lmtp[123]: text".
type logLines []string

func (l *logLines) Write(p []byte) (int, error) {
	_, text, _ := strings.Cut(strings.TrimSpace(string(p)), "]: ")
	*l = append(*l, text)
	return len(p), nil
}
