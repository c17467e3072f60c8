package torture

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"postlmtp/internal/lab"
)

// enemy breaks one thing around the daemon while it delivers.
type enemy struct {
	name     string
	settings []string
	env      []string
	blinds   bool // the log does not have everything
	attack   func(r *run, ctx context.Context, rnd *rand.Rand)
}

func (e enemy) String() string { return e.name }

func enemies() []enemy {
	return []enemy{
		{name: "none"},
		{name: "reload", attack: repeated(400, "postfix reload", (*run).reload)},
		{name: "kill of all", attack: repeated(400, "postfix abort (SIGKILL to all)", (*run).killAll)},
		{name: "kill of the worker", attack: repeated(300, "kill -9 of the worker", (*run).killWorker)},
		{name: "kill of the parent", attack: repeated(300, "kill -9 of the parent", (*run).killParent)},
		{name: "stop", attack: repeated(500, "postfix stop (SIGTERM to all)", (*run).terminate)},
		{name: "signals", attack: repeated(2, "EINTR (a signal in a storm)", (*run).storm)},
		{name: "descriptors", attack: repeated(150, "EMFILE (RLIMIT_NOFILE)", (*run).fewDescriptors)},
		{name: "memory", attack: repeated(300, "ENOMEM (RLIMIT_AS)", (*run).noMemory)},
		{name: "small heap", env: []string{"GOMEMLIMIT=1MiB"}, attack: repeated(0, "GOMEMLIMIT of 1 MiB", nil)},
		{name: "disk", attack: repeated(150, "marks cannot be written (RLIMIT_FSIZE)", (*run).fullDisk)},
		{name: "services", attack: attackServices},
		{name: "mail log", blinds: true, attack: attackLog},
		{name: "proxymap", settings: []string{"lmtp_generic_maps = proxy:hash:/none"}, attack: attackProxymap},
		{name: "queue manager gone"},
	}
}

// chooseEnemies draws one, or two that work together.
func chooseEnemies(rnd *rand.Rand) []enemy {
	all := enemies()
	chosen := []enemy{all[rnd.IntN(len(all))]}
	if second := all[rnd.IntN(len(all))]; rnd.IntN(3) == 0 && second.name != chosen[0].name {
		chosen = append(chosen, second)
	}
	return chosen
}

func (r *run) has(name string) bool {
	return slices.ContainsFunc(r.enemies, func(e enemy) bool { return e.name == name })
}

// repeated is an attack that strikes at random moments, at most so many
// milliseconds apart. Without a blow it is counted once.
func repeated(apart int, fault string, blow func(*run, *rand.Rand)) func(*run, context.Context, *rand.Rand) {
	return func(r *run, ctx context.Context, rnd *rand.Rand) {
		if blow == nil {
			r.tally.injected(fault)
			return
		}
		for pause(ctx, rnd, apart) {
			blow(r, rnd)
			r.tally.injected(fault)
		}
	}
}

// pause waits for up to so many milliseconds, and tells whether the war goes on.
func pause(ctx context.Context, rnd *rand.Rand, most int) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(time.Duration(rnd.IntN(most*1000)) * time.Microsecond):
		return true
	}
}

// heads lists the processes that the lab's master(8) has started and that run,
// each the head of its group.
func (r *run) heads() []int {
	running := make(map[int]bool)
	for _, e := range r.lab.Processes() {
		switch {
		case e.What == "start":
			running[e.PID] = true
		case strings.HasPrefix(e.What, "exit"), strings.HasPrefix(e.What, "signal"):
			delete(running, e.PID)
		}
	}
	var pids []int
	for pid := range running {
		pids = append(pids, pid)
	}
	return pids
}

