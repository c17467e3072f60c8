package master

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"postlmtp/internal/lab/lacking"
)

// realMaster is a private instance of the machine's Postfix with the agent of
// these tests as its only transport.
type realMaster struct {
	t        *testing.T
	dir      string
	settings string // further words of the agent's line in master.cf
	chroot   string // the columns of master.cf
	limit    string
}

func startPostfix(t *testing.T, chroot, limit, settings string) *realMaster {
	t.Helper()
	if _, err := exec.LookPath("postfix"); err != nil || os.Geteuid() != 0 {
		lacking.Stop(t, "root and Debian's package postfix")
	}
	dir, err := os.MkdirTemp("", "plm")
	if err != nil {
		t.Fatal(err)
	}
	m := &realMaster{t: t, dir: dir, settings: settings, chroot: chroot, limit: limit}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("mail log:\n%s\nagent's log:\n%s", m.read("log/mail.log"), m.read("log/agent.log"))
		}
		_ = exec.Command("postfix", "-c", dir+"/conf", "abort").Run()
		m.eventually("the end of Postfix", func() bool { return len(m.processes()) == 0 })
		os.RemoveAll(dir)
	})
	m.directories()
	m.configure("1")
	m.postfix("start")
	return m
}

func (m *realMaster) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *realMaster) directories() {
	account, err := user.Lookup("postfix")
	m.must(err)
	group, err := user.LookupGroup("postdrop")
	m.must(err)
	uid, _ := strconv.Atoi(account.Uid)
	postdrop, _ := strconv.Atoi(group.Gid)
	m.must(os.Chmod(m.dir, 0o755))
	make := func(name string, mode os.FileMode, uid, gid int) {
		path := filepath.Join(m.dir, name)
		m.must(os.Mkdir(path, 0o755))
		m.must(os.Chown(path, uid, gid))
		m.must(os.Chmod(path, mode))
	}
	for _, name := range []string{"conf", "daemon", "queue", "queue/pid", "meta"} {
		make(name, 0o755, 0, 0)
	}
	make("log", 0o777, 0, 0)
	make("data", 0o700, uid, 0)
	make("queue/maildrop", 0o730, uid, postdrop)
	make("queue/public", 0o710, uid, postdrop)
	for _, name := range strings.Fields("active bounce corrupt defer deferred flush hold incoming private saved trace") {
		make("queue/"+name, 0o700, uid, 0)
	}
	for _, name := range []string{"dynamicmaps.cf", "postfix-files"} {
		if data, err := os.ReadFile("/etc/postfix/" + name); err == nil {
			m.must(os.WriteFile(filepath.Join(m.dir, "meta", name), data, 0o644))
		}
	}
	out, err := exec.Command("postconf", "-dh", "daemon_directory").Output()
	m.must(err)
	system := strings.TrimSpace(string(out))
	programs, err := os.ReadDir(system)
	m.must(err)
	for _, p := range programs {
		m.must(os.Symlink(filepath.Join(system, p.Name()), filepath.Join(m.dir, "daemon", p.Name())))
	}
	self, err := os.Executable()
	m.must(err)
	program, err := os.ReadFile(self)
	m.must(err)
	m.must(os.WriteFile(filepath.Join(m.dir, "daemon/tinylmtp"), program, 0o755))
}

// configure writes main.cf and master.cf; mark tells one setting from another,
// and without one the service is not there.
func (m *realMaster) configure(mark string) {
	m.t.Helper()
	main := strings.ReplaceAll(`compatibility_level = 3.6
queue_directory = DIR/queue
data_directory = DIR/data
daemon_directory = DIR/daemon
meta_directory = DIR/meta
maillog_file = DIR/log/mail.log
maillog_file_prefixes = DIR
import_environment = MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ LANG=C POSTLOG_SERVICE POSTLOG_HOSTNAME GORACE=atexit_sleep_ms=0
myhostname = mx.master.test
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
default_transport = tiny
tiny_destination_recipient_limit = 1
tiny_initial_destination_concurrency = 20
minimal_backoff_time = 1s
queue_run_delay = 1s
`, "DIR", m.dir)
	master := fmt.Sprintf(`pickup unix n - n 1 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
postlog unix-dgram n - n - 1 postlogd
tiny unix - - %s - %s tinylmtp -v -o queue_directory=%s/queue -o mail_owner=postfix -o postfix=yes -o log=%s/log/agent.log -o mark=%s %s
`, m.chroot, m.limit, m.dir, m.dir, mark, m.settings)
	if mark == "" {
		master, _, _ = strings.Cut(master, "tiny ")
	}
	m.must(os.WriteFile(m.dir+"/conf/main.cf", []byte(main), 0o644))
	m.must(os.WriteFile(m.dir+"/conf/master.cf", []byte(master), 0o644))
}

