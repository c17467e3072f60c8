package torture

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"postlmtp/internal/lab"
)

// count compares what the server has with what the queue and the log say.
func (r *run) count() {
	r.vault.mu.Lock()
	defer r.vault.mu.Unlock()
	for _, sin := range r.vault.sins {
		r.t.Error(sin)
	}
	bounced := make(map[string]int)
	for _, record := range r.lab.Records() {
		if record.Service == "bounce" && (record.How == lab.Works || record.How == lab.Slow) {
			bounced[record.Get("queue_id")+" "+record.Get("recipient")]++
		}
	}
	for _, l := range r.mail {
		for _, rcpt := range l.req.Recipients {
			copies := r.vault.copies[l.id+" "+rcpt.Address]
			bounces := bounced[l.req.QueueID+" "+rcpt.Address]
			r.tally.count(countStored, len(copies))
			r.settled(l, rcpt.Address, len(copies), bounces)
			// A server that was slow may have stored the first one last.
			slices.SortFunc(copies, func(a, b *stored) int { return a.begun.Compare(b.begun) })
			for n := range max(len(copies)-1, 0) {
				r.doubled(l, rcpt.Address, copies[n], copies[n+1])
			}
		}
	}
	r.lines()
}

// settled: each recipient is delivered, or bounced by the server's word.
func (r *run) settled(l *letter, rcpt string, copies, bounces int) {
	unknown := strings.HasPrefix(rcpt, "no")
	switch {
	case unknown && (copies > 0 || bounces == 0):
		r.t.Errorf("%s %s: unknown, but %d copies and %d bounces", l.id, rcpt, copies, bounces)
	case unknown:
		r.tally.count(countBounced, 1)
	case bounces > 0:
		r.t.Errorf("%s %s: bounced %d times without a word of the server", l.id, rcpt, bounces)
	case copies == 0:
		r.tally.count(countLost, 1)
		r.t.Errorf("%s %s: lost: settled, and not stored", l.id, rcpt)
	}
	lines := len(r.lab.Grep(l.req.QueueID+": ", "to=<"+rcpt+">", "status=sent"))
	if lines > copies {
		r.t.Errorf("%s %s: sent by %d lines, with %d copies", l.id, rcpt, lines, copies)
	}
	if !unknown && lines != 1 && len(r.deaths)+len(r.marks) == 0 && !r.blind {
		r.t.Errorf("%s %s: %d lines say that it was sent", l.id, rcpt, lines)
	}
}

// doubled: a second copy has a reason, and if anybody was there to know it, the
// log has it.
func (r *run) doubled(l *letter, rcpt string, first, second *stored) {
	logged := func(text string) bool { return r.blind || len(r.lab.Grep(l.req.QueueID+": ", text)) > 0 }
	switch {
	case within(r.deaths, first.begun, second.begun):
		r.tally.count(countKilled, 1)
	case within(r.marks, first.begun, second.begun) && logged("recipient <"+rcpt+"> cannot be marked as done, and will be tried again"):
		r.tally.count(countUnmarked, 1)
	case first.cut:
		r.tally.count(countUnconfirmed, 1)
		if !logged("unconfirmed: ") {
			r.t.Errorf("%s %s: stored again, and nothing is logged as unconfirmed", l.id, rcpt)
		}
	default:
		r.tally.count(countAvoidable, 1)
		r.t.Errorf("%s %s: stored again although the first copy was confirmed", l.id, rcpt)
	}
}

// within tells whether one of the spans reaches into the time between the
// beginnings of two transactions.
func within(spans []span, from, to time.Time) bool {
	for _, s := range spans {
		if s.to.After(from) && s.from.Before(to) {
			return true
		}
	}
	return false
}

var statusLine = regexp.MustCompile(`^[0-9A-Z]+: to=<[^>]+>, relay=[^ ]+, (conn_use=\d+, )?` +
	`delay=[0-9.]+, delays=[0-9.]+/[0-9.]+/[0-9.]+/[0-9.]+, dsn=\d\.\d\.\d, status=(sent|deferred|bounced) \(.*\)$`)

// lines: no panic, and every line about a recipient has its form, whatever the
// clock did.
func (r *run) lines() {
	for _, line := range r.lab.Log() {
		if strings.Contains(line.Text, "panic") {
			r.t.Errorf("panic: %s", line.Text)
		}
		if strings.Contains(line.Text, ": to=<") && !statusLine.MatchString(line.Text) {
			r.t.Errorf("status line: %s", line.Text)
		}
	}
}
