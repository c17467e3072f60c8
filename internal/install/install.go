// Package install puts the daemon into a Postfix installation, and takes it out
// again: the program beside Postfix's own, and a service in master.cf.
//
// # Contract
//
// [Prepare] makes a [Plan] without changing anything (for a service that is
// installed already, one that only puts a newer program in place): it tries the changes on a
// copy of main.cf and master.cf, so that the plan has the exact difference.
// [Plan.Apply] makes the changes, all by postconf(1), and writes down what was
// there before, in the file postlmtp-install.json beside main.cf. [Removal]
// makes the plan that goes back: to the same bytes, as long as nobody has
// changed the files in the meantime; else the lines that were changed become what
// they were (by postconf(1) if they are not found), and the rest is left alone.
//
// # Failure policy
//
// A program of somebody else is never overwritten or removed: what is ours is
// known by what the Go linker has written into it. Of ours, only what was copied
// here is removed: a package removes its own. It stays while another instance of
// Postfix runs it, and while master(8) has the old master.cf: see [Plan.Left].
// When a change fails in the middle, the files are restored. The record is
// written before anything else, so that [Removal] also undoes what was killed in
// the middle. What somebody else changes in the same moment is not restored.
//
// # Limits
//
// Postfix is not reloaded here. Other instances are those that the main.cf of the
// directory, or that of the default one, names. Of tables, only the limits of the queue manager
// in main.cf are copied for a service of a new name.
package install

import (
	"cmp"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"postlmtp/internal/config"
	"postlmtp/internal/maincf"
)

// Options say what to install.
type Options struct {
	Dir     string // of main.cf and master.cf
	Program string // the daemon that is copied
	Name    string // its file name in daemon_directory
	Service string // the new service, or with Replace the one that is switched over
	Replace bool
	Like    string // the service that a new one is a copy of: lmtp
}

// A Plan is what is going to be done.
type Plan struct {
	Dir      string     `json:"config_directory"`
	Service  string     `json:"service"`
	Program  Program    `json:"program"`
	Commands [][]string `json:"commands"` // arguments of postconf
	Files    []Change   `json:"files"`
	Exact    bool       `json:"exact"` // a removal that restores the same bytes

	postconf string
	record   Record
	queue    string // queue_directory
	removal  bool
	upgrade  bool   // only the program is replaced
	undo     bool   // a removal that edits lines, without postconf
	keep     State  // what stays of the record
	left     string // see Left
}

// A Program is what happens to our file in daemon_directory.
type Program struct {
	From   string `json:"from,omitempty"`
	To     string `json:"to"`
	Action string `json:"action"` // copy, replace, keep, remove
}

// A Change is one file before and after.
type Change struct {
	Path   string `json:"path"`
	Before string `json:"-"`
	After  string `json:"-"`
	Diff   string `json:"diff"`
}

// OurPath is the main package of the daemon, as the linker writes it down.
const ourPath = "postlmtp/cmd/lmtp"

// IsOurs tells whether a file is our daemon.
func IsOurs(path string) bool {
	info, err := buildinfo.ReadFile(path)
	return err == nil && info.Path == ourPath
}

