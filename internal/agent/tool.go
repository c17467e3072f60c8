package agent

import (
	"context"
	"fmt"
	"path/filepath"

	"postlmtp/internal/config"
	"postlmtp/internal/delivery"
	"postlmtp/internal/lmtp"
	"postlmtp/internal/maillog"
	"postlmtp/internal/maincf"
	"postlmtp/internal/master"
	"postlmtp/internal/nexthop"
	"postlmtp/internal/queuefile"
	"postlmtp/internal/request"
	"postlmtp/internal/sasl"
)

// A Tool is the daemon of one service as the person's tool needs it: built from
// the same settings by the same code, without master(8) and the queue manager.
type Tool struct {
	Config  *config.Config
	Release Release
	Service maincf.Service
	// Jail is what the daemon gives up; Chroot tells whether it has a root
	// directory of its own.
	Jail   master.Jail
	Chroot bool
	Hash   queuefile.Hash
	// StatusMistakes are what is wrong with the settings by which others can
	// look into the daemon, by parameter. It starts all the same.
	StatusMistakes map[string]error
	// Delivery are the options of the delivery loop, to be changed before
	// delivery.New is called: Trace, Dial, Log.
	Delivery delivery.Options
}

// ToolOptions say which daemon is meant.
type ToolOptions struct {
	Dir     string // of main.cf and master.cf
	Service string // in master.cf: NAME
	// Alert raises lmtp_tls_loglevel, so that the log says what became of TLS.
	Alert bool
	Log   *maillog.Logger
}

// ForTool builds the daemon of a service, up to the point where it would enter
// its jail. The errors are those that the daemon would end with. What is
// remembered about refused logins is read, and not added to.
func ForTool(o ToolOptions) (*Tool, error) {
	s, service, inv, err := loadService(o)
	if err != nil {
		return nil, err
	}
	t := &Tool{
		Config:  s.Config,
		Release: s.release,
		Service: service,
		Chroot:  inv.Chroot,
		Hash:    queuefile.Hash{Names: s.HashQueueNames, Depth: s.HashQueueDepth},

		StatusMistakes: s.statusMistakes(),
	}
	s.warn(o.Log)
	if t.Jail, err = s.jail(inv); err != nil {
		return nil, err
	}
	tables, err := openTables(s, o.Log)
	if err != nil {
		return nil, err
	}
	if t.Delivery, err = s.deliveryOptions(inv, tables, s.nameFiles(o.Log), o.Log); err != nil {
		return nil, err
	}
	t.Delivery.Trace = func(*request.Request, nexthop.Endpoint) func(lmtp.TraceEvent) { return nil }
	t.Delivery.Notices = nil
	if a := t.Delivery.Auth; a != nil && a.Refused != nil {
		a.Refused = readOnly{a.Refused}
	}
	return t, nil
}

// loadService reads the settings of a service as its daemon does.
func loadService(o ToolOptions) (*settings, maincf.Service, master.Invocation, error) {
	path := filepath.Join(o.Dir, "master.cf")
	services, _, err := maincf.ReadMaster(path)
	if err != nil {
		return nil, maincf.Service{}, master.Invocation{}, err
	}
	service, ok := maincf.FindService(services, o.Service, "")
	if !ok {
		return nil, service, master.Invocation{}, fmt.Errorf("no service named %s in %s", o.Service, path)
	}
	inv, err := invocation(o.Dir, service)
	if err != nil {
		return nil, service, inv, fmt.Errorf("%s line %d: service %s runs %s: %w", service.File, service.Line, service.Name, service.Command, err)
	}
	if o.Alert {
		inv.Overrides = append(inv.Overrides, master.Override{Name: "lmtp_tls_loglevel", Value: "summary untrusted peercert"})
	}
	s, err := load(inv, false, o.Log)
	return s, service, inv, err
}

// invocation is what master(8) would say to the daemon of a service.
func invocation(dir string, service maincf.Service) (master.Invocation, error) {
	argv := []string{service.Command, "-n", service.Name, "-t", service.Type}
	level, _, err := config.Load(config.Options{Dir: dir})
	if level == nil {
		return master.Invocation{}, err
	}
	// The default of the column is y at compatibility_level 0 only.
	old := false
	if l, err := maincf.ParseLevel(level.CompatibilityLevel); err == nil {
		one, _ := maincf.ParseLevel("1")
		old = l < one
	}
	if service.Chroot.Or(old) {
		argv = append(argv, "-c")
	}
	if service.Unprivileged.Or(true) {
		argv = append(argv, "-u")
	}
	return master.ParseInvocation(append(argv, service.Args...), []string{"MAIL_CONFIG=" + dir})
}

// readOnly keeps a tool from changing what the daemons remember.
type readOnly struct{ delivery.RefusedLogins }

// Store implements delivery.RefusedLogins.
func (readOnly) Store(context.Context, string, sasl.Login, delivery.Refusal) {}
