package delivery

import (
	"cmp"
	"context"
	"errors"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"postlmtp/internal/content"
	"postlmtp/internal/dsn"
	"postlmtp/internal/generic"
	"postlmtp/internal/lmtp"
	"postlmtp/internal/nexthop"
	"postlmtp/internal/pool"
	"postlmtp/internal/queuefile"
	"postlmtp/internal/request"
)

// Logger takes the lines of the mail log that are not about one recipient.
type Logger interface {
	Infof(format string, args ...any)
	Warningf(format string, args ...any)
}

// Resolver finds the endpoints of one element of a destination. With softBefore
// a temporary failure was seen earlier in the same request, and so a name that
// does not exist is no reason to bounce.
type Resolver interface {
	Resolve(ctx context.Context, e nexthop.Element, softBefore bool) ([]nexthop.Endpoint, error)
}

// Flags are the letters of flags= in master.cf.
type Flags struct {
	DeliveredTo bool // D: prepend Delivered-To:, and refuse mail that has it
	OriginalTo  bool // O: prepend X-Original-To:
	ReturnPath  bool // R: prepend Return-Path:
	Final       bool // X: this delivery is final (DSN action "delivered")
}

// Options are the settings of the delivery loop, each named after its
// parameter.
type Options struct {
	Service    string // the service's name in master.cf
	MyHostname string
	Flags      Flags
	// HeadersBackward has prepended headers in the order of Postfix 3.5:
	// Delivered-To, X-Original-To, Return-Path.
	HeadersBackward bool
	// UTF8AtOnce bounces mail that needs SMTPUTF8 at the first server that
	// lacks it, in the words of Postfix before 3.11.
	UTF8AtOnce bool

	// UTF8Downgrade delivers mail with UTF-8 in header text alone to servers
	// without SMTPUTF8 (postlmtp_smtputf8_downgrade).
	UTF8Downgrade bool

	// UTF8Apart keeps the sessions of messages that need SMTPUTF8 apart from
	// those of others.
	UTF8Apart bool
	// PIXCommas has commas between the words of lmtp_pix_workarounds in the log.
	PIXCommas bool
	// QuietFolds does not say in the log that a long line is broken: Postfix
	// does from 3.7 on.
	QuietFolds bool

	// WarnPort465 says that port 465 is for TLS from the first byte, which is
	// not configured (helpful_warnings).
	WarnPort465 bool

	SoftBounce            bool
	Skip5xxGreeting       bool
	SkipQuitResponse      bool
	SendXForward          bool
	DisableMIMEConversion bool
	MXAddressLimit        int // 0 is none
	MXSessionLimit        int // 0 is none
	FallbackRelay         []nexthop.Element
	FallbackRelayText     string // as configured, for the log
	VerifyTarget          lmtp.Probe
	LineLengthLimit       int // lmtp_line_length_limit, 0 is none
	MIME                  content.MIMELimits
	UTF8                  bool                                     // smtputf8_enable
	Generic               *generic.Map                             // lmtp_generic_maps, nil is none
	Checks                func(ctx context.Context) content.Checks // nil is none
	Notices               *Notices                                 // nil is none
	PIX                   PIX

	CacheDestination func(name string) bool // lmtp_connection_cache_destinations; nil is none
	CacheOnDemand    bool
	CacheTimeLimit   time.Duration
	ReuseTimeLimit   time.Duration
	ReuseCountLimit  int // 0 is none
	FinalGrace       time.Duration
	Session          lmtp.Options
	Auth             *Auth // nil: lmtp_sasl_auth_enable = no
	TLS              TLSOptions
	// Discard returns the LHLO keywords to overlook of the server at an
	// address, or a path; nil is none.
	Discard  func(address string) (lmtp.Discard, error)
	Parse    func(nexthop string) (nexthop.Nexthop, error)
	Resolver Resolver
	Dial     func(ctx context.Context, ep nexthop.Endpoint) (net.Conn, error)
	Trace    func(req *request.Request, ep nexthop.Endpoint) func(lmtp.TraceEvent) // nil, or returns nil: no trace
	// ExtraLogging logs hints after failed connections and lines about
	// unconfirmed mail, which Postfix does not have.
	ExtraLogging bool
	Tracing      Tracing
	Chunking     bool // postlmtp_chunking: BDAT for servers that offer it
	ORcptAnyway  bool // postlmtp_orcpt = always: ORCPT= to servers without DSN
	// Watch is told what deliveries do; nil: nobody is.
	Watch Watcher
	// Progress is called with the context of the delivery whenever a server
	// has been turned to, has answered, or has taken a piece of content. Nil:
	// nobody wants to know.
	Progress func(ctx context.Context)
	// Stopping is the cause of a context that ends because the process does.
	Stopping error
	Log      Logger
}

