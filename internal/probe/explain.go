package probe

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"postlmtp/internal/config"
	"postlmtp/internal/delivery"
	"postlmtp/internal/dns"
	"postlmtp/internal/lmtp"
	"postlmtp/internal/nexthop"
)

// sources says what each name service knows of a host.
func (r *run) sources(ctx context.Context, e nexthop.Element) []string {
	if e.Err != nil {
		return nil
	}
	if _, err := netip.ParseAddr(e.Host); err == nil {
		return nil
	}
	c := r.tool.Config
	byDNS, native := c.HostLookup()
	used := map[bool]string{true: "used", false: "not used"}
	hosts, answer, err := r.look(ctx, e)
	text := "hosts file (" + used[native] + "): "
	if len(hosts) == 0 {
		text += "does not have " + e.Host
	} else {
		text += addresses(hosts)
	}
	facts := []string{text}
	text = "DNS (" + used[byDNS] + ", name servers " + servers(r.names) + "): "
	if err != nil {
		text += err.Error()
	} else {
		text += addresses(answer)
	}
	return append(facts, text)
}

// look asks the hosts file and the DNS.
func (r *run) look(ctx context.Context, e nexthop.Element) (hosts, answer []netip.Addr, err error) {
	snapshot := r.names.Current()
	hosts = snapshot.Hosts.Lookup(e.Host)
	records, err := dns.New(r.names, dns.Options{}).LookupTypes(ctx, e.ASCII, []dns.Type{dns.A, dns.AAAA}, dns.LookupOptions{})
	for _, record := range records {
		answer = append(answer, record.Addr)
	}
	return hosts, answer, err
}

func servers(names dns.Source) string {
	var list []string
	for _, s := range names.Current().Config.Servers {
		list = append(list, s.Addr().String())
	}
	return strings.Join(list, " ")
}

func addresses(list []netip.Addr) string {
	var words []string
	for _, a := range list {
		words = append(words, a.String())
	}
	return strings.Join(words, " ")
}

// compare tells when the name service that is not used would say otherwise.
func (r *run) compare(e nexthop.Element, endpoints []nexthop.Endpoint, s *Step) {
	byDNS, native := r.tool.Config.HostLookup()
	hosts := r.names.Current().Hosts.Lookup(e.Host)
	if _, err := netip.ParseAddr(e.Host); err == nil || len(hosts) == 0 || !byDNS {
		return
	}
	for _, ep := range endpoints {
		if slices.Contains(hosts, ep.Addr) {
			return
		}
	}
	s.Result = Warning
	s.Facts = append(s.Facts, "the hosts file says otherwise: "+addresses(hosts))
	s.Cause = "lmtp_host_lookup = dns does not look into the hosts file"
	if native {
		s.Cause = "lmtp_host_lookup asks the DNS first"
	}
	s.Cure = "lmtp_host_lookup = native, if the hosts file is right"
}

// resolveCure says what to do about a host without addresses.
func resolveCure(c *config.Config, err error) string {
	var lookup *nexthop.LookupError
	if !errors.As(err, &lookup) {
		return ""
	}
	switch lookup.Class {
	case nexthop.NotFound, nexthop.NoData:
		if _, native := c.HostLookup(); !native {
			return "correct the name; if it is in the hosts file or a container's own names: lmtp_host_lookup = dns, native; or write the address in brackets"
		}
		return "correct the name, or write the address in brackets"
	case nexthop.Retry:
		return "make the name servers of /etc/resolv.conf answer; write the address in brackets to do without"
	case nexthop.NoProtocols:
		return "inet_protocols = all"
	}
	return ""
}

// connectCure says what to do about a connection that was not made.
func connectCure(ep nexthop.Endpoint, err error) string {
	local := ep.Network == "unix"
	switch {
	case errors.Is(err, syscall.ENOENT):
		return "start the server; compare the path with the one that it listens on"
	case errors.Is(err, syscall.EACCES):
		return "see the step \"way\": owner and mode of each part"
	case errors.Is(err, syscall.ECONNREFUSED) && local:
		return "start the server; if it runs, remove the socket and start it again"
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("on the server: ss -ltn | grep :%d; LMTP has no port of its own by standard: 24 and 2525 are usual, 8024 for Mailman, 2003 for Cyrus", ep.Port)
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "check the route to the server, and the firewall between"
	case errors.Is(err, syscall.ETIMEDOUT), errors.Is(err, context.DeadlineExceeded):
		return "a firewall drops the packets, or the host is down; a shorter lmtp_connect_timeout (30s) lets mail go on to the next address sooner"
	case errors.Is(err, syscall.EAGAIN):
		return "raise the server's limits (Dovecot: service lmtp, process_limit and client_limit), or lower <service>_destination_concurrency_limit"
	}
	return ""
}

