// Package probe goes the way of a delivery step by step and tells what it
// finds: for people who want to know why mail does not arrive.
//
// # Contract
//
// [Run] takes a destination apart, resolves it, connects, says hello, starts
// TLS, logs in and asks for recipients with the code and the settings of the
// daemon of one service (package agent, delivery.Visit). It sends a message only
// if it is given one. Every step is reported as it is done, with its time, and
// if it failed with a cause that was found by looking, and a cure.
//
// Servers are tried in the daemon's order up to the first that says hello, or
// all of them if Options.All is set.
//
// # Limits
//
// What another account may reach is computed from mode bits (package permit)
// unless the process is in the daemon's jail: see Enter. Passwords are not in
// the report: the session engine conceals them.
package probe

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"postlmtp/internal/agent"
	"postlmtp/internal/delivery"
	"postlmtp/internal/dns"
	"postlmtp/internal/lmtp"
	"postlmtp/internal/maillog"
	"postlmtp/internal/master"
	"postlmtp/internal/nexthop"
	"postlmtp/internal/permit"
	"postlmtp/internal/request"
)

// A Result says how a step ended.
type Result string

// The results.
const (
	OK      Result = "ok"
	Note    Result = "note"    // good, with something to know
	Warning Result = "warning" // works, but not for all mail
	Failed  Result = "failed"
)

// A Step is one step of the way.
type Step struct {
	Name   string   `json:"step"`
	Server string   `json:"server,omitempty"` // host[address]:port or host[path]
	Result Result   `json:"result"`
	TookMS float64  `json:"took_ms"`
	Text   string   `json:"text"`
	Facts  []string `json:"facts,omitempty"`
	Status string   `json:"status,omitempty"` // enhanced status code (RFC 3463)
	Errno  string   `json:"errno,omitempty"`
	Cause  string   `json:"cause,omitempty"`
	Cure   string   `json:"cure,omitempty"`
	Dialog []Line   `json:"dialog,omitempty"`
	Log    []string `json:"log,omitempty"` // what the daemon would have logged
}

// A Line is one line of the dialog.
type Line struct {
	AtMS float64 `json:"at_ms"` // since the connection
	Who  string  `json:"who"`   // client, server, or - for remarks
	Text string  `json:"text"`
}

// A Report is all that was found.
type Report struct {
	Destination string   `json:"destination"`
	Recipients  []string `json:"recipients,omitempty"`
	Service     string   `json:"service"`
	ConfigDir   string   `json:"config_directory"`
	Release     string   `json:"postfix"`
	User        string   `json:"user"`
	Jail        string   `json:"chroot,omitempty"` // that this process is in
	AsDaemon    bool     `json:"as_daemon"`
	Steps       []Step   `json:"steps"`
	Good        bool     `json:"ok"`
}

// Options say what to probe.
type Options struct {
	Destination string
	Recipients  []string
	Sender      string
	Message     *Message // to be sent; nil: none is
	All         bool     // visit every address, not just the first that works
	OnStep      func(Step)
}

// A Prober is ready to go. New opens what has to be opened before the jail.
type Prober struct {
	tool     *agent.Tool
	dir      string
	notes    *notes
	names    dns.Source
	owner    *master.Owner // mail_owner
	asDaemon bool
}

// New builds the daemon of a service, and what else is needed.
func New(dir, service string) (*Prober, error) {
	p := &Prober{dir: dir, notes: new(notes)}
	log := maillog.ToWriter(p.notes, agent.Program)
	var err error
	p.tool, err = agent.ForTool(agent.ToolOptions{Dir: dir, Service: service, Alert: true, Log: log})
	if err != nil {
		return nil, errors.Join(append(p.notes.errors(), err)...)
	}
	// Missing files count as empty ones.
	p.names, _ = dns.NewSystem("/etc")
	p.owner, err = master.LookupOwner(p.tool.Config.MailOwner)
	return p, err
}

// Tool is the daemon.
func (p *Prober) Tool() *agent.Tool { return p.tool }

// ErrNotRoot is the error of Enter without the rights of root.
var ErrNotRoot = errors.New("needs root: nobody else can become the daemon's user in its jail")

// Enter becomes the daemon's user in the daemon's jail, for good.
func (p *Prober) Enter() error {
	if os.Geteuid() != 0 {
		return ErrNotRoot
	}
	if err := p.Chdir(); err != nil {
		return err
	}
	p.asDaemon = true
	return master.EnterJail(p.tool.Jail)
}

// Chdir goes to where relative paths of sockets begin.
func (p *Prober) Chdir() error { return os.Chdir(p.tool.Config.QueueDirectory) }

// jailed tells whether this process is where the daemon is.
func (p *Prober) jailed() bool { return p.asDaemon && p.tool.Jail.Root != "" }

// account is who the daemon is.
func (p *Prober) account() permit.Account {
	if p.tool.Jail.Owner == nil {
		return permit.Account{Name: "root"}
	}
	return permit.Account{Name: p.owner.Name, UID: p.owner.UID, Groups: p.owner.Groups}
}

// run is one run.
type run struct {
	*Prober
	opt       Options
	report    *Report
	deliverer *delivery.Deliverer
	req       *request.Request
	begun     time.Time // of the step in hand
	dialog    *dialog
	verdicts  []verdict
	greeted   bool // some server was willing to talk
	explained bool // why the server in hand cannot be reached has been said
}

// verdict is what became of one recipient.
type verdict struct {
	recipient string
	outcome   delivery.Outcome
	status    string
	text      string
}

