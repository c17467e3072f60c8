package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"postlmtp/internal/queuefile"
)

// A PipelineResult is how fast a private Postfix drains its queue through each
// agent.
type PipelineResult struct {
	Messages int
	Agents   []PipelineAgent
	Better   Comparison // ours against the first; PerSecond and CPU only
}

// A PipelineAgent are the numbers of one agent: medians of all rounds.
type PipelineAgent struct {
	Name      string
	PerSecond float64 // messages, from the first to the last that the sink took
	CPU       float64 // seconds for each message, of all of Postfix with the agent
}

// A PipelineOptions says what to drain.
type PipelineOptions struct {
	Messages int
	Size     int    // bytes of a message
	Rounds   int    // pairs
	Daemons  string // Postfix's daemon_directory
}

// Pipeline drains a queue through Postfix's agent and ours in turns. Postfix
// has its own defaults: the connection cache on demand, 20 deliveries at once
// to a destination. It needs root, because Postfix does.
func Pipeline(ctx context.Context, theirs, ours Agent, o PipelineOptions) (PipelineResult, error) {
	res := PipelineResult{Messages: o.Messages}
	if os.Geteuid() != 0 {
		return res, errors.New("the whole pipeline needs root, because Postfix does")
	}
	var rates, cpus [2][]float64
	var rateRatios, cpuRatios []float64
	for range o.Rounds {
		for i, a := range []Agent{theirs, ours} {
			rate, cpu, err := drainOnce(ctx, a, o)
			if err != nil {
				return res, fmt.Errorf("whole pipeline: %s: %w", a.Name, err)
			}
			rates[i], cpus[i] = append(rates[i], rate), append(cpus[i], cpu)
		}
		last := len(rates[0]) - 1
		rateRatios = append(rateRatios, rates[1][last]/rates[0][last])
		cpuRatios = append(cpuRatios, cpus[0][last]/cpus[1][last])
	}
	for i, a := range []Agent{theirs, ours} {
		res.Agents = append(res.Agents, PipelineAgent{a.Name, median(rates[i]), median(cpus[i])})
	}
	res.Better = Comparison{PerSecond: ratioOf(rateRatios), CPU: ratioOf(cpuRatios)}
	return res, nil
}

// drainOnce makes an instance with a full queue, starts it, and waits until the
// sink has everything.
func drainOnce(ctx context.Context, a Agent, o PipelineOptions) (rate, cpu float64, err error) {
	p := &instance{agent: a, options: o}
	if p.dir, err = os.MkdirTemp("", "pipe"); err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(p.dir)) }()
	if err := p.build(); err != nil {
		return 0, 0, err
	}
	sink, err := NewSink("unix", p.path("queue/public/sink"), SinkOptions{})
	if err != nil {
		return 0, 0, err
	}
	defer sink.Close()
	if err := os.Chmod(p.path("queue/public/sink"), 0o666); err != nil {
		return 0, 0, err
	}
	if err := p.fill(); err != nil {
		return 0, 0, err
	}
	before := childTime()
	if err := p.start(ctx); err != nil {
		return 0, 0, err
	}
	for limit := time.Now().Add(5 * time.Minute); sink.Messages() < int64(o.Messages); {
		time.Sleep(10 * time.Millisecond)
		if time.Now().After(limit) || ctx.Err() != nil {
			p.stop()
			log, _ := os.ReadFile(p.path("log/mail.log"))
			return 0, 0, fmt.Errorf("%d of %d messages after a long time; the log ends: %s",
				sink.Messages(), o.Messages, log[max(0, len(log)-2000):])
		}
	}
	if err := p.stop(); err != nil {
		return 0, 0, err
	}
	cpu = (childTime() - before).Seconds() / float64(o.Messages)
	return float64(o.Messages-1) / sink.Span().Seconds(), cpu, nil
}

// childTime is the processor time of all children that were waited for.
func childTime() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_CHILDREN, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// An instance is a private Postfix.
type instance struct {
	agent   Agent
	options PipelineOptions
	dir     string
	master  *exec.Cmd
}

func (p *instance) path(name string) string { return filepath.Join(p.dir, name) }

