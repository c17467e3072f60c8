package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// The limits that Debian's unit of Postfix (trixie and later) sets, for a command
// and all that it starts, where there is no systemd: mounts by unshare(1), and
// the rest in the process of the test binary that becomes the command.

// confinedEnv tells TestMain to be that process.
const confinedEnv = "POSTLMTP_E2E_CONFINED"

// unitMounts is what ProtectSystem=full, PrivateDevices=yes and ProcSubset=pid
// make of the file systems. $1 is a directory for the devices.
const unitMounts = `
set -e
mount --make-rprivate /
for dir in /usr /boot /etc; do
	[ -d "$dir" ] || continue
	mount --bind "$dir" "$dir"
	mount -o remount,bind,ro "$dir"
done
mkdir -p "$1"
mount -t tmpfs none "$1"
for name in null zero full random urandom tty; do
	: >"$1/$name"
	mount --bind "/dev/$name" "$1/$name"
done
ln -s /proc/self/fd "$1/fd"
mount --rbind "$1" /dev
mount -t proc -o subset=pid proc /proc
shift
exec "$@"`

// confine makes the instance's commands run as from Debian's unit.
func (p *postfix) confine() {
	p.t.Helper()
	self, err := os.Executable()
	p.must(err)
	p.wrap = []string{"unshare", "--mount", "/bin/sh", "-c", unitMounts, "sh", p.dir + "/dev",
		"env", confinedEnv + "=1", self}
}

// readOnly makes them run where only the instance's own directory can be
// written to.
func (p *postfix) readOnly() {
	p.wrap = []string{"unshare", "--mount", "/bin/sh", "-c",
		`mount --make-rprivate / && mount --bind "$0" "$0" && mount -o remount,bind,ro / && exec "$@"`, p.dir}
}

// becomeConfined gives up what the unit does not grant and becomes a command.
func becomeConfined(words []string) error {
	runtime.LockOSThread() // filter and capabilities are those of one thread
	os.Unsetenv(confinedEnv)
	path, err := exec.LookPath(words[0])
	if err != nil {
		return err
	}
	if err := filterCalls(); err != nil {
		return fmt.Errorf("filter system calls: %w", err)
	}
	for c := uintptr(0); c <= 63; c++ {
		if !unitCapabilities[c] {
			// EINVAL: the kernel has no such capability.
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && err != unix.EINVAL {
				return fmt.Errorf("drop capability %d: %w", c, err)
			}
		}
	}
	return syscall.Exec(path, words, os.Environ())
}

// unitCapabilities is the unit's CapabilityBoundingSet.
var unitCapabilities = map[uintptr]bool{
	unix.CAP_NET_BIND_SERVICE: true, unix.CAP_SYS_CHROOT: true, unix.CAP_SETGID: true, unix.CAP_SETUID: true,
	unix.CAP_DAC_OVERRIDE: true, unix.CAP_DAC_READ_SEARCH: true, unix.CAP_CHOWN: true,
}

// deniedCalls are what SystemCallFilter=@system-service @setuid chroot leaves
// out, of systemd 257; the process that calls one is killed. lastCall is the
// last one that this release knows.
var deniedCalls = []uint32{
	unix.SYS_MINCORE, unix.SYS_PTRACE, unix.SYS_SYSLOG, unix.SYS_VHANGUP, unix.SYS_PIVOT_ROOT, unix.SYS_ADJTIMEX, unix.SYS_ACCT,
	unix.SYS_SETTIMEOFDAY, unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_REBOOT,
	unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME, unix.SYS_INIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_QUOTACTL,
	unix.SYS_NFSSERVCTL, unix.SYS_LOOKUP_DCOOKIE, unix.SYS_CLOCK_SETTIME, unix.SYS_KEXEC_LOAD, unix.SYS_PERF_EVENT_OPEN,
	unix.SYS_FANOTIFY_INIT, unix.SYS_FANOTIFY_MARK, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_CLOCK_ADJTIME, unix.SYS_FINIT_MODULE,
	unix.SYS_KEXEC_FILE_LOAD, unix.SYS_BPF, unix.SYS_PKEY_MPROTECT, unix.SYS_PKEY_ALLOC, unix.SYS_PKEY_FREE, unix.SYS_OPEN_TREE,
	unix.SYS_MOVE_MOUNT, unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK, unix.SYS_PIDFD_GETFD,
	unix.SYS_MOUNT_SETATTR, unix.SYS_QUOTACTL_FD, unix.SYS_MEMFD_SECRET, unix.SYS_PROCESS_MRELEASE, unix.SYS_CACHESTAT,
}

