package tlspolicy

import (
	"context"
	"strings"

	"postlmtp/internal/table"
)

// Requirement says what REQUIRETLS (RFC 8689) means for a destination. The
// order is that of strength.
type Requirement int

// The actions of lmtp_requiretls_policy.
const (
	RequireDisabled         Requirement = iota
	RequireOpportunistic                // ask for REQUIRETLS where it is offered
	RequireOpportunisticTLS             // and insist on TLS
	RequireEnforce                      // insist on a server that has proved who it is, and on REQUIRETLS
	RequireError                        // the policy makes no sense
)

// Encrypts tells whether mail may not be sent without TLS.
func (r Requirement) Encrypts() bool { return r == RequireOpportunisticTLS || r == RequireEnforce }

func requirement(word string) (Requirement, bool) {
	switch strings.ToLower(word) {
	case "disable":
		return RequireDisabled, true
	case "opportunistic":
		return RequireOpportunistic, true
	case "opportunistic+starttls":
		return RequireOpportunisticTLS, true
	case "enforce":
		return RequireEnforce, true
	case "error":
		return RequireError, true
	}
	return RequireError, false
}

// parseRequireRules reads lmtp_requiretls_policy: actions, and tables that
// return one.
func parseRequireRules(o *Options) (*requireRules, error) {
	rules := &requireRules{}
	for _, word := range table.Split(o.RequireTLSPolicy) {
		item := requireItem{word: word}
		if strings.Contains(word, ":") && o.Tables != nil {
			var err error
			if item.table, err = o.Tables.Open(word, PolicyFlags); err != nil {
				return nil, err
			}
		}
		rules.items = append(rules.items, item)
	}
	return rules, nil
}

// RequireTLS returns what REQUIRETLS means for mail to a domain. Without a rule
// that applies, it is enforced.
func (e *Engine) RequireTLS(ctx context.Context, domain string) Requirement {
	for _, item := range e.require.items {
		if item.table == nil {
			r, ok := requirement(item.word)
			if !ok {
				e.opt.Log.Warningf("lmtp_requiretls_policy: unknown policy action: '%s' -- ignoring the remainder of this policy", item.word)
			}
			return r
		}
		if r, found := e.requireFrom(ctx, item.table, toASCII(domain, e.opt.IDNA)); found {
			return r
		}
	}
	return RequireEnforce
}

// requireFrom looks a domain and, where keys are fixed, its parents up.
func (e *Engine) requireFrom(ctx context.Context, t table.Table, domain string) (Requirement, bool) {
	log := e.opt.Log
	for name := domain; name != ""; {
		value, found, err := t.Lookup(ctx, name)
		switch {
		case err != nil:
			log.Warningf("lmtp_requiretls_policy: %v: table lookup error -- ignoring the remainder of this policy", t)
			return RequireError, true
		case found && strings.Contains(value, ":"):
			log.Warningf("table %v: nested lookup result \"%s\" is not allowed -- ignoring remainder of policy", t, value)
			return RequireError, true
		case found && strings.ContainsAny(value, ", \t\r\n"):
			log.Warningf("table %v: composite lookup result \"%s\" is not allowed -- ignoring remainder of policy", t, value)
			return RequireError, true
		case found:
			r, ok := requirement(value)
			if !ok {
				log.Warningf("%v: unknown policy action: '%s' -- ignoring the remainder of this policy", t, value)
			}
			return r, true
		}
		dot := strings.IndexByte(name[1:], '.')
		if !t.Fixed() || isAddress(name) || dot < 0 {
			break
		}
		name = name[1+dot:]
	}
	return RequireDisabled, false
}
