package torture

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"postlmtp/internal/lab"
	"postlmtp/internal/request"
)

// letter is a message in the queue.
type letter struct {
	name     string // of its own, see attempt
	id       string // Message-ID
	content  string
	req      *request.Request
	attempts []*attempt // one after the other
}

// attempt is one request to deliver a letter. Its sender, and the original
// recipients in it (ORCPT), have the letter's name and the number of the attempt:
// so the server and the status services are told by the agent which request it is
// that they are busy with.
type attempt struct {
	begun, ended time.Time // ended: nobody delivers any more
	answered     bool      // with a status: the process has lived on to its end
	offered      []string  // the recipients
	logged       int       // lines of the log that are older
	excused      int       // second copies that a line of the log has excused
}

// label names a request for a letter, as the local part of an address.
func label(name string, n int) string { return name + "." + strconv.Itoa(n) }

// parseLabel finds the letter and the number of an address.
func parseLabel(address string) (name string, n int, ok bool) {
	local, _, _ := strings.Cut(address, "@")
	name, number, _ := strings.Cut(local, ".")
	n, err := strconv.Atoi(number)
	return name, n, err == nil
}

// attempt hands a request over and waits for its end.
func (r *run) attempt(ctx context.Context, l *letter, req *request.Request) (lab.Result, error) {
	a, named := &attempt{begun: time.Now()}, *req
	if len(l.attempts) > 0 {
		a.logged = len(r.lab.Log())
	}
	named.Sender = label(l.name, len(l.attempts)) + "@example.com"
	named.Recipients = slices.Clone(req.Recipients)
	for i, rcpt := range req.Recipients {
		a.offered = append(a.offered, rcpt.Address)
		named.Recipients[i].ORcpt = "rfc822;" + named.Sender
	}
	l.attempts = append(l.attempts, a)
	r.tally.count(countRequests, 1)
	result, err := r.lab.Deliver(ctx, &named)
	a.ended, a.answered = time.Now(), err == nil
	if err != nil {
		r.tally.count(countUnanswered, 1)
	}
	return result, err
}

// path is the queue file of a letter.
func (r *run) path(l *letter) string {
	return filepath.Join(r.lab.QueueDirectory(), "active", l.req.QueueID)
}

// unlocked waits until no delivery has the queue file any more, as the queue
// manager does that takes up what another one has left.
func (r *run) unlocked(path string) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		r.t.Error(err)
		return
	}
	defer f.Close()
	for end := time.Now().Add(deliveryLimit); ; time.Sleep(5 * time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return
		}
		if time.Now().After(end) {
			r.t.Errorf("%s: a delivery does not end: %v", path, err)
			return
		}
	}
}

// left is a request for the recipients that are not settled, nil if all are.
func (r *run) left(l *letter, flags request.Flags) *request.Request {
	r.unlocked(r.path(l))
	state, err := r.lab.File(l.req.QueueID)
	if err != nil {
		r.t.Fatal(err)
	}
	if state.Changed {
		r.t.Errorf("queue file %s was changed beyond its marks", l.req.QueueID)
	}
	req := *l.req
	req.Flags |= flags
	req.Recipients = nil
	for i, mark := range state.Marks {
		if mark == 'R' {
			req.Recipients = append(req.Recipients, l.req.Recipients[i])
		}
	}
	if len(req.Recipients) == 0 {
		return nil
	}
	return &req
}

// deliver hands a request over. One whose process is made to end has no status;
// every other one has. The status 0 is the end of its message, and must have left
// nobody.
func (r *run) deliver(ctx context.Context, l *letter, req *request.Request) {
	limited, cancel := context.WithTimeout(ctx, deliveryLimit)
	defer cancel()
	result, err := r.attempt(limited, l, req)
	switch {
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		r.t.Errorf("%s: no end after %v", req.QueueID, deliveryLimit)
	case err != nil && !r.dying && !(r.choking && errors.Is(err, lab.ErrThrottled)):
		r.t.Errorf("%s: no answer: %v", req.QueueID, err)
	case err == nil && result.Status == 0:
		if rest := r.left(l, 0); rest != nil {
			r.t.Errorf("%s: status 0 with %d recipients that are not marked", req.QueueID, len(rest.Recipients))
		}
	}
}

