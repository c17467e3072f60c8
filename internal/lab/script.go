package lab

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Script says how an LMTP server behaves. As text, it has one word or reply
// a line; blank lines and lines that start with # mean nothing:
//
//	listen tcp 127.0.0.2     where: see Listen; "listen unix" if there is none
//	port first               the TCP port of the server first
//	receive-buffer 2048      SO_RCVBUF of each connection, in bytes
//	send-buffer 2048         SO_SNDBUF
//	forget content           do not record the content of messages
//
//	on connect               what follows happens on this event
//	  220 lmtp.example.com   a line that starts with a digit is sent, with CRLF
//	on RCPT TO:<b@           the longest start of a command that fits wins
//	  550 5.1.1 unknown
//	on .                     the end of the content, by DATA or BDAT LAST
//	  wait 100ms
//	  250 2.0.0 first        one line for each recipient
//	  close
//	on body 1000             after so many bytes of content
//	  reset
//	connection 2             what follows is for the second connection only
//
// Events are connect, body N and whatever the client sends, a line being
// compared without regard to case. Where an event has several blocks they are
// used in turn, and the last of them from then on. An event without a block
// gets the reply of a friendly server.
//
// The actions are: a reply, and
//
//	send "text"   sends a Go string as it is; "x"*3000 and "a"+"b" work, too
//	wait 100ms    does nothing for a time
//	close         closes the connection, after what the client has sent by then
//	reset         closes it so that the client sees a reset (TCP)
//	half-close    ends sending, then reads and ignores what comes
//	hang          answers nothing more, but goes on reading
//	stall         reads nothing more
//	next          takes the next command without an answer
//	tls NAME      a TLS handshake with one of Certificates, see startTLS
type Script struct {
	Listen        string // "unix", "tcp", "refused", "missing" or "stale"
	Address       string // the IP address for "tcp" and "refused"
	Like          string // name of a server of the lab whose TCP port to take
	ReceiveBuffer int
	SendBuffer    int
	Forget        bool // do not record content
	Rules         []Rule
}

// A Rule is one block of a script.
type Rule struct {
	Connection int    // the number of the connection; 0 for all
	On         string // the event: "connect", "body N", ".", or the start of a command
	Steps      []Step
}

// A Step is one action of a rule.
type Step struct {
	Do    string // "reply", "send", "wait", "close", "reset", "half-close", "hang", "stall", "next"
	Text  string
	Delay time.Duration
}

// Names of events.
const (
	onConnect = "connect"
	onBody    = "body "
	onDot     = "."
)

// ParseScript reads a script.
func ParseScript(text string) (*Script, error) {
	s := &Script{Listen: "unix", Address: "127.0.0.1"}
	connection, open := 0, false
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		rest = strings.TrimSpace(rest)
		var err error
		switch word {
		case "listen", "port", "receive-buffer", "send-buffer", "forget":
			err = s.set(word, rest)
		case "connection":
			connection, err = strconv.Atoi(rest)
			open = false
		case "on":
			s.Rules = append(s.Rules, Rule{Connection: connection, On: rest})
			open = true
		default:
			if !open {
				err = fmt.Errorf("%q outside of a block", word)
				break
			}
			var step Step
			step, err = parseStep(line, word, rest)
			last := &s.Rules[len(s.Rules)-1]
			last.Steps = append(last.Steps, step)
		}
		if err != nil {
			return nil, fmt.Errorf("parse script: line %d: %w", i+1, err)
		}
	}
	return s, nil
}

// set applies a word that is about the server as a whole.
func (s *Script) set(word, value string) (err error) {
	switch word {
	case "forget":
		s.Forget = true
	case "port":
		s.Like = value
	case "receive-buffer":
		s.ReceiveBuffer, err = strconv.Atoi(value)
	case "send-buffer":
		s.SendBuffer, err = strconv.Atoi(value)
	case "listen":
		how, address, _ := strings.Cut(value, " ")
		if !slices.Contains([]string{"unix", "tcp", "refused", "missing", "stale"}, how) {
			return fmt.Errorf("cannot listen %q", how)
		}
		s.Listen = how
		if address != "" {
			s.Address = address
		}
	}
	return err
}

// parseStep reads one action.
func parseStep(line, word, rest string) (Step, error) {
	switch word {
	case "send":
		text, err := sumText(rest)
		return Step{Do: word, Text: text}, err
	case "tls":
		return Step{Do: word, Text: rest}, nil
	case "wait":
		d, err := time.ParseDuration(rest)
		return Step{Do: word, Delay: d}, err
	case "close", "reset", "half-close", "hang", "stall", "next":
		return Step{Do: word}, nil
	}
	if line[0] >= '0' && line[0] <= '9' {
		return Step{Do: "reply", Text: line}, nil
	}
	return Step{}, fmt.Errorf("unknown action %q", word)
}

// fits tells whether a rule is about an event on a connection.
func (r *Rule) fits(event string, connection int) bool {
	if r.Connection != 0 && r.Connection != connection {
		return false
	}
	if event == onConnect || event == onDot || strings.HasPrefix(event, onBody) {
		return r.On == event
	}
	return len(r.On) <= len(event) && strings.EqualFold(r.On, event[:len(r.On)]) && r.On != onDot
}

// find returns the index of the rule for an event, or -1. used counts how often
// the connection has used each rule.
func (s *Script) find(event string, connection int, used map[int]int) int {
	best := -1
	better := func(i int) bool {
		if best < 0 {
			return true
		}
		a, b := &s.Rules[i], &s.Rules[best]
		if (a.Connection != 0) != (b.Connection != 0) {
			return a.Connection != 0
		}
		if len(a.On) != len(b.On) {
			return len(a.On) > len(b.On)
		}
		return used[best] > 0 // an unused one, or the last
	}
	for i := range s.Rules {
		if s.Rules[i].fits(event, connection) && better(i) {
			best = i
		}
	}
	return best
}

// bodyMarks returns the content sizes for which a rule waits, in order.
func (s *Script) bodyMarks(connection int) []int {
	var marks []int
	for _, r := range s.Rules {
		size, ok := strings.CutPrefix(r.On, onBody)
		if n, err := strconv.Atoi(size); ok && err == nil && (r.Connection == 0 || r.Connection == connection) {
			marks = append(marks, n)
		}
	}
	slices.Sort(marks)
	return marks
}

// sumText reads a Go string, a repetition "text"*N, and sums of both.
func sumText(text string) (string, error) {
	var all strings.Builder
	for {
		quoted, err := strconv.QuotedPrefix(text)
		if err != nil {
			return "", err
		}
		part, err := strconv.Unquote(quoted)
		if err != nil {
			return "", err
		}
		text = text[len(quoted):]
		times := 1
		if strings.HasPrefix(text, "*") {
			end := strings.IndexByte(text+"+", '+')
			if times, err = strconv.Atoi(text[1:end]); err != nil {
				return "", err
			}
			text = text[end:]
		}
		all.WriteString(strings.Repeat(part, times))
		if text == "" {
			return all.String(), nil
		}
		if text[0] != '+' {
			return "", fmt.Errorf("%q after a string", text)
		}
		text = text[1:]
	}
}
