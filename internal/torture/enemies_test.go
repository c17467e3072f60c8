package torture

import (
	"context"
	"maps"
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
	kills    bool // processes end by it
	chokes   bool // processes end by it only before they serve anybody
	attack   func(r *run, ctx context.Context, rnd *rand.Rand)
}

func (e enemy) String() string { return e.name }

// enemies has all that there are, but the want of memory if the daemon is built with
// the race detector: that one ends for it, with a report that is not of a race.
func enemies() []enemy {
	all := []enemy{
		{name: "none"},
		{name: "reload", attack: repeated(400, (*run).reload)},
		{name: "kill of all", kills: true, attack: repeated(400, (*run).killAll)},
		{name: "kill of the worker", kills: true, attack: repeated(300, (*run).killWorker)},
		{name: "kill of the parent", kills: true, attack: repeated(300, (*run).killParent)},
		{name: "stop", kills: true, attack: repeated(500, (*run).terminate)},
		{name: "signals", chokes: true, attack: repeated(2, (*run).storm)},
		{name: "descriptors", chokes: true, attack: repeated(150, (*run).fewDescriptors)},
		{name: "memory", kills: true, attack: repeated(300, (*run).noMemory)},
		{name: "small heap", env: []string{"GOMEMLIMIT=1MiB"}, attack: smallHeap},
		{name: "disk", attack: repeated(150, (*run).fullDisk)},
		{name: "services", settings: []string{"fast_flush_domains = example.net"}, attack: attackServices},
		{name: "mail log", blinds: true, attack: attackLog},
		{name: "proxymap", settings: []string{"lmtp_generic_maps = proxy:hash:/none"}, attack: attackProxymap},
		{name: "queue manager gone"},
	}
	if os.Getenv("POSTLMTP_RACE") != "" {
		all = slices.DeleteFunc(all, func(e enemy) bool { return e.name == "memory" })
	}
	return all
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
// milliseconds apart.
func repeated(apart int, blow func(*run, *rand.Rand)) func(*run, context.Context, *rand.Rand) {
	return func(r *run, ctx context.Context, rnd *rand.Rand) {
		for pause(ctx, rnd, apart) {
			blow(r, rnd)
		}
	}
}

// blow counts a blow, and whether it hit a process.
func (r *run) blow(fault string, hit bool) {
	r.tally.arranged(fault)
	n := 0
	if hit {
		n = 1
	}
	r.tally.met(fault, n)
}

// smallHeap lasts as long as its world.
func smallHeap(r *run, _ context.Context, _ *rand.Rand) { r.blow("GOMEMLIMIT of 1 MiB", true) }

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
func (r *run) members() []int { return slices.Collect(maps.Keys(r.groups())) }

// groups are the processes of the daemon, each with the head of its group, which may
// be gone.
func (r *run) groups() map[int]int {
	started := make(map[int]bool)
	for _, e := range r.lab.Processes() {
		if e.What == "start" {
			started[e.PID] = true
		}
	}
	groups := make(map[int]int)
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
			groups[pid] = pgrp
		}
	}
	return groups
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
	running := len(r.heads()) > 0
	if err := r.lab.Reload(); err != nil {
		r.t.Error(err)
	}
	r.blow("postfix reload", running)
}

// dies notes that processes may die from now on, until so long after the call of the
// returned function.
func (r *run) dies() (end func(later time.Duration)) { return r.during(&r.deaths) }

func (r *run) during(spans *[]span) (end func(later time.Duration)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*spans = append(*spans, span{from: time.Now(), to: time.Now().Add(time.Hour)})
	n := len(*spans) - 1
	return func(later time.Duration) {
		r.mu.Lock()
		defer r.mu.Unlock()
		(*spans)[n].to = time.Now().Add(later)
	}
}

