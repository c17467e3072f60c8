package e2e

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// postfix is one private Postfix instance.
//
// Recipient domains name the destination, so that no test has to edit a table (see route):
//
//	user@SOCKET.SERVICE.sock.test   transport SERVICE, unix:private/SOCKET
//	user@pPORT.SERVICE.port.test    transport SERVICE, inet:[127.0.0.1]:PORT
//	user@pPORT.SERVICE.six.test     transport SERVICE, inet:[::1]:PORT
//	user@pPORT.SERVICE.host.test    transport SERVICE, inet:localhost:PORT
//	user@NAME.pPORT.SERVICE.name.test   transport SERVICE, inet:[NAME]:PORT
//
// SERVICE is the master.cf service: "lmtp", or what options.services adds.
type postfix struct {
	t     *testing.T
	dir   string // holds everything
	agent agent
	host  string         // the address that smtpd listens at
	ports map[string]int // "smtp" and each of options.smtpd
	log   *mailLog
	wrap  []string // words before each command: see enterNamespace
}

// options of an instance; the zero value is the agent under test, as Debian
// installs it (chroot y, default process limit).
type options struct {
	agent    agent             // none: the agent under test
	noChroot bool              // the chroot column of service lmtp
	maxproc  string            // the process limit column of service lmtp; "" is "-"
	args     []string          // further words of service lmtp's command
	services map[string]string // further services of the agent: name to "chroot maxproc words…"
	smtpd    map[string]string // further smtpd listeners: name to options
	further  string            // further lines of master.cf
	main     []string          // further main.cf lines
	syslog   bool              // log by syslog(3), in a mount namespace of its own
	// nameserver is the address for resolv.conf, in a mount namespace, too.
	nameserver string

	ipv6    bool // the instance has no IPv4
	stopped bool // it is not started
	// world changes the world that the instance's programs run in.
	world func(*postfix)
}

// startPostfix makes and starts an instance that is stopped with the test.
func startPostfix(t *testing.T, o options) *postfix {
	t.Helper()
	need(t, systemDaemons()+"/lmtp")
	if o.agent.name == "" {
		o.agent = underTest(t)
	}
	dir := tempDir(t)
	p := &postfix{t: t, dir: dir, agent: o.agent, host: "127.0.0.1", ports: map[string]int{},
		log: &mailLog{path: filepath.Join(dir, "log", "mail.log")}}
	if o.ipv6 {
		p.host = "::1"
	}
	p.ports["smtp"] = freePortOf(t, p.host)
	for name := range o.smtpd {
		p.ports[name] = freePortOf(t, p.host)
	}
	p.makeDirs()
	p.writeMain(o)
	p.writeMaster(o)
	p.serveRoutes()
	if o.syslog {
		p.useSyslog()
	}
	if o.nameserver != "" {
		p.useNameserver(o.nameserver)
	}
	if o.world != nil {
		o.world(p)
	}
	t.Cleanup(p.shutdown)
	reaper(t, dir)
	if !o.stopped {
		p.start()
	}
	return p
}

// with is the same instance for a sub-test.
func (p *postfix) with(t *testing.T) *postfix {
	c := *p
	c.t = t
	return &c
}

func (p *postfix) conf() string { return filepath.Join(p.dir, "conf") }
func (p *postfix) queue(names ...string) string {
	return filepath.Join(append([]string{p.dir, "queue"}, names...)...)
}

// systemDaemons is the machine's daemon_directory.
func systemDaemons() string {
	out, err := exec.Command("/usr/sbin/postconf", "-dh", "daemon_directory").Output()
	if err != nil {
		return "/usr/lib/postfix/sbin"
	}
	return strings.TrimSpace(string(out))
}

// since tells whether the machine's Postfix is 3.minor or later.
func since(minor int) bool { return postfixMinor() >= minor }

// postfixMinor is the release of the machine's Postfix, without its "3.".
var postfixMinor = sync.OnceValue(func() int {
	out, _ := exec.Command("/usr/sbin/postconf", "-dh", "mail_version").Output()
	var minor int
	if _, err := fmt.Sscanf(string(out), "3.%d", &minor); err != nil {
		panic(fmt.Sprintf("mail_version of the installed Postfix is %q", out))
	}
	return minor
})

// account returns the numeric ids of a user.
func account(t *testing.T, name string) (uid, gid int) {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	uid, _ = strconv.Atoi(u.Uid)
	gid, _ = strconv.Atoi(u.Gid)
	return uid, gid
}

