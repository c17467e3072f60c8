package lab

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// ProcessorTime returns the user and system time of all processes of the agent
// so far, those that have ended included. Descendants that have lost their
// parent are in it to their end only if this process adopts orphans (prctl(2),
// PR_SET_CHILD_SUBREAPER); those whose parent has waited for them are in it when
// that has ended, too.
func (l *Lab) ProcessorTime() time.Duration {
	m := l.master
	// With the lock, a process that has ended is either waited for and in spent,
	// or still a member of its group: no time is counted twice or lost.
	m.mu.Lock()
	defer m.mu.Unlock()
	for pgid := range m.groups {
		if m.children[pgid] == nil {
			m.buryOrphans(pgid)
		}
	}
	total := m.spent
	for _, p := range processList() {
		if m.groups[p.group] {
			total += ProcessTime(p.pid)
		}
	}
	return total
}

// ProcessTime returns the processor time of all threads of a process, by the
// clock that clock_getcpuclockid(3) names: 0 when it has been waited for.
func ProcessTime(pid int) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|2), &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// awaitEnd returns when a process has ended, and leaves it to bury.
func awaitEnd(pid int) {
	for unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
}

// bury waits for a process that has ended and tells how, in the words of a
// ProcessEvent, and whether master(8) would be content with that end. Caller
// holds mu.
func (m *master) bury(pid int) (what string, good bool) {
	var ws unix.WaitStatus
	if _, err := m.wait(pid, &ws); err != nil {
		return "lost: " + err.Error(), false
	}
	if ws.Signaled() {
		return "signal " + unix.SignalName(ws.Signal()), false
	}
	return fmt.Sprintf("exit %d", ws.ExitStatus()), ws.ExitStatus() == 0
}

// buryOrphans waits for the ended members of a group whose leader was waited for:
// those that came to this process. Nobody else waits for them. It tells whether
// there are any that have not ended, or are about to: the first thread of such a
// process may be a zombie already. Caller holds mu.
func (m *master) buryOrphans(pgid int) (left bool) {
	for {
		pid, err := m.wait(-pgid, nil)
		if err != nil || pid == 0 {
			return err == nil
		}
	}
}

// wait is wait4(2) for what has ended already, and keeps the books of the
// processor time: that of the process, and of those that it has waited for.
func (m *master) wait(pid int, ws *unix.WaitStatus) (int, error) {
	var used unix.Rusage
	pid, err := unix.Wait4(pid, ws, unix.WNOHANG, &used)
	if err == nil && pid > 0 {
		m.spent += time.Duration(used.Utime.Nano() + used.Stime.Nano())
	}
	return pid, err
}
