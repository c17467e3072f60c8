package lab_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"encoding/binary"

	"postlmtp/internal/dsn"
	"postlmtp/internal/lab"
	"postlmtp/internal/request"
)

// agentMode is the environment variable that turns this test program into an
// agent: the lab starts it as one.
const agentMode = "LAB_TEST_AGENT"

func TestMain(m *testing.M) {
	if mode := os.Getenv(agentMode); mode != "" {
		os.Exit(beAgent(mode))
	}
	os.Exit(m.Run())
}

// newLab builds a lab whose agent is this program.
func newLab(t *testing.T, mode string, opts lab.Options) *lab.Lab {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	opts.Agent, opts.Stderr = self, os.Stderr
	opts.Env = append(opts.Env, agentMode+"="+mode)
	l, err := lab.New("", opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// beAgent is a small agent: it delivers nothing and says that it did.
//
//	deliver    marks every recipient done, status 0
//	crash      exits with status 3 at once
//	old hello  greets as for Postfix 3.5
//	dies       takes a request and exits with status 4
//	slow       takes 100 ms for a request
//	stubborn   ignores SIGTERM, says AVAIL only to those who wait for it
//	tell       logs how it was started
//	leaves     takes a request, starts a process that burns processor time, and
//	           exits
func beAgent(mode string) int {
	switch mode {
	case "crash":
		return 3
	case "burns":
		burn()
		return 0
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
	case "tell":
		tell()
	}
	status := os.NewFile(5, "status")
	ln, err := net.FileListener(os.NewFile(6, "listener"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go func() { // end of file on the status socket: the end
		_, _ = io.Copy(io.Discard, status)
		ln.Close()
	}()
	for {
		c, err := ln.Accept()
		if err != nil {
			return 0
		}
		notify(status, 0)
		if code := serveOne(c, mode); code != 0 {
			return code
		}
		notify(status, 1)
		if mode == "leaves" {
			return leave()
		}
	}
}

// burned is the processor time that the mode "leaves" takes at least.
const burned = 200 * time.Millisecond

// leave starts a process that burns, in the same group.
func leave() int {
	cmd := exec.Command("/proc/self/exe", strconv.Itoa(os.Getpid()))
	cmd.Env = append(os.Environ(), agentMode+"=burns")
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// burn works until its parent has gone and enough time is spent.
func burn() {
	for parent := os.Args[1]; strconv.Itoa(os.Getppid()) == parent || lab.ProcessTime(os.Getpid()) < burned; {
	}
}

// notify sends a status message.
func notify(status io.Writer, what uint32) {
	var generation uint32
	fmt.Sscanf(os.Getenv("GENERATION"), "%o", &generation)
	msg := binary.NativeEndian.AppendUint32(nil, uint32(os.Getpid()))
	msg = binary.NativeEndian.AppendUint32(msg, generation)
	msg = binary.NativeEndian.AppendUint32(msg, what)
	_, _ = status.Write(msg)
}

// serveOne serves one client.
func serveOne(c net.Conn, mode string) int {
	defer c.Close()
	hello := request.HelloProtocol
	if mode == "old hello" {
		hello = request.HelloStatus
	}
	if request.Greet(c, hello) != nil {
		return 0
	}
	req, err := request.Read(c, request.Limits{})
	if err != nil {
		return 0
	}
	switch mode {
	case "dies":
		return 4
	case "slow":
		time.Sleep(100 * time.Millisecond)
	}
	f, err := os.OpenFile(filepath.Join(req.QueueName, req.QueueID), os.O_RDWR, 0)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer f.Close()
	for _, r := range req.Recipients {
		_, _ = f.WriteAt([]byte("D"), r.Offset)
		logLine("lmtp", fmt.Sprintf("%s: to=<%s>, status=sent (by the test)", req.QueueID, r.Address))
	}
	_ = request.Finish(c, 0, dsn.Diagnosis{})
	_, _ = bufio.NewReader(c).ReadByte()
	return 0
}

// logLine sends one line to the postlog socket.
func logLine(program, text string) {
	c, err := net.Dial("unixgram", os.Getenv("POSTLOG_SERVICE"))
	if err != nil {
		return
	}
	defer c.Close()
	fmt.Fprintf(c, "%s mail postfix/%s[%d]: %s", time.Now().Format("Jan 02 15:04:05"), program, os.Getpid(), text)
}

// tell logs how the process was started.
func tell() {
	logLine("tell", "argv "+strings.Join(os.Args, " "))
	wd, _ := os.Getwd()
	logLine("tell", "cwd "+wd)
	for _, name := range []string{"MAIL_CONFIG", "MAIL_LOGTAG", "LANG", "GENERATION", "POSTLOG_HOSTNAME", "PATH", "HOME"} {
		if value, ok := os.LookupEnv(name); ok {
			logLine("tell", "env "+name+"="+value)
		}
	}
	for fd := range 7 {
		target, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
		kind, _, _ := strings.Cut(target, ":")
		flags, _, _ := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFL, 0)
		logLine("tell", fmt.Sprintf("fd %d %s nonblock=%v", fd, kind, flags&syscall.O_NONBLOCK != 0))
	}
}
