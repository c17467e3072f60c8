package bench

import (
	"context"
	"fmt"
	"time"
)

// A Plan says how long to measure.
type Plan struct {
	Rounds int           // at least 5: one ratio each
	Warm   time.Duration // of load before the first round
	Window time.Duration // of load for each agent in each round
}

// Numbers are what was measured of one agent: medians of all rounds. The memory
// is looked at once, after them.
type Numbers struct {
	PerSecond float64 // deliveries
	CPU       float64 // seconds for each delivery
	P50, P99  float64 // seconds
	Memory    Memory
	Sessions  float64 // connections to the server for each delivery
}

// A CaseResult is what was measured of one case.
type CaseResult struct {
	Case   Case
	Agents []AgentResult // the last one is ours
	// Better says how much better ours is than each of the others, and than
	// the better of them in the key "best".
	Better map[string]Comparison
	Least  *LeastResult // nil: not measured
}

// An AgentResult are the numbers of one agent.
type AgentResult struct {
	Name string
	Numbers
}

// A Comparison is how many times better ours is; below 1 it is worse.
type Comparison struct {
	PerSecond, CPU, Memory, P50, P99 Ratio
}

// Best is the key of the better of the others, for each round and number.
const Best = "best"

// Compare measures one case: agents in turns, the last of which is ours. The
// first may be the least agent.
func Compare(ctx context.Context, agents []Agent, c Case, plan Plan) (CaseResult, error) {
	rigs, err := warmRigs(ctx, agents, c, plan)
	defer func() {
		for _, r := range rigs {
			r.close()
		}
	}()
	if err != nil {
		return CaseResult{}, err
	}
	rounds := make([][]window, len(rigs))
	for range plan.Rounds {
		for i, r := range rigs {
			w, err := r.run(ctx, plan.Window)
			if err != nil {
				return CaseResult{}, err
			}
			rounds[i] = append(rounds[i], w)
		}
	}
	res := CaseResult{Case: c}
	others := rigs
	if agents[0].least {
		res.Least = leastResult(rounds[0], rounds[len(rounds)-1])
		agents, others, rounds = agents[1:], rigs[1:], rounds[1:]
	}
	memory := make([]Memory, len(others))
	for i, r := range others {
		if memory[i], err = r.weigh(ctx); err != nil {
			return res, err
		}
	}
	res.Better = better(agents, rounds, memory)
	for i, a := range agents {
		n := numbers(rounds[i])
		n.Memory = memory[i]
		res.Agents = append(res.Agents, AgentResult{a.Name, n})
	}
	return res, ctx.Err()
}

// warmRigs builds a world for each agent and gets it warm. What was built is
// returned with an error, too.
func warmRigs(ctx context.Context, agents []Agent, c Case, plan Plan) ([]*rig, error) {
	var rigs []*rig
	for _, a := range agents {
		r, err := newRig(a, c)
		if err != nil {
			return rigs, err
		}
		rigs = append(rigs, r)
		if _, err := r.run(ctx, plan.Warm); err != nil {
			return rigs, err
		}
	}
	return rigs, nil
}

// numbers sums up the windows of one agent.
func numbers(windows []window) Numbers {
	pick := func(f func(window) float64) float64 {
		var v []float64
		for _, w := range windows {
			v = append(v, f(w))
		}
		return median(v)
	}
	return Numbers{
		PerSecond: pick(window.perSecond),
		CPU:       pick(window.cpuEach),
		P50:       pick(func(w window) float64 { return percentile(w.times, 50).Seconds() }),
		P99:       pick(func(w window) float64 { return percentile(w.times, 99).Seconds() }),
		Sessions:  pick(func(w window) float64 { return float64(w.sessions) / float64(w.done) }),
	}
}

// better compares ours, the last of the agents, with all others and with the
// better of them.
func better(agents []Agent, rounds [][]window, memory []Memory) map[string]Comparison {
	ours := len(agents) - 1
	result := make(map[string]Comparison)
	for i, a := range agents[:ours] {
		result[a.Name] = comparison(rounds[ours], memory[ours], rounds[i:i+1], memory[i:i+1])
	}
	result[Best] = comparison(rounds[ours], memory[ours], rounds[:ours], memory[:ours])
	return result
}

// comparison compares ours with the best of some others, round by round.
func comparison(ours []window, memory Memory, theirs [][]window, theirMemory []Memory) Comparison {
	// less is the ratio of what should be small.
	less := func(f func(window) float64) Ratio {
		var v []float64
		for round, own := range ours {
			least := f(theirs[0][round])
			for _, t := range theirs[1:] {
				least = min(least, f(t[round]))
			}
			v = append(v, least/f(own))
		}
		return ratioOf(v)
	}
	pss := float64(theirMemory[0].PSS)
	for _, m := range theirMemory[1:] {
		pss = min(pss, float64(m.PSS))
	}
	return Comparison{
		PerSecond: less(func(w window) float64 { return 1 / w.perSecond() }),
		CPU:       less(window.cpuEach),
		Memory:    ratioOf([]float64{pss / float64(memory.PSS)}),
		P50:       less(func(w window) float64 { return percentile(w.times, 50).Seconds() }),
		P99:       less(func(w window) float64 { return percentile(w.times, 99).Seconds() }),
	}
}

// String names a case by its load.
func (c Case) String() string {
	network := "unix"
	if c.TCP {
		network = "tcp"
	}
	s := fmt.Sprintf("%s, %d at once, %s", network, c.Concurrency, sizeText(c.Size))
	if c.Recipients > 1 {
		s += fmt.Sprintf(", %d recipients", c.Recipients)
	}
	if c.TLS {
		s += ", TLS"
	}
	if c.Reuse {
		s += " sessions kept"
	}
	if c.Chunking {
		s += ", CHUNKING"
	}
	if c.RTT > 0 {
		s += fmt.Sprintf(", round trip %v", c.RTT)
	}
	return s
}

func sizeText(n int) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%d MB", n>>20)
	default:
		return fmt.Sprintf("%d KB", n>>10)
	}
}
