package probe

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"postlmtp/internal/delivery"
	"postlmtp/internal/dsn"
	"postlmtp/internal/lmtp"
	"postlmtp/internal/request"
)

// notes takes what the daemon would log.
type notes struct {
	mu    sync.Mutex
	lines []string
}

// Write takes one entry, "lmtp[123]: text".
func (n *notes) Write(p []byte) (int, error) {
	_, text, found := strings.Cut(strings.TrimRight(string(p), "\n"), "]: ")
	if !found {
		text = strings.TrimSpace(string(p))
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, text)
	return len(p), nil
}

// take returns the entries since it was called last.
func (n *notes) take() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	lines := n.lines
	n.lines = nil
	return lines
}

func (n *notes) errors() []error {
	var errs []error
	for _, line := range n.take() {
		errs = append(errs, errors.New(line))
	}
	return errs
}

// dialog collects the lines of one connection.
type dialog struct {
	begun     time.Time
	lines     []Line
	first     string // the server's first line
	mechanism string // of AUTH
	lost      string // the last command
}

// trace takes an event of the session engine.
func (r *run) trace(e lmtp.TraceEvent) {
	d := r.dialog
	if d == nil || e.Excess {
		return
	}
	line := Line{AtMS: milliseconds(time.Since(d.begun)), Who: "-", Text: e.Line}
	switch e.Kind {
	case lmtp.TraceCommand:
		line.Who = "client"
		d.lost = e.Line
		if words := strings.Fields(e.Line); len(words) > 1 && words[0] == "AUTH" {
			d.mechanism = words[1]
		}
	case lmtp.TraceReply:
		line.Who = "server"
		if d.first == "" {
			d.first = e.Line
		}
	case lmtp.TraceReplaced:
		line.Text = "lmtp_reply_filter made of it: " + e.Line
	case lmtp.TraceBody:
		line.Text = fmt.Sprintf("%d bytes of message content", e.Size)
	case lmtp.TraceTLS:
		line.Text = "TLS from here on"
	}
	d.lines = append(d.lines, line)
}

func (d *dialog) take() []Line {
	lines := d.lines
	d.lines = nil
	return lines
}

// reporter takes what became of recipients, in place of the status services.
type reporter struct{ r *run }

// Report implements delivery.Reporter. Nobody is ever marked in a queue file.
func (x reporter) Report(_ *request.Request, rcpt request.Recipient, o delivery.Outcome, _ request.Attempt, d dsn.Diagnosis) delivery.Settlement {
	x.r.verdicts = append(x.r.verdicts, verdict{rcpt.Address, o, d.Status, d.Reason})
	return delivery.Settlement{}
}
