package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"postlmtp/internal/lab"
	"postlmtp/internal/request"

	"golang.org/x/sys/unix"
)

// An Agent is one of those that are compared.
type Agent struct {
	Name   string // in tables
	Binary string
	Scache string // Postfix's scache(8), which its agent needs for a cache
	Cached bool   // requests allow to use and leave open sessions
	Ours   bool

	// Release is that of Postfix around it, such as "3.7.11", which is the
	// default. An agent of Postfix wants its own.
	Release string

	least bool // no program: see leastAgent
}

// A Case is one load.
type Case struct {
	Name        string
	Concurrency int           // requests at once
	Size        int           // bytes of a message
	Recipients  int           // of a message
	TCP         bool          // else a UNIX-domain socket
	RTT         time.Duration // round trip time
	TLS         bool
	Reuse       bool     // of sessions with TLS: lmtp_tls_connection_reuse
	Chunking    bool     // the sink offers it, and our agent uses it
	MainCF      []string // further settings, of all agents
}

// defaultProcessLimit is Postfix's default_process_limit.
const defaultProcessLimit = 100

// A rig is one agent in its world, under the load of a case.
type rig struct {
	agent   Agent
	c       Case
	lab     *lab.Lab
	loop    *loop // which serves the sink, the log and the clients
	least   *least
	sink    *Sink
	log     *logReader
	daemons []*daemon // scache(8), and tlsproxy(8) where sessions with TLS are kept
	family  family
	socket  string // of the agent
	clients []*client
	closing sync.Once

	complaint atomic.Pointer[string] // a line of the log that should not be there
}

// newRig builds the world.
func newRig(agent Agent, c Case) (*rig, error) {
	r := &rig{agent: agent, c: c}
	if err := r.build(); err != nil {
		r.close()
		return nil, fmt.Errorf("%s: %s: %w", c.Name, agent.Name, err)
	}
	return r, nil
}

func (r *rig) build() error {
	sinkOptions := SinkOptions{RTT: r.c.RTT, Chunking: r.c.Chunking}
	settings := []string{"postlog_service_name = benchlog"}
	if r.c.TLS {
		cert, err := newCertificate()
		if err != nil {
			return err
		}
		sinkOptions.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
		settings = append(settings, "lmtp_tls_security_level = encrypt")
	}
	if r.c.Reuse {
		settings = append(settings, "lmtp_tls_connection_reuse = yes",
			"smtp_tls_security_level = encrypt") // tlsproxy(8) wants to know whether it is a client
	}
	if r.c.Chunking {
		settings = append(settings, "postlmtp_chunking = yes") // which means nothing to Postfix's
	}
	options := lab.Options{
		Agent:        r.agent.Binary,
		Release:      r.agent.Release,
		ProcessLimit: max(defaultProcessLimit, r.c.Concurrency),
		MainCF:       append(settings, r.c.MainCF...),
		Behaviour:    map[string]lab.Behaviour{"scache": lab.Missing},
	}
	var err error
	if r.lab, err = lab.New("", options); err != nil {
		return err
	}
	if r.loop, err = newLoop(); err != nil {
		return err
	}
	queue := r.lab.QueueDirectory()
	r.family = family{dir: queue}
	r.socket = filepath.Join(queue, "private", "lmtp")
	if r.agent.least {
		r.socket = filepath.Join(queue, "private", "least") // the lab starts nobody for it
	}
	if r.log, err = newLogReader(r.loop, filepath.Join(queue, "public", "benchlog"), &r.complaint); err != nil {
		return err
	}
	if r.agent.Scache != "" {
		if err := r.startDaemon(r.agent.Scache, "scache", "-l"); err != nil {
			return err
		}
	}
	if r.c.Reuse && !r.agent.Ours {
		if err := r.startDaemon(filepath.Join(filepath.Dir(r.agent.Binary), "tlsproxy"), "tlsproxy", "-z"); err != nil {
			return err
		}
	}
	network, address := "unix", filepath.Join(queue, "public", "sink")
	if r.c.TCP {
		network, address = "tcp", "127.0.0.1:0"
	}
	if r.sink, err = newSink(r.loop, network, address, sinkOptions); err != nil {
		return err
	}
	if err := r.makeClients(); err != nil || !r.agent.least {
		return err
	}
	r.least, err = newLeast(r)
	return err
}

