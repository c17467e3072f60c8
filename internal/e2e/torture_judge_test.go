package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// siegeCopy is a message that Dovecot has stored.
type siegeCopy struct {
	name string    // of its transaction, which is in the reply as well
	at   time.Time // of storing: the names of files in a Maildir begin with it
}

var siegeReceived = regexp.MustCompile(`\tid (\S+)`)

// copies are those for an address, by the identity of the message.
func (s *siege) copies(address string) map[string][]siegeCopy {
	found := make(map[string][]siegeCopy)
	for _, dir := range []string{"new", "cur"} {
		names, _ := filepath.Glob(s.dovecot.path("mail", address, dir, "*"))
		for _, name := range names {
			text, err := os.ReadFile(name)
			s.must(err)
			_, rest, _ := bytes.Cut(text, []byte("X-E2E-Id: "))
			id, _, _ := bytes.Cut(rest, []byte("\n"))
			received := siegeReceived.FindSubmatch(text)
			if received == nil {
				s.t.Fatalf("no Received field of Dovecot's in %s", text)
			}
			var sec, usec int64
			fmt.Sscanf(filepath.Base(name), "%d.M%d", &sec, &usec)
			found[string(id)] = append(found[string(id)], siegeCopy{string(received[1]), time.Unix(sec, usec*1000)})
		}
	}
	return found
}

// siegeLine is a line of the log about one message.
type siegeLine struct {
	at   time.Time // its second
	ours bool      // it is the agent's
	text string
	used bool // it has excused a copy
}

var siegeLog = regexp.MustCompile(`^(\w{3} [ \d]\d \d\d:\d\d:\d\d) \S+ postfix/(\w+)\[\d+\]: ([0-9A-F]+): (.*)`)

// lines are those of each message, by queue ID.
func (s *siege) lines() map[string][]*siegeLine {
	all := make(map[string][]*siegeLine)
	for _, line := range s.log.read() {
		m := siegeLog.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		at, err := time.ParseInLocation("2006 Jan _2 15:04:05", fmt.Sprint(s.begin.Year(), " ", m[1]), time.Local)
		s.must(err)
		all[m[3]] = append(all[m[3]], &siegeLine{at: at, ours: m[2] == "lmtp", text: m[4]})
	}
	return all
}

// siegeFate is what became of one message.
type siegeFate struct {
	copies []siegeCopy
	lines  []*siegeLine
	sent   []string // the names in the lines that say that it was sent
	silent []*siegeSpan
}

var siegeSaved = regexp.MustCompile(`status=sent \(250 2\.0\.0 <[^>]*> (\S+) Saved\)`)

// fate puts together what is known. The queue manager takes a message up only when
// nobody delivers it any more: what the agent has to say of a delivery comes before
// the next one. A delivery of which it says nothing has died.
func fate(copies []siegeCopy, lines []*siegeLine) *siegeFate {
	f := &siegeFate{copies: copies, lines: lines}
	var stay *siegeSpan
	spoken := true
	end := func(at time.Time) {
		if stay != nil && !spoken {
			stay.to = at.Add(time.Second) // the log has seconds
			f.silent = append(f.silent, stay)
		}
		stay, spoken = nil, true
	}
	for _, line := range lines {
		if m := siegeSaved.FindStringSubmatch(line.text); m != nil && line.ours {
			f.sent = append(f.sent, m[1])
		}
		switch {
		case line.ours && (strings.HasPrefix(line.text, "to=<") || strings.HasPrefix(line.text, "unconfirmed: ")):
			spoken = true
		case strings.HasSuffix(line.text, "(queue active)"):
			end(line.at)
			stay, spoken = &siegeSpan{from: line.at}, false
		case line.text == "removed":
			end(line.at)
		}
	}
	return f
}

const (
	siegeReply    = 5 * time.Second // how long the agent waits for the reply to a message
	siegePatience = time.Second     // how much all may be late on a machine that is busy
)

// line finds a line of the agent that excuses a copy, once: one that comes when the
// reply to that copy was due.
func (f *siegeFate) line(c siegeCopy, pattern string) bool {
	re := regexp.MustCompile(pattern)
	for _, line := range f.lines {
		due := line.at.After(c.at.Add(-time.Second-siegePatience)) && line.at.Before(c.at.Add(siegeReply+siegePatience))
		if line.ours && !line.used && due && re.MatchString(line.text) {
			line.used = true
			return true
		}
	}
	return false
}

