// Compare runs scenarios with two delivery agents, Postfix's own and ours, and
// says for each facet whether they do the same: the proof of "drop-in".
//
//	compare [--postfix FILE] [--ours FILE] [--release VERSION] [--update] [-v] [-j N] SCENARIO...
//
// For each scenario a line is printed, with each facet's verdict:
//
//	same           both agents do the same, and it is what the file says
//	documented     they differ as the file's "differs" and "ours" sections say
//	DIFFERENT      they differ in another way; a unified diff follows
//	STALE          Postfix's agent does not do what the file expects
//
// The last line sums up. The exit status is 1 if there was anything in capital
// letters, or a scenario that could not be run.
//
// With --update the expectations in the files are written anew: what Postfix's
// agent does, and for files with a "differs" section what ours does. Only with
// Postfix 3.7.
//
// With --release the world around both agents is that of another release of
// Postfix than 3.7, which the files are written for. Nothing is STALE then: the
// agents are compared with each other. Where they differ on purpose ours is held
// to the file as long as Postfix's agent does what the file says; where that
// one leaves the file, or the file says so for that release, a difference is
// taken for documented.
//
// # Failure policy
//
// A scenario that needs root, and there is none, or what a release lacks, counts
// as skipped and is listed; nothing else is passed over.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"os/user"
	"path/filepath"
	"sync"
	"time"

	"postlmtp/internal/lab/scenario"

	"github.com/spf13/pflag"
)

// scenarioTime bounds the run of one scenario with one agent.
const scenarioTime = 30 * time.Second

// options are those of the command line.
type options struct {
	postfix, ours string
	release       string
	update        bool
	verbose       bool
	jobs          int
}

func main() {
	var o options
	pflag.StringVar(&o.postfix, "postfix", "/usr/lib/postfix/sbin/lmtp", "Postfix's own agent")
	pflag.StringVar(&o.ours, "ours", "bin/lmtp", "our agent")
	pflag.StringVar(&o.release, "release", "", "the release of Postfix to be, where it is not that of the files")
	pflag.BoolVar(&o.update, "update", false, "write the expectations anew")
	pflag.BoolVarP(&o.verbose, "verbose", "v", false, "show documented differences, too")
	pflag.IntVarP(&o.jobs, "jobs", "j", 16, "how many scenarios run at once; most of them wait")
	pflag.Parse()
	if o.update && !scenario.Native(o.release) {
		fmt.Fprintf(os.Stderr, "compare: the scenarios are written for Postfix 3.7, not %s\n", o.release)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	sum := o.run(ctx, pflag.Args())
	fmt.Println(sum)
	if sum.bad() {
		os.Exit(1)
	}
}

// run compares all scenarios and prints the outcomes in the order of the files.
func (o *options) run(ctx context.Context, files []string) summary {
	outcomes := make([]outcome, len(files))
	done := make([]chan struct{}, len(files))
	for i := range done {
		done[i] = make(chan struct{})
	}
	next := make(chan int)
	var wg sync.WaitGroup
	for range max(o.jobs, 1) {
		wg.Go(func() {
			for i := range next {
				outcomes[i] = o.compare(ctx, files[i])
				close(done[i])
			}
		})
	}
	go func() {
		for i := range files {
			next <- i
		}
		close(next)
	}()
	var sum summary
	start := time.Now()
	for i := range files {
		<-done[i]
		fmt.Print(outcomes[i].text)
		sum.add(&outcomes[i])
	}
	wg.Wait()
	sum.elapsed = time.Since(start)
	return sum
}

// compare runs one scenario with both agents.
func (o *options) compare(ctx context.Context, path string) outcome {
	s, err := scenario.Load(path)
	if err != nil {
		return failed(filepath.Base(path), err)
	}
	if s.NeedsRoot() && os.Geteuid() != 0 {
		return outcome{text: s.Name + ": skipped, needs root\n", skipped: true}
	}
	if lacks := s.Lacks(o.release); lacks != "" {
		return outcome{text: s.Name + ": skipped, this Postfix has no " + lacks + "\n", skipped: true}
	}
	theirs, err := o.observe(ctx, s, o.postfix, nil)
	if err != nil {
		return failed(s.Name, fmt.Errorf("postfix: %w", err))
	}
	ours, err := o.observe(ctx, s, o.ours, []string{"postlmtp_process_concurrency = 1"})
	if err != nil {
		return failed(s.Name, fmt.Errorf("ours: %w", err))
	}
	if o.update {
		return update(s, path, theirs, ours)
	}
	return judge(s, theirs, ours, o.release, o.verbose)
}

// observe runs a scenario with one agent.
func (o *options) observe(ctx context.Context, s *scenario.Scenario, agent string, mainCF []string) (scenario.Observed, error) {
	ctx, cancel := context.WithTimeout(ctx, scenarioTime)
	defer cancel()
	return s.Run(ctx, scenario.Config{Agent: agent, Release: o.release, User: mailOwner(),
		MainCF: mainCF, Stderr: os.Stderr})
}

// mailOwner returns the user to run agents as.
func mailOwner() string {
	if _, err := user.Lookup("postfix"); err != nil || os.Geteuid() != 0 {
		return ""
	}
	return "postfix"
}