// cpu returns the processor time of the agent so far, and of the services that it
// needs beside it.
func (r *rig) cpu() time.Duration {
	total := r.lab.ProcessorTime()
	for _, d := range r.daemons {
		total += lab.ProcessTime(d.pid)
	}
	if r.least != nil {
		total += r.least.loop.cpu()
	}
	return total
}

// healthy returns what the agent complained about, as an error.
func (r *rig) healthy() error {
	if line := r.complaint.Load(); line != nil {
		return fmt.Errorf("%s: %s: logged: %s", r.c.Name, r.agent.Name, *line)
	}
	if r.least != nil {
		return r.least.failure()
	}
	return nil
}

// nexthop is how the queue manager names the sink.
func (r *rig) nexthop() string {
	if r.c.TCP {
		return fmt.Sprintf("inet:[127.0.0.1]:%d", r.sink.Addr().(*net.TCPAddr).Port)
	}
	return "unix:public/sink"
}

// makeClients makes one queue file for each request that is under way at once.
func (r *rig) makeClients() error {
	text := message(r.c.Size)
	for range r.c.Concurrency {
		msg := lab.Message{Sender: "sender@example.com", Content: text}
		for i := range r.c.Recipients {
			addr := fmt.Sprintf("user%d@example.net", i+1)
			msg.Recipients = append(msg.Recipients, request.Recipient{Address: addr, Original: addr})
		}
		req, err := r.lab.Queue(msg)
		if err != nil {
			return err
		}
		req.Nexthop = r.nexthop()
		req.Encoding = "7bit"
		if r.agent.Cached {
			req.Flags |= request.ConnLoad | request.ConnStore
		}
		path := filepath.Join(r.lab.QueueDirectory(), "active", req.QueueID)
		c, err := newClient(r.loop, r.socket, path, req, r.lab.Dialect())
		if err != nil {
			return err
		}
		r.clients = append(r.clients, c)
	}
	return nil
}

// message returns a message of about that size, in lines of 70 bytes.
func message(size int) string {
	var b strings.Builder
	b.WriteString("From: <sender@example.com>\nTo: <user1@example.net>\nSubject: a message of the benchmark\n" +
		"Message-ID: <bench@example.com>\nDate: Mon, 02 Nov 2026 10:00:00 +0000\n\n")
	line := strings.Repeat("0123456789", 7)[:69] + "\n"
	for b.Len()+len(line) <= size {
		b.WriteString(line)
	}
	return b.String()
}

// A window is what was measured in one turn.
type window struct {
	done     int
	sessions int // connections to the server
	elapsed  time.Duration
	cpu      time.Duration
	times    []time.Duration // sorted
}

func (w window) perSecond() float64 { return float64(w.done) / w.elapsed.Seconds() }
func (w window) cpuEach() float64   { return w.cpu.Seconds() / float64(w.done) }

// run loads the agent for a time, and at least for one request of each client.
func (r *rig) run(ctx context.Context, d time.Duration) (window, error) {
	before, served, sessions := r.cpu(), r.sink.Messages(), r.sink.Sessions()
	start := time.Now()
	end := start.Add(d)
	err := r.load(ctx, end)
	w := window{elapsed: time.Since(start), sessions: int(r.sink.Sessions() - sessions)}
	w.cpu = r.cpu() - before
	if err = errors.Join(err, r.healthy()); err != nil {
		return w, fmt.Errorf("%s: %s: %w", r.c.Name, r.agent.Name, err)
	}
	for _, c := range r.clients {
		w.times = append(w.times, c.times...)
	}
	slices.Sort(w.times)
	w.done = len(w.times)
	if got := int(r.sink.Messages() - served); got != w.done {
		return w, fmt.Errorf("%s: %s: %d requests, but the sink took %d messages", r.c.Name, r.agent.Name, w.done, got)
	}
	return w, nil
}

