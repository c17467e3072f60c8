package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Hostname is the myhostname of a lab.
const Hostname = "mail.example.com"

// Unlimited as a ProcessLimit stands for the 0 of master.cf.
const Unlimited = -1

// ErrThrottled says that the agent ended badly before it had served its first
// client, so that master(8) would not start it again for a while.
var ErrThrottled = errors.New("start agent: bad command startup, service is throttled")

// Options say what to drive and how.
type Options struct {
	Agent   string // file name of the agent's binary
	Command string // the command word of master.cf: argv[0]; default "lmtp"
	Service string // the service name of master.cf; default "lmtp"
	Release string // the Postfix release to be, "3.5" to "3.12"; default "3.7.11"

	MainCF []string // further lines of main.cf
	Words  []string // words of the master.cf entry after the command
	Env    []string // further environment, "name=value"

	// ProcessLimit is the process limit column of master.cf; default 1.
	ProcessLimit int

	// User, where set, makes the processes start with -u and this mail_owner.
	// The lab's directory then belongs to that user. Needs root.
	User    string
	Chroot  bool // pass -c; needs root
	Verbose int  // how many -v master(8) passes on

	ThrottleTime time.Duration // default 60 s
	StopTime     time.Duration // from SIGTERM to SIGKILL; default 5 s

	// Hosts, where set, is what the agent finds in /etc/hosts. Needs root and
	// the programs unshare, mount and bash: the agent gets a mount namespace of
	// its own.
	Hosts string
	// ResolvConf is the same for /etc/resolv.conf.
	ResolvConf string

	Behaviour map[string]Behaviour // of services, by name; default Works
	Stderr    *os.File             // the agent's standard error; default /dev/null
}

// A Lab is a small world in which an agent runs as under Postfix's master(8).
type Lab struct {
	opts   Options
	dir    string
	own    bool // dir was made by New and goes with Close
	queue  string
	config string

	pki      pki
	postlog  *postlog
	services *services
	master   *master
	files    files
	ports    sync.Map // of servers, by name
}

// New builds a lab in dir, which must exist, and starts its stand-ins. The
// agent itself is started when the first request comes. With an empty dir a
// new temporary directory is made, which Close removes.
func New(dir string, opts Options) (*Lab, error) {
	l := &Lab{opts: opts, dir: dir}
	l.opts.setDefaults()
	if err := l.build(); err != nil {
		l.Close()
		return nil, fmt.Errorf("build lab: %w", err)
	}
	return l, nil
}

func (o *Options) setDefaults() {
	set := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	set(&o.Command, "lmtp")
	set(&o.Service, "lmtp")
	set(&o.Release, "3.7.11")
	if o.ProcessLimit == 0 {
		o.ProcessLimit = 1
	}
	if o.ThrottleTime == 0 {
		o.ThrottleTime = 60 * time.Second
	}
	if o.StopTime == 0 {
		o.StopTime = 5 * time.Second
	}
}

// build makes the directories and files and starts the stand-ins.
func (l *Lab) build() error {
	agent, err := filepath.Abs(l.opts.Agent)
	if err != nil {
		return err
	}
	l.opts.Agent = agent
	if err := l.makeDirs(); err != nil {
		return err
	}
	if err := l.Configure(nil); err != nil {
		return err
	}
	for name, text := range map[string]string{"hosts": l.opts.Hosts, "resolv.conf": l.opts.ResolvConf} {
		if text == "" {
			continue
		}
		if err := writeOld(filepath.Join(l.dir, name), text); err != nil {
			return err
		}
	}
	if l.postlog, err = newPostlog(l); err != nil {
		return err
	}
	if l.services, err = newServices(l); err != nil {
		return err
	}
	if l.master, err = newMaster(l); err != nil {
		return err
	}
	return nil
}

// maxSocketPath is the room for a path in a socket address, less its NUL.
const maxSocketPath = 107

