package agent

import (
	"context"

	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"postlmtp/internal/address"
	"postlmtp/internal/config"
	"postlmtp/internal/content"
	"postlmtp/internal/delivery"
	"postlmtp/internal/dns"
	"postlmtp/internal/dsn"
	"postlmtp/internal/lmtp"
	"postlmtp/internal/maillog"
	"postlmtp/internal/master"
	"postlmtp/internal/nexthop"
	"postlmtp/internal/queuefile"
	"postlmtp/internal/report"
	"postlmtp/internal/request"
	"postlmtp/internal/status"
)

// agent is everything that serves requests, built before the jail.
type agent struct {
	settings  *settings
	log       *maillog.Logger
	hello     request.Hello
	limits    request.Limits
	hash      queuefile.Hash
	reporter  *report.Reporter
	deliverer *delivery.Deliverer
	readers   sync.Pool // *bufio.Reader
	tables    *tables
	names     *dns.System
	status    *status.Process // nil: nobody can look into this process
}

// newAgent builds the agent. It opens every file that is not below the queue
// directory, because there is no other in the jail.
func newAgent(s *settings, inv master.Invocation, look *status.Process, log *maillog.Logger) (*agent, error) {
	tables, err := openTables(s, log)
	if err != nil {
		return nil, err
	}
	names := s.nameFiles(log)
	a := &agent{
		settings: s,
		log:      log,
		hello:    request.HelloStatus,
		limits:   request.DefaultLimits(),
		hash:     queuefile.Hash{Names: s.HashQueueNames, Depth: s.HashQueueDepth},
		tables:   tables,
		names:    names,
		status:   look,
	}
	reports := s.reportOptions(tables, log)
	reports.Observe = a.observe(inv.Service)
	a.reporter = report.New(reports)
	if s.release.AtLeast(3, 6) {
		a.hello = request.HelloProtocol
	}
	options, err := s.deliveryOptions(inv, tables, names, log)
	if err != nil {
		return nil, err
	}
	if look != nil {
		options.Watch = watcher{look}
	}
	a.deliverer = delivery.New(options, reporter{a.reporter})
	if look != nil {
		look.ShowPool(func() []status.Pooled { return pooled(a.deliverer) })
	}
	return a, nil
}

// close ends idle connections when the process leaves.
func (a *agent) close() {
	a.closeStatus()
	a.deliverer.Close()
	a.reporter.Close()
}

// changed tells whether a lookup table is not as it was when it was opened: the
// process then makes room for one that opens it anew. So it is with a file of the
// resolver that cannot be read in the sandbox.
func (a *agent) changed() (why string, changed bool) {
	if why, changed := a.tables.changed(); changed {
		return why, true
	}
	file, stale := a.names.Stale()
	return "file " + file + " has changed", stale
}

func (s *settings) reportOptions(t *tables, log *maillog.Logger) report.Options {
	o := report.Options{
		Services: report.Services{
			Bounce: s.BounceServiceName,
			Defer:  s.DeferServiceName,
			Trace:  s.TraceServiceName,
			Verify: s.AddressVerifyServiceName,
			Flush:  s.FlushServiceName,
		},
		Timeout:       s.IPCTimeout,
		Idle:          s.IPCIdle,
		TTL:           s.IPCTTL,
		SoftBounce:    s.SoftBounce,
		NegativeCache: s.AddressVerifyNegativeCache,
		FastFlush:     t.fastFlush,
		Filter:        t.statusFilter(),
		Log:           log,
	}
	if strings.EqualFold(s.InfoLogAddressFormat, "external") {
		o.AddressFormat = address.QuoteHeader
	}
	return o
}

// nameFiles reads the files of the resolver.
func (s *settings) nameFiles(log *maillog.Logger) *dns.System {
	names, err := dns.NewSystem("/etc")
	if err != nil {
		// Missing files count as empty; what could not be read is worth a line.
		log.Warningf("%v", err)
	}
	return names
}

// finalGrace is how long final replies are awaited when the process stops, or the
// watchdog ends the delivery. What is left of the time that a handler has then is
// for reports and marks: a handler that comes too late counts as lost.
const finalGrace = master.DefaultStopGrace - 500*time.Millisecond