// desert hands a request over and goes, at some moment. A queue manager that
// starts anew takes its messages out of the active queue first, so that a request
// which waits somewhere finds no file.
func (r *run) desert(l *letter, req *request.Request, rnd *rand.Rand) {
	r.tally.arranged(faultDesert)
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Duration(rnd.IntN(300))*time.Millisecond)
	defer cancel()
	if _, err := r.attempt(ctx, l, req); err != nil {
		r.tally.met(faultDesert, 1)
	}
	away := r.path(l) + ".away"
	if err := os.Rename(r.path(l), away); err != nil {
		r.t.Error(err)
		return
	}
	defer os.Rename(away, r.path(l))
	r.reachable()
	time.Sleep(50 * time.Millisecond)
	r.unlocked(away)
	l.attempts[len(l.attempts)-1].ended = time.Now()
}

// fate is what one attempt did for one recipient.
type fate struct {
	l       *letter
	a       *attempt
	rcpt    string
	last    bool      // no later attempt had this recipient: it was marked in this one
	copies  []*stored // in the order of storing
	total   int       // copies by this attempt and those before it
	bounces int       // that bounce(8) has taken
	log     []lab.LogLine
}

// fates lists what became of everybody, in the order of time for each recipient.
func (r *run) fates() []*fate {
	bounces := r.bounces()
	log := r.lab.Log()
	var all []*fate
	for _, l := range r.mail {
		seen := make(map[string]*fate)
		for n, a := range l.attempts {
			end := len(log)
			if n+1 < len(l.attempts) {
				end = l.attempts[n+1].logged
			}
			lines := about(log[min(a.logged, end):end], l.req.QueueID)
			for _, rcpt := range a.offered {
				f := &fate{l: l, a: a, rcpt: rcpt, last: true, log: lines,
					copies: r.vault.stored(l, rcpt, n), bounces: bounces[l.req.QueueID+" "+rcpt+" "+label(l.name, n)]}
				f.total = len(f.copies)
				if before := seen[rcpt]; before != nil {
					before.last = false
					f.total += before.total
				}
				seen[rcpt] = f
				all = append(all, f)
			}
		}
		for _, rcpt := range l.req.Recipients {
			r.complete(l, rcpt.Address, seen[rcpt.Address])
		}
	}
	return all
}

// complete: each copy for a recipient belongs to a request that had it.
func (r *run) complete(l *letter, rcpt string, last *fate) {
	switch {
	case last == nil:
		r.t.Errorf("%s %s: no request had it", l.id, rcpt)
	case len(r.vault.stored(l, rcpt, -1)) != last.total:
		r.t.Errorf("%s %s: %d copies, and %d by requests that had it", l.id, rcpt, len(r.vault.stored(l, rcpt, -1)), last.total)
	}
}

// about are the lines about a message.
func about(log []lab.LogLine, queueID string) []lab.LogLine {
	var lines []lab.LogLine
	for _, line := range log {
		if strings.HasPrefix(strings.TrimPrefix(line.Text, "warning: "), queueID+": ") {
			lines = append(lines, line)
		}
	}
	return lines
}

// bounces counts the records that bounce(8) has taken, by message, recipient and
// attempt.
func (r *run) bounces() map[string]int {
	taken := make(map[string]int)
	for _, record := range r.lab.Records() {
		if record.Service == "bounce" && (record.How == lab.Works || record.How == lab.Slow) {
			local, _, _ := strings.Cut(strings.TrimPrefix(record.Get("dsn_orig_rcpt"), "rfc822;"), "@")
			taken[record.Get("queue_id")+" "+record.Get("recipient")+" "+local]++
		}
	}
	return taken
}

// says counts the lines that have all of the texts.
func (f *fate) says(texts ...string) int {
	n := 0
next:
	for _, line := range f.log {
		for _, text := range texts {
			if !strings.Contains(line.Text, text) {
				continue next
			}
		}
		n++
	}
	return n
}
