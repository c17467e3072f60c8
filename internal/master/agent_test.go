package master

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// agentVariable makes the test program the agent that master(8) starts.
const agentVariable = "MASTER_TEST_AGENT"

// attrHello is the greeting of a delivery agent since Postfix 3.6.
const attrHello = "protocol\x00delivery_request_protocol\x00\x00"

func TestMain(m *testing.M) {
	if os.Getenv(agentVariable) != "" || filepath.Base(os.Args[0]) == "tinylmtp" {
		os.Exit(agentMain())
	}
	os.Exit(m.Run())
}

// agentMain is a delivery agent without mail, in the order of the package
// comment. Its settings are its -o options.
func agentMain() int {
	inv, err := ParseInvocation(os.Args, os.Environ())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	a := &agent{settings: map[string]string{}}
	for _, o := range inv.Overrides {
		a.settings[o.Name] = o.Value
	}
	if err := inv.CheckDescriptors(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if path := a.settings["log"]; path != "" {
		if a.log, err = os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	status, err := a.run(inv)
	if err != nil {
		a.Infof("fatal: %v", err)
		return max(status, 1)
	}
	return status
}

type agent struct {
	settings     map[string]string
	log          *os.File
	active, peak atomic.Int32
}

func (a *agent) run(inv Invocation) (int, error) {
	bound := max(a.number("bound"), 1)
	jail := Jail{}
	if inv.Unprivileged {
		var err error
		if jail.Owner, err = LookupOwner(a.settings["mail_owner"]); err != nil {
			return 1, err
		}
	}
	if inv.Chroot {
		jail.Root = a.settings["queue_directory"]
	}
	if NeedsSupervisor(inv, bound) {
		return Supervise(inv, jail, a)
	}
	if path := a.settings["break"]; path != "" {
		if _, err := os.Stat(path); err == nil {
			return 3, errors.New("broken by the test")
		}
	}
	process, err := PreJail(inv, a.settings["queue_directory"], bound)
	if err != nil {
		return 1, err
	}
	if err := EnterJail(jail); err != nil {
		return 1, err
	}
	s := Settings{
		Process: process, Bound: bound, MaxUse: a.number("max_use"), Log: a,
		MaxIdle:   time.Duration(a.number("max_idle_ms")) * time.Millisecond,
		StopGrace: time.Duration(a.number("grace_ms")) * time.Millisecond,
		Watchdog:  time.Duration(a.number("watchdog_ms")) * time.Millisecond,
	}
	if path := a.settings["changed"]; path != "" {
		s.Changed = func() (string, bool) {
			_, err := os.Stat(path)
			return "table hash:x has changed", err == nil
		}
	}
	if path := a.settings["dead_server"]; path != "" { // where a table lies
		s.Changed = func() (string, bool) {
			if _, err := os.Stat(path); err == nil {
				select {}
			}
			return "", false
		}
	}
	handle := a.converse
	if a.settings["postfix"] != "" {
		handle = a.deliver
	}
	return 0, Serve(context.Background(), s, handle)
}

func (a *agent) number(name string) int {
	n, _ := strconv.Atoi(a.settings[name])
	return n
}

func (a *agent) Infof(format string, args ...any) {
	if a.log != nil {
		fmt.Fprintf(a.log, "[%d] "+format+"\n", append([]any{os.Getpid()}, args...)...)
	}
}

func (a *agent) Warningf(format string, args ...any) { a.Infof("warning: "+format, args...) }

// converse greets and does what each line says, until "done" or the end of the
// connection.
func (a *agent) converse(ctx context.Context, conn net.Conn) {
	n := a.active.Add(1)
	defer a.active.Add(-1)
	for old := a.peak.Load(); n > old && !a.peak.CompareAndSwap(old, n); old = a.peak.Load() {
	}
	say := func(format string, args ...any) { fmt.Fprintf(conn, format+"\n", args...) }
	defer context.AfterFunc(ctx, func() {
		say("cancelled: %v", context.Cause(ctx))
	})()
	say("hello %d", os.Getpid())
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		word, arg, _ := strings.Cut(lines.Text(), " ")
		switch word {
		case "done":
			return
		case "status":
			say("active %d peak %d", a.active.Load(), a.peak.Load())
		case "pat":
			Pat(ctx)
			say("patted")
		case "exit":
			status, _ := strconv.Atoi(arg)
			os.Exit(status)
		case "panic":
			panic(arg)
		case "die":
			signal.Reset()
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		case "hang":
			select {}
		}
	}
}

// deliver plays a delivery agent for a real queue manager: it says that each
// message was delivered, those to slow@… only when the file "release" is there.
func (a *agent) deliver(ctx context.Context, conn net.Conn) {
	_, _ = conn.Write([]byte(attrHello))
	request, err := readRequest(conn)
	if err != nil {
		return // the queue manager had no request
	}
	file, err := os.OpenFile("active/"+request["queue_id"], os.O_RDWR, 0)
	if err != nil {
		a.Warningf("%v", err)
		return
	}
	defer file.Close()
	if err := flock(int(file.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != nil {
		a.Warningf("lock queue file: %v", err)
		return
	}
	to := request["recipient"]
	a.Infof("begin %s setting=%s", to, a.settings["mark"])
	if strings.HasPrefix(to, "slow") {
		waitForFile(ctx, "release")
	}
	if ctx.Err() != nil {
		a.Infof("abandon %s: %v", to, context.Cause(ctx))
		return
	}
	// Done with this recipient: the mark in the queue file says so to a queue
	// manager that has been started meanwhile.
	offset, _ := strconv.ParseInt(request["offset"], 10, 64)
	if _, err := file.WriteAt([]byte("D"), offset); err != nil {
		a.Warningf("%v", err)
	}
	a.Infof("end %s setting=%s", to, a.settings["mark"])
	var reply strings.Builder
	for _, name := range []string{"status", "diag_type", "diag_text", "mta_type", "mta_mname", "action", "reason"} {
		reply.WriteString(name + "\x00\x00")
	}
	reply.WriteString("status\x000\x00\x00")
	_, _ = conn.Write([]byte(reply.String()))
	_, _ = conn.Read(make([]byte, 1))
}

// readRequest reads a delivery request for one recipient: two lists of
// attributes, of which the later value of a name wins.
func readRequest(conn net.Conn) (map[string]string, error) {
	attributes := map[string]string{}
	in := bufio.NewReader(conn)
	for lists := 0; lists < 2; {
		name, err := in.ReadString(0)
		if err != nil {
			return nil, err
		}
		if name == "\x00" {
			lists++
			continue
		}
		value, err := in.ReadString(0)
		if err != nil {
			return nil, err
		}
		attributes[strings.Trim(name, "\x00")] = strings.Trim(value, "\x00")
	}
	return attributes, nil
}

func waitForFile(ctx context.Context, path string) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(path); err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
