package lab

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A ProcessEvent is something that master(8) gets to know about one of the
// agent's processes.
type ProcessEvent struct {
	At         time.Time
	PID        int
	Generation uint32
	What       string // "start", "taken", "avail", "exit N", "signal NAME", "ignored taken", "ignored avail", "throttled"
}

// A child is one process of the agent, as master(8) sees it.
type child struct {
	pid        int
	generation uint32
	avail      bool
	uses       int
	done       chan struct{} // closed when the process has been waited for
}

// statusSize is the length of a status message: pid, generation and status,
// each of four bytes in native order.
const statusSize = 12

// Status values of a status message.
const (
	statusTaken = 0
	statusAvail = 1
)

// argv builds the words that master(8) would pass for the service.
func (o *Options) argv() []string {
	argv := []string{o.Command}
	switch o.ProcessLimit {
	case 1:
		argv = append(argv, "-l")
	case Unlimited:
		argv = append(argv, "-z")
	}
	if filepath.Base(o.Command) != o.Service {
		argv = append(argv, "-n", o.Service)
	}
	argv = append(argv, "-t", "unix")
	for range o.Verbose {
		argv = append(argv, "-v")
	}
	if o.User != "" {
		argv = append(argv, "-u")
	}
	if o.Chroot {
		argv = append(argv, "-c")
	}
	return append(argv, o.Words...)
}

// environ builds the environment that master(8) gives to its children.
func (l *Lab) environ(generation uint32) []string {
	env := []string{
		"MAIL_CONFIG=" + l.config,
		"MAIL_LOGTAG=postfix",
		"LANG=C",
	}
	if l.opts.dialect().postlog {
		env = append(env,
			"POSTLOG_SERVICE="+filepath.Join(l.queue, "public", "postlog"),
			"POSTLOG_HOSTNAME="+Hostname)
	}
	env = append(env, l.opts.Env...)
	return append(env, "GENERATION="+strconv.FormatUint(uint64(generation), 8))
}

// forkExec starts one process of the agent with the descriptors of a child of
// master(8): 0 to 2 /dev/null (2 is Options.Stderr where that is set), 3 and 4
// the flow control pipe, 5 the status socket, 6 the listening socket. The
// process leads a process group of its own, so that a signal to the group
// reaches its descendants and nobody else.
func (l *Lab) forkExec(generation uint32, flow [2]int, status, listener int) (int, error) {
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("open /dev/null: %w", err)
	}
	defer unix.Close(null)
	stderr := null
	if l.opts.Stderr != nil {
		conn, err := l.opts.Stderr.SyscallConn()
		if err != nil {
			return 0, fmt.Errorf("use stderr: %w", err)
		}
		if err := conn.Control(func(fd uintptr) { stderr = int(fd) }); err != nil {
			return 0, fmt.Errorf("use stderr: %w", err)
		}
	}
	attr := &syscall.ProcAttr{
		Dir: l.queue,
		Env: l.environ(generation),
		Files: []uintptr{
			uintptr(null), uintptr(null), uintptr(stderr),
			uintptr(flow[0]), uintptr(flow[1]), uintptr(status), uintptr(listener),
		},
		Sys: &syscall.SysProcAttr{Setpgid: true},
	}
	program, argv := l.opts.Agent, l.opts.argv()
	if binds := l.binds(); len(binds) > 0 {
		program, argv = l.withFiles(binds, argv)
		attr.Env = append(attr.Env, "PATH="+os.Getenv("PATH"))
	}
	pid, err := syscall.ForkExec(program, argv, attr)
	if err != nil {
		return 0, fmt.Errorf("start %s: %w", l.opts.Agent, err)
	}
	return pid, nil
}

// binds lists pairs: a file of the lab's, and the one of the machine's whose
// place it takes for the agent.
func (l *Lab) binds() []string {
	var all []string
	if l.opts.Hosts != "" {
		all = append(all, filepath.Join(l.dir, "hosts"), "/etc/hosts")
	}
	if l.opts.ResolvConf != "" {
		all = append(all, filepath.Join(l.dir, "resolv.conf"), "/etc/resolv.conf")
	}
	return all
}

// withFiles returns the program and the words that run the agent with files of
// its own in the place of the machine's: the same process in the end.
func (l *Lab) withFiles(binds, argv []string) (string, []string) {
	const script = `while [ "$1" != -- ]; do mount --bind "$1" "$2" || exit; shift 2; done
agent=$2 && shift 2 && unset PATH && exec -a "$0" "$agent" "$@"`
	words := []string{"unshare", "--mount", "bash", "-c", script, argv[0]}
	words = append(append(words, binds...), "--", l.opts.Agent)
	program, err := exec.LookPath("unshare")
	if err != nil {
		program = "/usr/bin/unshare"
	}
	return program, append(words, argv[1:]...)
}

// parseStatus takes a status message apart.
func parseStatus(msg []byte) (pid int, generation uint32, status int32) {
	return int(int32(binary.NativeEndian.Uint32(msg[0:]))),
		binary.NativeEndian.Uint32(msg[4:]),
		int32(binary.NativeEndian.Uint32(msg[8:]))
}

// statusPair makes a status connection: our end as a pollable file, the
// children's end as a plain blocking descriptor.
func statusPair() (ours *os.File, theirs int, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, -1, fmt.Errorf("make status socket: %w", err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		unix.Close(fds[0])
		unix.Close(fds[1])
		return nil, -1, fmt.Errorf("make status socket: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "status"), fds[1], nil
}

// A process is one of the machine's.
type process struct {
	pid, group int
	zombie     bool
}

// processList looks at /proc.
func processList() []process {
	var all []process
	paths, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // gone meanwhile
		}
		// PID (NAME) STATE PPID PGRP …; the name may hold anything.
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(fields) < 3 {
			continue
		}
		p := process{zombie: fields[0] == "Z" || fields[0] == "X"}
		p.pid, _ = strconv.Atoi(filepath.Base(filepath.Dir(path)))
		p.group, _ = strconv.Atoi(fields[2])
		all = append(all, p)
	}
	return all
}

// groupAlive tells whether a process group still has a member that runs. A
// zombie, whose new parent takes its time, does not count.
func groupAlive(pgid int) bool {
	if unix.Kill(-pgid, 0) != nil {
		return false
	}
	all := processList()
	for _, p := range all {
		if p.group == pgid && !p.zombie {
			return true
		}
	}
	return len(all) == 0 // no /proc: believe kill
}
