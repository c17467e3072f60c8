// Package agent wires the daemon: it reads the settings, opens before the jail
// what must be opened there, and serves each connection of the queue manager by
// passing it through the packages below. No other package knows all of them.
//
// # Failure policy
//
// A setting that makes no sense ends the process before it has served anything,
// with Postfix's own text in the log; master(8) then tries again a minute later.
// Once the process serves, nothing ends it but master(8), its own limits
// (max_use, max_idle), or a table that changed: a request that cannot be read,
// a queue file that cannot be opened, a panic in a delivery concern that request
// alone, whose mail stays in the queue.
package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"postlmtp/internal/config"
	"postlmtp/internal/maillog"
	"postlmtp/internal/master"
)

// Program is the name in the tag of every log line, whatever the name of our
// file: log parsers count on it.
const Program = "lmtp"

// Main is the daemon. It returns the process's exit status.
func Main(argv, environ []string, version string) int {
	tune()
	inv, err := master.ParseInvocation(argv, environ)
	log := earlyLog(inv)
	if err == nil {
		err = inv.CheckDescriptors()
	}
	if err == nil {
		err = run(inv, log, version)
	}
	return exitStatus(err, log)
}

// fatalError is an error that is already logged as it should be.
type fatalError struct{ status int }

func (e fatalError) Error() string { return fmt.Sprintf("exit status %d", e.status) }

func exitStatus(err error, log *maillog.Logger) int {
	var byHand *master.ByHandError
	var logged fatalError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &logged):
		return logged.status
	case errors.As(err, &byHand):
		fmt.Fprintf(os.Stderr, "%s: %v\n", Program, byHand)
		log.Fatalf("%v", err)
		return 1
	default:
		log.Fatalf("%v", err)
		return 1
	}
}

// earlyLog logs before the settings are known, as the environment says.
func earlyLog(inv master.Invocation) *maillog.Logger {
	log, err := maillog.Open(maillog.Options{
		Program:       Program,
		Tag:           inv.LogTag,
		PostlogSocket: inv.PostlogService,
		Hostname:      inv.PostlogHostname,
		Copy:          stderrIf(inv.Stderr),
	})
	if err != nil { // no option that is set here can be wrong
		return maillog.ToWriter(os.Stderr, Program)
	}
	return log
}

func stderrIf(on bool) io.Writer {
	if on {
		return os.Stderr
	}
	return nil
}

// run is the life of the process after its options were read.
func run(inv master.Invocation, early *maillog.Logger, version string) error {
	settings, err := load(inv, true, early)
	if err != nil {
		return err
	}
	log, err := settings.openLog(inv)
	if err != nil {
		return err
	}
	defer log.Flush()
	jail, err := settings.jail(inv)
	if err != nil {
		return err
	}
	bound, known := settings.bound(inv, log)
	if master.NeedsSupervisor(inv, bound) {
		// The parent does no work and needs no privileges, whatever the
		// service's are.
		if jail, err = settings.parentJail(jail); err != nil {
			return err
		}
		inv.Release, inv.Bound = settings.release.Text, bound
		status, err := master.Supervise(inv, jail, log)
		if err == nil && status != 0 {
			err = fatalError{status}
		}
		return err
	}
	if inv.Verbose > 0 {
		log.Infof("postlmtp %s for Postfix %s, concurrency %d", version, settings.release.Text, bound)
	}
	settings.warn(log)
	process, err := master.PreJail(inv, settings.QueueDirectory, bound)
	if err != nil {
		return err
	}
	a, err := newAgent(settings, inv, settings.prepareStatus(inv, jail, bound, version, log), log)
	if err != nil {
		return err
	}
	if err := master.EnterJail(jail); err != nil {
		return err
	}
	a.openStatus(inv)
	a.enterSandbox(inv.Verbose > 0)
	a.serveStatus()
	defer a.close()
	maxUse := settings.MaxUse
	if !known {
		maxUse = 1
	}
	return master.Serve(context.Background(), master.Settings{
		Process:  process,
		Bound:    bound,
		MaxUse:   maxUse,
		MaxIdle:  a.maxIdle(bound),
		Watchdog: settings.DaemonTimeout,
		Changed:  a.changed,
		Log:      log,
	}, a.serve)
}

// settings are the parameters and what was computed from them.
type settings struct {
	*config.Config
	release  Release
	warnings []config.Warning
	settled  bool // of what is read, nothing may be half written
}

