package check

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"postlmtp/internal/permit"
	"postlmtp/internal/sasl"
	"postlmtp/internal/tlspolicy"
)

// sockets looks at the way to each socket as the daemon's user does.
func (c *checker) sockets(t *target) {
	if t.tool == nil {
		return
	}
	queue := t.config.QueueDirectory
	root := ""
	if t.tool.Chroot {
		root = queue
	}
	for _, p := range t.sockets {
		w := permit.Look(t.owner, root, queue, p.nexthop)
		f := Finding{Service: t.service.Name, File: p.file, Line: p.line}
		closed := w.Closed()
		switch {
		case w.Missing() && t.tool.Chroot && filepath.IsAbs(p.nexthop):
			f.Number = "PL030"
			f.Text = fmt.Sprintf("the service %s is chrooted: for it unix:%s is %s%s, which does not exist", t.service.Name, p.nexthop, queue, p.nexthop)
			f.Fix = fmt.Sprintf("have the server listen in %s/private and name it unix:private/%s, or set the chroot column to n", queue, filepath.Base(p.nexthop))
			if rest, below := strings.CutPrefix(p.nexthop, queue+"/"); below {
				f.Fix = "name it unix:" + rest
			}
		case w.Missing():
			f.Number, f.Text = "PL031", fmt.Sprintf("unix:%s: %s does not exist", p.nexthop, w.End().Path)
			f.Fix = fmt.Sprintf("start the server; in Dovecot: service lmtp { unix_listener %s { mode = 0600 user = %s } }", under(queue, p.nexthop), t.config.MailOwner)
		case closed != nil && w.Err == nil || closed != nil && closed.Kind == "directory":
			f.Number, f.Text, f.Fix = "PL032", fmt.Sprintf("unix:%s: %s is closed to %s: %s", p.nexthop, closed.Path, t.owner, closed), w.Cure(closed)
		case w.Err == nil && w.End().Kind != "socket":
			f.Number, f.Text, f.Fix = "PL033", fmt.Sprintf("unix:%s: %s is a %s", p.nexthop, w.End().Path, w.End().Kind), "name the socket"
		default:
			continue
		}
		c.found(f)
	}
}

// under is a path below the queue directory, unless it is absolute.
func under(queue, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(queue, path)
}

// hostNames looks for hosts that only the hosts file knows.
func (c *checker) hostNames(t *target) {
	if t.tool == nil {
		return
	}
	if _, native := t.config.HostLookup(); native {
		return
	}
	for _, p := range t.hosts {
		if _, err := netip.ParseAddr(p.nexthop); err == nil {
			continue
		}
		if found := c.hosts.Lookup(p.nexthop); len(found) > 0 {
			c.found(Finding{Number: "PL034", Service: t.service.Name, File: p.file, Line: p.line,
				Text: fmt.Sprintf("%s is in the hosts file (%v), which lmtp_host_lookup = dns does not read", p.nexthop, found[0]),
				Fix:  "postconf -e 'lmtp_host_lookup = native', or write the address in brackets"})
		}
	}
}

// local tells whether all known destinations of a service are on this machine.
func (t *target) local() bool {
	for _, p := range t.hosts {
		addr, err := netip.ParseAddr(p.nexthop)
		if p.nexthop != "localhost" && (err != nil || !addr.IsLoopback()) {
			return false
		}
	}
	return len(t.hosts)+len(t.sockets) > 0
}

// mayTLS tells whether level may is left for a socket by the tables about TLS. A
// server that keeps tables is not asked: it may say otherwise.
func (t *target) mayTLS(p place) bool {
	l := &t.config.LMTP
	for _, server := range []string{"proxy:", "socketmap:", "tcp:"} {
		if strings.Contains(l.TLSPolicyMaps+l.TLSPerSite, server) {
			return false
		}
	}
	host := t.config.MyHostname
	policy, err := t.tool.Delivery.TLS.Engine.Policy(context.Background(),
		tlspolicy.Target{Nexthop: p.nexthop, Domain: host, Host: host, Address: p.nexthop})
	return err == nil && policy.Level == tlspolicy.May
}

// security looks at TLS and logins.
func (c *checker) security(t *target) {
	if t.tool == nil {
		return
	}
	l := &t.config.LMTP
	level, _ := tlspolicy.ParseLevel(l.TLSSecurityLevel)
	if l.TLSSecurityLevel == "" && l.UseTLS {
		level = tlspolicy.May
	}
	if l.TLSSecurityLevel == "" && l.EnforceTLS {
		level = tlspolicy.Encrypt
	}
	at := func(number, param, text, fix string) {
		f := Finding{Number: number, Service: t.service.Name, Text: text, Fix: fix}
		f.File, f.Line = t.config.Origin(param)
		c.found(f)
	}
	demand, err := sasl.ParseProperties(l.SASLSecurityOptions)
	if l.SASLAuthEnable && err == nil && demand&sasl.NoPlaintext == 0 && !level.Required() && !t.local() {
		at("PL060", "lmtp_sasl_security_options",
			fmt.Sprintf("lmtp_sasl_security_options = %s allows plain-text passwords, and lmtp_tls_security_level = %v does not demand TLS", l.SASLSecurityOptions, level),
			"lmtp_tls_security_level = encrypt, or noplaintext in lmtp_sasl_security_options")
	}
	if level == tlspolicy.May && slices.ContainsFunc(t.sockets, t.mayTLS) {
		at("PL061", "lmtp_tls_security_level", "lmtp_tls_security_level = may makes no sense for a UNIX-domain socket: every delivery logs a warning",
			fmt.Sprintf("-o lmtp_tls_security_level=none for the service %s, or an entry of lmtp_tls_policy_maps", t.service.Name))
	}
	if l.TLSWrapperMode && !level.Required() {
		at("PL062", "lmtp_tls_wrappermode", "lmtp_tls_wrappermode = yes needs lmtp_tls_security_level = encrypt or better: no server is connected to",
			"lmtp_tls_security_level = encrypt")
	}
	if (level == tlspolicy.Verify || level == tlspolicy.Secure) && l.TLSCAFile == "" && l.TLSCAPath == "" &&
		l.TLSTrustAnchorFile == "" && !t.config.TLS.AppendDefaultCA {
		at("PL063", "lmtp_tls_security_level", fmt.Sprintf("lmtp_tls_security_level = %v, and no CA is trusted: all mail is deferred with \"Server certificate not verified\"", level),
			"lmtp_tls_CAfile = /etc/ssl/certs/ca-certificates.crt, or the file of your own CA")
	}
}
