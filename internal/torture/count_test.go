package torture

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// count compares what the server has with what the requests, the services and the
// log say.
func (r *run) count() {
	r.vault.close() // all dialogs have come to their ends then
	for _, sin := range r.vault.sins {
		r.t.Error(sin)
	}
	fates := r.fates()
	marked := make(map[*attempt][]*stored) // copies of recipients that it has marked
	for _, f := range fates {
		if f.last {
			marked[f.a] = append(marked[f.a], f.copies...)
		}
	}
	for _, f := range fates {
		if f.says("<"+f.rcpt+"> cannot be marked as done") > 0 && !within(r.marks, f.a.begun, f.a.ended) {
			f.errorf(r, "not marked, and nothing kept anybody from that")
		}
		r.tally.count(countStored, len(f.copies))
		if strings.HasPrefix(f.rcpt, "no") {
			r.refused(f)
		} else {
			r.delivered(f, marked[f.a])
		}
	}
	r.lines()
	r.met()
}

// refused: who is unknown to the server is bounced, once.
func (r *run) refused(f *fate) {
	again := f.bounces
	if f.last {
		r.tally.count(countBounced, 1)
		again--
	}
	// The record comes before the mark, and the answer of bounce(8) may come too late.
	excused := r.unmarked(f) || !f.a.answered && within(r.deaths, f.a.begun, f.a.ended) ||
		r.blind || f.says("to=<"+f.rcpt+">", "status=deferred (bounce or trace service failure)") > 0
	switch {
	case len(f.copies) > 0 || f.says("to=<"+f.rcpt+">", "status=sent") > 0:
		f.errorf(r, "unknown, but stored or sent")
	case again < 0:
		f.errorf(r, "marked, and nobody was told")
	case again > 1 || again == 1 && !excused:
		f.errorf(r, "bounced once too often")
	case again == 1:
		r.tally.count(countBouncedAgain, 1)
	}
}

// delivered: everybody else gets the message and is marked by the request for
// which the server said so. Any copy but that has a reason.
func (r *run) delivered(f *fate, marked []*stored) {
	again := f.copies
	if f.last && len(f.copies) > 0 {
		again = again[:len(again)-1]
	}
	switch last := len(f.copies) - 1; {
	case f.bounces > 0:
		f.errorf(r, "bounced without a word of the server")
	case f.last && last < 0:
		r.tally.count(countLost, 1)
		f.errorf(r, "lost: marked, and not stored")
	case f.last && f.copies[last].told.IsZero():
		r.tally.count(countLost, 1)
		f.errorf(r, "marked, and the server never said that it has the message")
	}
	for _, c := range again {
		r.again(f, c, marked)
	}
	if r.blind {
		return
	}
	told := 0
	for _, c := range f.copies {
		if !c.told.IsZero() {
			told++
		}
	}
	switch lines := f.says("to=<"+f.rcpt+">", "status=sent"); {
	case lines > 1 || lines > told:
		f.errorf(r, "%d lines say that it was sent, the server said so %d times", lines, told)
	case lines == 1 && !f.last && !r.unmarked(f):
		f.errorf(r, "a line says that it was sent, and it was not marked") // the mark comes first
	case lines == 0 && f.last && told > 0 && !r.killed(f, f.copies[len(f.copies)-1], marked):
		f.errorf(r, "no line says that it was sent")
	}
}

// again: a copy that is not the last one has a reason, and if anybody was there
// to know it, the log has it.
func (r *run) again(f *fate, c *stored, marked []*stored) {
	switch {
	case r.unmarked(f):
		r.tally.count(countUnmarked, 1)
	case c.cut && f.unconfirmed() > f.a.excused:
		f.a.excused++
		r.tally.count(countUnconfirmed, 1)
	case r.killed(f, c, marked):
		r.tally.count(countKilled, 1)
	case c.cut && r.blind:
		r.tally.count(countUnlogged, 1)
	case c.cut:
		f.errorf(r, "stored again, and the log does not say that it was unconfirmed")
	default:
		r.tally.count(countAvoidable, 1)
		f.errorf(r, "stored again although the copy of request %d was confirmed at %s", c.attempt, c.told.Format("05.000"))
	}
}

// unmarked tells whether the mark could not be written, as the log says.
func (r *run) unmarked(f *fate) bool {
	return within(r.marks, f.a.begun, f.a.ended) &&
		(r.blind || f.says("recipient <"+f.rcpt+"> cannot be marked as done, and will be tried again") > 0)
}

// killed tells whether the process may have died between the reply for a copy and
// its mark, or the line after that. Then the request has no status, and nobody is marked
// whose reply came later in the same transaction. Replies are read at once, unless a
// service holds up the report about the one before.
func (r *run) killed(f *fate, c *stored, marked []*stored) bool {
	end := f.a.ended
	if soon := c.told.Add(clientTime); !c.told.IsZero() && !r.has("services") && soon.Before(end) {
		end = soon
	}
	return !f.a.answered && within(r.deaths, f.a.begun, end) &&
		!slices.ContainsFunc(marked, func(m *stored) bool { return m.begun.Equal(c.begun) && m.order > c.order })
}

var unconfirmedLine = regexp.MustCompile(`: unconfirmed: .* for (\d+) of \d+ recipients; they may have it already`)

// unconfirmed is for how many recipients the log says during the request that the
// server may have stored the message.
func (f *fate) unconfirmed() int {
	sum := 0
	for _, line := range f.log {
		if m := unconfirmedLine.FindStringSubmatch(line.Text); m != nil {
			n, _ := strconv.Atoi(m[1])
			sum += n
		}
	}
	return sum
}

// errorf fails the test for what a request did for a recipient.
func (f *fate) errorf(r *run, format string, args ...any) {
	r.t.Helper()
	n := slices.Index(f.l.attempts, f.a)
	r.t.Errorf("%s %s, request %d (%s to %s, answered: %v): %s", f.l.id, f.rcpt, n,
		f.a.begun.Format("05.000"), f.a.ended.Format("05.000"), f.a.answered, fmt.Sprintf(format, args...))
}

// within tells whether one of the spans reaches into a time.
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
		if strings.Contains(line.Text, "panic: ") {
			r.t.Errorf("panic: %s", line.Text)
		}
		if strings.Contains(line.Text, ": to=<") && !statusLine.MatchString(line.Text) {
			r.t.Errorf("status line: %s", line.Text)
		}
	}
}
