package agent

import (
	"errors"
	"time"

	"postlmtp/internal/sandbox"
)

// enterSandbox enters the second jail, postlmtp_sandbox, after the first. Mail
// does not depend on it: what goes wrong is logged, and the process goes on.
func (a *agent) enterSandbox(verbose bool) {
	if !a.settings.Postlmtp.Sandbox {
		return
	}
	// Go reads the time zone when it first needs it.
	_, _ = time.Now().Zone()
	err := sandbox.Harden()
	if err == nil {
		err = sandbox.Enter(a.sandboxRules())
	}
	switch {
	case errors.Is(err, sandbox.ErrUnsupported):
		if verbose { // it is so at every start
			a.log.Infof("postlmtp_sandbox: %v", err)
		}
	case err != nil:
		a.log.Infof("postlmtp_sandbox has no effect: %v", err)
	}
}

// sandboxRules are what the work needs to open by its name once the daemon
// serves. All else is open already, or is a socket to connect to.
func (a *agent) sandboxRules() sandbox.Rules {
	s := a.settings
	r := sandbox.Rules{
		// The queue manager hands out files of this queue only.
		Queue: []string{"active"},
		Read:  a.names.Seal(),
		// The source address of a connection is set with bind(2).
		BindAnyPort: s.LMTP.BindAddress != "" || s.LMTP.BindAddress6 != "" || s.InetInterfaces != "all",
	}
	if a.status != nil {
		// The process removes its own socket and those of the dead. The files
		// in there are open.
		r.Sockets = append(r.Sockets, s.Postlmtp.StatusDirectory)
	}
	if s.LMTP.TLSPolicyMaps != "" {
		// The attribute tafile of a policy names a file, anywhere, that is
		// read when the policy is used first.
		r.Read = append(r.Read, "/")
	}
	return r
}
