package check

import (
	"fmt"
	"slices"
	"strings"

	"postlmtp/internal/config"
	"postlmtp/internal/maincf"
)

// splitLimit takes the name of a parameter of the queue manager apart that begins
// with the name of a service.
func splitLimit(name string) (service, end string, ok bool) {
	if name == "smtpd_recipient_limit" || name == "qmgr_message_recipient_limit" {
		return "", "", false // those of smtpd(8) and of the queue manager itself
	}
	for _, end := range config.TransportParams() {
		if service, found := strings.CutSuffix(name, end); found && service != "" && len(end) > 0 {
			// "_recipient_limit" is also the end of a longer one.
			longer := slices.ContainsFunc(config.TransportParams(), func(other string) bool {
				return len(other) > len(end) && strings.HasSuffix(name, other)
			})
			if !longer {
				return service, end, true
			}
		}
	}
	return "", "", false
}

// elsewhere are parameters of the name that Postfix has, and that have no
// effect on our deliveries.
func elsewhere() map[string]string {
	const tlsmgr = "it is for tlsmgr(8), and this agent keeps TLS sessions by itself"
	return map[string]string{
		"lmtp_tls_session_cache_database": tlsmgr,
		"lmtp_tls_session_cache_timeout":  tlsmgr,
	}
}

// names reports parameters that nobody knows.
func (c *checker) names() {
	var known []string
	for _, p := range config.Params() {
		known = append(known, p.Name)
	}
	for _, end := range config.TransportParams() {
		known = append(known, "lmtp"+end)
	}
	known = append(known, "lmtp_per_record_deadline") // honoured in a default
	check := func(name string, e maincf.Entry, service string) {
		// The loader has its own warning about names of old.
		if slices.Contains(known, name) || c.mentioned(name) || c.warned(name) {
			return
		}
		if _, _, limit := splitLimit(name); limit {
			return // see limits
		}
		if why, ok := elsewhere()[name]; ok {
			c.found(Finding{Number: "PL011", Service: service, File: e.File, Line: e.Line,
				Text: fmt.Sprintf("%s has no effect on deliveries: %s", name, why), Fix: "nothing needs to be done"})
			return
		}
		prefix, _, _ := strings.Cut(name, "_")
		ours := prefix == "lmtp" || prefix == "postlmtp"
		if !ours && (prefix == "smtp" || prefix == "smtpd" || distance(prefix, "lmtp") > 1 && distance(prefix, "postlmtp") > 1) {
			return
		}
		fix := "remove it"
		if right := nearest(name, known); right != "" {
			fix = "did you mean " + right + "?"
		} else if !ours {
			return
		}
		c.found(Finding{Number: "PL010", Service: service, File: e.File, Line: e.Line,
			Text: fmt.Sprintf("%s is no parameter of Postfix or of this program, and has no effect", name), Fix: fix})
	}
	for _, name := range c.values.Names() {
		e, _ := c.values.Get(name)
		check(name, e, "")
	}
	for _, t := range c.targets {
		overrides, err := t.service.Overrides()
		if err != nil {
			continue // reported when the service is loaded
		}
		for _, o := range overrides {
			check(o.Name, maincf.Entry{File: t.service.File, Line: t.service.Line}, t.service.Name)
		}
	}
}

// mentioned tells whether a value refers to a parameter: then it is somebody's
// own.
func (c *checker) mentioned(name string) bool {
	for _, other := range c.values.Names() {
		e, _ := c.values.Get(other)
		for _, form := range []string{"$" + name, "${" + name, "$(" + name} {
			if strings.Contains(e.Text, form) {
				return true
			}
		}
	}
	return false
}

// warned tells whether a warning has the name already.
func (c *checker) warned(name string) bool {
	return slices.ContainsFunc(c.findings, func(f Finding) bool {
		return f.Number == "PL003" && strings.Contains(f.Text, name)
	})
}

// limits reports limits that do not count.
func (c *checker) limits() {
	var names []string
	for _, s := range c.services {
		names = append(names, s.Name)
	}
	for _, name := range c.values.Names() {
		service, _, ok := splitLimit(name)
		if !ok || service == "default" || slices.Contains(names, service) || c.mentioned(name) {
			continue
		}
		fix := "name the parameter after the service, or remove it"
		if right := nearest(service, names); right != "" {
			fix = "did you mean " + right + strings.TrimPrefix(name, service) + "?"
		}
		c.at("PL020", name, "", fmt.Sprintf("%s has no effect: there is no service %s in master.cf", name, service), fix)
	}
	for _, t := range c.targets {
		c.serviceLimits(t)
	}
}

// serviceLimits looks at the limits of one service.
func (c *checker) serviceLimits(t *target) {
	name := t.service.Name
	for _, word := range t.service.Args {
		letters, ok := strings.CutPrefix(word, "flags=")
		param := name + "_destination_recipient_limit"
		if ok && strings.ContainsAny(letters, "DO") && c.number(param, "default_destination_recipient_limit", 50) != 1 {
			c.found(Finding{Number: "PL021", Service: name, File: t.service.File, Line: t.service.Line,
				Text: fmt.Sprintf("%s needs %s = 1: mail for several recipients is not delivered", word, param),
				Fix:  fmt.Sprintf("postconf -e '%s = 1'", param)})
		}
	}
	if name == "lmtp" {
		return
	}
	for _, other := range c.values.Names() {
		service, end, ok := splitLimit(other)
		if _, own := c.values.Get(name + end); ok && service == "lmtp" && !own {
			c.at("PL022", other, name, fmt.Sprintf("%s does not count for the service %s: limits follow the service's name", other, name),
				fmt.Sprintf("postconf -e '%s = $%s'", name+end, other))
		}
	}
}

// number is the value of a parameter of the queue manager, or that of another,
// or its default.
func (c *checker) number(name, other string, def int) int {
	for _, param := range []string{name, other} {
		e, ok := c.values.Get(param)
		if !ok {
			continue
		}
		text, err := maincf.Expand(e.Text, c.lookup)
		if err != nil {
			continue
		}
		if n, err := maincf.ParseInt(text); err == nil {
			return n
		}
	}
	return def
}

// lookup is what $name stands for.
func (c *checker) lookup(name string) (string, bool) {
	if e, ok := c.values.Get(name); ok {
		return e.Text, true
	}
	return c.config.Text(name)
}

// nearest returns the word that differs least from a name, "" if none is near.
func nearest(name string, words []string) string {
	best, least := "", max(1, len(name)/5)+1
	for _, word := range words {
		if d := distance(name, word); d < least {
			best, least = word, d
		}
	}
	return best
}

// distance counts the letters that are missing, too many, wrong or swapped.
func distance(a, b string) int {
	if d := len(a) - len(b); d > 12 || d < -12 {
		return 99
	}
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	before, last, now := rows[0], rows[1], rows[2]
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		now[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			now[j] = min(last[j]+1, now[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				now[j] = min(now[j], before[j-2]+1)
			}
		}
		before, last, now = last, now, before
	}
	return last[len(b)]
}