// load reads main.cf. With settled it waits until nobody writes to it.
// Mistakes are logged in Postfix's words; any of them ends the process.
func load(inv master.Invocation, settled bool, log *maillog.Logger) (*settings, error) {
	opt := config.Options{Dir: inv.ConfigDirectory, Process: Program, Service: inv.Service, Settled: settled}
	for _, o := range inv.Overrides {
		opt.Overrides = append(opt.Overrides, override(o))
	}
	release, err := findRelease(inv, opt)
	if err != nil {
		return nil, err
	}
	opt.MailVersion = release.Text
	c, warnings, err := config.Load(opt)
	var mistakes config.Errors
	if errors.As(err, &mistakes) {
		// One fatal line, as Postfix: the first mistake; the others as
		// warnings, so that one look at the log is enough.
		for _, m := range mistakes {
			for _, w := range m.Warnings {
				log.Warningf("%s", w)
			}
		}
		for _, m := range mistakes[1:] {
			log.Warningf("%s%s", m.Text, origin(m.File, m.Line))
		}
		m := mistakes[0]
		return nil, fmt.Errorf("%s%s", m.Text, origin(m.File, m.Line))
	}
	if err != nil {
		return nil, err
	}
	return &settings{Config: c, release: release, warnings: warnings, settled: settled}, nil
}

// findRelease finds the release of Postfix, which selects defaults. Where it is
// found depends on a parameter, so that the settings are read once more for it;
// the worker has it from its parent.
func findRelease(inv master.Invocation, opt config.Options) (Release, error) {
	if inv.Release != "" {
		return parseRelease(inv.Release)
	}
	first, _, err := config.Load(opt)
	if first == nil {
		return Release{}, err
	}
	return detectRelease(first.DaemonDirectory, first.QueueDirectory, first.RewriteServiceName)
}

// origin says where a value was set.
func origin(file string, line int) string {
	if file == "" {
		return ""
	}
	return fmt.Sprintf(" (%s line %d)", file, line)
}

// warn says what is odd about the settings, and what is set for this agent and
// has no effect. The parent does not, so that it is said once.
func (s *settings) warn(log *maillog.Logger) {
	for _, w := range s.warnings {
		log.Warningf("%v", w)
	}
	for _, u := range s.Unsupported() {
		if strings.HasPrefix(u.Name, "lmtp_") { // others may be set for other programs
			log.Warningf("%s = %s has no effect: %s%s", u.Name, u.Value, u.Why, origin(u.File, u.Line))
		}
	}
}

// openLog opens the log that the settings ask for.
func (s *settings) openLog(inv master.Invocation) (*maillog.Logger, error) {
	tag := s.SyslogName
	if inv.LogTag != "" && !s.overridden(inv, "syslog_name") {
		tag = inv.LogTag
	}
	opt := maillog.Options{
		Program:         Program,
		Tag:             tag,
		Facility:        s.SyslogFacility,
		Hostname:        s.MyHostname,
		UTF8:            s.SMTPUTF8Enable,
		DelayResolution: s.DelayLoggingResolutionLimit,
		Copy:            stderrIf(inv.Stderr),
	}
	if s.MaillogFile != "" {
		opt.PostlogSocket = filepath.Join(s.QueueDirectory, "public", s.PostlogServiceName)
	}
	return maillog.Open(opt)
}

// overridden tells whether the service has its own value of a parameter.
func (s *settings) overridden(inv master.Invocation, name string) bool {
	for _, o := range inv.Overrides {
		if o.Name == name {
			return true
		}
	}
	return false
}

// jail says what the process gives up, by the options -u and -c.
func (s *settings) jail(inv master.Invocation) (master.Jail, error) {
	var jail master.Jail
	if inv.Chroot {
		jail.Root = s.QueueDirectory
	}
	if inv.Unprivileged {
		owner, err := master.LookupMailOwner(s.MailOwner)
		if err != nil {
			return jail, err
		}
		jail.Owner = owner
	}
	return jail, nil
}

// parentJail is the jail of the parent: it leaves root in any case.
func (s *settings) parentJail(j master.Jail) (master.Jail, error) {
	if j.Owner != nil || os.Geteuid() != 0 {
		return j, nil
	}
	owner, err := master.LookupMailOwner(s.MailOwner)
	j.Owner = owner
	return j, err
}