// Deliverer delivers requests. Many goroutines may use one.
type Deliverer struct {
	opt      Options
	reporter Reporter
	pool     *sessionPool
	hints    hints
	buffers  bufferPool
	chunks   lmtp.ChunkPool

	connections atomic.Int64 // made so far
}

// maxIdleSessions bounds the descriptors that idle sessions hold. They are gone
// after lmtp_connection_cache_time_limit anyway.
const maxIdleSessions = 1000

// New returns a Deliverer.
func New(opt Options, reporter Reporter) *Deliverer {
	if opt.Watch == nil {
		opt.Watch = nobody{}
	}
	return &Deliverer{opt: opt, reporter: reporter, pool: pool.New[cacheKey, parked](pool.Options{
		IdleLimit:  opt.CacheTimeLimit,
		ReuseTime:  opt.ReuseTimeLimit,
		ReuseCount: opt.ReuseCountLimit,
		MaxIdle:    maxIdleSessions,
	})}
}

// Close ends the idle sessions.
func (d *Deliverer) Close() { d.pool.CloseAll() }

// Result is what the queue manager is told.
type Result struct {
	// Unfinished: some recipient stays in the queue.
	Unfinished bool
	// Hop is the failure of the destination as a whole, empty without one.
	Hop dsn.Diagnosis
	// Abandoned: the context ended before every recipient was settled.
	Abandoned bool

	goodbye func()
	end     func()
}

// Goodbye ends the last session, if it is not kept. That waits for the server's
// answer to QUIT, on which nothing depends: the queue manager is told the result
// first. It must be called once.
func (r Result) Goodbye() {
	if r.end != nil {
		defer r.end()
	}
	if r.goodbye != nil {
		r.goodbye()
	}
}

// errAbandoned says that the context ended in the middle of a delivery.
var errAbandoned = errors.New("delivery abandoned")

// Deliver delivers one request from its open queue file.
func (d *Deliverer) Deliver(ctx context.Context, req *request.Request, file *queuefile.File) Result {
	j := d.newJob(req, file)
	ended := false
	defer func() {
		if !ended { // a panic
			j.watch.End()
		}
	}()
	err := j.run(ctx)
	ended = true
	return Result{
		Unfinished: j.ledger.unfinished || j.ledger.any(),
		Hop:        j.hop,
		Abandoned:  err != nil,
		goodbye:    j.goodbye,
		end:        j.watch.End,
	}
}

// newJob prepares the way of a request through the loop.
func (d *Deliverer) newJob(req *request.Request, file *queuefile.File) *job {
	return &job{
		d:      d,
		req:    req,
		file:   file,
		stamps: req.Stamps,
		ledger: newLedger(req, d.reporter, file, d.opt.Log),
		used:   make(map[nexthop.Endpoint]bool),
		watch:  d.opt.Watch.Begin(req),
	}
}

// IdleSessions returns how many sessions are kept with which server.
func (d *Deliverer) IdleSessions() map[string]int {
	idle := make(map[string]int)
	for _, p := range d.pool.Sessions() {
		idle[p.s.endpoint.Relay()]++
	}
	return idle
}

// job is one request on its way through the loop.
type job struct {
	d      *Deliverer
	req    *request.Request
	file   *queuefile.File
	ledger *ledger
	stamps request.Stamps

	why       dsn.Diagnosis // the last reason not to deliver, empty at first
	hop       dsn.Diagnosis // the failure of the destination, empty without one
	completed bool          // a session of this request came to its end
	fallback  bool          // the element in hand is one of lmtp_fallback_relay

	// reasons are why recipients, by index, were left for the next server: empty
	// for who was not, nil before the first.
	reasons []dsn.Diagnosis

	connection  int64 // serial number of the session that is used now, 0 for none
	unconfirmed bool  // it ended without an answer to the end of the message

	goodbye    func() // says QUIT to the last session, nil if it is kept
	tls        tlsState
	strange    bool // the server of this attempt speaks another protocol
	watch      Watch
	where      Trouble     // what a failure of the moment would be about
	transcript *transcript // of the session that is used now, nil if it is not written

	load, store bool                      // lease sessions from, and give them to the pool
	firstKey    string                    // the destination that the first good session is kept under
	used        map[nexthop.Endpoint]bool // endpoints whose pooled session this request has used
}

func (j *job) run(ctx context.Context) error {
	if f, refused := j.refuse(ctx); refused {
		j.fail(f, j.d.opt.Service, true, j.ledger.left())
		return nil
	}
	j.refuseAddresses()
	if !j.ledger.any() {
		return nil
	}
	target, err := j.d.opt.Parse(j.req.Nexthop)
	if err != nil {
		// Postfix's agent ends here, and with it the whole transport.
		j.remember(err)
	} else if target.IsUnix() {
		err = j.runUnix(ctx, target.Unix())
	} else {
		err = j.runInet(ctx, target.Elements)
	}
	if errors.Is(err, errAbandoned) {
		return err
	}
	j.settleLeft()
	return nil
}

