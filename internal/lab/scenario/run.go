package scenario

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"postlmtp/internal/lab"
	"postlmtp/internal/request"

	"golang.org/x/sys/unix"
)

// Observed is what was seen of an agent: a text for each facet.
type Observed map[string]string

// A Config says what to run scenarios with.
type Config struct {
	Agent  string   // file name of the agent's binary
	User   string   // lab.Options.User
	MainCF []string // further lines of main.cf, before those of the scenario
	Stderr *os.File // the agent's standard error
	// Release is the release of Postfix to be where the scenario names none;
	// default lab.Options.Release.
	Release string
}

// Run runs a scenario against an agent and returns what was to be seen.
func (s *Scenario) Run(ctx context.Context, cfg Config) (Observed, error) {
	r, err := s.begin(cfg)
	defer r.close()
	if err != nil {
		return nil, fmt.Errorf("run scenario %s: %w", s.Name, err)
	}
	for i := range s.plan.requests {
		if err := r.request(ctx, i); err != nil {
			return nil, fmt.Errorf("run scenario %s: request %d: %w; log:\n%s", s.Name, i+1, err, r.logFacet())
		}
	}
	if err := r.finish(ctx); err != nil {
		return nil, fmt.Errorf("run scenario %s: %w", s.Name, err)
	}
	return r.observe()
}

// begin starts a run. Servers that share a port may find that it is free at one
// address only: then the run gets other ports.
func (s *Scenario) begin(cfg Config) (r *run, err error) {
	for tries := 1; ; tries++ {
		r = &run{plan: &s.plan, recipients: make(map[string][]request.Recipient)}
		if err = r.start(cfg); tries == 5 || !errors.Is(err, unix.EADDRINUSE) {
			return r, err
		}
		r.close()
	}
}

// A run is one run of a scenario.
type run struct {
	plan       *plan
	lab        *lab.Lab
	servers    []*lab.Server
	ids        []string                       // queue files made
	recipients map[string][]request.Recipient // of each queue file
	status     strings.Builder
}

// start builds the lab and its servers, then writes the settings, which may
// name the servers' places.
func (r *run) start(cfg Config) (err error) {
	opts := r.plan.options
	opts.Agent, opts.Stderr, opts.User = cfg.Agent, cfg.Stderr, cfg.User
	if opts.Release == "" {
		opts.Release = cfg.Release
	}
	if r.lab, err = lab.New("", opts); err != nil {
		return err
	}
	for _, sp := range r.plan.servers {
		srv, err := r.lab.Serve(sp.name, sp.script)
		if err != nil {
			return err
		}
		r.servers = append(r.servers, srv)
	}
	for _, t := range r.plan.tables {
		if err := r.writeTable(t); err != nil {
			return err
		}
	}
	settings := slices.Clone(cfg.MainCF)
	for _, line := range r.plan.settings {
		settings = append(settings, r.expand(line))
	}
	return r.lab.Configure(settings)
}

// writeTable writes a table that looks as if it was there for long.
func (r *run) writeTable(t tablePlan) error {
	path := filepath.Join(r.lab.Dir(), t.name)
	if err := os.WriteFile(path, []byte(r.expand(t.text)), 0o644); err != nil {
		return err
	}
	old := time.Now().Add(-time.Hour)
	return os.Chtimes(path, old, old)
}

// before does what is to happen before a request.
func (r *run) before(ctx context.Context, rp *requestPlan) error {
	if rp.reload {
		// The pause counts on both sides: the process says AVAIL a moment
		// after its final status, and leaves a moment after the reload.
		if err := wait(ctx, rp.pause); err != nil {
			return err
		}
		if err := r.lab.Reload(); err != nil {
			return err
		}
	}
	if rp.touch != "" {
		path := filepath.Join(r.lab.Dir(), rp.touch)
		later := time.Now().Add(-time.Minute)
		if err := os.Chtimes(path, later, later); err != nil {
			return err
		}
	}
	return wait(ctx, rp.pause)
}

// expand replaces {NAME} by the place of a server and {NAME.port} by its port.
func (r *run) expand(text string) string {
	for _, srv := range r.servers {
		text = strings.ReplaceAll(text, "{"+srv.Name()+"}", srv.Destination())
		text = strings.ReplaceAll(text, "{"+srv.Name()+".port}", fmt.Sprint(srv.Port()))
	}
	if strings.Contains(text, "{dir}/tls/") || strings.Contains(text, "{tls:") || strings.Contains(text, "{key:") {
		if certs, err := r.lab.Certificates(); err == nil {
			text = certs.Expand(text)
		}
	}
	return strings.ReplaceAll(text, "{dir}", r.lab.Dir())
}

