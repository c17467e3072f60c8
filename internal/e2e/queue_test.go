package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"time"
)

// flush has the queue manager try all mail again. One that a reload has ended is
// not there for a moment, which older releases say with an error.
func (p *postfix) flush() {
	p.t.Helper()
	eventually(p.t, soon, "postqueue -f to find the queue manager", func() bool {
		return p.command("postqueue", "-c", p.conf(), "-f").Run() == nil
	})
}

// retry has the queue manager try one message again.
func (p *postfix) retry(queueID string) {
	p.t.Helper()
	p.run("postqueue", "-c", p.conf(), "-i", queueID)
}

// mailq returns the listing of the queue.
func (p *postfix) mailq() string {
	p.t.Helper()
	return p.run("postqueue", "-c", p.conf(), "-p")
}

// queued reports the number of messages in the queue, by their files. One that
// moves from queue to queue meanwhile may be missed. What a cleanup(8) that was
// stopped has left of a message that nobody was told to have is no message: its
// file has not got the mode that says that it is complete.
func (p *postfix) queued() int {
	n := 0
	for _, name := range []string{"maildrop", "deferred", "incoming", "active", "hold", "corrupt"} {
		filepath.WalkDir(p.queue(name), func(_ string, e os.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return nil
			}
			const complete = 0o100 // MAIL_QUEUE_STAT_READY
			if info, err := e.Info(); name == "incoming" && (err != nil || info.Mode()&complete == 0) {
				return nil
			}
			n++
			return nil
		})
	}
	return n
}

// file returns the path of a message's queue file, or "".
func (p *postfix) file(queueID string) string {
	for _, pattern := range []string{"*/" + queueID, "*/?/" + queueID, "*/?/?/" + queueID} {
		matches, _ := filepath.Glob(p.queue(pattern))
		for _, m := range matches {
			switch name, _ := filepath.Rel(p.queue(), m); strings.SplitN(name, "/", 2)[0] {
			case "active", "incoming", "deferred", "hold", "corrupt":
				return m
			}
		}
	}
	return ""
}

// empty waits until the queue is empty and stays so for a moment.
func (p *postfix) empty() {
	p.t.Helper()
	if !p.emptyWithin(later) {
		p.t.Fatalf("the queue does not become empty:\n%s", p.mailq())
	}
}

func (p *postfix) emptyWithin(limit time.Duration) bool {
	times := 0
	return within(limit, func() bool {
		times++
		if p.queued() > 0 {
			times = 0
		}
		return times == 10
	})
}

// drain waits until the queue is empty, and has what is deferred tried again
// and again, for as long as it gets shorter.
func (p *postfix) drain() {
	p.t.Helper()
	least := p.queued()
	for deadline := time.Now().Add(later); time.Now().Before(deadline); {
		p.flush()
		if p.emptyWithin(2 * time.Second) {
			return
		}
		if n := p.queued(); n < least {
			least, deadline = n, time.Now().Add(later)
		}
	}
	p.t.Fatalf("the queue does not become empty:\n%s", p.mailq())
}