// members lists all processes of the daemon.
func (r *run) members() []int {
	started := make(map[int]bool) // the groups, whose heads may be gone
	for _, e := range r.lab.Processes() {
		if e.What == "start" {
			started[e.PID] = true
		}
	}
	var pids []int
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		// PID (NAME) STATE PPID PGRP …
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		pgrp, _ := strconv.Atoi(fields[2])
		if started[pgrp] && fields[0] != "Z" {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// workers are the members that do the work: the children of a parent, or, with a
// bound of 1, all.
func (r *run) workers() []int {
	heads, members := r.heads(), r.members()
	var pids []int
	for _, pid := range members {
		if !slices.Contains(heads, pid) {
			pids = append(pids, pid)
		}
	}
	if len(pids) == 0 {
		return members
	}
	return pids
}

func (r *run) reload(*rand.Rand) {
	if err := r.lab.Reload(); err != nil {
		r.t.Error(err)
	}
}

// dies notes that processes may die from now on, until the returned function is
// called.
func (r *run) dies() (end func()) { return r.during(&r.deaths) }

func (r *run) during(spans *[]span) (end func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*spans = append(*spans, span{from: time.Now(), to: time.Now().Add(time.Hour)})
	n := len(*spans) - 1
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		(*spans)[n].to = time.Now()
	}
}

func (r *run) killAll(*rand.Rand) {
	for _, pid := range r.heads() {
		defer r.dies()()
		_ = syscall.Kill(-pid, syscall.SIGKILL) // it may have gone
	}
}

func (r *run) killWorker(*rand.Rand) {
	for _, pid := range r.workers() {
		defer r.dies()()
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// killParent is no excuse for a second copy: the worker finishes what it has.
func (r *run) killParent(rnd *rand.Rand) {
	heads := r.heads()
	if workers := r.workers(); len(workers) > 0 && slices.Contains(heads, workers[0]) {
		r.killWorker(rnd) // there are no parents
		return
	}
	for _, pid := range heads {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

func (r *run) terminate(*rand.Rand) {
	for _, pid := range r.heads() {
		_ = syscall.Kill(-pid, syscall.SIGTERM)
	}
}

func (r *run) storm(rnd *rand.Rand) {
	signals := []syscall.Signal{syscall.SIGCHLD, syscall.SIGURG, syscall.SIGWINCH, syscall.SIGHUP, syscall.SIGPIPE, syscall.SIGCONT}
	for _, pid := range r.heads() {
		_ = syscall.Kill(-pid, signals[rnd.IntN(len(signals))])
	}
}

// limited sets a soft limit of every worker for a while.
func (r *run) limited(resource int, value func(pid int) uint64, while time.Duration) {
	type old struct {
		pid   int
		limit unix.Rlimit
	}
	var all []old
	for _, pid := range r.workers() {
		var was unix.Rlimit
		if unix.Prlimit(pid, resource, nil, &was) != nil {
			continue // gone
		}
		now := unix.Rlimit{Cur: min(value(pid), was.Max), Max: was.Max}
		if unix.Prlimit(pid, resource, &now, nil) == nil {
			all = append(all, old{pid, was})
		}
	}
	time.Sleep(while)
	for _, o := range all {
		_ = unix.Prlimit(o.pid, resource, &o.limit, nil)
	}
}

func (r *run) fewDescriptors(rnd *rand.Rand) {
	few := 3 + rnd.Uint64N(20)
	r.limited(unix.RLIMIT_NOFILE, func(int) uint64 { return few }, time.Duration(rnd.IntN(200))*time.Millisecond)
}

// noMemory: a Go program that gets no memory or no thread from the kernel dies.
func (r *run) noMemory(rnd *rand.Rand) {
	defer r.dies()()
	more := rnd.Uint64N(8 << 20)
	r.limited(unix.RLIMIT_AS, func(pid int) uint64 { return addressSpace(pid) + more }, time.Duration(rnd.IntN(200))*time.Millisecond)
}

// addressSpace is what a process has mapped.
func addressSpace(pid int) uint64 {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0
	}
	pages, _ := strconv.ParseUint(strings.Fields(string(text))[0], 10, 64)
	return pages * uint64(os.Getpagesize())
}

func (r *run) fullDisk(rnd *rand.Rand) {
	defer r.during(&r.marks)()
	r.limited(unix.RLIMIT_FSIZE, func(int) uint64 { return 0 }, time.Duration(rnd.IntN(200))*time.Millisecond)
}

// behave gives a service a way to fail, and counts it.
func (r *run) behave(service string, how lab.Behaviour) {
	if err := r.lab.Behave(service, how); err != nil {
		r.t.Error(err)
	}
	if how != lab.Works {
		r.tally.injected(service + " " + string(how))
	}
}

func attackServices(r *run, ctx context.Context, rnd *rand.Rand) {
	services := []string{"bounce", "defer", "trace", "verify", "flush"}
	ways := []lab.Behaviour{lab.Works, lab.Fails, lab.HangsUp, lab.Missing, lab.Garbles, lab.BadHello, lab.Slow, lab.Silent, lab.Noise}
	for pause(ctx, rnd, 100) {
		r.behave(services[rnd.IntN(len(services))], ways[rnd.IntN(len(ways))])
	}
	for _, s := range services {
		r.behave(s, lab.Works)
	}
}

func attackLog(r *run, ctx context.Context, rnd *rand.Rand) {
	for pause(ctx, rnd, 300) {
		r.behave("postlog", []lab.Behaviour{lab.Missing, lab.Silent, lab.Works}[rnd.IntN(3)])
	}
	r.behave("postlog", lab.Works)
}

func attackProxymap(r *run, ctx context.Context, rnd *rand.Rand) {
	ways := []lab.Behaviour{lab.Works, lab.HangsUp, lab.Missing, lab.Garbles, lab.BadHello, lab.Slow, lab.Silent, lab.Noise}
	for pause(ctx, rnd, 200) {
		r.behave("proxymap", ways[rnd.IntN(len(ways))])
	}
	r.behave("proxymap", lab.Works)
}