// Run probes.
func (p *Prober) Run(ctx context.Context, o Options) *Report {
	r := &run{Prober: p, opt: o, report: &Report{
		Destination: o.Destination,
		Recipients:  o.Recipients,
		Service:     p.tool.Service.Name,
		ConfigDir:   p.dir,
		Release:     p.tool.Release.Text,
		User:        permit.UserName(os.Geteuid()),
		AsDaemon:    p.asDaemon,
		Good:        true,
	}}
	if p.jailed() {
		r.report.Jail = p.tool.Jail.Root
	}
	d := p.tool.Delivery
	d.Trace = func(*request.Request, nexthop.Endpoint) func(lmtp.TraceEvent) { return r.trace }
	d.Dial = r.dialer(d.Dial)
	r.deliverer = delivery.New(d, reporter{r})
	defer r.deliverer.Close()
	r.req = r.request()
	r.settings()
	r.destination(ctx)
	return r.report
}

// step ends the step in hand.
func (r *run) step(s Step) {
	s.TookMS = milliseconds(time.Since(r.begun))
	s.Log = append(s.Log, r.notes.take()...)
	if r.dialog != nil {
		s.Dialog = r.dialog.take()
	}
	r.report.Steps = append(r.report.Steps, s)
	if r.opt.OnStep != nil {
		r.opt.OnStep(s)
	}
	r.begun = time.Now()
}

func (r *run) bad() { r.report.Good = false }

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// settings says who probes, and whose settings count.
func (r *run) settings() {
	r.begun = time.Now()
	c := r.tool.Config
	s := Step{Name: "settings", Result: OK, Text: fmt.Sprintf("service %s of %s, Postfix %s", r.report.Service, r.dir, r.report.Release)}
	jail := "no chroot"
	if r.tool.Chroot {
		jail = "chroot " + c.QueueDirectory
	}
	s.Facts = append(s.Facts, fmt.Sprintf("the daemon is %s, %s", r.account(), jail))
	switch {
	case r.asDaemon:
	case os.Geteuid() == 0:
		s.Facts = append(s.Facts, "this is root, outside of any jail: --as-daemon goes where the daemon goes")
	default:
		s.Facts = append(s.Facts, fmt.Sprintf("this is %s: as root, --as-daemon goes where the daemon goes", r.report.User))
	}
	r.step(s)
}

// destination takes the destination apart, and goes there.
func (r *run) destination(ctx context.Context) {
	n, err := r.tool.Delivery.Parse(r.opt.Destination)
	if err == nil {
		err = n.Err()
	}
	if err != nil {
		s := Step{Name: "destination", Result: Failed, Text: r.deliverer.Diagnose(nexthop.Endpoint{}, err).Reason,
			Status: r.deliverer.Diagnose(nexthop.Endpoint{}, err).Status, Cause: hintOf(err),
			Cure: "write unix:PATH, inet:HOST:PORT, inet:[ADDRESS]:PORT or a list of such hosts"}
		r.bad()
		r.step(s)
		return
	}
	if n.IsUnix() {
		r.step(Step{Name: "destination", Result: OK, Text: "a socket: " + r.socketText(n.Unix().Path)})
		r.server(ctx, n.Unix())
		return
	}
	var facts []string
	for _, e := range n.Elements {
		facts = append(facts, fmt.Sprintf("%s: host %s, port %d", e.Text, e.Host, e.Port))
	}
	r.step(Step{Name: "destination", Result: OK, Text: count(len(n.Elements), "host"), Facts: facts})
	for _, e := range append(n.Elements[:len(n.Elements):len(n.Elements)], r.tool.Delivery.FallbackRelay...) {
		if r.element(ctx, e) && !r.opt.All {
			return
		}
	}
	if !r.greeted {
		r.bad()
	}
}

// socketText says where a socket is looked for.
func (r *run) socketText(path string) string {
	c := r.tool.Config
	switch {
	case path[:1] != "/":
		return path + " below " + c.QueueDirectory
	case r.tool.Chroot:
		return path + " in the jail, which is " + c.QueueDirectory + path
	}
	return path
}

// element resolves an element and tries its servers. It reports whether one was
// willing to talk.
func (r *run) element(ctx context.Context, e nexthop.Element) bool {
	r.begun = time.Now()
	endpoints, err := r.tool.Delivery.Resolver.Resolve(ctx, e, false)
	if err != nil {
		d := r.deliverer.Diagnose(nexthop.Endpoint{}, err)
		s := Step{Name: "resolve", Result: Failed, Text: d.Reason, Status: d.Status, Cause: hintOf(err)}
		s.Facts = r.sources(ctx, e)
		if s.Cause == "" && len(s.Facts) > 0 {
			s.Cause = "this is what the name services of lmtp_host_lookup say"
		}
		s.Cure = resolveCure(r.tool.Config, err)
		r.step(s)
		return false
	}
	s := Step{Name: "resolve", Result: OK, Text: fmt.Sprintf("%s: %s", e.Text, count(len(endpoints), "address"))}
	for _, ep := range endpoints {
		s.Facts = append(s.Facts, ep.Relay())
	}
	r.compare(e, endpoints, &s)
	r.step(s)
	talked := false
	for _, ep := range endpoints {
		if r.server(ctx, ep) {
			talked = true
			if !r.opt.All {
				return true
			}
		}
	}
	return talked
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if noun[len(noun)-1] == 's' {
		noun += "e"
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// hintOf is what an error itself suggests.
func hintOf(err error) string {
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) {
		return hinted.Hint()
	}
	return ""
}