// load has all clients deliver until the end.
func (r *rig) load(ctx context.Context, end time.Time) error {
	ended := make(chan error, len(r.clients))
	r.loop.mu.Lock()
	for _, c := range r.clients {
		c.run(end, func(err error) { ended <- err })
	}
	r.loop.mu.Unlock()
	hung := time.After(time.Until(end) + deliveryLimit)
	var failed error
	for range r.clients {
		select {
		case err := <-ended:
			failed = errors.Join(failed, err)
		case <-hung:
			return errors.Join(failed, errors.New("a delivery hangs"))
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return failed
}

// weigh looks at the memory of the agent while every client has a delivery under
// way: the sink holds its replies back until the last one has come.
func (r *rig) weigh(ctx context.Context) (Memory, error) {
	waiting, release := r.sink.hold()
	done := make(chan error, 1)
	go func() {
		_, err := r.run(ctx, 0)
		done <- err
	}()
	for end := time.Now().Add(deliveryLimit / 2); waiting() < len(r.clients); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) || ctx.Err() != nil {
			release()
			return Memory{}, errors.Join(<-done, fmt.Errorf("%s: %s: not all deliveries at once", r.c.Name, r.agent.Name))
		}
	}
	m := r.family.memory()
	release()
	return m, <-done
}

// close ends everything, once: descriptors that are closed may be others' soon.
func (r *rig) close() { r.closing.Do(r.end) }

func (r *rig) end() {
	if r.least != nil {
		r.least.close()
	}
	if r.lab != nil {
		r.lab.Close()
	}
	for _, d := range r.daemons {
		d.stop()
	}
	if r.loop != nil {
		r.loop.close()
	}
	for _, c := range r.clients {
		c.close()
	}
	if r.sink != nil {
		r.sink.Close()
	}
	if r.log != nil {
		r.log.close()
	}
}

func (r *rig) startDaemon(binary, name, limit string) error {
	d, err := startDaemon(r.lab, binary, name, limit)
	if err == nil {
		r.daemons = append(r.daemons, d)
	}
	return err
}

// A daemon is one process of a service that an agent needs beside it.
type daemon struct {
	pid    int
	status *os.File
}

// startDaemon starts a service of Postfix as master(8) does: one process that
// listens on the socket private/NAME. Limit tells it of its process limit, -l or
// -z.
func startDaemon(l *lab.Lab, binary, name, limit string) (*daemon, error) {
	fail := func(err error) (*daemon, error) { return nil, fmt.Errorf("start %s: %w", binary, err) }
	path := filepath.Join(l.QueueDirectory(), "private", name)
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return fail(err)
	}
	ln.SetUnlinkOnClose(false)
	listener, err := ln.File()
	ln.Close()
	if err != nil {
		return fail(err)
	}
	defer listener.Close()
	flowRead, flowWrite, err := os.Pipe()
	if err != nil {
		return fail(err)
	}
	defer flowRead.Close()
	defer flowWrite.Close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fail(err)
	}
	defer unix.Close(pair[1])
	d := &daemon{status: os.NewFile(uintptr(pair[0]), "status")}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return fail(err)
	}
	defer null.Close()
	d.pid, err = syscall.ForkExec(binary, []string{name, limit, "-t", "unix", "-o", "max_idle=3600", "-o", "max_use=1000000000"}, &syscall.ProcAttr{
		Dir: l.QueueDirectory(),
		Env: []string{"MAIL_CONFIG=" + l.ConfigDirectory(), "GENERATION=1"},
		Files: []uintptr{null.Fd(), null.Fd(), null.Fd(), flowRead.Fd(), flowWrite.Fd(),
			uintptr(pair[1]), listener.Fd()},
	})
	if err != nil {
		d.status.Close()
		return fail(err)
	}
	go io.Copy(io.Discard, d.status) //nolint:errcheck // until the process ends
	return d, nil
}

// stop ends the process.
func (d *daemon) stop() {
	_ = unix.Kill(d.pid, unix.SIGTERM)
	_, _ = unix.Wait4(d.pid, nil, 0, nil)
	d.status.Close()
}