func (s *settings) deliveryOptions(inv master.Invocation, t *tables, names *dns.System, log *maillog.Logger) (delivery.Options, error) {
	parser := nexthop.Parser{
		MyHostname:     s.MyHostname,
		DefaultService: s.defaultService(),
		KnownPorts:     s.KnownPorts(),
		Names:          names,
		UTF8:           s.SMTPUTF8Enable,
		IDNA:           address.IDNA{Compat2003: s.EnableIDNA2003Compatibility},
	}
	dial, err := s.dialOptions(inv, names, log)
	if err != nil {
		return delivery.Options{}, err
	}
	noSource := s.bindAddresses(&dial)
	flags := delivery.Flags{
		DeliveredTo: inv.Flags.DeliveredTo,
		OriginalTo:  inv.Flags.OrigRcpt,
		ReturnPath:  inv.Flags.ReturnPath,
		Final:       inv.Flags.Final,
	}
	if s.LMTP.AssumeFinal && !flags.Final {
		log.Warningf("lmtp_assume_final is obsolete; instead, specify \"%sX\" in master.cf", inv.FlagsWord)
		flags.Final = true
	}
	auth, err := s.authOptions(t, log)
	if err != nil {
		return delivery.Options{}, err
	}
	tls, err := s.tlsOptions(t, names, log)
	if err != nil {
		return delivery.Options{}, err
	}
	generic, err := t.edit.genericMap(s, names, log)
	if err != nil {
		return delivery.Options{}, err
	}
	notices, err := s.notices(log)
	if err != nil {
		return delivery.Options{}, err
	}
	return delivery.Options{
		Auth:            auth,
		TLS:             tls,
		Service:         inv.Service,
		MyHostname:      s.MyHostname,
		Flags:           flags,
		HeadersBackward: !s.release.AtLeast(3, 6),
		UTF8AtOnce:      !s.release.AtLeast(3, 11),
		UTF8Downgrade:   s.Postlmtp.SMTPUTF8Downgrade,
		UTF8Apart:       s.release.Repaired([2]int{7, 17}, [2]int{8, 12}, [2]int{9, 6}, [2]int{10, 5}),
		QuietFolds:      !s.release.AtLeast(3, 7),
		PIXCommas:       s.release.AtLeast(3, 11),

		WarnPort465: s.HelpfulWarnings && !s.LMTP.TLSWrapperMode,

		SoftBounce:            s.SoftBounce,
		Skip5xxGreeting:       s.LMTP.Skip5xxGreeting,
		SkipQuitResponse:      s.LMTP.SkipQuitResponse,
		SendXForward:          s.LMTP.SendXForwardCommand,
		DisableMIMEConversion: s.DisableMIMEOutputConversion,
		MXAddressLimit:        s.LMTP.MXAddressLimit,
		MXSessionLimit:        s.LMTP.MXSessionLimit,
		FallbackRelay:         parser.ParseList(s.LMTP.FallbackRelay),
		FallbackRelayText:     s.LMTP.FallbackRelay,
		VerifyTarget:          s.verifyTarget(),
		LineLengthLimit:       s.LMTP.LineLengthLimit,
		UTF8:                  s.SMTPUTF8Enable,
		MIME: content.MIMELimits{
			Nesting:  s.MIMENestingLimit,
			Boundary: s.MIMEBoundaryLengthLimit,
			Header:   s.HeaderSizeLimit,
		},
		Generic:          generic,
		Checks:           t.edit.checks(s),
		Notices:          notices,
		PIX:              t.edit.pixWorkarounds(s),
		CacheDestination: t.cacheDestination,
		CacheOnDemand:    s.LMTP.ConnectionCacheOnDemand,
		CacheTimeLimit:   s.LMTP.ConnectionCacheTimeLimit,
		ReuseTimeLimit:   s.LMTP.ConnectionReuseTimeLimit,
		ReuseCountLimit:  s.LMTP.ConnectionReuseCountLimit,
		FinalGrace:       finalGrace,
		Session:          s.sessionOptions(t),
		Discard:          t.discard(s.LMTP.DiscardLHLOKeywords),
		Parse:            parser.Parse,
		Resolver:         nexthop.NewResolver(s.resolverOptions(names, t, log)),
		Dial: func(ctx context.Context, ep nexthop.Endpoint) (net.Conn, error) {
			if noSource != nil && ep.Network == "tcp" {
				return nil, &nexthop.DialError{Endpoint: ep, Err: noSource,
					Diagnosis: dsn.Diagnosis{Status: "4.3.5", Reason: noSource.Error()}}
			}
			return nexthop.Dial(ctx, ep, dial)
		},
		Trace:        s.trace(inv, t, log),
		ExtraLogging: s.Postlmtp.ExtraLogging,
		Tracing:      s.tracing(),
		Chunking:     s.Postlmtp.Chunking,
		ORcptAnyway:  s.Postlmtp.ORcpt == "always",
		Progress:     master.Pat,
		Stopping:     master.ErrStopping,
		Log:          log,
	}, nil
}

func (s *settings) tracing() delivery.Tracing {
	t := delivery.Tracing{
		Session: slices.Contains(s.Postlmtp.XClient, "session"),
		Message: s.Postlmtp.SendTrace,
		Log:     s.Postlmtp.LogSession,
	}
	if slices.Contains(s.Postlmtp.XClient, "timeout") {
		t.Timeout = s.LMTP.DataDoneTimeout
	}
	return t
}

// defaultService is lmtp_tcp_port where it was set: its default value leaves
// room for services(5).
func (s *settings) defaultService() string {
	if !s.IsSet("lmtp_tcp_port") {
		return ""
	}
	return s.LMTP.TCPPort
}