// makeDirs makes the directories as postfix-files lists them, with the links
// to Postfix's daemons and the files that Debian copies into the chroot.
func (p *postfix) makeDirs() {
	p.t.Helper()
	uid, _ := account(p.t, "postfix")
	group, err := user.LookupGroup("postdrop")
	if err != nil {
		p.t.Fatal(err)
	}
	postdrop, _ := strconv.Atoi(group.Gid)
	type d struct {
		name     string
		mode     os.FileMode
		uid, gid int
	}
	dirs := []d{{"conf", 0o755, 0, 0}, {"meta", 0o755, 0, 0}, {"daemon", 0o755, 0, 0},
		{"log", 0o755, 0, 0}, {"data", 0o700, uid, 0}, {"queue", 0o755, 0, 0},
		{"queue/pid", 0o755, 0, 0}, {"queue/etc", 0o755, 0, 0},
		{"queue/maildrop", 0o730, uid, postdrop}, {"queue/public", 0o710, uid, postdrop}}
	for _, name := range strings.Fields("active bounce corrupt defer deferred flush hold incoming private saved trace") {
		dirs = append(dirs, d{"queue/" + name, 0o700, uid, 0})
	}
	for _, d := range dirs {
		path := filepath.Join(p.dir, d.name)
		p.must(os.Mkdir(path, 0o755))
		p.must(os.Chown(path, d.uid, d.gid))
		p.must(os.Chmod(path, d.mode))
	}
	for _, name := range []string{"hosts", "services", "resolv.conf", "nsswitch.conf", "localtime"} {
		if data, err := os.ReadFile("/etc/" + name); err == nil {
			p.must(os.WriteFile(p.queue("etc", name), data, 0o644))
		}
	}
	p.installDaemons()
}

// installDaemons fills the private daemon_directory.
func (p *postfix) installDaemons() {
	p.t.Helper()
	system := systemDaemons()
	entries, err := os.ReadDir(system)
	p.must(err)
	for _, e := range entries {
		if p.agent.path != "" && e.Name() == p.agent.file {
			continue
		}
		p.must(os.Symlink(filepath.Join(system, e.Name()), filepath.Join(p.dir, "daemon", e.Name())))
	}
	if p.agent.path != "" {
		data, err := os.ReadFile(p.agent.path)
		p.must(err)
		p.must(os.WriteFile(filepath.Join(p.dir, "daemon", p.agent.file), data, 0o755))
	}
	// Table types that are loaded at run time are listed here.
	meta, err := exec.Command("/usr/sbin/postconf", "-dh", "meta_directory").Output()
	p.must(err)
	for _, name := range []string{"dynamicmaps.cf", "postfix-files"} {
		if data, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(meta)), name)); err == nil {
			p.must(os.WriteFile(filepath.Join(p.dir, "meta", name), data, 0o644))
		}
	}
}

// writeMain writes main.cf. A parameter of o.main replaces ours: the last
// definition wins.
func (p *postfix) writeMain(o options) {
	p.t.Helper()
	lines := []string{
		"compatibility_level = 3.6",
		"queue_directory = " + p.queue(),
		"data_directory = " + p.dir + "/data",
		"daemon_directory = " + p.dir + "/daemon",
		"meta_directory = " + p.dir + "/meta",
		"maillog_file = " + p.log.path,
		"maillog_file_prefixes = " + p.dir,
		"myhostname = mx.e2e.test",
		"mydestination =",
		"myorigin = $myhostname",
		"mynetworks = 127.0.0.0/8",
		"inet_interfaces = 127.0.0.1",
		"inet_protocols = ipv4",
		"notify_classes =",
		"alias_maps =",
		"alias_database =",
		"local_recipient_maps =",
		"smtpd_peername_lookup = no",
		"smtpd_relay_restrictions = permit_mynetworks, reject",
		"smtpd_client_connection_count_limit = 0",
		// What no test addresses on purpose, such as the bounce of a bounce, ends here.
		"relay_domains = test",
		"relay_transport = discard:",
		"transport_maps = socketmap:unix:" + p.conf() + "/routes:route",
		// Retries are asked for by the tests; they shall not have to wait for timers.
		"queue_run_delay = 2s",
		"minimal_backoff_time = 1s",
		"maximal_backoff_time = 300s",
		"transport_retry_time = 1s",
		"service_throttle_time = 1s",
		// As many parallel deliveries as a test has messages, within the process limit.
		"initial_destination_concurrency = 20",
		"qmgr_message_active_limit = 20000",
		"in_flow_delay = 0",
	}
	if o.syslog {
		lines = append(lines, "maillog_file =")
	}
	if o.ipv6 {
		lines = append(lines, "inet_protocols = ipv6", "inet_interfaces = ::1", "mynetworks = [::1]/128")
	}
	var text []byte
	last := map[string]int{} // postfix warns about what is defined twice
	lines = append(lines, o.main...)
	for i, line := range lines {
		last[strings.TrimSpace(strings.SplitN(line, "=", 2)[0])] = i
	}
	for i, line := range lines {
		if last[strings.TrimSpace(strings.SplitN(line, "=", 2)[0])] == i {
			text = append(text, line+"\n"...)
		}
	}
	p.must(os.WriteFile(p.conf()+"/main.cf", text, 0o644))
}

