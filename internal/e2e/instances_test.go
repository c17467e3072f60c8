package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// TestInstances: two instances under postmulti(1), each with the daemon. They
// start, reload and stop together, and deliver side by side under their names.
func TestInstances(t *testing.T) {
	t.Parallel()
	enabled := "multi_instance_enable = yes"
	second := startPostfix(t, options{stopped: true, main: []string{enabled, "multi_instance_name = postfix-two"}})
	first := startPostfix(t, options{stopped: true, main: []string{enabled,
		"multi_instance_wrapper = ${command_directory}/postmulti -p --", "multi_instance_directories = " + second.conf()}})
	both := []*postfix{first, second}
	// postmulti(1) finds the first instance at the place that is built in only.
	all := func(action string) {
		first.run("unshare", "--mount", "/bin/sh", "-c",
			`mount --make-rprivate / && mount --bind "$0" /etc/postfix && exec env -u MAIL_CONFIG postmulti -p "$1"`, first.conf(), action)
	}
	start := func() {
		for _, p := range both {
			p.quickStart()
		}
		all("start")
		for _, p := range both {
			p.listens()
		}
	}
	start()
	sinks := []*sink{unixSink(t, first, "sink").run(), unixSink(t, second, "sink").run()}
	to := "rcpt@sink.lmtp.sock.test"
	deliver := func(lhlo string) {
		t.Helper()
		for i, p := range both {
			id, queueID := p.sendSmall(t, "", to)
			d := p.log.delivered(t, 0, queueID, to, "sent")
			if want := []string{"postfix/lmtp", "postfix-two/lmtp"}[i]; d.tag != want {
				t.Errorf("tag of %s, want %s", d.line, want)
			}
			if got := sinks[i].received(id); len(got) != 1 || got[0].lhlo != lhlo {
				t.Errorf("instance %d: received %d times, %v, want LHLO %s", i, len(got), got, lhlo)
			}
			if n := sinks[1-i].times(id, to); n != 0 {
				t.Errorf("a message of instance %d in the sink of the other", i)
			}
		}
	}
	deliver("mx.e2e.test")
	for _, p := range both {
		p.set("lmtp_lhlo_name = reloaded.e2e.test")
	}
	marks := []int{first.log.mark(), second.log.mark()}
	all("reload")
	for i, p := range both {
		p.log.wait(t, marks[i], `/master\[\d+\]: reload -- version `)
	}
	deliver("reloaded.e2e.test")
	all("stop")
	for i, p := range both {
		eventually(t, soon, fmt.Sprintf("the agents of instance %d to leave", i), func() bool { return len(p.agents()) == 0 })
	}
	start()
	deliver("reloaded.e2e.test")
	for _, p := range both {
		p.empty()
		p.log.noAlarm(t, 0)
	}
}

// TestInetService: the daemon as a service on a TCP port. The queue manager
// connects to sockets in the file system only, so a relay stands between them.
func TestInetService(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	p := startPostfix(t, options{further: fmt.Sprintf("127.0.0.1:%d inet n - y - - %s", port, underTest(t).file)})
	service := fmt.Sprintf("127.0.0.1:%d", port)
	t.Run("request for nothing", func(t *testing.T) {
		for range 3 {
			conn, err := net.Dial("tcp", service)
			p.must(err)
			conn.SetDeadline(time.Now().Add(soon))
			if _, err := conn.Read(make([]byte, 512)); err != nil {
				t.Fatalf("no greeting: %v", err)
			}
			// There is no such message: the agent answers that there is nothing to do.
			_, err = conn.Write(request("active", "0123456789A"))
			p.must(err)
			conn.(*net.TCPConn).CloseWrite()
			if reply, err := io.ReadAll(conn); err != nil || len(reply) == 0 {
				t.Errorf("no status: %q, %v", reply, err)
			}
			conn.Close()
		}
	})
	t.Run("delivery", func(t *testing.T) {
		relay(t, newUnixListener(t, p, "far"), "tcp", service)
		s := unixSink(t, p, "sink").run()
		for range 5 {
			to := "rcpt@sink.far.sock.test"
			id, queueID := p.sendSmall(t, "", to)
			p.log.delivered(t, 0, queueID, to, "sent")
			if n := s.times(id, to); n != 1 {
				t.Errorf("delivered %d times", n)
			}
		}
		p.empty()
	})
	p.log.noAlarm(t, 0, `0123456789A`)
}

// relay passes each connection on, until the test ends.
func relay(t *testing.T, l net.Listener, network, address string) {
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial(network, address)
			if err != nil {
				near.Close()
				continue
			}
			pass := func(to, from net.Conn) {
				io.Copy(to, from)
				to.(interface{ CloseWrite() error }).CloseWrite()
			}
			go func() {
				defer near.Close()
				defer far.Close()
				done := make(chan struct{})
				go func() { pass(far, near); close(done) }()
				pass(near, far)
				// An agent that is done waits for the queue manager to close.
				near.Close()
				<-done
			}()
		}
	}()
}

