package tlspolicy

import "strings"

// Status is the tls= field of the log (lmtp_log_tls_feature_status): for each
// feature what was asked for, and what became of it. The zero value is empty.
type Status struct {
	level, require feature
}

type feature struct {
	initial, final string
	state          featureState
}

type featureState int

const (
	inactive featureState = iota
	undecided
	compliant
	violated
)

// The names of what became of REQUIRETLS.
const (
	RequiredTLS   = "requiretls"
	NoMatch       = "nocertmatch"
	NoSTARTTLS    = "nostarttls"
	NoEncryption  = "noencryption"
	NotRequired   = "none"
	unknownStatus = "unknown"
)

// Begin starts over for a server whose policy is going to be computed.
func (s *Status) Begin(require bool) {
	*s = Status{}
	if require {
		s.require = feature{initial: RequiredTLS, state: undecided}
	}
}

// Aim notes the level of the policy; Unknown that there is none.
func (s *Status) Aim(l Level) { s.level = feature{initial: l.String(), state: undecided} }

// Unknown notes that the policy could not be computed.
func (s *Status) Unknown() { s.level = feature{initial: unknownStatus, state: undecided} }

// Reach notes the level that a session has, ok or not.
func (s *Status) Reach(l Level, ok bool) { s.level.decide(l.String(), ok) }

// Require notes what became of REQUIRETLS, if it was asked for.
func (s *Status) Require(name string, ok bool) { s.require.decide(name, ok) }

func (f *feature) decide(final string, ok bool) {
	if f.state == inactive {
		return
	}
	f.final, f.state = final, violated
	if ok {
		f.state = compliant
	}
}

// String is the value of tls=, empty if there is nothing to say.
func (s Status) String() string {
	var parts []string
	for _, f := range []feature{s.level, s.require} {
		if f.state == inactive {
			continue
		}
		text := f.initial
		if f.state == violated {
			text = "!" + text
		}
		if f.final != "" && f.final != f.initial {
			text += ":" + f.final
		}
		if f.state == undecided {
			text += "?"
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "/")
}