// helloCause explains a server that does not say hello.
func helloCause(ep nexthop.Endpoint, err error, d *dialog) (cause, cure string) {
	first := ""
	if d != nil {
		first = d.first
	}
	var conn *lmtp.ConnError
	other := func(what string) (string, string) {
		return fmt.Sprintf("this is the port of %s, it seems: %q", what, first), "name the port or the socket of the LMTP server"
	}
	switch {
	case lmtp.Stranger(first) != "":
		return other(lmtp.Stranger(first))
	case strings.HasPrefix(first, "4"):
		return "the server is there and does not want to talk now", "see the server's log; too many connections, as a rule: compare its limits with <service>_destination_concurrency_limit"
	case lmtp.SMTPOnly(first) && errorStage(err) == lmtp.StageLHLO:
		return other("an SMTP server, which does not know LHLO")
	case !errors.As(err, &conn):
		return "", ""
	case conn.Stage == lmtp.StageTLS:
		return fmt.Sprintf("the TLS handshake failed: %v", conn.Err), "compare lmtp_tls_protocols and lmtp_tls_ciphers with what the server has; for a port without TLS lmtp_tls_wrappermode = no"
	case conn.Stage <= lmtp.StageGreeting && conn.Timeout:
		return "the connection is there, but nobody says anything: a server for TLS from the first byte, a web server, or one whose processes are all busy",
			"lmtp_tls_wrappermode = yes with lmtp_tls_security_level = encrypt for the first; else the right port, or more processes for the server"
	case conn.Stage <= lmtp.StageGreeting && first == "":
		return "the server closes the connection without a word", "see the server's log: it may refuse this client (allow lists, TCP wrappers), or crash at start"
	case conn.Timeout:
		return fmt.Sprintf("no answer within the limit while %v", conn.Stage), "see the server's log"
	}
	return fmt.Sprintf("the dialog broke while %v: %v", conn.Stage, conn.Err), "see the server's log"
}

func errorStage(err error) lmtp.Stage {
	var refused *lmtp.ReplyError
	if errors.As(err, &refused) {
		return refused.Stage
	}
	return lmtp.StageConnect
}

// loginCause explains a login that did not work.
func loginCause(reason string, encrypted bool) (cause, cure string) {
	switch {
	case strings.Contains(reason, "no mechanism available"), strings.Contains(reason, "no compatible"):
		cause = "none of the mechanisms on offer has what the security options demand: see the log line, which names each"
		if !encrypted {
			return cause, "use TLS, where plain mechanisms are allowed by lmtp_sasl_tls_security_options = noanonymous; or, on a line that nobody can listen to, lmtp_sasl_security_options = noanonymous"
		}
		return cause, "lmtp_sasl_tls_security_options = noanonymous allows PLAIN and LOGIN under TLS; see lmtp_sasl_mechanism_filter"
	case strings.Contains(reason, "said: 535"):
		return "the server does not take this name and password", "correct the entry in lmtp_sasl_password_maps, and postmap"
	}
	return "", "see the server's log"
}

// rejection explains a refusal of a recipient.
func rejection(x verdict) (cause, cure string) {
	text := strings.ToLower(x.text)
	switch {
	case x.outcome == delivery.Unsettled:
		return "", ""
	case strings.HasSuffix(x.status, ".1.1"), strings.Contains(text, "user unknown"), strings.Contains(text, "user doesn't exist"):
		return "the server has no such mailbox: Postfix and the server disagree about addresses",
			"ask for the address in other forms: without the domain, in lower case, without +extension; then correct the server's user lookup (Dovecot: auth_username_format, recipient_delimiter) or Postfix's maps"
	case strings.HasSuffix(x.status, ".2.2"), strings.Contains(text, "quota"):
		return "the mailbox is full", "the user, or the quota; Dovecot's quota_full_tempfail = yes makes mail wait instead of return"
	case strings.Contains(text, "too many concurrent"):
		return "the server limits deliveries to one user at a time", "Dovecot: lmtp_user_concurrency_limit; or <service>_destination_concurrency_limit"
	case strings.HasPrefix(x.status, "5.6.7"):
		return "the message needs SMTPUTF8 and the server does not offer it", "see the step \"offer\""
	case strings.Contains(text, "may be sent more than once"):
		return "all of the message was sent, and the server did not confirm it: it may have stored it, and every retry sends it again",
			"find out in the server's log what is slow or dies at the end of a message: Sieve, indexing, locks, memory; do not shorten lmtp_data_done_timeout, which makes more of these"
	case strings.HasPrefix(x.status, "4.4.2"):
		return "the server closed the connection, or did not answer in time", "see the server's log"
	case strings.HasPrefix(x.status, "4."):
		return "the server cannot take it now; why is in its own log", "look for the session or the recipient in the server's log"
	}
	return "", ""
}
