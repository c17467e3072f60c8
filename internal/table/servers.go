package table

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"postlmtp/internal/table/proxymap"
	"postlmtp/internal/table/remote"
)

// orDefault returns v, or def if v is zero.
func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// openSocketmap opens socketmap:inet:host:port:name and socketmap:unix:path:name.
func openSocketmap(o *opening) (*backend, error) {
	if o.flags&NoUnauth != 0 {
		return nil, fmt.Errorf("%s:%s map is not allowed for security-sensitive data", o.kind, o.name)
	}
	n := strings.LastIndexByte(o.name, ':')
	if n < 0 {
		return nil, fmt.Errorf("%s requires server:socketmap argument", o.kind)
	}
	link, err := o.set.socketmapLink(o.name[:n])
	if err != nil {
		return nil, err
	}
	opt := o.set.opt
	table := &remote.Socketmap{Name: o.name[n+1:], MaxReply: orDefault(opt.SocketmapMaxReply, 100_000), Link: link}
	spec := o.kind + ":" + o.name
	lookup := func(ctx context.Context, key string) (string, bool, error) {
		if most := opt.SocketmapMaxQuery; most > 0 && len(key) > most {
			o.warnf("table %s query too large: '%.100s', returning 'not found'", spec, key)
			return "", false, nil
		}
		value, found, err := table.Lookup(ctx, key)
		if err == nil {
			return value, found, nil
		}
		reply := new(remote.ReplyError)
		if errors.As(err, &reply) {
			o.warnf("%s %v", spec, reply)
			return "", false, &Error{Table: spec, Config: reply.Class == "permanent", Err: reply}
		}
		o.warnf("table %s lookup error: %s", spec, socketmapCause(err))
		return "", false, err
	}
	return &backend{pattern: true, lookup: lookup}, nil
}

// socketmapCause words an error of a connection.
func socketmapCause(err error) string {
	switch {
	case remote.TimedOut(err):
		return "time limit exceeded"
	case remote.Disconnected(err):
		return "unexpected disconnect"
	}
	return cause(err)
}

// socketmapLink returns the link to a server, which tables share.
func (s *Set) socketmapLink(service string) (*remote.Link, error) {
	if link, ok := s.links[service]; ok {
		return link, nil
	}
	link, err := remote.NewSocketmapLink(service)
	if err != nil {
		return nil, err
	}
	s.links[service] = link
	return link, nil
}

// openTCP opens tcp:host:port.
func openTCP(o *opening) (*backend, error) {
	if o.flags&NoUnauth != 0 {
		return nil, fmt.Errorf("%s:%s map is not allowed for security sensitive data", o.kind, o.name)
	}
	t, err := remote.NewTCP(o.name, o.warnf)
	if err != nil {
		return nil, err
	}
	return &backend{pattern: true, lookup: t.Lookup, close: t.Link.Close}, nil
}

// openProxy opens proxy:type:name.
func openProxy(o *opening) (*backend, error) {
	if o.flags&NoProxy != 0 {
		t, err := o.set.open(o.name, o.flags, o.depth+1)
		if err != nil {
			return nil, err
		}
		return &backend{lookup: t.Lookup, fixed: t.Fixed, inner: true}, nil
	}
	name := o.name
	for strings.HasPrefix(name, "proxy:") {
		name = name[len("proxy:"):]
	}
	t := &proxied{opening: o, name: name, client: o.set.proxymap()}
	return &backend{lookup: t.lookup, fixed: t.fixed, remote: true}, nil
}

// proxymap returns the client that all tables share.
func (s *Set) proxymap() *proxymap.Client {
	if s.proxy == nil {
		s.proxy = proxymap.New(proxymap.Options{
			Socket:        orDefault(s.opt.ProxymapSocket, "private/proxymap"),
			Service:       orDefault(s.opt.ProxymapService, "proxymap"),
			InstanceFlags: s.opt.InstanceFlags,
			Timeout:       orDefault(s.opt.Timeout, time.Hour),
			Idle:          5 * time.Second,
			TTL:           1000 * time.Second,
		})
	}
	return s.proxy
}

// A proxied is a table of proxymap(8). It is opened by the first lookup: when
// the process starts, the server need not be there.
type proxied struct {
	*opening
	name   string // type:name as the server knows it
	client *proxymap.Client
	flags  atomic.Int64 // of the server's instance; 0: not opened so far
}

// Flags that depend on the type of the table, and those that a request brings
// along to servers before Postfix 3.11.
const (
	flagFixed    = 1 << 4
	flagPattern  = 1 << 5
	requestFlags = Lock | NoRegexpSub | NoProxy | NoUnauth | UTF8

	// What such servers tell the instances of a table apart by.
	instanceFlags = TryNoNull | TryNull
)

// fixed implements Table.Fixed. Before the server has said it, the name of the
// type must do.
func (p *proxied) fixed() bool {
	if f := p.flags.Load(); f != 0 {
		return f&flagFixed != 0
	}
	kind, _, _ := strings.Cut(p.name, ":")
	switch kind {
	case "regexp", "pcre", "cidr", "socketmap", "tcp", "randmap", "fail":
		return false
	}
	return true
}

func (p *proxied) lookup(ctx context.Context, key string) (value string, found bool, err error) {
	err = p.retry(ctx, func() error {
		server, err := p.open(ctx)
		if err != nil {
			return err
		}
		instance := int(p.opening.flags)
		request := server
		if !p.client.InstanceFlags() {
			// Such a server does not fold: its clients do.
			request = int(p.opening.flags & (requestFlags | instanceFlags))
			key = p.foldKey(key)
		}
		value, found, err = p.client.Lookup(ctx, p.name, instance, request, key)
		return err
	})
	if e := new(proxymap.Error); errors.As(err, &e) {
		if e.Text != "lookup error" {
			p.warnf("proxy:%s is unavailable. %v", p.name, e)
		}
		return "", false, &Error{Table: "proxy:" + p.name, Config: e.Config, Err: e}
	}
	return value, found, err
}

func (p *proxied) foldKey(key string) string {
	fold := FoldPattern
	if p.fixed() {
		fold = FoldFixed
	}
	if p.opening.flags&fold == 0 {
		return key
	}
	return Fold(key, p.strict())
}

// open asks the server for the flags of the table, once.
func (p *proxied) open(ctx context.Context) (int, error) {
	if f := p.flags.Load(); f != 0 {
		return int(f), nil
	}
	server, err := p.client.Open(ctx, p.name, int(p.opening.flags), int(p.opening.flags&instanceFlags))
	if err != nil {
		return 0, err
	}
	p.flags.Store(int64(server))
	return server, nil
}

// attempts is how often a server is tried that cannot be reached. Postfix never
// gives up; here the mail is deferred.
const attempts = 3

// retry calls f again if the server could not be reached, a second later.
func (p *proxied) retry(ctx context.Context, f func() error) error {
	for attempt := 1; ; attempt++ {
		err := f()
		if e := new(proxymap.Error); err == nil || errors.As(err, &e) || ctx.Err() != nil {
			return err
		}
		p.warnf("service %s: %s", orDefault(p.set.opt.ProxymapService, "proxymap"), cause(err))
		if attempt == attempts {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}
