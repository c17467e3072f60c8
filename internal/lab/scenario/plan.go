package scenario

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"postlmtp/internal/lab"
	"postlmtp/internal/request"
)

// A plan is what a scenario wants to be done.
type plan struct {
	settings []string
	options  lab.Options // but for Agent and MainCF
	servers  []serverPlan
	tables   []tablePlan
	requests []requestPlan
}

// A tablePlan is a file that settings can name.
type tablePlan struct{ name, text string }

type serverPlan struct {
	name   string
	script *lab.Script
}

// A requestPlan is one delivery request and its message.
type requestPlan struct {
	message lab.Message
	req     request.Request // what the file says; the rest comes from lab.Queue
	set     map[string]bool // the keys that the file has
	noMark  []bool          // recipients with offset -1
	file    string          // "", "absent", "locked", "not-ready"
	pause   time.Duration
	reload  bool
	touch   string // the table that changes before the request
	raw     []byte
	replace [][2]string // what to replace in the request on its way
}

// defaultMessage is delivered by a request without a message.
const defaultMessage = "Subject: hello\n\nHello.\n"

// read makes a plan of sections.
func (p *plan) read(sections []section) error {
	message := lab.Message{Content: defaultMessage}
	p.options.Behaviour = make(map[string]lab.Behaviour)
	for _, sec := range sections {
		kind, arg, _ := strings.Cut(sec.head, " ")
		var err error
		switch kind {
		case "settings":
			p.settings = append(p.settings, strings.Split(strings.TrimRight(sec.body, "\n"), "\n")...)
		case "agent":
			err = eachKey(sec.body, p.agentKey)
		case "services":
			err = eachKey(sec.body, func(key, value string) error {
				p.options.Behaviour[key] = lab.Behaviour(value)
				return nil
			})
		case "hosts":
			p.options.Hosts = "127.0.0.1 localhost\n" + sec.body
		case "table":
			p.tables = append(p.tables, tablePlan{strings.TrimSpace(arg), sec.body})
		case "server":
			err = p.addServer(arg, sec.body)
		case "message":
			message = lab.Message{Content: sec.body}
			if strings.TrimSpace(arg) == "unterminated" {
				message.Content = strings.TrimSuffix(sec.body, "\n")
			}
		case "records":
			message, err = readRecords(sec.body)
		case "request":
			err = p.addRequest(message, sec.body)
		case "differs":
			err = checkDiffers(sec.head)
		case "expect", "ours":
			err = checkExpectation(sec.head)
		default:
			err = fmt.Errorf("unknown section %q", sec.head)
		}
		if err != nil {
			return fmt.Errorf("section at line %d: %w", sec.line, err)
		}
	}
	return nil
}

// eachKey calls do for each "KEY: VALUE" line.
func eachKey(body string, do func(key, value string) error) error {
	for _, line := range strings.Split(body, "\n") {
		if strings.TrimSpace(line) == "" || line[0] == '#' {
			continue
		}
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			return fmt.Errorf("%q is not KEY: VALUE", line)
		}
		if err := do(strings.TrimSpace(key), strings.TrimPrefix(value, " ")); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}

// agentKey applies a line of the agent section.
func (p *plan) agentKey(key, value string) (err error) {
	switch key {
	case "words":
		p.options.Words = strings.Fields(value)
	case "release":
		p.options.Release = value
	case "service":
		p.options.Service = value
	case "chroot":
		p.options.Chroot = value == "yes"
	case "limit":
		p.options.ProcessLimit, err = strconv.Atoi(value)
	case "verbose":
		p.options.Verbose, err = strconv.Atoi(value)
	default:
		err = fmt.Errorf("unknown key")
	}
	return err
}

func (p *plan) addServer(name, body string) error {
	script, err := lab.ParseScript(body)
	p.servers = append(p.servers, serverPlan{strings.TrimSpace(name), script})
	return err
}

// readRecords reads a records section.
func readRecords(body string) (lab.Message, error) {
	msg := lab.Message{Records: []lab.QueueRecord{}}
	for _, line := range strings.Split(strings.TrimRight(body, "\n"), "\n") {
		if line == "cut" {
			msg.Truncated = true
			continue
		}
		kind, text, _ := strings.Cut(line, " ")
		kind, number, repeated := strings.Cut(kind, "*")
		times := 1
		if repeated {
			var err error
			if times, err = strconv.Atoi(number); err != nil {
				return msg, fmt.Errorf("%q: %w", line, err)
			}
		}
		if len(kind) != 1 {
			return msg, fmt.Errorf("%q is not a record", line)
		}
		data, err := recordText(text)
		if err != nil {
			return msg, fmt.Errorf("%q: %w", line, err)
		}
		for range times {
			msg.Records = append(msg.Records, lab.QueueRecord{Type: kind[0], Data: data})
		}
	}
	return msg, nil
}

// recordText reads text, "text" or "text"*N, and sums of the latter two.
func recordText(text string) (string, error) {
	if !strings.HasPrefix(text, `"`) {
		return text, nil
	}
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
		if rest, ok := strings.CutPrefix(text, "*"); ok {
			number, after, _ := strings.Cut(rest, "+")
			if times, err = strconv.Atoi(number); err != nil {
				return "", err
			}
			text = ""
			if strings.Contains(rest, "+") {
				text = "+" + after
			}
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