var goodName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`)

// Prepare makes the plan of an installation.
func Prepare(o Options) (*Plan, error) {
	c, _, err := config.Load(config.Options{Dir: o.Dir})
	if c == nil {
		return nil, err
	}
	for _, name := range []string{o.Service, o.Name} {
		if !goodName.MatchString(name) {
			return nil, fmt.Errorf("%q is no good name: letters, digits, and _ . - behind the first", name)
		}
	}
	state, err := readState(o.Dir)
	if err != nil {
		return nil, err
	}
	p := &Plan{Dir: o.Dir, Service: o.Service, postconf: postconfPath(c), keep: state}
	if err := p.program(o, c.DaemonDirectory); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(state.Records, func(r Record) bool { return r.Service == o.Service }) {
		if p.Program.Action != "replace" {
			return nil, fmt.Errorf("service %s is installed already: postlmtp uninstall --service=%s takes it out", o.Service, o.Service)
		}
		p.upgrade = true
		return p, nil
	}
	services, _, err := maincf.ReadMaster(filepath.Join(o.Dir, "master.cf"))
	if err != nil {
		return nil, err
	}
	if o.Replace {
		err = p.replace(o, services)
	} else {
		err = p.add(o, services)
	}
	if err != nil {
		return nil, err
	}
	return p, p.preview()
}

// postconfPath is Postfix's postconf.
func postconfPath(c *config.Config) string {
	path := filepath.Join(c.CommandDirectory, "postconf")
	if _, err := os.Stat(path); err != nil {
		if found, err := exec.LookPath("postconf"); err == nil {
			return found
		}
	}
	return path
}

// program plans the copy of our file.
func (p *Plan) program(o Options, daemons string) error {
	p.Program = Program{From: o.Program, To: filepath.Join(daemons, o.Name), Action: "copy"}
	if !IsOurs(o.Program) {
		return fmt.Errorf("%s is not the daemon of postlmtp", o.Program)
	}
	_, err := os.Lstat(p.Program.To)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !IsOurs(p.Program.To):
		return fmt.Errorf("%s is a program of somebody else: choose another --name", p.Program.To)
	}
	p.Program.Action = "replace"
	if same(o.Program, p.Program.To) {
		p.Program.Action = "keep"
	}
	return nil
}

func same(a, b string) bool {
	x, err1 := os.ReadFile(a)
	y, err2 := os.ReadFile(b)
	return err1 == nil && err2 == nil && string(x) == string(y)
}

// replace plans to switch a service over.
func (p *Plan) replace(o Options, services []maincf.Service) error {
	s, ok := maincf.FindService(services, o.Service, "unix")
	if !ok {
		return fmt.Errorf("there is no service %s of type unix in master.cf", o.Service)
	}
	if s.Program() == o.Name {
		return fmt.Errorf("the service %s runs %s already", o.Service, o.Name)
	}
	if s.Program() != "lmtp" {
		return fmt.Errorf("the service %s runs %s, which is not lmtp", o.Service, s.Command)
	}
	field := o.Service + "/unix/command"
	old, err := p.ask("-F", field)
	if err != nil {
		return err
	}
	_, words, ok := strings.Cut(old, "=")
	if words = strings.TrimSpace(words); !ok || words == "" {
		return fmt.Errorf("postconf -F %s prints %q", field, old)
	}
	_, args, _ := strings.Cut(words, " ")
	p.Commands = [][]string{{"-F", strings.TrimSpace(field + "=" + o.Name + " " + args)}}
	p.record.Undo = [][]string{{"-F", field + "=" + words}}
	return nil
}

var masterLine = regexp.MustCompile(`^(\S+)((?:\s+\S+){6}\s+)(\S+)(.*)$`)

// add plans a new service, which is a copy of another under a name of its own.
func (p *Plan) add(o Options, services []maincf.Service) error {
	if _, exists := maincf.FindService(services, o.Service, ""); exists {
		return fmt.Errorf("there is a service %s in master.cf: choose another --service, or use --replace", o.Service)
	}
	line := "lmtp unix - - n - - lmtp"
	if _, exists := maincf.FindService(services, o.Like, "unix"); exists {
		text, err := p.ask("-M", o.Like+"/unix")
		if err != nil {
			return err
		}
		line = text
	} else if o.Like != "lmtp" {
		return fmt.Errorf("there is no service %s of type unix in master.cf", o.Like)
	}
	parts := masterLine.FindStringSubmatch(line)
	if parts == nil {
		return fmt.Errorf("postconf -M %s/unix prints %q", o.Like, line)
	}
	columns := strings.Join(strings.Fields(parts[2]), " ")
	p.Commands = [][]string{{"-M", fmt.Sprintf("%s/unix=%s %s %s%s", o.Service, o.Service, columns, o.Name, parts[4])}}
	p.record.Undo = [][]string{{"-MX", o.Service + "/unix"}}
	return p.limits(o)
}

// limits plans copies of the limits that follow the name of the service.
func (p *Plan) limits(o Options) error {
	values := maincf.NewValues()
	if _, err := values.ReadFile(filepath.Join(o.Dir, "main.cf")); err != nil {
		return err
	}
	for _, end := range config.TransportParams() {
		e, set := values.Get(o.Like + end)
		if _, own := values.Get(o.Service + end); !set || own {
			continue
		}
		p.Commands = append(p.Commands, []string{"-e", o.Service + end + "=" + e.Text})
		p.record.Undo = append(p.record.Undo, []string{"-X", o.Service + end})
	}
	return nil
}

// preview makes the changes on a copy.
func (p *Plan) preview() error {
	copied, err := os.MkdirTemp("", "postlmtp-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(copied)
	names := []string{"main.cf", "master.cf"}
	before := make(map[string]string)
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(p.Dir, name))
		if err != nil {
			return err
		}
		before[name] = string(data)
		if err := os.WriteFile(filepath.Join(copied, name), data, 0o600); err != nil {
			return err
		}
	}
	if err := p.run(copied); err != nil {
		return err
	}
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(copied, name))
		if err != nil {
			return err
		}
		p.change(filepath.Join(p.Dir, name), before[name], string(data))
	}
	return nil
}

// change notes what becomes of a file.
func (p *Plan) change(path, before, after string) {
	p.Files = append(p.Files, Change{path, before, after, Diff(path, before, after)})
}

// run runs the commands on a directory.
func (p *Plan) run(dir string) error {
	for _, args := range p.Commands {
		cmd := exec.Command(p.postconf, append([]string{"-c", dir}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("postconf %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}

// ask returns what postconf prints.
func (p *Plan) ask(args ...string) (string, error) {
	out, err := exec.Command(p.postconf, append([]string{"-c", p.Dir}, args...)...).Output()
	if err != nil {
		return "", fmt.Errorf("postconf %s: %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

// Apply does what the plan says.
func (p *Plan) Apply() error {
	for _, f := range p.Files {
		if data, err := os.ReadFile(f.Path); err != nil || string(data) != f.Before {
			return cmp.Or(err, fmt.Errorf("%s has changed since the plan was made", f.Path))
		}
	}
	switch {
	case p.removal:
		return p.remove()
	case p.upgrade:
		return p.copyProgram()
	}
	record := p.record
	record.Service, record.Program, record.When = p.Service, p.Program.To, time.Now().UTC().Truncate(time.Second)
	for _, f := range p.Files {
		record.Files = append(record.Files, FileRecord{Path: f.Path, Before: f.Before, After: f.After})
	}
	// The record comes first: what is not undone by chance can be by hand.
	state := State{Records: append(slices.Clone(p.keep.Records), record), Copied: p.keep.Copied}
	if p.Program.Action == "copy" {
		state.Copied = append(slices.Clone(state.Copied), p.Program.To)
	}
	if err := writeState(p.Dir, state); err != nil {
		return err
	}
	err := p.copyProgram()
	if err == nil {
		err = p.run(p.Dir)
	}
	if err == nil {
		return p.verify()
	}
	if failed := p.restore(); failed != nil { // with record and program, uninstall can do it later
		return errors.Join(err, failed)
	}
	err = errors.Join(err, writeState(p.Dir, p.keep))
	if p.Program.Action == "copy" {
		if rm := os.Remove(p.Program.To); !errors.Is(rm, fs.ErrNotExist) {
			err = errors.Join(err, rm)
		}
	}
	return err
}

// verify compares the files with the preview. Nothing is restored: that would
// undo what somebody else has done.
func (p *Plan) verify() error {
	for _, f := range p.Files {
		if data, err := os.ReadFile(f.Path); err != nil || string(data) != f.After {
			return cmp.Or(err, fmt.Errorf("%s was changed by somebody else at the same moment: look at it; "+
				"postlmtp uninstall --service=%s takes out what was installed", f.Path, p.Service))
		}
	}
	return nil
}

// restore puts back what was there before.
func (p *Plan) restore() error {
	var errs []error
	for _, f := range p.Files {
		// What is as it was needs no room on a full disk.
		if data, err := os.ReadFile(f.Path); err != nil || string(data) != f.Before {
			errs = append(errs, rewrite(f.Path, f.Before))
		}
	}
	return errors.Join(errs...)
}

// copyProgram copies our file, by a rename: a process that runs the old one
// keeps it.
func (p *Plan) copyProgram() error {
	if p.Program.Action == "keep" {
		return nil
	}
	data, err := os.ReadFile(p.Program.From)
	if err != nil {
		return err
	}
	return replaceFile(p.Program.To, data, 0o755, -1, -1)
}
