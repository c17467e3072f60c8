package agent

import (
	"fmt"
	"path/filepath"

	"postlmtp/internal/maillog"
	"postlmtp/internal/maincf"
	"postlmtp/internal/master"
)

// maxConcurrency is our own bound where the operator sets none: a process limit
// of 0 in master.cf. A goroutine and its buffers are well below 100 KB for each
// delivery, and the queue manager's qmgr_message_active_limit (20000) is the
// next limit above it.
const maxConcurrency = 2000

// bound returns how many deliveries of the service may run at once in this
// process: one where the service's process limit is 1, which master(8) says;
// else postlmtp_process_concurrency, or that limit if it is not set.
//
// Where that cannot be told, as when somebody is editing master.cf, it is 1, with
// which master(8) itself keeps the limit: it starts as many processes. It is not
// known then, and the process had better leave soon: once the limit can be read
// again, what it delivers comes on top of the next process's.
func (s *settings) bound(inv master.Invocation, log *maillog.Logger) (n int, known bool) {
	switch {
	case inv.Bound > 0:
		return inv.Bound, true
	case inv.Alone || inv.OneShot:
		return 1, true
	case s.Postlmtp.ProcessConcurrency > 0:
		return s.Postlmtp.ProcessConcurrency, true
	case inv.Unlimited:
		return maxConcurrency, true
	}
	limit, err := s.processLimit(inv)
	switch {
	case err != nil:
		log.Warningf("%v -- one delivery in this process", err)
		return 1, false
	case limit == 0:
		return maxConcurrency, true
	}
	return limit, true
}

// processLimit reads the service's line in master.cf, because master(8) tells a
// child of the limits 0 and 1 only.
func (s *settings) processLimit(inv master.Invocation) (int, error) {
	path := filepath.Join(s.ConfigDirectory, "master.cf")
	services, _, err := maincf.ReadMaster(path)
	if err != nil {
		return 0, err
	}
	line, found := maincf.FindService(services, inv.Service, inv.Transport)
	switch {
	case !found: // master(8), which has started us for it, read another text
		return 0, fmt.Errorf("%s has no service %s of type %s", path, inv.Service, inv.Transport)
	case line.MaxProc == maincf.DefaultMaxProc:
		return s.DefaultProcessLimit, nil
	}
	return line.MaxProc, nil
}

// override converts an option of the command line.
func override(o master.Override) maincf.Override {
	return maincf.Override{Name: o.Name, Value: o.Value}
}