// settleLeft settles whoever is left after the last endpoint, each with the
// last reason that was about it: the last one of all may be the reply to another
// recipient, and a permanent one. Postfix forgets what servers said when it looks
// up the next one.
func (j *job) settleLeft() {
	unavailable := dsn.Diagnosis{Status: statusLocalData, Reason: "server unavailable or unable to receive mail"}
	reason := func(i int) dsn.Diagnosis { return cmp.Or(j.reason(i), unavailable) }
	// A mistake in our settings is no reason to bounce.
	mistake := func(i int) bool { return j.fallback && !temporary(reason(i)) }

	last, left := cmp.Or(j.why, unavailable), j.ledger.left()
	if slices.ContainsFunc(left, mistake) {
		j.d.opt.Log.Warningf("lmtp_fallback_relay configuration problem")
	}
	for ; len(left) > 0; left = j.ledger.left() {
		why := reason(left[0])
		f := Failure{Scope: Site, Diagnosis: why}
		if why != last {
			f.Scope = Message // what was said to some is no reason to blame the destination
		}
		if mistake(left[0]) {
			f.Diagnosis.Status = statusConfiguration
		}
		j.fail(f, "none", true, slices.DeleteFunc(left, func(i int) bool { return reason(i) != why }))
	}
}

// leave notes why recipients are left for the next server.
func (j *job) leave(recipients []int, why dsn.Diagnosis) {
	if j.reasons == nil {
		j.reasons = make([]dsn.Diagnosis, len(j.req.Recipients))
	}
	for _, i := range recipients {
		j.reasons[i] = why
	}
}

// reason is why a recipient was left, empty if it was not.
func (j *job) reason(i int) dsn.Diagnosis {
	if j.reasons == nil {
		return dsn.Diagnosis{}
	}
	return j.reasons[i]
}

// forgetPermanent forgets the permanent reasons, because there is another element
// with servers: should all of them be passed over, that is no reason to bounce.
func (j *job) forgetPermanent() {
	if !temporary(j.why) {
		j.why = dsn.Diagnosis{}
	}
	for i, why := range j.reasons {
		if !temporary(why) {
			j.reasons[i] = dsn.Diagnosis{}
		}
	}
}

// softBefore tells whether anybody who is left was put off for a while: then a
// name that does not exist is no reason to bounce.
func (j *job) softBefore() bool {
	return slices.ContainsFunc(j.ledger.left(), func(i int) bool { return temporary(j.reason(i)) })
}

// fail applies a failure to the recipients that it touches. It returns the
// verdict; with TryNext they are left for the next server.
func (j *job) fail(f Failure, relay string, final bool, touched []int) Verdict {
	j.why = f.Diagnosis
	v := judge(f, final, j.d.opt.SoftBounce)
	if v == TryNext {
		j.d.opt.Log.Infof("%s: %s", j.req.QueueID, f.Diagnosis.Reason)
		j.leave(touched, f.Diagnosis)
		return v
	}
	if f.Scope != Recipient {
		// The records of all of them show the same delays, and time spent
		// before the message was offered is connection set-up.
		now := time.Now()
		if j.stamps.ConnSetupDone.IsZero() {
			j.stamps.ConnSetupDone = now
		}
		j.stamps.DeliverDone = now
	}
	outcome := Bounced
	if v == Defer {
		outcome = Deferred
	}
	unfinished := false
	for _, i := range touched {
		if s := j.ledger.settle(i, outcome, j.attempt(relay), f.Diagnosis); !s.Final {
			unfinished = true
		}
	}
	if f.Scope == Site && unfinished && !j.completed && j.hop.Status == "" {
		j.hop = f.Diagnosis
	}
	return v
}

func (j *job) attempt(relay string) request.Attempt {
	return request.Attempt{Relay: relay, Stamps: j.stamps, TLS: j.tlsText(), Connection: j.connection, Unconfirmed: j.unconfirmed}
}

// resetStamps forgets the times of one session, and what else records say of
// it, before the next.
func (j *job) resetStamps() {
	j.stamps.ConnSetupDone, j.stamps.DeliverDone, j.stamps.ReuseCount = time.Time{}, time.Time{}, 0
	j.connection, j.unconfirmed = 0, false
}

// progress tells the watchdog that the delivery moves.
func (d *Deliverer) progress(ctx context.Context) {
	if d.opt.Progress != nil {
		d.opt.Progress(ctx)
	}
}

// abandoned tells whether the delivery has to end because the process does. A
// context that ends for another reason is a delivery that took too long: it is
// settled as any that lost its connection.
func (d *Deliverer) abandoned(ctx context.Context) bool {
	return ctx.Err() != nil && errors.Is(context.Cause(ctx), d.opt.Stopping)
}
