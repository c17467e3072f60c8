package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"postlmtp/internal/delivery"
	"postlmtp/internal/lmtp"
	"postlmtp/internal/nexthop"
	"postlmtp/internal/permit"
	"postlmtp/internal/queuefile"
	"postlmtp/internal/request"
	"postlmtp/internal/tlspolicy"
)

// dialer finds the sockets of a jailed daemon from the outside, too.
func (r *run) dialer(dial func(context.Context, nexthop.Endpoint) (net.Conn, error)) func(context.Context, nexthop.Endpoint) (net.Conn, error) {
	return func(ctx context.Context, ep nexthop.Endpoint) (net.Conn, error) {
		if ep.Network == "unix" && r.tool.Chroot && !r.jailed() && filepath.IsAbs(ep.Path) {
			ep.Path = filepath.Join(r.tool.Config.QueueDirectory, ep.Path)
		}
		return dial(ctx, ep)
	}
}

// request is the delivery request that a probe stands for.
func (r *run) request() *request.Request {
	now := time.Now()
	req := &request.Request{
		QueueName: "active", QueueID: "PROBE", Nexthop: r.opt.Destination, Sender: r.opt.Sender, Encoding: "7bit",
		RewriteContext: "local",
		Stamps:         request.Stamps{IncomingArrival: now, ActiveArrival: now, AgentHandoff: now},
	}
	if m := r.opt.Message; m != nil {
		m.apply(req)
	} else {
		req.Flags = request.MTAVerify
	}
	if len(r.opt.Recipients) > 0 {
		req.Recipients = nil
		for _, address := range r.opt.Recipients {
			req.Recipients = append(req.Recipients, request.Recipient{Offset: queuefile.NoOffset, Address: address, Original: address})
		}
	}
	return req
}

// server visits one server, and reports whether it was willing to talk.
func (r *run) server(ctx context.Context, ep nexthop.Endpoint) bool {
	r.begun = time.Now()
	r.explained = ep.Network == "unix" && !r.way(ep)
	if r.explained {
		r.bad()
	}
	v := r.visit(ep)
	policy, err := v.Policy(ctx)
	if err != nil {
		r.failed(Step{Name: "policy", Server: ep.Relay()}, ep, err)
		return false
	}
	talked := r.talk(ctx, v, ep, policy)
	if !talked && v.PlainNext() {
		r.step(Step{Name: "tls", Server: ep.Relay(), Result: Note,
			Text: "TLS is optional (level may): the daemon would try again without it"})
		v = v.Plain()
		talked = r.talk(ctx, v, ep, policy.Plain())
	}
	if !talked && ep.Network == "unix" {
		r.bad()
	}
	r.greeted = r.greeted || talked
	return talked
}

func (r *run) visit(ep nexthop.Endpoint) *delivery.Visit {
	if r.opt.Message != nil {
		return r.deliverer.Visit(r.req, r.opt.Message.file, ep)
	}
	return r.deliverer.Visit(r.req, nil, ep)
}

// talk connects and goes on from there.
func (r *run) talk(ctx context.Context, v *delivery.Visit, ep nexthop.Endpoint, policy *tlspolicy.Policy) bool {
	r.begun = time.Now()
	r.dialog = nil
	if err := v.Connect(ctx); err != nil {
		r.connectFailed(ep, err)
		return false
	}
	r.dialog = &dialog{begun: time.Now()}
	r.step(Step{Name: "connect", Server: ep.Relay(), Result: OK, Text: "connected to " + ep.Relay()})
	defer r.quit(ctx, v, ep)
	err := v.Hello(ctx)
	good := r.hello(v, ep, err)
	if good {
		r.capabilities(v, ep)
	}
	r.tls(v, ep, policy, err)
	r.login(ctx, v, ep, err)
	if err != nil {
		return false
	}
	if r.opt.Message != nil || len(r.req.Recipients) > 0 {
		r.offer(ctx, v, ep)
	}
	return true
}

// way looks at the path of a socket as the daemon's user would.
func (r *run) way(ep nexthop.Endpoint) bool {
	c := r.tool.Config
	root, dir := "", c.QueueDirectory
	if r.tool.Chroot {
		root = c.QueueDirectory
	}
	if r.jailed() {
		root, dir = "", "/"
	}
	w := permit.Look(r.account(), root, dir, ep.Path)
	s := Step{Name: "way", Server: ep.Relay(), Result: OK,
		Text: fmt.Sprintf("%s may go to %s", r.account().Name, w.End().Path)}
	for _, p := range w.Parts {
		s.Facts = append(s.Facts, p.String())
	}
	closed := w.Closed()
	switch {
	case closed != nil:
		s.Result, s.Text = Failed, fmt.Sprintf("%s is closed to %s", closed.Path, r.account())
		s.Cause, s.Cure = "the mode bits of "+closed.Path+" leave the daemon out", w.Cure(closed)
	case w.Missing():
		s.Result, s.Text = Failed, w.End().Path+" does not exist"
		s.Cause, s.Cure = r.missing(w, ep)
	case w.Err != nil:
		// We who look are not the daemon: it may get further.
		s.Result, s.Text = Note, fmt.Sprintf("%s cannot look at %s: %v", r.report.User, w.End().Path, w.Err)
		s.Cure = "run the probe as root"
	case w.End().Kind != "socket":
		s.Result, s.Text = Failed, fmt.Sprintf("%s is no socket but a %s", w.End().Path, w.End().Kind)
		s.Cause, s.Cure = "the path leads to something else than the server's socket", "name the socket; if it is a leftover in the socket's place, make sure that nobody needs it"
		if w.End().Kind == "directory" {
			s.Cause, s.Cure = "the path ends at a directory", "name the socket in it"
		}
	}
	r.step(s)
	return s.Result != Failed
}