// writeMaster writes master.cf.
func (p *postfix) writeMaster(o options) {
	p.t.Helper()
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	host := strings.ReplaceAll("["+p.host+"]", "[127.0.0.1]", "127.0.0.1")
	line("%s:%d inet n - n - - smtpd", host, p.ports["smtp"])
	for name, words := range o.smtpd {
		line("%s:%d inet n - n - - smtpd %s", host, p.ports[name], words)
	}
	b.WriteString(`pickup    unix  n - n 60 1 pickup
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
proxywrite unix - - n - 1 proxymap
showq     unix  n - n - - showq
error     unix  - - n - - error
retry     unix  - - n - - error
discard   unix  - - n - - discard
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
`)
	chroot, maxproc := "y", "-"
	if o.noChroot {
		chroot = "n"
	}
	if o.maxproc != "" {
		maxproc = o.maxproc
	}
	line("lmtp unix - - %s - %s %s %s", chroot, maxproc, p.agent.file, strings.Join(o.args, " "))
	for name, words := range o.services {
		f := strings.SplitN(words, " ", 3)
		line("%s unix - - %s - %s %s %s", name, f[0], f[1], p.agent.file, strings.Join(f[2:], " "))
	}
	line("%s", o.further)
	p.must(os.WriteFile(p.conf()+"/master.cf", []byte(b.String()), 0o644))
}

func (p *postfix) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// command prepares a command of the instance.
func (p *postfix) command(name string, args ...string) *exec.Cmd {
	words := append(append(slices.Clone(p.wrap), name), args...)
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "MAIL_CONFIG="+p.conf(), "LC_ALL=C")
	return cmd
}

// run runs a command of the instance and returns what it prints.
func (p *postfix) run(name string, args ...string) string {
	p.t.Helper()
	cmd := p.command(name, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		p.t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out.String(), errs.String())
	}
	return out.String()
}

// start runs "postfix start" and waits for the greeting of each smtpd.
func (p *postfix) start() {
	p.t.Helper()
	p.quickStart()
	p.run("postfix", "-c", p.conf(), "start")
	p.listens()
}

// quickStart leaves out the integrity check of the next start, which takes
// longer than all the rest.
func (p *postfix) quickStart() {
	p.t.Helper()
	p.must(os.WriteFile(p.queue("quick-start"), nil, 0o600))
}

// listens waits for each smtpd.
func (p *postfix) listens() {
	p.t.Helper()
	for name, port := range p.ports {
		eventually(p.t, soon, name+" to listen", func() bool {
			c, err := net.DialTimeout("tcp", net.JoinHostPort(p.host, strconv.Itoa(port)), time.Second)
			if err != nil {
				return false
			}
			c.Close()
			return true
		})
	}
}

// stop runs "postfix stop", and returns when that does.
func (p *postfix) stop() {
	p.t.Helper()
	p.run("postfix", "-c", p.conf(), "stop")
}

// reload runs "postfix reload".
func (p *postfix) reload() {
	p.t.Helper()
	p.run("postfix", "-c", p.conf(), "reload")
}

// set edits main.cf with postconf(1); it needs a reload.
func (p *postfix) set(settings ...string) {
	p.t.Helper()
	p.run("postconf", append([]string{"-c", p.conf(), "-e"}, settings...)...)
}

// agents lists the processes of the agent that live now.
func (p *postfix) agents() []process {
	var list []process
	for _, proc := range processes(p.dir) {
		if filepath.Base(proc.program) == p.agent.file {
			list = append(list, proc)
		}
	}
	return list
}

// workers lists those of them that work now.
func (p *postfix) workers() []process { return workersAmong(p.agents()) }

// workersAmong lists who works: all but the parents of others.
func workersAmong(all []process) []process {
	return slices.DeleteFunc(slices.Clone(all), func(a process) bool {
		return slices.ContainsFunc(all, func(b process) bool { return b.ppid == a.pid })
	})
}

// shutdown ends the instance however the test ended.
func (p *postfix) shutdown() {
	if p.t.Failed() {
		p.t.Logf("the end of the mail log:\n%s", p.log.last(60))
	}
	killAll(p.t, p.dir)
}

// freePort returns a port of 127.0.0.1 that is free now.
func freePort(t *testing.T) int {
	t.Helper()
	return freePortOf(t, "127.0.0.1")
}

func freePortOf(t *testing.T, host string) int {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
