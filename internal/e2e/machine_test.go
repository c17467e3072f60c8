package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// machine is a mail server as an operator has it: Postfix in /etc/postfix and
// /var/spool/postfix, Dovecot in /etc/dovecot, the usual ports, a host name of
// its own. The test binary runs itself again in mount, process, network and
// host name namespaces, where these directories are copies: the machine below is
// not changed, and nothing outlives the test.
type machine struct {
	t    *testing.T
	dir  string // the copies
	post *postfix
	imap *exec.Cmd // Dovecot
}

// machineEnv names the directory of the copies, in the inner run.
const machineEnv = "POSTLMTP_E2E_MACHINE"

// onMachine runs a test on a machine of its own. Further are arguments of the
// inner run.
func onMachine(t *testing.T, test func(*machine), further ...string) {
	t.Helper()
	if dir := os.Getenv(machineEnv); dir != "" {
		m := &machine{t: t, dir: dir}
		m.enter()
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("the end of the mail log:\n%s", m.post.log.last(40))
				imap, _ := os.ReadFile("/var/log/dovecot.log")
				t.Logf("the end of Dovecot's log:\n%s", imap[max(0, len(imap)-4000):])
			}
		})
		test(m)
		return
	}
	t.Parallel()
	need(t, dovecotProgram, "/usr/lib/dovecot/lmtp", "/usr/sbin/smtp-sink", "/usr/bin/unshare", "/usr/share/postfix/master.cf.dist")
	dir := tempDir(t)
	tool := buildTool(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{"--mount", "--pid", "--net", "--uts", "--fork", "--kill-child", "--mount-proc", self,
		"-test.run", "^" + t.Name() + "$", "-test.v", "-test.timeout", "8m"}, further...)
	cmd := exec.Command("unshare", args...)
	cmd.Env = append(os.Environ(), machineEnv+"="+dir, "PATH="+filepath.Dir(tool)+":/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "TZ=UTC")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatalf("on the machine: %v", err)
	}
}

func (m *machine) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// enter makes the namespaces into the machine.
func (m *machine) enter() {
	t := m.t
	t.Helper()
	m.must(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	m.must(unix.Mount("machine", m.dir, "tmpfs", 0, "mode=755"))
	m.post = &postfix{t: t, dir: m.dir, agent: agent{name: "ours", file: "postlmtp-lmtp"},
		ports: map[string]int{"smtp": 25}, log: &mailLog{path: "/var/log/mail.log"}}
	for _, path := range []string{"/etc/postfix", "/var/spool/postfix", "/var/lib/postfix", systemDaemons()} {
		m.overlay(path, "cp", "-a", path)
	}
	for _, path := range []string{"/etc/dovecot", "/var/log", "/run", "/var/lib/dovecot"} {
		m.must(unix.Mount("machine", path, "tmpfs", 0, "mode=755"))
	}
	m.must(unix.Sethostname([]byte("mx")))
	m.linkUp()
	m.file("/etc/hosts", "127.0.0.1 localhost\n127.0.0.1 mx.example.com mx\n127.0.0.1 imap\n")
	m.file("/etc/resolv.conf", "nameserver 127.0.0.1\n")
	accounts, err := os.ReadFile("/etc/passwd")
	m.must(err)
	groups, err := os.ReadFile("/etc/group")
	m.must(err)
	m.file("/etc/passwd", string(accounts)+"vmail:x:5000:5000::/var/vmail:/usr/sbin/nologin\n")
	m.file("/etc/group", string(groups)+"vmail:x:5000:\n")
	m.emptyDNS()
	m.write("/var/log/mail.log", "")
	m.command("find", "/var/spool/postfix", "-mindepth", "2", "-type", "f", "!", "-path", "*/etc/*", "!", "-path", "*/lib/*", "!", "-path", "*/usr/*", "-delete")
}

// overlay puts a copy in the place of a directory.
func (m *machine) overlay(path, name string, args ...string) {
	m.t.Helper()
	copied := filepath.Join(m.dir, strings.ReplaceAll(path, "/", "_"))
	m.command(name, append(args, copied)...)
	m.must(unix.Mount(copied, path, "", unix.MS_BIND, ""))
}

// file puts another file in the place of one.
func (m *machine) file(path, text string) {
	m.t.Helper()
	mine := filepath.Join(m.dir, strings.ReplaceAll(path, "/", "_"))
	m.must(os.WriteFile(mine, []byte(text), 0o644))
	m.must(unix.Mount(mine, path, "", unix.MS_BIND, ""))
	if _, err := os.Stat("/var/spool/postfix" + path); err == nil {
		m.must(os.WriteFile("/var/spool/postfix"+path, []byte(text), 0o644))
	}
}

// write writes a file of the machine.
func (m *machine) write(path, text string) {
	m.t.Helper()
	m.must(os.MkdirAll(filepath.Dir(path), 0o755))
	m.must(os.WriteFile(path, []byte(text), 0o644))
}

// linkUp turns the loopback interface on.
func (m *machine) linkUp() {
	m.t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	m.must(err)
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	m.must(err)
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	m.must(unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request))
}

// emptyDNS serves a DNS where no name exists.
func (m *machine) emptyDNS() {
	m.t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:53")
	m.must(err)
	m.t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if n < 12 {
				continue
			}
			reply := append([]byte(nil), buf[:n]...)
			reply[2], reply[3] = 0x81, 0x83 // a response: NXDOMAIN (RFC 1035 section 4.1.1)
			end := 12
			for end < n && reply[end] != 0 { // the question, without what follows it
				end += int(reply[end]) + 1
			}
			reply[10], reply[11] = 0, 0
			conn.WriteTo(reply[:min(n, end+5)], from)
		}
	}()
}