// build makes directories and settings.
func (p *instance) build() error {
	owner, err := user.Lookup("postfix")
	if err != nil {
		return err
	}
	group, err := user.LookupGroup("postdrop")
	if err != nil {
		return err
	}
	uid, err1 := strconv.Atoi(owner.Uid)
	postdrop, err2 := strconv.Atoi(group.Gid)
	if err := errors.Join(err1, err2, os.Chmod(p.dir, 0o755)); err != nil {
		return err
	}
	mkdir := func(mode os.FileMode, uid, gid int, names ...string) {
		for _, name := range names {
			path := p.path(name)
			err = errors.Join(err, os.Mkdir(path, 0o755), os.Chown(path, uid, gid), os.Chmod(path, mode))
		}
	}
	mkdir(0o755, 0, 0, "conf", "meta", "daemon", "log", "queue", "queue/pid")
	mkdir(0o700, uid, 0, "data")
	for name := range strings.FieldsSeq("active bounce corrupt defer deferred flush hold incoming private saved trace") {
		mkdir(0o700, uid, 0, "queue/"+name)
	}
	mkdir(0o730, uid, postdrop, "queue/maildrop")
	mkdir(0o710, uid, postdrop, "queue/public")
	if err != nil {
		return err
	}
	return errors.Join(p.install(), p.configure())
}

// install fills daemon_directory: Postfix's programs, and the agent as lmtp.
func (p *instance) install() error {
	entries, err := os.ReadDir(p.options.Daemons)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != "lmtp" {
			err = errors.Join(err, os.Symlink(filepath.Join(p.options.Daemons, e.Name()), p.path("daemon/"+e.Name())))
		}
	}
	data, readErr := os.ReadFile(p.agent.Binary)
	for _, name := range []string{"dynamicmaps.cf", "postfix-files"} {
		if text, err := os.ReadFile("/etc/postfix/" + name); err == nil {
			_ = os.WriteFile(p.path("meta/"+name), text, 0o644)
		}
	}
	return errors.Join(err, readErr, os.WriteFile(p.path("daemon/lmtp"), data, 0o755))
}

// configure writes main.cf and master.cf.
func (p *instance) configure() error {
	main := fmt.Sprintf(`compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
daemon_directory = %[1]s/daemon
meta_directory = %[1]s/meta
maillog_file = %[1]s/log/mail.log
maillog_file_prefixes = %[1]s
myhostname = mx.bench.test
mydestination =
relay_domains = example.net
relay_transport = lmtp:unix:public/sink
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
notify_classes =
alias_maps =
local_recipient_maps =
initial_destination_concurrency = 20
qmgr_message_active_limit = 20000
`, p.dir)
	const master = `pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
error     unix  - - n - - error
retry     unix  - - n - - error
scache    unix  - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
lmtp      unix  - - n - - lmtp
`
	return errors.Join(
		os.WriteFile(p.path("conf/main.cf"), []byte(main), 0o644),
		os.WriteFile(p.path("conf/master.cf"), []byte(master), 0o644))
}

// fill puts messages into the incoming queue, as cleanup(8) would.
func (p *instance) fill() error {
	owner, err := user.Lookup("postfix")
	if err != nil {
		return err
	}
	uid, _ := strconv.Atoi(owner.Uid)
	gid, _ := strconv.Atoi(owner.Gid)
	text := message(p.options.Size)
	now := time.Now()
	for i := range p.options.Messages {
		id := fmt.Sprintf("1ABC%06X", i+1)
		data, _, err := queuefile.Build(queuefile.Envelope{
			Arrival: now, QueueID: id, Context: "local", Sender: "sender@example.net", Encoding: "7bit",
			Recipients: []queuefile.Recipient{{Address: "user1@example.net", Original: "user1@example.net"}},
		}, strings.NewReader(text))
		if err != nil {
			return err
		}
		path := p.path("queue/incoming/" + id)
		if err := errors.Join(os.WriteFile(path, data, 0o700), os.Chown(path, uid, gid), os.Chmod(path, 0o700)); err != nil {
			return err
		}
	}
	return nil
}

// start runs master(8) as a child of ours.
func (p *instance) start(ctx context.Context) error {
	p.master = exec.CommandContext(ctx, p.path("daemon/master"), "-c", p.path("conf"), "-d")
	p.master.Dir = p.path("queue")
	p.master.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "MAIL_CONFIG=" + p.path("conf"), "LC_ALL=C"}
	p.master.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var complaints bytes.Buffer
	p.master.Stderr = &complaints
	if err := p.master.Start(); err != nil {
		return fmt.Errorf("start master: %w", err)
	}
	return nil
}

// stop ends all processes of the instance and waits for them.
func (p *instance) stop() error {
	_ = syscall.Kill(-p.master.Process.Pid, syscall.SIGTERM)
	err := p.master.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = nil // by our signal
	}
	f := family{dir: p.path("queue")}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		pids := f.pids()
		if len(pids) == 0 {
			break
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGTERM)
			if time.Now().After(end) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		p.reap()
	}
	p.reap()
	return err
}

// reap waits for the processes that came to us when master ended. They have
// its process group.
func (p *instance) reap() {
	for {
		pid, err := syscall.Wait4(-p.master.Process.Pid, nil, syscall.WNOHANG, nil)
		if err != nil || pid <= 0 {
			return
		}
	}
}
