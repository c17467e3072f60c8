package agent

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"postlmtp/internal/delivery"
	"postlmtp/internal/maillog"
	"postlmtp/internal/master"
	"postlmtp/internal/request"
	"postlmtp/internal/status"
)

// prepareStatus does what lets others look into this process, as far as it
// cannot be done in the jail. Mail does not depend on it: without it the result
// is nil, and why is logged if somebody asked for details, because an operator
// who never looks need not hear of it at each start.
func (s *settings) prepareStatus(inv master.Invocation, jail master.Jail, bound int, version string, log *maillog.Logger) *status.Process {
	switch {
	case inv.OneShot:
		return nil
	case s.Postlmtp.StatusDirectory == "" && s.Postlmtp.MetricsListen != "":
		s.noStatus(inv, log, errNoDirectory)
		return nil
	case s.Postlmtp.StatusDirectory == "":
		return nil
	}
	process, err := s.statusProcess(inv, jail, bound, version, log)
	if err != nil {
		s.noStatus(inv, log, err)
	}
	return process
}

func (s *settings) statusProcess(inv master.Invocation, jail master.Jail, bound int, version string, log *maillog.Logger) (*status.Process, error) {
	if err := s.statusDirectory(); err != nil {
		return nil, err
	}
	o := status.Options{
		Directory: s.Postlmtp.StatusDirectory,
		UID:       os.Geteuid(),
		GID:       os.Getegid(),
		Service:   inv.Service,
		Version:   version,
		Slots:     bound,
		Stages:    stages(),
	}
	if jail.Owner != nil {
		o.UID, o.GID = jail.Owner.UID, jail.Owner.GID
	}
	if o.UID == 0 {
		return nil, errors.New("a daemon that runs privileged is not looked into")
	}
	listen, err := status.ParseListen(s.Postlmtp.MetricsListen)
	if err != nil {
		log.Warningf("postlmtp_metrics_listen: %v", err)
	}
	o.Listen = listen
	return status.Prepare(o)
}

var errNoDirectory = errors.New("postlmtp_status_directory is empty")

// statusDirectory says what is wrong with postlmtp_status_directory.
func (s *settings) statusDirectory() error {
	if !filepath.IsLocal(s.Postlmtp.StatusDirectory) {
		return errors.New("postlmtp_status_directory must be below the queue directory")
	}
	return nil
}

// statusMistakes are what is wrong with the settings by which others can look
// into the daemon, by parameter. It starts all the same.
func (s *settings) statusMistakes() map[string]error {
	mistakes := make(map[string]error)
	if s.Postlmtp.StatusDirectory == "" {
		if s.Postlmtp.MetricsListen != "" {
			mistakes["postlmtp_metrics_listen"] = errNoDirectory
		}
		return mistakes
	}
	if err := s.statusDirectory(); err != nil {
		mistakes["postlmtp_status_directory"] = err
	}
	if _, err := status.ParseListen(s.Postlmtp.MetricsListen); err != nil {
		mistakes["postlmtp_metrics_listen"] = err
	}
	return mistakes
}

// noStatus says why nobody can look into this process: if metrics are wanted,
// somebody waits for them.
func (s *settings) noStatus(inv master.Invocation, log *maillog.Logger, err error) {
	switch {
	case s.Postlmtp.MetricsListen != "":
		log.Warningf("postlmtp_metrics_listen has no effect: %v", err)
	case inv.Verbose > 0:
		log.Infof("postlmtp_status_directory has no effect: %v", err)
	}
}

// openStatus does the rest, in the jail.
func (a *agent) openStatus(inv master.Invocation) {
	if a.status == nil {
		return
	}
	if err := a.status.Open(); err != nil {
		a.settings.noStatus(inv, a.log, err)
		a.status = nil
	}
}

// serveStatus answers whoever asks, from now on.
func (a *agent) serveStatus() {
	if a.status != nil {
		a.status.Serve()
	}
}

// closeStatus leaves what the process has counted to those that come after it.
func (a *agent) closeStatus() {
	if a.status == nil {
		return
	}
	if err := a.status.Close(); err != nil {
		a.log.Infof("postlmtp_status_directory: %v", err)
	}
}

// maxIdle is how long the process stays without work: for ever, which is 0, if
// it may be the one that answers Prometheus. Of several that have one slot each
// those that are too many leave.
func (a *agent) maxIdle(bound int) time.Duration {
	if a.status != nil && a.settings.Postlmtp.MetricsListen != "" && bound > 1 {
		return 0
	}
	return a.settings.MaxIdle
}

// pooled tells of the idle sessions.
func pooled(d *delivery.Deliverer) []status.Pooled {
	var all []status.Pooled
	for server, n := range d.IdleSessions() {
		all = append(all, status.Pooled{Server: server, Sessions: n})
	}
	slices.SortFunc(all, func(a, b status.Pooled) int {
		if a.Sessions != b.Sessions {
			return b.Sessions - a.Sessions
		}
		if a.Server < b.Server {
			return -1
		}
		return 1
	})
	return all
}

// observe returns who is told of each line of a delivery in the log; nil if
// nobody wants to know.
func (a *agent) observe(service string) func(*request.Request, request.Attempt, maillog.DeliveryLine) {
	if a.status == nil && !a.settings.Postlmtp.LogJSON {
		return nil
	}
	return func(req *request.Request, at request.Attempt, line maillog.DeliveryLine) {
		if a.status != nil {
			countDelivery(a.status, req, line)
		}
		if a.settings.Postlmtp.LogJSON {
			a.log.DeliveryEvent(deliveryEvent(service, req, at, line))
		}
	}
}
