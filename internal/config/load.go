package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"postlmtp/internal/maincf"
)

// DefaultDir is the configuration directory unless something says otherwise
// (the environment variable MAIL_CONFIG, an option of the tool).
const DefaultDir = "/etc/postfix"

// defaultName is what program and service are called unless something says
// otherwise.
const defaultName = "lmtp"

// Options says what to load.
type Options struct {
	// Dir is the directory of main.cf; DefaultDir if empty.
	Dir string
	// Overrides are the -o options of the service; later ones win.
	Overrides []maincf.Override
	// Process and Service are the values of $process_name and
	// $service_name; both "lmtp" if empty.
	Process, Service string
	// MailVersion is the release of the installed Postfix, such as
	// "3.7.11", if it is known. It selects defaults.
	MailVersion string
	// Defaults replaces built-in defaults, for a Postfix that was built with
	// others.
	Defaults map[string]string
	// Hostname is what to use instead of the name of the machine.
	Hostname string
	// Settled waits until nobody has written to main.cf for a second.
	Settled bool
}

// An Error is a mistake in the value of one parameter. Text is what Postfix
// logs as the fatal error, Warnings what it logs before that. File and Line
// say where the value was set, unless it is a default or came from a command
// line.
type Error struct {
	Param    string
	File     string
	Line     int
	Warnings []string
	Text     string
}

// Error returns the text, without the warnings.
func (e *Error) Error() string { return e.Text }

// Errors are all mistakes that Load found.
type Errors []*Error

// Error returns the texts, separated by semicolons.
func (l Errors) Error() string {
	texts := make([]string, len(l))
	for i, e := range l {
		texts[i] = e.Text
	}
	return strings.Join(texts, "; ")
}

// Unwrap makes each mistake visible to errors.As.
func (l Errors) Unwrap() []error {
	list := make([]error, len(l))
	for i, e := range l {
		list[i] = e
	}
	return list
}

// A Warning is a remark on the configuration that does not prevent its use.
type Warning = maincf.Warning

// Load reads main.cf and returns the value of every parameter.
//
// The error is that of opening main.cf, a *maincf.FileError, or Errors. In
// the last case there is a Config, too: see the package comment.
func Load(o Options) (*Config, []Warning, error) {
	if o.Dir == "" {
		o.Dir = DefaultDir
	}
	if o.Process == "" {
		o.Process = defaultName
	}
	if o.Service == "" {
		o.Service = defaultName
	}
	c := &Config{values: maincf.NewValues(), text: make(map[string]string)}
	builtin := func(name, value string) { c.values.Set(name, maincf.Entry{Text: value}) }
	builtin("process_name", o.Process)
	builtin("config_directory", o.Dir)
	read := c.values.ReadFile
	if o.Settled {
		read = c.values.ReadSettled
	}
	warnings, err := read(filepath.Join(o.Dir, "main.cf"))
	if err != nil {
		return nil, warnings, err
	}
	for _, v := range o.Overrides {
		c.values.Set(v.Name, maincf.Entry{Text: v.Value, File: v.File, Line: v.Line})
	}
	// These two cannot be set: what a configuration file says is replaced.
	builtin("process_name", o.Process)
	builtin("service_name", o.Service)

	l := newLoader(c, o)
	l.load()
	c.ConfigDirectory = o.Dir
	l.check()
	warnings = append(warnings, l.warnings...)
	if len(l.errs) > 0 {
		return c, warnings, l.errs
	}
	return c, warnings, nil
}

// ServiceOptions completes o with what master.cf in its directory says about
// a service: the overrides among its words, its name and its program. typ may
// be empty. It fails if there is no such service.
func ServiceOptions(o Options, name, typ string) (Options, []Warning, error) {
	if o.Dir == "" {
		o.Dir = DefaultDir
	}
	path := filepath.Join(o.Dir, "master.cf")
	services, warnings, err := maincf.ReadMaster(path)
	if err != nil {
		return o, warnings, err
	}
	s, ok := maincf.FindService(services, name, typ)
	if !ok {
		return o, warnings, errors.New("no service named " + name + " in " + path)
	}
	overrides, err := s.Overrides()
	if err != nil {
		return o, warnings, &maincf.FileError{File: s.File, Line: s.Line, Text: err.Error()}
	}
	o.Overrides = append(overrides, o.Overrides...)
	o.Service = s.Name
	o.Process = s.Program()
	return o, warnings, nil
}

// loader is the state of one call of Load.
type loader struct {
	config   *Config
	options  Options
	defaults map[string]string // raw default of each parameter in the table
	broken   map[string]string // parameters with a mistake, and what to use instead
	warnings []Warning
	errs     Errors
}