// blow tells whether a copy was stored by a delivery of which the agent says nothing,
// and so shortly before one of the blows that it may not have come to say it. The
// delivery has no further excuse then.
func (f *siegeFate) blow(c siegeCopy, blows []siegeSpan, before time.Duration) bool {
	for i, stay := range f.silent {
		if c.at.Before(stay.from) || c.at.After(stay.to.Add(siegePatience)) {
			continue
		}
		for _, b := range blows {
			if b.to.After(stay.from) && b.from.Before(stay.to) &&
				c.at.After(b.from.Add(-before)) && c.at.Before(b.to.Add(siegePatience)) {
				f.silent = slices.Delete(f.silent, i, i+1)
				return true
			}
		}
	}
	return false
}

// The reasons for a second copy.
const (
	siegeUnconfirmed = "unconfirmed and logged"
	siegeRefused     = "refused by Dovecot after it had stored them"
	siegeKilled      = "by a kill of the worker"
	siegeStopped     = "by a stop"
	siegeAvoidable   = "avoidable"
)

// excuse finds the reason for a copy that no line says was sent: the agent says
// that the reply did not come, or was another one; or it was killed before it
// could say anything; or Dovecot did not answer within the time that a stop leaves.
func (s *siege) excuse(f *siegeFate, c siegeCopy) string {
	switch {
	case f.line(c, "^unconfirmed: "):
		return siegeUnconfirmed
	case f.line(c, "status=deferred .* said: 4.*end of DATA"):
		return siegeRefused // Dovecot goes down with a 4xx reply for what it has stored
	case f.blow(c, s.kills, siegePatience):
		return siegeKilled
	case f.blow(c, s.stops, siegeReply):
		return siegeStopped
	}
	return siegeAvoidable
}

// count compares what smtpd took with what Dovecot stored, and with what the log
// says of it.
func (s *siege) count() {
	stored := make(map[string]map[string][]siegeCopy)
	for i := range siegeUsers {
		to := fmt.Sprintf("u%d@dovecot.lmtp.sock.test", i)
		stored[to] = s.copies(to)
	}
	lines := s.lines()
	reports := string(bytes.Join(s.dovecot.mails("sender@dovecot.lmtp.sock.test"), []byte("\n")))
	counts := make(map[string]int)
	for _, m := range s.sent {
		if strings.HasPrefix(m.to, "nobody") {
			if !strings.Contains(reports, "X-E2E-Id: "+m.id+"\n") {
				counts["lost"]++
				s.t.Errorf("%s: bounced, and nobody was told", m.id)
			}
			counts["bounced"]++
			continue
		}
		f := fate(stored[m.to][m.id], lines[m.queueID])
		if wrong := s.judge(f, counts); wrong != "" {
			s.t.Errorf("%s (%s) %s: %v", m.id, m.queueID, wrong, f.copies)
			for _, line := range f.lines {
				s.t.Logf("%s %v %s", line.at.Format(time.TimeOnly), line.ours, line.text)
			}
		}
	}
	s.t.Logf("%d messages, %v; blows: %v", len(s.sent), counts, s.blows)
	s.t.Logf("blows at %v", s.times)
}

// judge counts what became of a message, and says what is wrong with that.
func (s *siege) judge(f *siegeFate, counts map[string]int) (wrong string) {
	for _, name := range f.sent {
		if !slices.ContainsFunc(f.copies, func(c siegeCopy) bool { return c.name == name }) {
			wrong = "was sent as " + name + ", and is not stored so"
		}
	}
	if len(f.sent) > 1 {
		counts[siegeAvoidable]++
		wrong = "was sent again although a line says that it was sent"
	}
	unlogged := len(f.sent) == 0 // a kill may fall between the mark and the line
	for _, c := range f.copies {
		if slices.Contains(f.sent, c.name) {
			continue
		}
		reason := s.excuse(f, c)
		if reason == siegeKilled && unlogged {
			reason, unlogged = "sent without a line, by a kill of the worker", false
		}
		counts[reason]++
		if reason == siegeAvoidable {
			wrong = "is stored without an excuse"
		}
	}
	switch {
	case len(f.copies) == 0:
		counts["lost"]++
		wrong = "is lost"
	case unlogged && wrong == "":
		wrong = "is gone, and no line says that it was sent"
	}
	return wrong
}