func (m *realMaster) postfix(command string) {
	m.t.Helper()
	if command == "start" { // without the integrity check, which takes long
		m.must(os.WriteFile(m.dir+"/queue/quick-start", nil, 0o600))
	}
	if out, err := exec.Command("postfix", "-c", m.dir+"/conf", command).CombinedOutput(); err != nil {
		m.t.Fatalf("postfix %s: %v\n%s", command, err, out)
	}
}

func (m *realMaster) send(to string) {
	m.t.Helper()
	cmd := exec.Command("sendmail", "-C", m.dir+"/conf", "-f", "from@master.test", to)
	cmd.Stdin = strings.NewReader("Subject: test\n\ntext\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		m.t.Fatalf("sendmail: %v\n%s", err, out)
	}
}

func (m *realMaster) read(name string) string {
	text, _ := os.ReadFile(filepath.Join(m.dir, name))
	return string(text)
}

func (m *realMaster) eventually(what string, ok func() bool) {
	m.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			m.t.Errorf("still waiting for %s", what)
			return
		}
	}
}

func (m *realMaster) agentLog(text string) {
	m.t.Helper()
	m.eventually("the agent's "+text, func() bool { return strings.Contains(m.read("log/agent.log"), text) })
}

// processes are the processes of this instance.
func (m *realMaster) processes() []string {
	var found []string
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range links {
		dir, _ := os.Readlink(strings.TrimSuffix(link, "exe") + "cwd")
		if strings.HasPrefix(dir, m.dir+"/") {
			name, _ := os.Readlink(link)
			found = append(found, filepath.Base(name))
		}
	}
	return found
}

// agents is the number of processes of the service.
func (m *realMaster) agents() (n int) {
	for _, name := range m.processes() {
		if name == "tinylmtp" {
			n++
		}
	}
	return n
}

// quiet makes sure that master found nothing wrong with the agent.
func (m *realMaster) quiet() {
	m.t.Helper()
	for line := range strings.Lines(m.read("log/mail.log")) {
		for _, bad := range []string{"throttling", "exit status", "killed by", "tinylmtp pid"} {
			if strings.Contains(line, bad) {
				m.t.Errorf("mail log: %s", line)
			}
		}
	}
}

func (m *realMaster) emptyQueue() {
	m.t.Helper()
	m.eventually("an empty queue", func() bool {
		files := 0
		for _, queue := range []string{"maildrop", "incoming", "active", "deferred"} {
			_ = filepath.WalkDir(m.dir+"/queue/"+queue, func(_ string, d fs.DirEntry, err error) error {
				if err == nil && !d.IsDir() {
					files++
				}
				return nil
			})
		}
		return files == 0
	})
}

// "postfix reload" with a delivery in flight: the next message is delivered at
// once by a new process with the new settings, and the old delivery goes on.
func TestPostfixReload(t *testing.T) {
	for name, c := range map[string][3]string{
		"concurrent":           {"n", "-", "-o bound=10"},
		"concurrent in chroot": {"y", "-", "-o bound=10"},
		"at the bound":         {"n", "2", "-o bound=2"},
		"classic":              {"n", "-", "-o bound=1"},
	} {
		t.Run(name, func(t *testing.T) {
			m := startPostfix(t, c[0], c[1], c[2])
			m.send("slow1@one.test")
			m.agentLog("begin slow1@one.test setting=1")
			m.send("slow2@two.test")
			m.agentLog("begin slow2@two.test setting=1")
			m.configure("2")
			m.postfix("reload")
			start := time.Now()
			m.send("fast@one.test")
			m.agentLog("end fast@one.test setting=2")
			t.Logf("delivered %v after the reload", time.Since(start).Round(time.Millisecond))
			if strings.Contains(m.read("log/agent.log"), "end slow") {
				t.Error("the slow delivery has ended: the test proves nothing")
			}
			m.postfix("reload") // once more, with the old worker still there
			m.send("fast@two.test")
			m.agentLog("end fast@two.test setting=2")
			m.must(os.WriteFile(m.dir+"/queue/release", nil, 0o644))
			m.agentLog("end slow1@one.test setting=1")
			m.agentLog("end slow2@two.test setting=1")
			// The new queue manager found these messages locked and would
			// look at them again in 300 seconds.
			m.postfix("flush")
			m.emptyQueue()
			if n := strings.Count(m.read("log/agent.log"), "begin"); n != 4 {
				t.Errorf("%d deliveries, want 4", n)
			}
			m.quiet()
		})
	}
}

