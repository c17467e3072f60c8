package bench

import (
	"context"
	"fmt"
	"net"
	"time"
)

// A StartResult is how long a new agent takes until it greets its first client,
// in seconds: the median of all rounds, and how many times faster ours is.
type StartResult struct {
	Agents []StartTime
	Better Ratio
}

// A StartTime is that of one agent.
type StartTime struct {
	Name    string
	Seconds float64
}

// StartUp measures two agents, of which ours is the second.
func StartUp(ctx context.Context, theirs, ours Agent, rounds int) (StartResult, error) {
	c := Case{Name: "start-up", Concurrency: 1, Size: 1 << 10, Recipients: 1}
	var times [2][]float64
	var ratios []float64
	for range rounds {
		for i, a := range []Agent{theirs, ours} {
			d, err := firstGreeting(a, c)
			if err != nil {
				return StartResult{}, err
			}
			times[i] = append(times[i], d.Seconds())
		}
		last := len(times[0]) - 1
		ratios = append(ratios, times[0][last]/times[1][last])
		if err := ctx.Err(); err != nil {
			return StartResult{}, err
		}
	}
	return StartResult{
		Agents: []StartTime{{theirs.Name, median(times[0])}, {ours.Name, median(times[1])}},
		Better: ratioOf(ratios),
	}, nil
}

// firstGreeting connects to an agent that does not run yet.
func firstGreeting(a Agent, c Case) (time.Duration, error) {
	r, err := newRig(a, c)
	if err != nil {
		return 0, err
	}
	defer r.close()
	start := time.Now()
	conn, err := net.Dial("unix", r.socket)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	conn.SetDeadline(start.Add(deliveryLimit))
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		return 0, fmt.Errorf("start %s: %w", a.Name, err)
	}
	return time.Since(start), nil
}
