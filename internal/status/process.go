package status

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"postlmtp/internal/metrics"
)

// Options say what a process is and how it may be looked at.
type Options struct {
	Directory string // relative to the working directory: postlmtp_status_directory
	UID, GID  int    // of mail_owner
	Service   string // in master.cf
	Version   string
	Slots     int      // deliveries that it may do at once
	Stages    []string // all that a delivery may be at
	Listen    Listen   // postlmtp_metrics_listen
}

// A Process is this process as others may look at it. Get it from [Prepare].
type Process struct {
	opt     Options
	boot    string
	started time.Time
	counted *metrics.Set
	flights flights
	pool    func() []Pooled

	dir      *Directory   // nil before Open
	socket   net.Listener // of this process
	id       string
	listener *listener // nil: none is wanted
}

// reportPath is where a process's own socket has its report.
const reportPath = "/report"

// metricsPath is where the listener has the metrics of all.
const metricsPath = "/metrics"

// Prepare does what needs privileges and paths that are out of reach in the
// jail. The working directory is that of the queue already.
func Prepare(o Options) (*Process, error) {
	p := &Process{opt: o, boot: bootID(), started: time.Now(), counted: metrics.NewSet()}
	p.flights.flying, p.flights.errors = make(map[*Flight]struct{}), make(map[string]*Error)
	if err := MakeDirectory(o.Directory, o.UID, o.GID); err != nil {
		return nil, err
	}
	if !o.Listen.wanted() {
		return p, nil
	}
	var err error
	p.listener, err = o.Listen.prepare()
	return p, err
}

// Open opens the directory and makes the process's socket in it. It belongs
// between jail and sandbox.
func (p *Process) Open() error {
	dir, err := openDirectory(p.opt.Directory, p.boot)
	if err != nil {
		return err
	}
	p.id = fmt.Sprintf("%s.%d.%s", fileName(p.opt.Service), os.Getpid(), strconv.FormatInt(p.started.UnixNano(), 36))
	// Under another name at first: a socket that nobody listens on yet looks
	// like one that nobody listens on any more.
	p.socket, err = listenAs(dir, "new."+p.id, p.id+socketSuffix)
	if err == nil && p.listener != nil {
		err = p.listener.open(dir, p.id)
	}
	if err != nil {
		if p.socket != nil {
			_ = p.socket.Close()
		}
		_ = dir.Close()
		return err
	}
	p.dir = dir
	return nil
}

// listenAs makes a listening socket in the directory and then gives it its name.
func listenAs(dir *Directory, first, name string) (net.Listener, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dir.socketPath(first), Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("make status socket: %w", err)
	}
	l.SetUnlinkOnClose(false) // it would have the first name removed
	if err := os.Rename(dir.file(first), dir.file(name)); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("make status socket: %w", err)
	}
	return l, nil
}

// Serve answers whoever asks, until Close. It returns at once.
func (p *Process) Serve() {
	p.counted.Started()
	go serve(p.socket, map[string]page{reportPath: {"application/json", func(w io.Writer) error {
		return json.NewEncoder(w).Encode(p.Report())
	}}})
	if p.listener != nil {
		p.listener.serve(p.dir)
	}
}

// Close adds what the process has counted to what is left of others, and takes
// its socket away. It may be called without Open.
func (p *Process) Close() error {
	if p.dir == nil {
		return nil
	}
	left := p.counted.Snapshot()
	err := p.dir.change(func(s *state) {
		s.bury(p.id, p.opt.Service, &left)
		// Under the lock, so that nobody counts the process twice.
		_ = p.socket.Close()
		_ = os.Remove(p.dir.file(p.id + socketSuffix))
	})
	if p.listener != nil {
		p.listener.close()
	}
	return errors.Join(err, p.dir.Close())
}

// ShowPool says who tells of the idle sessions. It comes before Serve.
func (p *Process) ShowPool(pool func() []Pooled) { p.pool = pool }

// Begin adds a delivery to those that go on.
func (p *Process) Begin(d Delivery) *Flight { return p.flights.begin(d) }

// Counters returns the counters of a destination.
func (p *Process) Counters(destination string) *metrics.Destination {
	return p.counted.Destination(destination)
}

// Failed notes why mail for a destination was not delivered.
func (p *Process) Failed(destination, text string) { p.flights.failed(destination, text) }

// Report tells of this process.
func (p *Process) Report() Report {
	r := Report{
		Service:  p.opt.Service,
		PID:      os.Getpid(),
		Version:  p.opt.Version,
		Started:  p.started,
		Now:      time.Now(),
		Slots:    p.opt.Slots,
		InFlight: make(map[string]int),
		Counted:  p.counted.Snapshot(),
	}
	for _, stage := range p.opt.Stages {
		r.InFlight[stage] = 0
	}
	p.flights.fill(&r)
	if p.pool != nil {
		r.Pool = p.pool()
	}
	return r
}