const lastCall = 462 // mseal

// The fields of struct seccomp_data: the number, and the low halves of the
// arguments on a little-endian machine.
const callNumber = 0

func argument(n uint32) bpf.LoadAbsolute { return bpf.LoadAbsolute{Off: 16 + 8*n, Size: 4} }

func deny(errno syscall.Errno) bpf.RetConstant {
	return bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(errno)}
}

// unitFilter is the program of all the unit's filters.
func unitFilter() []bpf.Instruction {
	allow := bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW}
	kill := bpf.RetConstant{Val: unix.SECCOMP_RET_KILL_PROCESS}
	list := []bpf.Instruction{bpf.LoadAbsolute{Off: callNumber, Size: 4}}
	// on is what is done about one call.
	on := func(number uint32, then ...bpf.Instruction) {
		list = append(list, bpf.JumpIf{Cond: bpf.JumpEqual, Val: number, SkipFalse: uint8(len(then))})
		list = append(list, then...)
	}
	for _, number := range deniedCalls {
		on(number, kill)
	}
	list = append(list, bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: lastCall, SkipFalse: 1}, kill)
	// RestrictAddressFamilies=AF_UNIX AF_NETLINK AF_INET AF_INET6
	on(unix.SYS_SOCKET, argument(0),
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_UNIX, SkipTrue: 3},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_NETLINK, SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_INET, SkipTrue: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.AF_INET6, SkipTrue: 1},
		allow, deny(unix.EAFNOSUPPORT))
	// MemoryDenyWriteExecute=yes
	on(unix.SYS_MMAP, argument(2), bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: unix.PROT_WRITE | unix.PROT_EXEC},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.PROT_WRITE | unix.PROT_EXEC, SkipTrue: 1}, allow, deny(unix.EPERM))
	on(unix.SYS_MPROTECT, argument(2),
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: unix.PROT_EXEC, SkipTrue: 1}, allow, deny(unix.EPERM))
	// RestrictNamespaces=yes
	const namespaces = unix.CLONE_NEWCGROUP | unix.CLONE_NEWIPC | unix.CLONE_NEWNET | unix.CLONE_NEWNS |
		unix.CLONE_NEWPID | unix.CLONE_NEWUSER | unix.CLONE_NEWUTS
	for _, number := range []uint32{unix.SYS_CLONE, unix.SYS_UNSHARE} {
		on(number, argument(0), bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: namespaces, SkipTrue: 1}, allow, deny(unix.EPERM))
	}
	on(unix.SYS_CLONE3, deny(unix.ENOSYS))
	on(unix.SYS_SETNS, deny(unix.EPERM))
	// LockPersonality=yes: asking for it is allowed.
	on(unix.SYS_PERSONALITY, argument(0), bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0xffffffff, SkipFalse: 1}, allow, deny(unix.EPERM))
	// RestrictRealtime=yes
	on(unix.SYS_SCHED_SETSCHEDULER, argument(1),
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.SCHED_FIFO, SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.SCHED_RR, SkipTrue: 1}, allow, deny(unix.EPERM))
	return append(list, allow)
}

// filterCalls sets the filter for this thread.
func filterCalls() error {
	program, err := bpf.Assemble(unitFilter())
	if err != nil {
		return err
	}
	filter := make([]unix.SockFilter, len(program))
	for i, in := range program {
		filter[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	fprog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&fprog)), 0, 0)
}
