package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A Suite is a whole run.
type Suite struct {
	Ours    string // our binary
	Daemons string // Postfix's daemon_directory
	Release string // of that Postfix, such as "3.7.11"
	Full    bool
	Match   string // only cases whose description has this in it; "" is all
	Version string
	Command string
	Log     func(format string, args ...any) // progress
}

// Names of the agents.
const (
	Uncached = "Postfix, no cache"
	Cached   = "Postfix, cache"
	Ours     = "ours"
)

// agents lists those that there are, ours last.
func (s *Suite) agents() []Agent {
	theirs := filepath.Join(s.Daemons, "lmtp")
	return []Agent{
		{Name: Uncached, Binary: theirs, Release: s.Release},
		{Name: Cached, Binary: theirs, Scache: filepath.Join(s.Daemons, "scache"), Cached: true, Release: s.Release},
		{Name: Ours, Binary: s.Ours, Cached: true, Ours: true, Release: s.Release},
	}
}

const (
	kilobyte = 1 << 10
	megabyte = 1 << 20
)

// matching lists the loads that Match chooses. The error says that there is none.
func (s *Suite) matching() ([]Case, error) {
	all := s.cases()
	var list []Case
	for _, c := range all {
		if strings.Contains(c.Name, s.Match) {
			list = append(list, c)
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("choose loads: %q is in none of the %d descriptions; the first is %q", s.Match, len(all), all[0].Name)
	}
	return list, nil
}

// cases lists the loads: one axis is varied at a time.
func (s *Suite) cases() []Case {
	base := Case{Concurrency: 20, Size: 4 * kilobyte, Recipients: 1}
	var list []Case
	add := func(change func(*Case)) {
		c := base
		change(&c)
		c.Name = c.String()
		list = append(list, c)
	}
	add(func(c *Case) { c.Concurrency = 1 })
	add(func(c *Case) {})
	add(func(c *Case) { c.Concurrency = 100 })
	slow := func(rtt time.Duration) func(*Case) {
		return func(c *Case) { c.TCP, c.RTT, c.Concurrency = true, rtt, 1 }
	}
	if s.Full {
		add(func(c *Case) { c.Concurrency = 500 })
		add(func(c *Case) { c.Size = kilobyte })
		add(func(c *Case) { c.Size = 200 * kilobyte })
		add(func(c *Case) { c.Concurrency, c.Size = 4, 10*megabyte })
		add(func(c *Case) { c.Concurrency, c.Size, c.Chunking = 4, 10*megabyte, true })
		add(func(c *Case) { c.Chunking = true })
		add(func(c *Case) { c.Recipients = 50 })
		add(func(c *Case) { c.TCP, c.Concurrency = true, 1 })
		add(func(c *Case) { c.TCP = true })
		add(func(c *Case) { c.TCP, c.TLS = true, true })
		add(func(c *Case) { c.TCP, c.TLS, c.Reuse = true, true, true })
		add(slow(time.Millisecond))
		add(func(c *Case) { c.TCP, c.RTT = true, time.Millisecond })
		add(func(c *Case) { c.TCP, c.RTT = true, 20*time.Millisecond })
	}
	add(slow(20 * time.Millisecond))
	if s.Full {
		add(func(c *Case) { slow(20 * time.Millisecond)(c); c.Chunking = true })
	}
	return list
}

// Run measures everything.
func (s *Suite) Run(ctx context.Context) (*Report, error) {
	start := time.Now()
	plan := Plan{Rounds: 5, Warm: 300 * time.Millisecond, Window: 400 * time.Millisecond}
	pipeline := PipelineOptions{Messages: 500, Size: 4 * kilobyte, Rounds: 3, Daemons: s.Daemons}
	if s.Full {
		plan = Plan{Rounds: 7, Warm: 500 * time.Millisecond, Window: time.Second}
		pipeline.Messages, pipeline.Rounds = 10_000, 5
	}
	cases, err := s.matching()
	if err != nil {
		return nil, err
	}
	r := &Report{Machine: Describe(s.Release, s.Version), Command: s.Command, Started: start, Plan: plan}
	if err := AdoptOrphans(); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(s.Daemons, "lmtp")); err != nil {
		return nil, fmt.Errorf("find Postfix's agent: %w", err)
	}
	if err := s.runCases(ctx, r, cases, plan); err != nil {
		return nil, err
	}
	if s.Match == "" {
		if err := s.runRest(ctx, r, pipeline); err != nil {
			return nil, err
		}
	}
	r.Took = time.Since(start)
	return r, nil
}

func (s *Suite) runCases(ctx context.Context, r *Report, cases []Case, plan Plan) error {
	for _, c := range cases {
		s.Log("%s", c)
		bounded := c.Size == 4*kilobyte && c.RTT == 0 && c.Recipients == 1 && !c.TCP && !c.Chunking
		agents := s.agents()
		if bounded {
			agents = append([]Agent{leastAgent(s.Release)}, agents...)
		}
		res, err := Compare(ctx, agents, c, plan)
		if err != nil {
			return err
		}
		r.Cases = append(r.Cases, res)
		if bounded {
			ceiling, err := Ceiling(ctx, c, plan.Window)
			if err != nil {
				return err
			}
			ours := res.Agents[len(res.Agents)-1]
			r.Ceilings = append(r.Ceilings, CeilingResult{Case: c, PerSecond: ceiling, Fraction: ours.PerSecond / ceiling})
		}
	}
	return nil
}

// runRest measures what is not a case.
func (s *Suite) runRest(ctx context.Context, r *Report, pipeline PipelineOptions) error {
	s.Log("start-up")
	agents := s.agents()
	startUp, err := StartUp(ctx, agents[0], agents[2], 15)
	if err != nil {
		return err
	}
	r.StartUp = &startUp
	if os.Geteuid() != 0 {
		r.Notes = append(r.Notes, "The whole pipeline was left out: it needs root, because Postfix does.")
		return nil
	}
	s.Log("whole pipeline, %d messages", pipeline.Messages)
	theirs := agents[1]
	theirs.Name = "Postfix"
	whole, err := Pipeline(ctx, theirs, agents[2], pipeline)
	if err != nil {
		return err
	}
	r.Pipeline = &whole
	return nil
}