// makeDirs makes the queue and the configuration directory.
func (l *Lab) makeDirs() (err error) {
	if l.dir == "" {
		if l.dir, err = os.MkdirTemp("", "lab"); err != nil {
			return err
		}
		l.own = true
		if err := os.Chmod(l.dir, 0o755); err != nil {
			return err
		}
	}
	if l.dir, err = filepath.Abs(l.dir); err != nil {
		return err
	}
	l.queue, l.config = filepath.Join(l.dir, "queue"), filepath.Join(l.dir, "config")
	if longest := filepath.Join(l.queue, "public", "postlog"); len(longest) > maxSocketPath {
		return fmt.Errorf("make directories: %s is too long for the path of a socket", longest)
	}
	for _, sub := range []string{"config", "libexec", "data"} {
		if err := os.Mkdir(filepath.Join(l.dir, sub), 0o755); err != nil {
			return err
		}
	}
	for _, sub := range []string{"", "active", "incoming", "deferred", "corrupt", "bounce", "defer", "private", "public", "pid"} {
		if err := os.Mkdir(filepath.Join(l.queue, sub), 0o755); err != nil {
			return err
		}
	}
	return l.giveAway("active", "private", "public")
}

// giveAway makes directories belong to Options.User.
func (l *Lab) giveAway(subs ...string) error {
	if l.opts.User == "" {
		return nil
	}
	uid, gid, err := l.ids()
	if err != nil {
		return err
	}
	for _, sub := range subs {
		if err := os.Chown(filepath.Join(l.queue, sub), uid, gid); err != nil {
			return err
		}
	}
	return nil
}

// ids looks Options.User up.
func (l *Lab) ids() (uid, gid int, err error) {
	u, err := user.Lookup(l.opts.User)
	if err != nil {
		return 0, 0, err
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	return uid, gid, errors.Join(err1, err2)
}

// Configure writes main.cf again: the lab's own lines, those of Options.MainCF,
// then further ones; later lines win. Processes that run already do not notice.
func (l *Lab) Configure(further []string) error {
	lines := []string{
		"compatibility_level = 3.6",
		"queue_directory = " + l.queue,
		"daemon_directory = " + filepath.Join(l.dir, "libexec"),
		"data_directory = " + filepath.Join(l.dir, "data"),
		"myhostname = " + Hostname,
		"mydomain = example.com",
		"myorigin = $myhostname",
		"mydestination =",
		"relay_domains =",
		"mynetworks = 127.0.0.0/8",
		"inet_interfaces = 127.0.0.1",
		"inet_protocols = ipv4",
		"maillog_file = /var/log/lab.log", // never written: the stand-in of postlogd(8) only listens
		"lmtp_host_lookup = native",
	}
	if l.opts.User != "" {
		lines = append(lines, "mail_owner = "+l.opts.User)
	}
	lines = append(lines, l.opts.MainCF...)
	lines = append(lines, further...)
	text := strings.Join(lines, "\n") + "\n"
	if err := writeOld(filepath.Join(l.config, "main.cf"), text); err != nil {
		return err
	}
	// An agent may look into the master program for the release of Postfix.
	stamp := "mail_version=" + l.opts.Release + "\n"
	if err := writeOld(filepath.Join(l.dir, "libexec", "master"), stamp); err != nil {
		return err
	}
	return writeOld(filepath.Join(l.config, "master.cf"), l.masterCF())
}

// writeOld writes a file that looks as if it had not been touched lately: while
// a file is young, Postfix's programs read it again and again, for seconds, in
// case that somebody is still writing.
func writeOld(path, text string) error {
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return err
	}
	old := time.Now().Add(-time.Hour)
	return os.Chtimes(path, old, old)
}

