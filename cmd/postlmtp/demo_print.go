package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"postlmtp/internal/lab"

	"golang.org/x/sys/unix"
)

// A painter colours text, or does not.
type painter struct{ on bool }

// newPainter decides about colours: "always", "never", or "auto", which means
// on a terminal that is not dumb, unless the environment variable NO_COLOR is set
// and not empty (no-color.org).
func newPainter(when string, w io.Writer) (painter, error) {
	switch when {
	case "always":
		return painter{true}, nil
	case "never":
		return painter{false}, nil
	case "auto":
		return painter{isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}, nil
	}
	return painter{}, fmt.Errorf("--color is auto, always or never, not %q", when)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// Colours, as parameters of the terminal's SGR sequence.
const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

// paint returns text in a colour.
func (p painter) paint(colour, text string) string {
	if !p.on {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// A printer writes the demo.
type printer struct {
	w io.Writer
	painter
	shaken bool // a handshake was shown
}

// width is the number of columns that lines are kept within where that is
// possible.
const width = 96

func (p *printer) printf(format string, args ...any) {
	fmt.Fprintf(p.w, format, args...)
}

// heading starts a part of a scene.
func (p *printer) heading(text string) {
	p.printf("\n   %s\n", p.paint(bold, text))
}

// opening says what is going to happen.
func (p *printer) opening(agent, dir string) {
	p.printf("%s\n\n", p.paint(bold, "How mail is delivered by LMTP"))
	p.printf("The daemon is %s, the same that Postfix would run. Around it, in\n", agent)
	p.printf("%s: stand-ins for Postfix's master, queue manager, bounce and defer\n", dir)
	p.printf("services, and a small LMTP server with a few mailboxes.\n")
}

// scene starts a scene.
func (p *printer) scene(number int, s scene, size int) {
	p.printf("\n\n%s\n", p.paint(bold+";"+cyan, fmt.Sprintf("%d. %s", number, s.title)))
	for line := range strings.SplitSeq(s.intro, "\n") {
		p.printf("   %s\n", line)
	}
	p.printf("   %s\n", p.paint(dim, fmt.Sprintf("%s.eml, %s, from %s, to %s at %s",
		s.message, plural(size, "byte"), s.sender, plural(len(s.fates), "recipient"), s.nexthop)))
}

// dialog shows what was said on each connection. Only the first one is shown
// with the handshake, which is always the same.
func (p *printer) dialog(tapes []*tape) {
	p.heading("The dialog, as the mail server sees it")
	if len(tapes) == 0 {
		p.printf("   %s\n", p.paint(dim, "there is none"))
	}
	for _, t := range tapes {
		lines := t.all()
		if n := handshake(lines); n > 0 {
			if p.shaken {
				p.line(tapeLine{lines[n-1].after, '*', "greeting and LHLO as before"})
				lines = lines[n:]
			}
			p.shaken = true
		}
		for _, line := range lines {
			p.line(line)
		}
	}
}

// handshake returns the number of lines before MAIL, or 0 without a MAIL.
func handshake(lines []tapeLine) int {
	for i, line := range lines {
		if line.who == 'C' && strings.HasPrefix(line.text, "MAIL ") {
			return i
		}
	}
	return 0
}

// line shows one line of a dialog.
func (p *printer) line(line tapeLine) {
	when := p.paint(dim, fmt.Sprintf("%7.1f ms", float64(line.after.Microseconds())/1000))
	switch line.who {
	case 'C':
		p.printf("   %s  daemon  %s\n", when, line.text)
	case 'S':
		p.printf("   %s  %s  %s\n", when, p.paint(cyan, "server"), p.reply(line.text))
	default:
		p.printf("   %s          %s\n", when, p.paint(dim, "("+line.text+")"))
	}
}

// reply colours a server's reply by its class.
func (p *printer) reply(text string) string {
	switch text[:min(1, len(text))] {
	case "4":
		return p.paint(yellow, text)
	case "5":
		return p.paint(red, text)
	}
	return text
}

// log shows what the daemon logged.
func (p *printer) log(lines []lab.LogLine) {
	p.heading("The log, as in /var/log/mail.log")
	if len(lines) == 0 {
		p.printf("   %s\n", p.paint(dim, "nothing"))
	}
	for _, line := range lines {
		for i, part := range wrap(line.String(), width-6) {
			if i > 0 {
				part = "   " + part
			}
			p.printf("   %s\n", part)
		}
	}
}

// ends shows what became of each recipient.
func (p *printer) ends(ends []end) {
	p.heading("What became of it")
	longest := 0
	for _, e := range ends {
		longest = max(longest, utf8.RuneCountInString(e.to))
	}
	for _, e := range ends {
		what, colour := inWords(e.word)
		p.printf("   %-*s  %s  %-5s  %s\n", longest, e.to, p.paint(colour, fmt.Sprintf("%-18s", what)), e.code, e.why)
		if e.problem != "" {
			p.printf("   %s\n", p.paint(bold+";"+red, "NOT AS IT SHOULD BE: "+e.problem))
		}
	}
}

// inWords returns plain words for a status word of the log, and a colour.
func inWords(word string) (text, colour string) {
	switch word {
	case "sent":
		return "delivered", green
	case "bounced":
		return "returned to sender", red
	case "deferred":
		return "waits in the queue", yellow
	}
	return "unknown", red
}

// hop shows what the queue manager learned about the destination.
func (p *printer) hop(res lab.Result) {
	text := "every recipient is settled; the message leaves the queue"
	switch {
	case res.Hop.Status != "":
		text = "try again later, and spare this destination for now"
	case res.Status != 0:
		text = "not everybody is settled; try again later for who is left"
	}
	p.printf("   %s\n", p.paint(dim, fmt.Sprintf("The queue manager hears: %s (%.1f ms).",
		text, float64(res.Elapsed.Microseconds())/1000)))
}

// closing sums up.
func (p *printer) closing(t tally, took time.Duration) {
	p.printf("\n\n%s: %s, %s, %s. ", p.paint(bold, plural(t.delivered+t.returned+t.waiting, "recipient")),
		p.paint(green, fmt.Sprintf("%d delivered", t.delivered)),
		p.paint(red, fmt.Sprintf("%d returned to sender", t.returned)),
		p.paint(yellow, fmt.Sprintf("%d waiting in the queue", t.waiting)))
	verdict := p.paint(bold, "All as it should be.")
	if t.wrong > 0 {
		verdict = p.paint(bold+";"+red, fmt.Sprintf("%d NOT AS IT SHOULD BE.", t.wrong))
	}
	p.printf("%s (%.2f s)\n", verdict, took.Seconds())
}

// wrap breaks text at blanks so that no line is longer than limit where that
// can be.
func wrap(text string, limit int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > limit {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// plural returns "1 line", "2 lines", "1,234 bytes".
func plural(n int, noun string) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	if n != 1 {
		noun += "s"
	}
	return text + " " + noun
}
