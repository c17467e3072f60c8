package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"postlmtp/internal/status"
)

// How many lines the parts of a page have at most.
const (
	maxStatusDeliveries   = 20
	maxStatusDestinations = 15
	maxStatusPool         = 10
	maxStatusErrors       = 8
)

// endless is the width of what is not a terminal.
const endless = 10_000

// screenSize returns the columns and lines of a terminal, 0 lines if unknown.
func screenSize(w io.Writer) (columns, lines int) {
	if f, ok := w.(*os.File); ok {
		if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && size.Col > 20 {
			return int(size.Col), int(size.Row)
		}
	}
	return endless, 0
}

// statusPage prints a view for people.
type statusPage struct {
	paint painter
	width int
	at    time.Time
	out   bytes.Buffer
}

// line prints one line, cut to the width, in a colour if it has one.
func (p *statusPage) line(colour, format string, args ...any) {
	text := strings.TrimRight(fit(fmt.Sprintf(format, args...), p.width), " ")
	if colour != "" {
		text = p.paint.paint(colour, text)
	}
	p.out.WriteString(text + "\n")
}

// harmless replaces what would command the terminal: names, errors and
// certificates come from strangers.
func harmless(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == utf8.RuneError {
			return '?'
		}
		return r
	}, text)
}

// fit cuts a text to a number of columns, and makes it harmless.
func fit(text string, columns int) string {
	text = harmless(text)
	if utf8.RuneCountInString(text) <= columns {
		return text
	}
	return string([]rune(text)[:max(columns-1, 0)]) + "~"
}

func (p *statusPage) print(v status.View) []byte {
	head := "postlmtp  " + v.At.Format("2006-01-02 15:04:05")
	if v.Interval > 0 {
		head += fmt.Sprintf("  rates of the last %.1f s", v.Interval)
	}
	p.line(bold, "%s", head)
	if len(v.Services) == 0 {
		p.line("", "No process of the daemon lives, and none has left anything.")
	}
	for _, s := range v.Services {
		p.out.WriteByte('\n')
		p.service(s)
	}
	if len(v.Unreachable) > 0 {
		p.out.WriteByte('\n')
		p.line(yellow, "No answer from %s", strings.Join(v.Unreachable, ", "))
	}
	return p.out.Bytes()
}

func (p *statusPage) service(s status.ServiceView) {
	var pids []string
	for _, process := range s.Processes {
		pids = append(pids, fmt.Sprintf("%d (%s)", process.PID, age(p.at.Sub(process.Started))))
	}
	state := "no process, as there is no mail"
	if len(pids) > 0 {
		state = fmt.Sprintf("%d of %d slots busy, process %s", s.InFlight, s.Slots, strings.Join(pids, ", "))
	}
	p.line(bold+";"+cyan, "%s: %s", s.Service, state)
	p.destinations(s.Destinations)
	p.deliveries(s)
	p.pool(s.Pool)
	p.errors(s.Errors)
}

func (p *statusPage) destinations(all []status.DestinationView) {
	if len(all) == 0 {
		return
	}
	p.line(bold, "  %-25s %6s %7s %6s %8s %8s %7s %6s %6s %6s", "DESTINATION", "SENT/s", "DEFER/s", "BNC/s", "SENT", "DEFERRED", "BOUNCED", "UNCONF", "p50", "p99")
	for i, d := range all {
		if i == maxStatusDestinations {
			p.line(dim, "  and %d more", len(all)-i)
			break
		}
		colour := ""
		switch {
		case d.Down:
			colour = red
		case d.Unconfirmed > 0:
			colour = yellow
		}
		p.line(colour, "  %-25s %6s %7s %6s %8.0f %8.0f %7.0f %6.0f %6s %6s", fit(d.Destination, 25),
			rate(d.PerSecond.Sent), rate(d.PerSecond.Deferred), rate(d.PerSecond.Bounced),
			d.Sent, d.Deferred, d.Bounced, d.Unconfirmed, latency(d.Final50), latency(d.Final99))
	}
}

func (p *statusPage) deliveries(s status.ServiceView) {
	if len(s.Deliveries) == 0 {
		return
	}
	p.line(bold, "  %-16s %-34s %5s %9s %-10s %6s %6s", "QUEUE ID", "SERVER", "RCPTS", "SIZE", "STAGE", "FOR", "AGE")
	for i, d := range s.Deliveries {
		if i == maxStatusDeliveries {
			p.line(dim, "  and %d younger ones", s.InFlight-i)
			break
		}
		server := d.Server
		if server == "" {
			server = d.Destination
		}
		colour := ""
		if p.at.Sub(d.StageSince) >= 30*time.Second {
			colour = yellow
		}
		p.line(colour, "  %-16s %-34s %5d %9d %-10s %6s %6s", fit(d.QueueID, 16), fit(server, 34), d.Recipients, d.Size, d.Stage,
			age(p.at.Sub(d.StageSince)), age(p.at.Sub(d.Since)))
	}
}

func (p *statusPage) pool(all []status.Pooled) {
	if len(all) == 0 {
		return
	}
	p.line(bold, "  %-54s %s", "OPEN SESSIONS WITHOUT WORK", "COUNT")
	for i, s := range all {
		if i == maxStatusPool {
			p.line(dim, "  and %d more servers", len(all)-i)
			break
		}
		p.line("", "  %-54s %5d", fit(s.Server, 54), s.Sessions)
	}
}

func (p *statusPage) errors(all []status.Error) {
	if len(all) == 0 {
		return
	}
	p.line(bold, "  %-9s %6s %-24s %s", "LAST", "TIMES", "DESTINATION", "ERROR")
	for i, e := range all {
		if i == maxStatusErrors {
			p.line(dim, "  and %d more destinations", len(all)-i)
			break
		}
		p.line("", "  %-9s %6d %-24s %s", age(p.at.Sub(e.At))+" ago", e.Count, fit(e.Destination, 24), e.Text)
	}
}

// age is a duration in two digits or so.
func age(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0fs", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0fm", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.0fh", d.Hours())
	}
	return fmt.Sprintf("%.0fd", d.Hours()/24)
}

// rate is a number for each second.
func rate(n float64) string {
	switch {
	case n == 0:
		return "-"
	case n < 10:
		return fmt.Sprintf("%.1f", n)
	}
	return fmt.Sprintf("%.0f", n)
}

// latency is a time in seconds, as people read it; 0 is unknown.
func latency(seconds float64) string {
	switch {
	case seconds == 0:
		return "-"
	case seconds < 0.0995:
		return fmt.Sprintf("%.1fms", seconds*1000)
	case seconds < 1:
		return fmt.Sprintf("%.0fms", seconds*1000)
	case seconds < 10:
		return fmt.Sprintf("%.1fs", seconds)
	}
	return fmt.Sprintf("%.0fs", seconds)
}