func newLoader(c *Config, o Options) *loader {
	c.release, _ = parseRelease(o.MailVersion)
	c.params = table(c)
	l := &loader{config: c, options: o, defaults: make(map[string]string), broken: make(map[string]string)}
	for _, p := range c.params {
		l.defaults[p.Name] = p.defaultFor(c.release)
	}
	l.defaults["mail_version"] = o.MailVersion
	l.defaults["daemon_directory"] = daemonDirectory()
	for name, value := range o.Defaults {
		l.defaults[name] = value
	}
	c.expand = l.lookup
	return l
}

// load evaluates the parameters one by one. The compatibility level comes
// first because defaults depend on it.
func (l *loader) load() {
	for _, p := range l.config.params {
		if p.Name == "compatibility_level" {
			l.evaluate(p)
			if _, err := maincf.ParseLevel(l.config.CompatibilityLevel); err != nil {
				l.fail(p.Name, "%v", err)
				l.broken[p.Name] = "0"
			}
		}
	}
	for _, p := range l.config.params {
		if p.Name != "compatibility_level" {
			l.evaluate(p)
		}
	}
}

// evaluate expands and parses the value of one parameter. After a mistake it
// uses the default.
func (l *loader) evaluate(p *Param) {
	raw, set := l.raw(p.Name)
	unit := maincf.TimeUnit(p.newest)
	text, err := maincf.Expand(raw, l.lookup)
	if err != nil {
		l.failExpand(p.Name, err)
	} else {
		l.config.text[p.Name] = text
		if err = p.parse(text, unit); err == nil {
			return
		}
		l.fail(p.Name, "%v", err)
	}
	if !set {
		return // nothing better to offer
	}
	l.broken[p.Name] = l.defaults[p.Name]
	if text, err = maincf.Expand(l.defaults[p.Name], l.lookup); err == nil {
		p.parse(text, unit)
	}
}

// raw returns the unexpanded value of a parameter and whether it was set.
func (l *loader) raw(name string) (string, bool) {
	if e, ok := l.config.values.Get(name); ok {
		return e.Text, true
	}
	text, _ := l.lookup(name)
	return text, false
}

// lookup is what $name stands for.
func (l *loader) lookup(name string) (string, bool) {
	if text, ok := l.broken[name]; ok {
		return text, true
	}
	if e, ok := l.config.values.Get(name); ok {
		return e.Text, true
	}
	if text, ok := l.defaults[name]; ok && text != "" {
		return text, true
	}
	switch name {
	case "myhostname":
		return l.myHostname(), true
	case "mydomain":
		return l.myDomain(), true
	}
	_, ok := l.defaults[name]
	return "", ok
}

// setOnly is lookup without defaults, for values on which computed defaults
// depend.
func (l *loader) setOnly(name string) (string, bool) {
	e, ok := l.config.values.Get(name)
	return e.Text, ok
}

// localDomain is the domain of a machine whose name has none.
const localDomain = "localdomain"

// myHostname computes the default of myhostname: the name of the machine.
func (l *loader) myHostname() string {
	host := l.options.Hostname
	if host == "" {
		var err error
		if host, err = os.Hostname(); err != nil {
			l.fail("myhostname", "gethostname: %v", err)
			host = "localhost"
		}
	}
	l.options.Hostname = host
	if strings.Contains(host, ".") {
		return host
	}
	domain := localDomain
	if raw, ok := l.setOnly("mydomain"); ok {
		domain, _ = maincf.Expand(raw, l.setOnly)
	}
	return host + "." + domain
}

// myDomain computes the default of mydomain: myhostname without its first
// label.
func (l *loader) myDomain() string {
	host := ""
	if raw, ok := l.setOnly("myhostname"); ok {
		host, _ = maincf.Expand(raw, l.setOnly)
	} else {
		host = l.myHostname()
	}
	if _, domain, ok := strings.Cut(host, "."); ok {
		return domain
	}
	return localDomain
}

// daemonDirectory finds Postfix's daemons.
func daemonDirectory() string {
	usual := []string{
		"/usr/lib/postfix/sbin", // Debian
		"/usr/libexec/postfix",  // as released; Red Hat, Alpine
		"/usr/lib/postfix/bin",  // SUSE, Arch
		"/usr/local/libexec/postfix",
	}
	for _, dir := range usual {
		if _, err := os.Stat(filepath.Join(dir, "master")); err == nil {
			return dir
		}
	}
	return usual[0]
}