// mainCf is what every site has; a sample or a scene comes behind it.
const mainCf = `compatibility_level = LEVEL
myhostname = mx.example.com
mydestination =
inet_interfaces = loopback-only
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
maillog_file = /var/log/mail.log
alias_maps =
smtpd_peername_lookup = no
minimal_backoff_time = 300s
`

// configure writes main.cf and master.cf as Debian has it.
func (m *machine) configure(main string) {
	m.t.Helper()
	m.write("/etc/postfix/main.cf", mainText()+main)
	dist, err := os.ReadFile("/usr/share/postfix/master.cf.dist")
	m.must(err)
	m.write("/etc/postfix/master.cf", string(dist))
	m.command("postfix", "check") // which makes directories, the first time
}

// mainText is mainCf for the installed release.
func mainText() string {
	level := "2" // before 3.6
	if since(6) {
		level = fmt.Sprintf("3.%d", postfixMinor())
	}
	return strings.ReplaceAll(mainCf, "LEVEL", level)
}

// startPostfix starts it and waits for its greeting.
func (m *machine) startPostfix() {
	m.t.Helper()
	m.write("/var/spool/postfix/quick-start", "")
	m.command("postfix", "start")
	eventually(m.t, soon, "Postfix to listen", func() bool {
		c, err := net.DialTimeout("tcp", "127.0.0.1:25", time.Second)
		if err != nil {
			return false
		}
		c.Close()
		return true
	})
}

// command runs one that has to succeed.
func (m *machine) command(name string, args ...string) string {
	m.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = "/"
	out, err := cmd.CombinedOutput()
	if err != nil {
		m.t.Fatalf("%s %s: %v\n%s\n%s", name, strings.Join(args, " "), err, out, m.post.log.last(20))
	}
	return string(out)
}

// tool runs the tool, and returns what it prints and its exit status.
func (m *machine) tool(args ...string) (string, int) {
	m.t.Helper()
	cmd := exec.Command("postlmtp", args...)
	cmd.Dir = "/"
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		m.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// dovecot starts Dovecot with a configuration, and a user jim@example.com.
func (m *machine) dovecot(conf, users string) {
	m.t.Helper()
	m.must(os.MkdirAll("/var/vmail", 0o755))
	m.must(unix.Mount("machine", "/var/vmail", "tmpfs", 0, "mode=755,uid=5000,gid=5000"))
	// A machine for tests has no certificate, and no IMAP server.
	conf = strings.Replace(conf, "protocols = imap lmtp", "protocols = lmtp", 1)
	m.write("/etc/dovecot/dovecot.conf", conf+"\nssl = no\nlog_path = /var/log/dovecot.log\n")
	m.write("/etc/dovecot/users", users)
	m.startDovecot()
}

const dovecotSocket = "/var/spool/postfix/private/dovecot-lmtp"

func (m *machine) startDovecot() {
	m.t.Helper()
	m.imap = exec.Command(dovecotProgram, "-F")
	var errs bytes.Buffer
	m.imap.Stderr = &errs
	m.must(m.imap.Start())
	listens := func() bool { // its file stays when Dovecot goes
		conn, err := net.Dial("unix", dovecotSocket)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}
	if !within(soon, listens) {
		m.t.Fatalf("Dovecot does not listen: %s", errs.String())
	}
}

func (m *machine) stopDovecot() {
	m.t.Helper()
	m.must(m.imap.Process.Signal(syscall.SIGTERM))
	m.imap.Wait()
}

// stored waits for a message in the mailbox of jim@example.com.
func (m *machine) stored(user, id string) string {
	m.t.Helper()
	found := ""
	ok := within(later, func() bool {
		names, _ := filepath.Glob("/var/vmail/example.com/" + user + "/*/*")
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err == nil && bytes.Contains(data, []byte("X-E2E-Id: "+id)) {
				found = string(data)
				return true
			}
		}
		return false
	})
	if !ok {
		m.t.Fatalf("no message %s for %s\n%s", id, user, m.post.log.last(20))
	}
	return found
}

// findings matches a finding of check that is not a note.
var findings = regexp.MustCompile(`(?m)^PL\d+ (error|warning) .*`)

var limitOfOurs = regexp.MustCompile(`unused parameter: [a-z]+_destination_\w+=`)

// clean fails the test if check or postconf finds anything.
func (m *machine) clean(what string) {
	m.t.Helper()
	if out, status := m.tool("check"); status != 0 || findings.MatchString(out) {
		m.t.Errorf("%s: postlmtp check: status %d\n%s", what, status, out)
	}
	cmd := exec.Command("postconf", "-n")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	m.must(cmd.Run())
	for line := range strings.Lines(errs.String()) {
		// postconf knows the limits of services that run programs of Postfix.
		if !limitOfOurs.MatchString(line) {
			m.t.Errorf("%s: postconf -n: %s", what, line)
		}
	}
}

// users makes the file of users. Dovecot 2.4 wants the fields of a userdb in it,
// empty ones if need be.
func users(names ...string) string {
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "%s@example.com:{PLAIN}secret::::::\n", name)
	}
	return b.String()
}
