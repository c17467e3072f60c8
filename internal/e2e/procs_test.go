package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// process is one line of the process table.
type process struct {
	pid, ppid int
	program   string // the path of its executable
}

// processes lists the living processes whose working directory is inside a
// directory. All of Postfix's and Dovecot's programs work inside the
// directories of their instance, which no other process enters. Seen from inside
// of a chroot, the path of one in a mount namespace of its own has that of the
// chroot in front.
func processes(dir string) []process {
	var list []process
	links, _ := filepath.Glob("/proc/[0-9]*/cwd")
	for _, link := range links {
		cwd, err := os.Readlink(link)
		if err != nil || !strings.Contains(cwd, dir+"/") {
			continue
		}
		if p, ok := processStat(filepath.Dir(link)); ok {
			list = append(list, p)
		}
	}
	return list
}

// processStat reads /proc/PID/stat; not ok for a zombie or one that is gone.
func processStat(proc string) (process, bool) {
	data, err := os.ReadFile(proc + "/stat")
	if err != nil {
		return process{}, false
	}
	// pid (command) state ppid …: the command may hold anything.
	open, end := bytes.IndexByte(data, '('), bytes.LastIndexByte(data, ')')
	if open < 0 || end < open {
		return process{}, false
	}
	var p process
	var state byte
	p.pid, _ = strconv.Atoi(strings.TrimSpace(string(data[:open])))
	p.program, _ = os.Readlink(proc + "/exe")
	_, err = fmt.Sscanf(string(data[end+1:]), " %c %d", &state, &p.ppid)
	return p, err == nil && state != 'Z'
}

// killAll ends the processes of an instance, at once, and waits until they are
// gone.
func killAll(t *testing.T, dir string) {
	t.Helper()
	gone := within(soon, func() bool {
		list := processes(dir)
		for _, p := range list {
			syscall.Kill(p.pid, syscall.SIGKILL)
		}
		return len(list) == 0
	})
	if !gone {
		t.Errorf("these survive SIGKILL: %v", processes(dir))
	}
}

// reaper does killAll and removes the directory if the test binary dies
// without its cleanups, as with a timeout of go test: a shell that waits for
// the end of its input.
func reaper(t *testing.T, dir string) {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", `
cat >/dev/null
for round in 1 2 3; do
	for link in /proc/[0-9]*/cwd; do
		case $(readlink "$link") in
		*"$1"/*) pid=${link#/proc/}; kill -9 "${pid%/cwd}" ;;
		esac
	done
done
[ -n "$E2E_KEEP" ] || rm -rf "$1"`, "reaper", dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill() // the cleanups that follow do its work
		cmd.Wait()
		in.Close()
	})
}

// kill ends one process, at once.
func (p process) kill() { syscall.Kill(p.pid, syscall.SIGKILL) }
