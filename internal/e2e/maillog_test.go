package e2e

import (
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// mailLog reads the mail log of one instance as it grows.
type mailLog struct {
	path string

	mu     sync.Mutex
	offset int64
	tail   string // a line without its end yet
	lines  []string
}

// read takes what was appended since and returns all lines so far.
func (l *mailLog) read() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	f, err := os.Open(l.path)
	if err != nil {
		return l.lines
	}
	defer f.Close()
	if _, err := f.Seek(l.offset, io.SeekStart); err != nil {
		return l.lines
	}
	data, _ := io.ReadAll(f)
	l.offset += int64(len(data))
	text := l.tail + string(data)
	end := strings.LastIndexByte(text, '\n') + 1
	l.tail = text[end:]
	if end > 0 {
		l.lines = append(l.lines, strings.Split(text[:end-1], "\n")...)
	}
	return l.lines
}

// mark returns a position: what is logged from now on comes after it.
func (l *mailLog) mark() int { return len(l.read()) }

// find returns the lines after a mark that match.
func (l *mailLog) find(mark int, pattern string) []string {
	re := regexp.MustCompile(pattern)
	var found []string
	for _, line := range l.read()[mark:] {
		if re.MatchString(line) {
			found = append(found, line)
		}
	}
	return found
}

// wait waits for a line after a mark and returns it with its sub-matches.
func (l *mailLog) wait(t *testing.T, mark int, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	var m []string
	ok := within(later, func() bool {
		for _, line := range l.read()[mark:] {
			if m = re.FindStringSubmatch(line); m != nil {
				return true
			}
		}
		return false
	})
	if !ok {
		t.Fatalf("no log line matches %q", pattern)
	}
	return m
}

// delivery is a status line of a delivery agent, taken apart.
type delivery struct {
	line, tag, queueID, to, relay, connUse, delays, tls, dsn, status, text string
}

// The grammar of the line, as narrow as the log parsers' (facts on pflogsumm
// and logwatch); tls= is there from Postfix 3.11 on, and only then: but for a
// connection that was found by its destination, whose policy nobody asked for.
var deliveryLine = regexp.MustCompile(`^\w{3} [ \d]\d \d\d:\d\d:\d\d \S+ (\S+)\[\d+\]: ` +
	`([0-9A-Za-z]+): to=<([^>]*)>(?:, orig_to=<[^>]*>)?, relay=([^ ,]+)(?:, conn_use=(\d+))?, ` +
	`delay=[0-9.]+, delays=([0-9.]+/[0-9.]+/[0-9.]+/[0-9.]+)(?:, tls=([a-z!?:/-]+))?, dsn=(\d\.\d+\.\d+), ` +
	`status=([A-Za-z-]+) \((.*)\)$`)

// deliveries returns the status lines of LMTP agents after a mark.
func (l *mailLog) deliveries(mark int) []delivery {
	var list []delivery
	for _, line := range l.read()[mark:] {
		if d, ok := parseDelivery(line); ok && strings.HasSuffix(d.tag, "/lmtp") {
			list = append(list, d)
		}
	}
	return list
}

func parseDelivery(line string) (delivery, bool) {
	m := deliveryLine.FindStringSubmatch(line)
	if m == nil || m[7] != "" && !since(11) || m[7] == "" && since(11) && m[5] == "" {
		return delivery{}, false
	}
	return delivery{line, m[1], m[2], m[3], m[4], m[5], m[6], m[7], m[8], m[9], m[10]}, true
}

// delivered waits for a status line of the agent for one recipient of a
// message, and returns the first with that status.
func (l *mailLog) delivered(t *testing.T, mark int, queueID, to, status string) delivery {
	t.Helper()
	var found delivery
	ok := within(later, func() bool {
		for _, d := range l.deliveries(mark) {
			if d.queueID == queueID && d.to == to && d.status == status {
				found = d
				return true
			}
		}
		return false
	})
	if !ok {
		t.Fatalf("no status=%s for %s to %s; the log says:\n%s", status, queueID, to,
			strings.Join(l.find(mark, queueID+": ([^t]|to=<"+regexp.QuoteMeta(to)+">)"), "\n"))
	}
	return found
}

// postfixNoise matches warnings of Postfix's own programs that any test may see.
var postfixNoise = []string{
	// The kernel has two clocks, and a second may begin between a look at each.
	`/cleanup\[\d+\]: warning: (file system clock|resetting file time stamps)`,
	// A reload ends trivial-rewrite(8) in the middle of a question.
	`/(smtpd|cleanup)\[\d+\]: warning: problem talking to service rewrite: `,
}

// movedByReload matches what the agent says where a reload, which has postsuper(1)
// look at the queue, meets requests on their way.
const movedByReload = `/lmtp\[\d+\]: warning: open active [0-9A-F]+: No such file`

// noAlarm fails the test if the log after a mark has warnings or worse, apart
// from those that are expected.
func (l *mailLog) noAlarm(t *testing.T, mark int, expected ...string) {
	t.Helper()
	expected = append(expected, postfixNoise...)
next:
	for _, line := range l.find(mark, `\]: (warning|error|fatal|panic): `) {
		for _, pattern := range expected {
			if regexp.MustCompile(pattern).MatchString(line) {
				continue next
			}
		}
		t.Errorf("unexpected in the log: %s", line)
	}
}

// last returns the end of the log, for a failed test.
func (l *mailLog) last(n int) string {
	lines := l.read()
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// elapsed tells how long an action took.
func elapsed(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}
