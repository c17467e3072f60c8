package e2e

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
)

// namespaceScript makes a private /dev in a mount namespace of its own, with
// /dev/log as a link to the given socket, and stays to hold the namespace.
const namespaceScript = `
set -e
mount --make-rprivate /
dev=$2
mkdir "$dev"
mount -t tmpfs none "$dev"
for name in null zero full random urandom tty; do
	: >"$dev/$name"
	mount --bind "/dev/$name" "$dev/$name"
done
ln -s /proc/self/fd "$dev/fd"
ln -s "$1" "$dev/log"
mount --rbind "$dev" /dev
echo ready
exec cat`

// useSyslog makes the instance log by syslog(3): its programs run in a mount
// namespace where /dev/log is a datagram socket of the test. A goroutine
// writes what arrives to the file that postlogd would have written, in the
// form of a traditional syslog daemon.
func (p *postfix) useSyslog() {
	p.t.Helper()
	addr := &net.UnixAddr{Name: filepath.Join(p.dir, "log", "socket"), Net: "unixgram"}
	socket, err := net.ListenUnixgram("unixgram", addr)
	p.must(err)
	p.t.Cleanup(func() { socket.Close() })
	p.must(os.Chmod(addr.Name, 0o666))
	file, err := os.Create(p.log.path)
	p.must(err)
	go func() {
		defer file.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := socket.Read(buf)
			if err != nil {
				return
			}
			file.WriteString(syslogLine(string(buf[:n])) + "\n")
		}
	}()
	p.enterNamespace(addr.Name)
}

// enterNamespace starts the holder of the mount namespace; the commands of
// the instance run in it from now on.
func (p *postfix) enterNamespace(socket string) {
	p.t.Helper()
	cmd := exec.Command("unshare", "--mount", "/bin/sh", "-c", namespaceScript, "sh", socket, filepath.Join(p.dir, "dev"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	p.must(err)
	out, err := cmd.StdoutPipe()
	p.must(err)
	p.must(cmd.Start())
	p.t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		p.t.Fatalf("no mount namespace (needs CAP_SYS_ADMIN): %q, %v", line, err)
	}
	proc := "/proc/" + strconv.Itoa(cmd.Process.Pid)
	p.wrap = []string{"nsenter", "--mount=" + proc + "/ns/mnt", "--root=" + proc + "/root"}
}

var syslogPacket = regexp.MustCompile(`(?s)^<(\d+)>(\w{3} [ \d]\d \d\d:\d\d:\d\d) (.*)$`)

// syslogLine gives a packet the form that it has in a log file: the priority
// taken off, the name of the host put in. What is not of the form that
// syslog(3) sends, mail facility included, is marked.
func syslogLine(packet string) string {
	m := syslogPacket.FindStringSubmatch(strings.TrimRight(packet, "\n\x00"))
	if m == nil {
		return "MALFORMED " + strconv.Quote(packet)
	}
	if priority, _ := strconv.Atoi(m[1]); priority>>3 != 2 {
		return "WRONG FACILITY " + strconv.Quote(packet)
	}
	return m[2] + " mx " + m[3]
}