// missing explains a socket that is not there.
func (r *run) missing(w permit.Walk, ep nexthop.Endpoint) (cause, cure string) {
	queue := r.tool.Config.QueueDirectory
	cause = "the server is not running, or listens elsewhere"
	cure = fmt.Sprintf("start the server; in Dovecot's service lmtp have unix_listener %s { mode = 0600 user = %s }, and lmtp in protocols",
		r.outside(ep.Path), r.owner.Name)
	if r.jailed() && filepath.IsAbs(ep.Path) {
		cause = fmt.Sprintf("the daemon is in a chroot jail: its %s is %s%s; what is outside of it is out of reach", ep.Path, queue, ep.Path)
		cure = fmt.Sprintf("have the server listen on %s/private/… and name it unix:private/…, or set the chroot column of the service to n", queue)
	}
	if r.tool.Chroot && filepath.IsAbs(ep.Path) && !r.jailed() {
		if outside := permit.Look(r.account(), "", "/", ep.Path); !outside.Missing() {
			cause = fmt.Sprintf("the service runs in a chroot jail: there %s is %s%s, but the socket is outside", ep.Path, queue, ep.Path)
			cure = fmt.Sprintf("have the server listen on %s/private/… and name it unix:private/…, or set the chroot column of the service to n", queue)
		}
	}
	return cause, cure
}

// outside is a path as seen from outside of the jail.
func (r *run) outside(path string) string {
	if !filepath.IsAbs(path) || r.tool.Chroot {
		return filepath.Join(r.tool.Config.QueueDirectory, path)
	}
	return path
}

// connectFailed reports a connection that was not made.
func (r *run) connectFailed(ep nexthop.Endpoint, err error) {
	s := Step{Name: "connect", Server: ep.Relay(), Errno: errnoName(err)}
	if !r.explained {
		s.Cause, s.Cure = hintOf(err), connectCure(ep, err)
	}
	r.failed(s, ep, err)
}

// failed completes and ends a step that failed.
func (r *run) failed(s Step, ep nexthop.Endpoint, err error) {
	d := r.deliverer.Diagnose(ep, err)
	s.Result, s.Text, s.Status = Failed, d.Reason, d.Status
	r.step(s)
}

// errnoName is the name of the error of the system, such as ECONNREFUSED.
func errnoName(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return unix.ErrnoName(errno)
	}
	return ""
}

// hello reports greeting and LHLO.
func (r *run) hello(v *delivery.Visit, ep nexthop.Endpoint, err error) bool {
	s := v.Session()
	var refused *lmtp.ReplyError
	switch {
	case s == nil || errors.As(err, &refused) && (refused.Stage == lmtp.StageGreeting || refused.Stage == lmtp.StageLHLO):
		step := Step{Name: "hello", Server: ep.Relay()}
		step.Cause, step.Cure = helloCause(ep, err, r.dialog)
		var conn *lmtp.ConnError
		if errors.As(err, &conn) && conn.Stage == lmtp.StageTLS {
			step.Name = "tls"
		}
		r.failed(step, ep, err)
		return false
	}
	caps := s.Caps()
	r.step(Step{Name: "hello", Server: ep.Relay(), Result: OK,
		Text: fmt.Sprintf("%s says: %s", orElse(caps.ServerName, "the server"), strings.TrimSpace(s.Greeting().Text()))})
	return true
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// quit says goodbye.
func (r *run) quit(ctx context.Context, v *delivery.Visit, ep nexthop.Endpoint) {
	open := v.Session() != nil && !v.Session().Closed()
	r.begun = time.Now()
	v.Quit(ctx)
	if open {
		r.step(Step{Name: "quit", Server: ep.Relay(), Result: OK, Text: "goodbye"})
	}
}

// offer asks for the recipients, or sends the message.
func (r *run) offer(ctx context.Context, v *delivery.Visit, ep nexthop.Endpoint) {
	r.begun = time.Now()
	r.verdicts = nil
	name := "recipients"
	if r.opt.Message != nil {
		name = "message"
	}
	err := v.Offer(ctx)
	s := Step{Name: name, Server: ep.Relay(), Result: OK}
	good := 0
	for _, x := range r.verdicts {
		word := "accepted"
		switch x.outcome {
		case delivery.Sent:
			good++
			if r.opt.Message != nil {
				word = "delivered"
			}
		case delivery.Bounced:
			word = "refused for good: mail is returned to its sender"
		default:
			word = "refused for now: mail waits in the queue"
		}
		s.Facts = append(s.Facts, fmt.Sprintf("%s: %s (%s %s)", x.recipient, word, x.status, x.text))
		if x.outcome != delivery.Sent && s.Cause == "" {
			s.Status = x.status
			s.Cause, s.Cure = rejection(x)
		}
	}
	s.Text = fmt.Sprintf("%d of %s %s", good, count(len(r.verdicts), "recipient"),
		map[bool]string{true: "accepted", false: "delivered"}[r.opt.Message == nil])
	if err != nil {
		s.Text += fmt.Sprintf(": %v", err)
	}
	if good < len(r.verdicts) || err != nil {
		s.Result = Failed
		r.bad()
	}
	r.step(s)
}