// request makes the queue file of a request, delivers it and notes the status.
func (r *run) request(ctx context.Context, i int) error {
	rp := &r.plan.requests[i]
	if err := r.before(ctx, rp); err != nil {
		return err
	}
	if rp.raw != nil {
		res, err := r.sendRaw(ctx, rp.raw)
		r.noteStatus(i, res, err)
		return ctx.Err()
	}
	req, err := r.lab.Queue(rp.message)
	if err != nil {
		return err
	}
	r.ids = append(r.ids, req.QueueID)
	r.recipients[req.QueueID] = slices.Clone(req.Recipients)
	rp.complete(req, r.expand)
	if !rp.set["nexthop"] && len(r.servers) > 0 {
		req.Nexthop = r.servers[0].Destination()
	}
	undo, err := r.spoil(rp.file, req)
	if err != nil {
		return err
	}
	defer undo()
	res, err := r.deliver(ctx, rp, req)
	if ctx.Err() != nil {
		return err
	}
	r.noteStatus(i, res, err)
	return nil
}

// deliver hands the request over, as it is or after some replacements.
func (r *run) deliver(ctx context.Context, rp *requestPlan, req *request.Request) (lab.Result, error) {
	if len(rp.replace) == 0 {
		return r.lab.Deliver(ctx, req)
	}
	var raw bytes.Buffer
	if err := req.Encode(&raw, r.lab.Dialect()); err != nil {
		return lab.Result{}, err
	}
	data := raw.Bytes()
	for _, pair := range rp.replace {
		if !bytes.Contains(data, []byte(pair[0])) {
			return lab.Result{}, fmt.Errorf("replace: no %q in the request", pair[0])
		}
		data = bytes.Replace(data, []byte(pair[0]), []byte(pair[1]), 1)
	}
	return r.sendRaw(ctx, data)
}

// wait waits for a time.
func wait(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// sendRaw sends bytes that stand in for a request.
func (r *run) sendRaw(ctx context.Context, raw []byte) (lab.Result, error) {
	c, err := r.lab.Connect(ctx)
	if err != nil {
		return lab.Result{}, err
	}
	defer c.Close()
	if _, err := c.Conn.Write(raw); err != nil {
		return lab.Result{}, err
	}
	if err := c.CloseWrite(); err != nil {
		return lab.Result{}, err
	}
	return c.Finish()
}

// spoil does to the queue file what the "file" key says.
func (r *run) spoil(how string, req *request.Request) (undo func(), err error) {
	path := filepath.Join(r.lab.QueueDirectory(), "active", req.QueueID)
	undo = func() {}
	switch how {
	case "":
	case "absent":
		err = os.Remove(path)
	case "not-ready":
		err = os.Chmod(path, 0o600)
	case "no-access":
		err = os.Chmod(path, 0o100)
	case "empty":
		err = os.Truncate(path, 0)
	case "directory":
		err = errors.Join(os.Remove(path), os.Mkdir(path, 0o700))
	case "locked":
		var f *os.File
		if f, err = os.OpenFile(path, os.O_RDWR, 0); err != nil {
			return nil, err
		}
		undo = func() { f.Close() }
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
	default:
		err = fmt.Errorf("file: unknown word %q", how)
	}
	return undo, err
}

// noteStatus writes down how a request ended.
func (r *run) noteStatus(i int, res lab.Result, err error) {
	b := &r.status
	fmt.Fprintf(b, "request %d: ", i+1)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, unix.ECONNRESET):
		b.WriteString("no status\n")
	case errors.Is(err, io.EOF):
		b.WriteString("no greeting\n")
	case err != nil:
		fmt.Fprintf(b, "%v\n", err)
	default:
		fmt.Fprintf(b, "status %d\n", res.Status)
		h := res.Hop
		for _, p := range [][2]string{
			{"status", h.Status}, {"diag_type", h.DiagType}, {"diag_text", h.DiagText},
			{"mta_type", h.MTAType}, {"mta_mname", h.MTAName}, {"action", h.Action}, {"reason", h.Reason},
		} {
			if p[1] != "" {
				fmt.Fprintf(b, "  %s: %s\n", p[0], p[1])
			}
		}
	}
}

// retireTime is what an idle agent gets to go away in.
const retireTime = 15 * time.Second

// finish lets the agent go and waits until the servers have seen it.
func (r *run) finish(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, retireTime)
	defer cancel()
	if err := r.lab.Retire(ctx); err != nil {
		return err
	}
	r.lab.DropCached()
	for _, srv := range r.servers {
		if !srv.WaitIdle(ctx.Done()) {
			return fmt.Errorf("wait for the end of connections to %s: %w", srv.Name(), ctx.Err())
		}
	}
	return nil
}

// close ends everything.
func (r *run) close() {
	for _, srv := range r.servers {
		srv.Close()
	}
	if r.lab != nil {
		r.lab.Close()
	}
}