// masterCF returns the master.cf entry of the service.
func (l *Lab) masterCF() string {
	yes := func(b bool) string {
		if b {
			return "y"
		}
		return "n"
	}
	limit := max(l.opts.ProcessLimit, 0) // Unlimited is 0 in master.cf
	line := fmt.Sprintf("%s unix - %s %s - %d %s", l.opts.Service,
		yes(l.opts.User != ""), yes(l.opts.Chroot), limit, filepath.Base(l.opts.Command))
	for _, word := range l.opts.Words {
		if strings.ContainsAny(word, " \t") {
			word = "{ " + word + " }"
		}
		line += " " + word
	}
	return line + "\n"
}

// Dir returns the lab's directory.
func (l *Lab) Dir() string { return l.dir }

// QueueDirectory returns the queue_directory: the working directory of the
// agent's processes.
func (l *Lab) QueueDirectory() string { return l.queue }

// ConfigDirectory returns the directory of main.cf and master.cf.
func (l *Lab) ConfigDirectory() string { return l.config }

// Log returns what the agent has logged so far. Every line logged before the
// call is in it.
func (l *Lab) Log() []LogLine { return l.postlog.all() }

// Grep returns the logged lines that contain all of the texts.
func (l *Lab) Grep(texts ...string) []LogLine { return grep(l.Log(), texts...) }

// Records returns the requests that the stand-in services have got so far, in
// the order of the agent's doing. Requests that an agent does not wait for may be
// missing until Retire.
func (l *Lab) Records() []Record { return l.services.recorded() }

// Processes returns what master(8) would have got to know about the agent's
// processes so far.
func (l *Lab) Processes() []ProcessEvent {
	l.master.mu.Lock()
	defer l.master.mu.Unlock()
	return append([]ProcessEvent(nil), l.master.events...)
}

// Reload does to the agent what `postfix reload` does: the status connection
// is replaced and later processes belong to a new generation.
func (l *Lab) Reload() error { return l.master.newGeneration() }

// settleTime is how long Retire waits for processes to say AVAIL.
const settleTime = 5 * time.Second

// Retire waits a little until every process has said AVAIL, closes the status
// connection and waits until they are gone and the services have read all that
// they sent: the quiet end, for a look at the exit status of idle processes. No
// process is started after it.
func (l *Lab) Retire(ctx context.Context) error {
	settled, cancel := context.WithTimeout(ctx, settleTime)
	l.master.settle(settled)
	cancel()
	if err := l.Reload(); err != nil {
		return err
	}
	if !l.master.waitGone(ctx) {
		return fmt.Errorf("wait for processes to end: %w", ctx.Err())
	}
	if !l.services.waitIdle(ctx) {
		return fmt.Errorf("wait for the end of connections to services: %w", ctx.Err())
	}
	return nil
}

// Stop does to the agent what `postfix stop` does: SIGTERM to the process
// group, and SIGKILL after Options.StopTime or when ctx ends.
func (l *Lab) Stop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, l.opts.StopTime)
	defer cancel()
	l.master.stop(ctx)
}

// Close kills what is left of the agent, ends the stand-ins and, where New
// made it, removes the directory.
func (l *Lab) Close() error {
	var errs []error
	if l.master != nil {
		now, cancel := context.WithCancel(context.Background())
		cancel()
		l.master.stop(now)
	}
	if l.services != nil {
		errs = append(errs, l.services.close())
	}
	if l.postlog != nil {
		l.postlog.close()
	}
	if l.own {
		errs = append(errs, os.RemoveAll(l.dir))
	}
	return errors.Join(errs...)
}

// dialect is what differs between the releases of Postfix on the agent's side.
type dialect struct {
	greets   bool // services and agents greet with their protocol: 3.6
	postlog  bool // postlogd(8) exists: 3.4
	sendopts bool // the request says sendopts instead of smtputf8: 3.10
}

// dialect returns the dialect of Options.Release.
func (o *Options) dialect() dialect {
	major, minor := 0, 0
	fmt.Sscanf(o.Release, "%d.%d", &major, &minor)
	from := func(n int) bool { return major > 3 || major == 3 && minor >= n }
	return dialect{greets: from(6), postlog: from(4), sendopts: from(10)}
}