// TestIPv6Service: a service that knows no IPv4, in an instance that does.
func TestIPv6Service(t *testing.T) {
	t.Parallel()
	s, port := sixSink(t)
	p := startPostfix(t, options{services: map[string]string{"six": "y - -o inet_protocols=ipv6 -o inet_interfaces=::1"}})
	to := fmt.Sprintf("rcpt@p%d.six.six.test", port)
	id, queueID := p.sendSmall(t, "", to)
	d := p.log.delivered(t, 0, queueID, to, "sent")
	if want := fmt.Sprintf("::1[::1]:%d", port); d.relay != want || s.times(id, to) != 1 {
		t.Errorf("relay %s, want %s; delivered %d times", d.relay, want, s.times(id, to))
	}
	// The other protocol is not spoken.
	to = fmt.Sprintf("rcpt@p%d.six.port.test", freePort(t))
	_, queueID = p.sendSmall(t, "", to)
	p.log.wait(t, 0, queueID+`: to=<[^>]*>, relay=none, .*status=(deferred|bounced)`)
}

// sixSink is a sink at a port of ::1.
func sixSink(t *testing.T) (*sink, int) {
	t.Helper()
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Fatalf("no IPv6 on this machine: %v", err)
	}
	return newSink(t, l).run(), l.Addr().(*net.TCPAddr).Port
}

// TestIPv6Instance: an instance without IPv4: mail comes in and goes out by ::1,
// by address and by name, in and outside the jail.
func TestIPv6Instance(t *testing.T) {
	t.Parallel()
	s, port := sixSink(t)
	p := startPostfix(t, options{ipv6: true, main: []string{"lmtp_host_lookup = native"},
		services: map[string]string{"free": "n -"},
		world:    func(p *postfix) { p.useFile("hosts", "127.0.0.1 localhost\n::1 localhost\n") }})
	for _, service := range []string{"lmtp", "free"} {
		for _, by := range []struct{ domain, relay string }{{"six", "::1[::1]"}, {"host", "localhost[::1]"}} {
			to := fmt.Sprintf("rcpt@p%d.%s.%s.test", port, service, by.domain)
			id, queueID := p.sendSmall(t, "", to)
			d := p.log.delivered(t, 0, queueID, to, "sent")
			if want := fmt.Sprintf("%s:%d", by.relay, port); d.relay != want || s.times(id, to) != 1 {
				t.Errorf("relay %s, want %s; delivered %d times", d.relay, want, s.times(id, to))
			}
		}
	}
	p.log.noAlarm(t, 0)
}

// TestReadOnlyRoot: nothing outside the instance's directory can be written to.
func TestReadOnlyRoot(t *testing.T) {
	t.Parallel()
	p := startPostfix(t, options{world: (*postfix).readOnly, services: map[string]string{"free": "n -"}})
	work(t, p)
}

// TestDebianUnit: all runs with the limits of Debian's systemd unit (see
// unitMounts and unitFilter).
func TestDebianUnit(t *testing.T) {
	t.Parallel()
	p := startPostfix(t, options{world: (*postfix).confine, services: map[string]string{"free": "n -"}})
	work(t, p)
	agents := p.agents()
	if len(agents) == 0 {
		t.Fatal("no process to look at")
	}
	for _, a := range agents {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.pid))
		p.must(err)
		if text := string(status); !strings.Contains(text, "\nSeccomp:\t2\n") || !strings.Contains(text, "\nCapBnd:\t00000000000404c7\n") {
			t.Errorf("not confined: %s", text)
		}
	}
}

// work has an instance do what it does in its life: deliver in and outside the
// jail, to sockets, addresses and names, over a reload and a stop.
func work(t *testing.T, p *postfix) {
	t.Helper()
	unix, port := unixSink(t, p, "sink").run(), freePort(t)
	tcp := tcpSink(t, port).run()
	deliver := func() {
		t.Helper()
		for _, service := range []string{"lmtp", "free"} {
			for domain, s := range map[string]*sink{
				"sink." + service + ".sock.test":               unix,
				fmt.Sprintf("p%d.%s.port.test", port, service): tcp,
			} {
				to := "rcpt@" + domain
				id, queueID := p.sendSmall(t, "", to)
				p.log.delivered(t, 0, queueID, to, "sent")
				if n := s.times(id, to); n != 1 {
					t.Errorf("to %s: delivered %d times", to, n)
				}
			}
		}
	}
	deliver()
	p.reloaded()
	deliver()
	took := elapsed(func() {
		p.stop()
		eventually(t, soon, "the agents to leave", func() bool { return len(p.agents()) == 0 })
	})
	t.Logf("stopped in %v", took.Round(time.Millisecond))
	p.start()
	deliver()
	p.empty()
	p.log.noAlarm(t, 0)
}