// "postfix stop" with a delivery in flight: it is told, and no process is left.
func TestPostfixStop(t *testing.T) {
	for name, settings := range map[string]string{"concurrent": "-o bound=10", "classic": "-o bound=1"} {
		t.Run(name, func(t *testing.T) {
			m := startPostfix(t, "y", "-", settings)
			m.send("slow@one.test")
			m.agentLog("begin slow@one.test setting=1")
			m.postfix("stop")
			m.agentLog("abandon slow@one.test: " + ErrStopping.Error())
			m.eventually("the end of all processes", func() bool { return len(m.processes()) == 0 })
			m.must(os.WriteFile(m.dir+"/queue/release", nil, 0o644))
			m.postfix("start")
			m.agentLog("end slow@one.test setting=1")
			m.emptyQueue()
			m.quiet()
		})
	}
}

// A service that is removed from master.cf: master sends SIGTERM to P and does
// nothing else until P is gone. The delivery in flight goes on.
func TestPostfixServiceRemoved(t *testing.T) {
	m := startPostfix(t, "y", "-", "-o bound=10")
	m.send("slow@one.test")
	m.agentLog("begin slow@one.test setting=1")
	m.configure("")
	m.postfix("reload")
	m.eventually("P to leave", func() bool { return m.agents() == 1 })
	m.must(os.WriteFile(m.dir+"/queue/release", nil, 0o644))
	m.agentLog("end slow@one.test setting=1")
	m.eventually("the worker to leave", func() bool { return m.agents() == 0 })
	m.postfix("status") // master is well
	m.quiet()
}

// A worker that crashes after its first request costs no minute of throttling;
// one that cannot start does.
func TestPostfixCrash(t *testing.T) {
	m := startPostfix(t, "y", "-", "-o bound=10")
	// Two, one after the other: when the second is accepted, the end of the
	// first has been noted.
	m.send("fast@zero.test")
	m.agentLog("end fast@zero.test")
	m.send("fast@one.test")
	m.agentLog("end fast@one.test")
	conn, err := net.Dial("unix", m.dir+"/queue/private/tiny")
	m.must(err)
	defer conn.Close()
	line := m.read("log/agent.log")
	worker, err := strconv.Atoi(line[1:strings.IndexByte(line, ']')])
	m.must(err)
	process, err := os.FindProcess(worker)
	m.must(err)
	m.must(process.Kill())
	m.send("fast@two.test")
	m.agentLog("end fast@two.test")
	m.agentLog(fmt.Sprintf("warning: worker process pid %d killed by signal 9", worker))
	m.quiet()

	m.settings += " -o break=" + m.dir + "/conf/main.cf"
	m.configure("3")
	m.postfix("reload")
	m.send("fast@three.test")
	m.eventually("master to throttle the service", func() bool {
		return strings.Contains(m.read("log/mail.log"), "tinylmtp: bad command startup -- throttling")
	})
}

// Many messages with a low max_use: processes come and go, nothing is lost or
// done twice, nothing is throttled.
func TestPostfixTurnover(t *testing.T) {
	m := startPostfix(t, "y", "4", "-o bound=4 -o max_use=3 -o max_idle_ms=500")
	const n = 60
	for i := range n {
		m.send(fmt.Sprintf("fast%d@one.test", i))
	}
	m.emptyQueue()
	for i := range n {
		if got := strings.Count(m.read("log/agent.log"), fmt.Sprintf("end fast%d@one.test ", i)); got != 1 {
			t.Errorf("message %d delivered %d times", i, got)
		}
	}
	m.eventually("idle processes to leave", func() bool { return m.agents() == 0 })
	m.quiet()
}