func (s *settings) verifyTarget() lmtp.Probe {
	if strings.EqualFold(s.LMTP.AddressVerifyTarget, "data") {
		return lmtp.ProbeData
	}
	return lmtp.ProbeRcpt
}

func (s *settings) sessionOptions(t *tables) lmtp.Options {
	return lmtp.Options{
		LHLOName: s.LMTP.LHLOName,
		Timeouts: lmtp.Timeouts{
			LHLO:               s.LMTP.LHLOTimeout,
			StartTLS:           s.LMTP.StartTLSTimeout,
			XForward:           s.LMTP.XForwardTimeout,
			Mail:               s.LMTP.MailTimeout,
			Rcpt:               s.LMTP.RcptTimeout,
			DataInit:           s.LMTP.DataInitTimeout,
			DataXfer:           s.LMTP.DataXferTimeout,
			DataDone:           s.LMTP.DataDoneTimeout,
			Reset:              s.LMTP.RsetTimeout,
			Quit:               s.LMTP.QuitTimeout,
			PerRequestDeadline: s.LMTP.PerRequestDeadline,
			MinDataRate:        s.LMTP.MinDataRate,
		},
		ReplyFilter:     t.replyFilter(),
		UTF8:            s.SMTPUTF8Enable,
		Unquoted:        !s.LMTP.QuoteRFC821Envelope,
		HelpfulWarnings: s.HelpfulWarnings,
		LineLimit:       s.LineLengthLimit,
	}
}

func (s *settings) resolverOptions(names dns.Source, t *tables, log *maillog.Logger) nexthop.Options {
	o := nexthop.Options{
		Names:            dns.New(names, dns.Options{Filter: t.dnsFilter(), FilterName: "lmtp_dns_reply_filter", Probe: s.DNSSECProbe, Log: log}),
		Source:           names,
		Randomize:        s.LMTP.RandomizeAddresses,
		Balance:          s.LMTP.BalanceInetProtocols,
		AddressLimit:     s.LMTP.MXAddressLimit,
		DefNames:         slices.Contains(s.LMTP.DNSResolverOptions, "res_defnames"),
		Search:           slices.Contains(s.LMTP.DNSResolverOptions, "res_dnsrch"),
		CNAMEOverrides:   s.LMTP.CNAMEOverridesServerName,
		UseSRV:           t.useSRV,
		AllowSRVFallback: s.AllowSRVLookupFallback,
		IgnoreSRVError:   s.IgnoreSRVLookupError,
		Log:              log,
	}
	o.DNS, o.Native = s.HostLookup()
	o.IPv4, o.IPv6 = s.Families()
	switch s.DNSSupport() {
	case config.DNSDisabled:
		o.Support = nexthop.Disabled
	case config.DNSSEC:
		o.Support = nexthop.DNSSEC
	}
	switch strings.ToLower(s.LMTP.AddressPreference) {
	case "ipv4":
		o.Preference = nexthop.PreferIPv4
	case "ipv6":
		o.Preference = nexthop.PreferIPv6
	}
	return o
}

func (s *settings) dialOptions(inv master.Invocation, names dns.Source, log *maillog.Logger) (nexthop.DialOptions, error) {
	o := nexthop.DialOptions{
		Timeout:   s.LMTP.ConnectTimeout,
		Enforce:   s.LMTP.BindAddressEnforce,
		TCPWindow: s.TCPWindowSize,
		Log:       log,
	}
	if inv.Chroot {
		o.Jail = s.QueueDirectory
	}
	var err error
	if s.InetInterfaces != "all" {
		// Only a list that leaves one address matters for the source.
		o.Own, err = nexthop.OwnAddresses(context.Background(), s.InetInterfaces, nativeLookup(names))
		if err != nil {
			return o, err
		}
	}
	return o, nil
}

// bindAddresses sets the addresses that TCP connections come from. One that
// makes no sense keeps mail for TCP destinations in the queue, and nothing else:
// Postfix's process ends when it meets the first of them.
func (s *settings) bindAddresses(o *nexthop.DialOptions) error {
	var err4, err6 error
	o.BindAddress4, err4 = nexthop.ParseBindAddress("lmtp_bind_address", s.LMTP.BindAddress)
	o.BindAddress6, err6 = nexthop.ParseBindAddress("lmtp_bind_address6", s.LMTP.BindAddress6)
	if err4 != nil {
		return err4
	}
	return err6
}

// nativeLookup finds the addresses of inet_interfaces, which are this machine's
// own and so in its hosts file as a rule.
func nativeLookup(names dns.Source) func(context.Context, string) ([]netip.Addr, error) {
	r := dns.New(names, dns.Options{})
	return func(ctx context.Context, host string) ([]netip.Addr, error) {
		return r.Native(ctx, host, []dns.Type{dns.A, dns.AAAA})
	}
}