// end sends a signal to processes that they end by, and tells whether anybody was
// there to get it.
func (r *run) end(pids []int, sig syscall.Signal) (hit bool) {
	for _, pid := range pids {
		hit = syscall.Kill(pid, sig) == nil || hit
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.struck = append(r.struck, pids...)
	return hit
}

// endGroups does so with whole groups.
func (r *run) endGroups(sig syscall.Signal) (hit bool) {
	var members, groups []int
	for pid, group := range r.groups() {
		members = append(members, pid)
		groups = append(groups, -group)
	}
	r.mu.Lock()
	r.struck = append(r.struck, members...)
	r.mu.Unlock()
	slices.Sort(groups)
	for _, group := range slices.Compact(groups) {
		hit = syscall.Kill(group, sig) == nil || hit
	}
	return hit
}

func (r *run) killAll(*rand.Rand) {
	defer r.dies()(0)
	r.blow("postfix abort (SIGKILL to all)", r.endGroups(syscall.SIGKILL))
}

func (r *run) killWorker(*rand.Rand) {
	defer r.dies()(0)
	r.blow("kill -9 of the worker", r.end(r.workers(), syscall.SIGKILL))
}

// killParent is no excuse for a second copy: the worker finishes what it has.
func (r *run) killParent(rnd *rand.Rand) {
	heads := r.heads()
	if workers := r.workers(); len(workers) > 0 && slices.Contains(heads, workers[0]) {
		r.killWorker(rnd) // there are no parents
		return
	}
	r.blow("kill -9 of the parent", r.end(heads, syscall.SIGKILL))
}

func (r *run) terminate(*rand.Rand) {
	r.blow("postfix stop (SIGTERM to all)", r.endGroups(syscall.SIGTERM))
}

// storm has SIGHUP in it, which ends a process that has just been started and does
// not listen for it yet.
func (r *run) storm(rnd *rand.Rand) {
	signals := []syscall.Signal{syscall.SIGCHLD, syscall.SIGURG, syscall.SIGWINCH, syscall.SIGHUP, syscall.SIGPIPE, syscall.SIGCONT}
	hit := false
	for _, pid := range r.heads() {
		hit = syscall.Kill(-pid, signals[rnd.IntN(len(signals))]) == nil || hit
	}
	r.blow("EINTR (a signal in a storm)", hit)
}

// limited sets a soft limit of every worker for a while. Where there is none yet that
// is the parent, whose worker has the limit from it.
func (r *run) limited(resource int, limit uint64, while time.Duration) {
	old := make(map[int]unix.Rlimit)
	for _, pid := range r.workers() {
		var was unix.Rlimit
		if unix.Prlimit(pid, resource, nil, &was) != nil {
			continue // gone
		}
		now := unix.Rlimit{Cur: min(limit, was.Max), Max: was.Max}
		if unix.Prlimit(pid, resource, &now, nil) == nil {
			old[pid] = was
		}
	}
	time.Sleep(while)
	for pid, was := range old {
		_ = unix.Prlimit(pid, resource, &was, nil) // it may have gone
	}
	for _, pid := range r.members() {
		var now unix.Rlimit
		if unix.Prlimit(pid, resource, nil, &now) == nil && now.Cur == limit {
			now.Cur = now.Max
			_ = unix.Prlimit(pid, resource, &now, nil)
		}
	}
}

// fewDescriptors has its effect in the log, see met.
func (r *run) fewDescriptors(rnd *rand.Rand) {
	few := 3 + rnd.Uint64N(20)
	r.limited(unix.RLIMIT_NOFILE, few, time.Duration(rnd.IntN(200))*time.Millisecond)
	r.tally.arranged(faultFiles)
}

// noMemory: a Go program that gets no memory from the kernel dies. One that runs has
// all that it needs for small messages; therefore there is a reload, and who comes
// next is short of it, with the worker that it starts.
func (r *run) noMemory(rnd *rand.Rand) {
	defer r.dies()(clientTime)
	old := r.heads()
	if err := r.lab.Reload(); err != nil {
		r.t.Error(err)
	}
	var poor []int
	for end := time.Now().Add(time.Duration(rnd.IntN(200)) * time.Millisecond); time.Now().Before(end); time.Sleep(time.Millisecond) {
		for _, pid := range r.heads() {
			limit := unix.Rlimit{Cur: rnd.Uint64N(addressSpace(pid) + 1), Max: unix.RLIM_INFINITY}
			if !slices.Contains(old, pid) && unix.Prlimit(pid, unix.RLIMIT_AS, &limit, nil) == nil {
				old, poor = append(old, pid), append(poor, pid)
			}
		}
	}
	r.tally.arranged(faultMemory)
	alive := r.heads()
	r.tally.met(faultMemory, len(slices.DeleteFunc(poor, func(pid int) bool { return slices.Contains(alive, pid) })))
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

// fullDisk has its effect in the log, too.
func (r *run) fullDisk(rnd *rand.Rand) {
	defer r.during(&r.marks)(0)
	r.limited(unix.RLIMIT_FSIZE, 0, time.Duration(rnd.IntN(200))*time.Millisecond)
	r.tally.arranged(faultMarks)
}

// behave gives a service a way to fail. Who met it is counted in the end.
func (r *run) behave(service string, how lab.Behaviour) {
	if err := r.lab.Behave(service, how); err != nil {
		r.t.Error(err)
	}
	if how != lab.Works {
		r.tally.arranged(service + " " + string(how))
	}
}

// statusServices are those that are told of mail; verify(8) is told of probes.
func statusServices() []string { return []string{"bounce", "defer", "trace", "flush"} }

func attackServices(r *run, ctx context.Context, rnd *rand.Rand) {
	services := statusServices()
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

// met counts the faults that the daemon has run into, as far as the services and the
// log can tell.
func (r *run) met() {
	for _, record := range r.lab.Records() {
		if record.How != lab.Works {
			r.tally.met(record.Service+" "+string(record.How), 1)
		}
	}
	logged := map[string]string{
		faultMarks: "cannot be marked as done",
		faultFiles: "oo many open files",

		"proxymap " + string(lab.Missing): "service proxymap: No such file or directory",
	}
	for _, service := range statusServices() {
		logged[service+" "+string(lab.Missing)] = "/" + service + ": No such file or directory"
	}
	for fault, text := range logged {
		if n := len(r.lab.Grep(text)); n > 0 {
			r.tally.met(fault, n)
		}
	}
}
