// Package sandbox is the second jail of the daemon. The first, which master(8)
// asks for by the columns "unpriv" and "chroot" of master.cf, takes away root
// and the file system outside of the queue directory. The second is Linux's
// Landlock, which a process without privileges may enter: from then on the
// kernel refuses it whatever is not granted here, whoever it runs as, and even
// where the operator has set chroot to n.
//
// # What is refused
//
// To open a file that is not granted; to make, remove or rename anything; to
// run a program; to bind a TCP socket to a port, and so to be a server; to reach
// an abstract socket; to signal or trace a process outside. Each as far as the
// kernel's Landlock knows of it, see [ABI].
//
// # What is not
//
// Connections: a delivery agent is there to connect, by TCP to any port and to
// any socket in the file system that the rights of its user let it reach. Nor
// descriptors that are open already: tables, the log, the accept lock. Nor
// stat(2), on which the texts about unreachable sockets and the watch over
// changed files depend.
//
// # Failure policy
//
// A kernel without Landlock gives [ErrUnsupported]; the process is as before
// then, but for what [Harden] did. After any other error it is as before, too:
// the last step is the one that takes effect. Mail does not depend on the
// sandbox: the caller says so in the log and goes on.
package sandbox

import (
	"errors"
	"fmt"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// ErrUnsupported says that the kernel has no Landlock, or that it is off.
var ErrUnsupported = errors.New("the kernel has no Landlock, or it is switched off")

// Rules say what is granted. A path stands for what it names when [Enter] is
// called, not for what is later put in its place.
type Rules struct {
	// Queue are directories in which files are opened for reading and
	// writing, at any depth. Each must exist.
	Queue []string
	// Read are files that are opened for reading, or directories below which
	// they are. Those that do not exist are passed over.
	Read []string
	// Sockets are directories in which sockets are made and removed. Each
	// must exist.
	Sockets []string
	// BindAnyPort allows TCP connections from a chosen address of this
	// machine, with a port that the kernel chooses.
	BindAnyPort bool
}

// ABI is the version of the kernel's Landlock: 0 for none. Opening and making
// files and running programs is 1, renaming 2, truncating 3, TCP 4, devices 5,
// abstract sockets and signals 6.
func ABI() int {
	version, err := ll.LandlockGetABIVersion()
	if err != nil || version < 0 {
		return 0
	}
	return version
}

// threadsMaySignal tells whether the scope for signals leaves those between the
// threads of the process alone. Go's run-time system sends them all the time,
// and kernels from 6.12 refused them until that was mended: erratum 2.
func threadsMaySignal() bool {
	mended, err := ll.LandlockGetErrata()
	return err == nil && mended&(1<<1) != 0
}

// restricted is everything that Landlock can refuse and that is no part of the
// work. Connecting to a socket in the file system, which ABI 9 can refuse, is.
func restricted() landlock.Config {
	c := landlock.Config{
		HandledAccessFS: ll.AccessFSExecute | ll.AccessFSWriteFile | ll.AccessFSReadFile | ll.AccessFSReadDir |
			ll.AccessFSRemoveDir | ll.AccessFSRemoveFile | ll.AccessFSMakeChar | ll.AccessFSMakeDir |
			ll.AccessFSMakeReg | ll.AccessFSMakeSock | ll.AccessFSMakeFifo | ll.AccessFSMakeBlock |
			ll.AccessFSMakeSym | ll.AccessFSRefer | ll.AccessFSTruncate | ll.AccessFSIoctlDev,
		HandledAccessNet: ll.AccessNetBindTCP,
		Scoped:           ll.ScopeAbstractUnixSocket,
	}
	if threadsMaySignal() {
		c.Scoped |= ll.ScopeSignal
	}
	return c.BestEffort()
}

// Enter enters the sandbox, with all threads of the process, for ever.
func Enter(r Rules) error {
	if ABI() == 0 {
		return ErrUnsupported
	}
	if err := restricted().Restrict(r.list()...); err != nil {
		return fmt.Errorf("enter sandbox: %w", err)
	}
	return nil
}

func (r Rules) list() []landlock.Rule {
	var rules []landlock.Rule
	add := func(rights landlock.AccessFSSet, paths []string, optional bool) {
		for _, path := range paths {
			rule := landlock.PathAccess(rights, path)
			if optional {
				rule = rule.IgnoreIfMissing()
			}
			rules = append(rules, rule)
		}
	}
	add(ll.AccessFSReadFile|ll.AccessFSWriteFile, r.Queue, false)
	add(ll.AccessFSReadFile, r.Read, true)
	add(ll.AccessFSMakeSock|ll.AccessFSRemoveFile, r.Sockets, false)
	if r.BindAnyPort {
		rules = append(rules, landlock.BindTCP(0))
	}
	return rules
}

// Harden does what needs no Landlock: the process and what it might run can
// gain no privileges by set-user-ID files, and it leaves no core dump, which
// would hold mail and passwords.
func Harden() error {
	if err := ll.AllThreadsPrctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("give up new privileges: %w", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core dumps: %w", err)
	}
	// A core dump by a pipe, as core_pattern may say, ignores the limit. After
	// the change of the user this is so already; not if that did not change.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("forbid core dumps: %w", err)
	}
	return nil
}
