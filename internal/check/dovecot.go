package check

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// dovecot is what doveconf -a says that matters here.
type dovecot struct {
	values map[string]string // "service lmtp/process_limit" to its value
}

// parseDovecot reads what doveconf prints: settings in blocks.
func parseDovecot(text string) *dovecot {
	d := &dovecot{values: make(map[string]string)}
	var blocks []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#':
		case strings.HasSuffix(line, "{"):
			blocks = append(blocks, strings.Join(strings.Fields(strings.TrimSuffix(line, "{")), " "))
		case line == "}":
			if len(blocks) > 0 {
				blocks = blocks[:len(blocks)-1]
			}
		default:
			if name, value, ok := strings.Cut(line, "="); ok {
				key := strings.Join(append(blocks[:len(blocks):len(blocks)], strings.TrimSpace(name)), "\x00")
				d.values[key] = strings.Trim(strings.TrimSpace(value), `"`)
			}
		}
	}
	return d
}

func (d *dovecot) get(path ...string) string { return d.values[strings.Join(path, "\x00")] }

// number is a numerical setting; 0 if there is none, or it is unlimited.
func (d *dovecot) number(path ...string) int {
	n, err := strconv.Atoi(d.get(path...))
	if err != nil {
		return 0
	}
	return n
}

// listeners are the sockets of service lmtp.
func (d *dovecot) listeners() []string {
	var list []string
	base := d.get("base_dir")
	for key := range d.values {
		parts := strings.Split(key, "\x00")
		if len(parts) != 3 || parts[0] != "service lmtp" {
			continue
		}
		if path, ok := strings.CutPrefix(parts[1], "unix_listener "); ok {
			if !filepath.IsAbs(path) {
				path = filepath.Join(base, path)
			}
			if !slices.Contains(list, path) {
				list = append(list, path)
			}
		}
	}
	slices.Sort(list)
	return list
}

// askDovecot compares the limits of both sides.
func (c *checker) askDovecot() {
	if c.opt.Doveconf == nil {
		return
	}
	text, err := c.opt.Doveconf()
	if err != nil {
		return // it is another server, or it is elsewhere
	}
	c.dovecot = parseDovecot(text)
	listeners := c.dovecot.listeners()
	for _, t := range c.targets {
		if t.tool == nil {
			continue
		}
		for _, p := range t.sockets {
			path := under(t.config.QueueDirectory, p.nexthop)
			if t.tool.Chroot {
				path = filepath.Join(t.config.QueueDirectory, p.nexthop)
			}
			named := strings.Contains(filepath.Base(path), "dovecot")
			switch {
			case slices.Contains(listeners, path):
				c.dovecotLimits(t)
				c.dovecotProtocol(t, p)
			case slices.Contains(listeners, p.nexthop):
				// The jail is in the way: that has been said.
			case named && len(listeners) > 0:
				c.found(Finding{Number: "PL073", Service: t.service.Name, File: p.file, Line: p.line,
					Text: fmt.Sprintf("Dovecot does not listen on %s but on %s", path, strings.Join(listeners, ", ")),
					Fix:  fmt.Sprintf("in Dovecot: service lmtp { unix_listener %s { mode = 0600 user = %s } }", path, t.config.MailOwner)})
				c.dovecotProtocol(t, p)
			case named:
				c.dovecotProtocol(t, p)
			}
		}
	}
}

func (c *checker) dovecotProtocol(t *target, p place) {
	protocols := strings.Fields(c.dovecot.get("protocols"))
	if len(protocols) > 0 && !slices.Contains(protocols, "lmtp") {
		c.found(Finding{Number: "PL072", Service: t.service.Name, File: p.file, Line: p.line,
			Text: "Dovecot's protocols = " + strings.Join(protocols, " ") + " does not have lmtp", Fix: "protocols = $protocols lmtp in Dovecot, and its package for LMTP (dovecot-lmtpd)"})
	}
}

// dovecotLimits compares Dovecot's limits with the queue manager's.
func (c *checker) dovecotLimits(t *target) {
	param := t.service.Name + "_destination_concurrency_limit"
	connections := c.number(param, "default_destination_concurrency_limit", 20)
	processes := c.dovecot.number("service lmtp", "process_limit")
	if processes == 0 {
		processes = c.dovecot.number("default_process_limit")
	}
	clients := max(1, c.dovecot.number("service lmtp", "client_limit"))
	if processes > 0 && processes*clients < connections {
		c.limit("PL070", param, t,
			fmt.Sprintf("%s is %d, but Dovecot's service lmtp takes %d connections (process_limit %d, client_limit %d): others wait, and time out", param, connections, processes*clients, processes, clients),
			fmt.Sprintf("Dovecot: service lmtp { process_limit = %d }, or postconf -e '%s = %d'", connections, param, processes*clients))
	}
	if users := c.dovecot.number("lmtp_user_concurrency_limit"); users > 0 && users < connections {
		c.limit("PL071", param, t,
			fmt.Sprintf("Dovecot's lmtp_user_concurrency_limit is %d deliveries to one user at a time; Postfix makes up to %d connections (%s): further mail for a busy user is deferred", users, connections, param),
			"nothing, if bursts to one user are rare; else raise lmtp_user_concurrency_limit")
	}
}

// limit adds a finding about a limit, at the service's line if it has its
// default.
func (c *checker) limit(number, param string, t *target, text, fix string) {
	f := Finding{Number: number, Service: t.service.Name, File: t.service.File, Line: t.service.Line, Text: text, Fix: fix}
	if e, ok := c.values.Get(param); ok {
		f.File, f.Line = e.File, e.Line
	}
	c.found(f)
}