// TestSiegeJudge holds the judge of the siege to the logs of messages.
func TestSiegeJudge(t *testing.T) {
	at := func(sec float64) time.Time { return time.Unix(1000, 0).Add(time.Duration(sec * float64(time.Second))) }
	s := &siege{
		kills: []siegeSpan{{at(10.1), at(10.2)}},
		stops: []siegeSpan{{at(20.1), at(21)}},
	}
	const active = "from=<s@x>, size=1, nrcpt=1 (queue active)"
	sent := func(name string) string { return "to=<u@x>, status=sent (250 2.0.0 <u@x> " + name + " Saved)" }
	copies := func(secs ...float64) (all []siegeCopy) {
		for i, sec := range secs {
			all = append(all, siegeCopy{string(rune('A' + i)), at(sec)})
		}
		return all
	}
	type logged struct {
		sec  float64
		text string
	}
	for _, test := range []struct {
		name   string
		copies []siegeCopy
		lines  []logged
		wrong  string
		counts map[string]int
	}{
		{"sent", copies(1.5), []logged{{1, active}, {1, sent("A")}, {1, "removed"}}, "", map[string]int{}},
		{"lost", nil, []logged{{1, active}, {1, sent("A")}, {1, "removed"}}, "is lost", map[string]int{"lost": 1}},
		{"another copy was confirmed", copies(1.5), []logged{{1, active}, {1, sent("B")}, {1, "removed"}},
			"is stored without an excuse", map[string]int{siegeAvoidable: 1}},
		{"without a line", copies(1.5), []logged{{1, active}, {1, "removed"}}, "is stored without an excuse", map[string]int{siegeAvoidable: 1}},
		{"unconfirmed", copies(1.5, 8.5), []logged{{1, active}, {6, "unconfirmed: "}, {8, active}, {8, sent("B")}}, "",
			map[string]int{siegeUnconfirmed: 1}},
		{"unconfirmed long before", copies(9.5, 9.8), []logged{{1, active}, {6, "unconfirmed: "}, {9, active}, {9, sent("B")}},
			"is stored without an excuse", map[string]int{siegeAvoidable: 1}},
		{"unconfirmed once, three copies", copies(1.5, 1.6, 8.5), []logged{{1, active}, {6, "unconfirmed: "}, {8, active}, {8, sent("C")}},
			"is stored without an excuse", map[string]int{siegeUnconfirmed: 1, siegeAvoidable: 1}},
		{"unconfirmed and gone", copies(1.5), []logged{{1, active}, {6, "unconfirmed: "}, {8, "removed"}},
			"is gone, and no line says that it was sent", map[string]int{siegeUnconfirmed: 1}},
		{"refused", copies(1.5, 8.5), []logged{{1, active}, {2, "to=<u@x>, status=deferred (host said: 451 no (in reply to end of DATA command))"},
			{8, active}, {8, sent("B")}}, "", map[string]int{siegeRefused: 1}},
		{"killed", copies(10.0, 12.5), []logged{{10, active}, {12, active}, {12, sent("B")}}, "", map[string]int{siegeKilled: 1}},
		{"killed before the line", copies(10.0), []logged{{10, active}, {10, "removed"}}, "",
			map[string]int{"sent without a line, by a kill of the worker": 1}},
		{"sent twice around a kill", copies(10.0, 12.5), []logged{{10, active}, {10, sent("A")}, {12, active}, {12, sent("B")}},
			"was sent again although a line says that it was sent", map[string]int{siegeAvoidable: 1}},
		{"answered around a kill", copies(10.0, 12.5), []logged{{10, active}, {10, "to=<u@x>, status=deferred (no)"}, {12, active}, {12, sent("B")}},
			"is stored without an excuse", map[string]int{siegeAvoidable: 1}},
		{"silent, and nobody was killed", copies(14.0, 15.5), []logged{{14, active}, {15, active}, {15, sent("B")}},
			"is stored without an excuse", map[string]int{siegeAvoidable: 1}},
		{"killed once, three copies", copies(10.0, 10.1, 12.5), []logged{{10, active}, {12, active}, {12, sent("C")}},
			"is stored without an excuse", map[string]int{siegeKilled: 1, siegeAvoidable: 1}},
		{"stopped", copies(20.0, 22.5), []logged{{19, active}, {22, active}, {22, sent("B")}}, "", map[string]int{siegeStopped: 1}},
	} {
		var lines []*siegeLine
		for _, l := range test.lines {
			lines = append(lines, &siegeLine{at: at(l.sec), ours: l.text != active && l.text != "removed", text: l.text})
		}
		counts := make(map[string]int)
		if wrong := s.judge(fate(test.copies, lines), counts); wrong != test.wrong || fmt.Sprint(counts) != fmt.Sprint(test.counts) {
			t.Errorf("%s: %q, %v instead of %q, %v", test.name, wrong, counts, test.wrong, test.counts)
		}
	}
}
