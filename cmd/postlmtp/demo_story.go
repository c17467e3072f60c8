package main

import (
	"fmt"
	"regexp"
	"strings"

	"postlmtp/internal/lab"
)

// mailboxSocket is the name of the mail server's socket in the directory
// public of the queue directory.
const mailboxSocket = "mailbox"

// A scene is one delivery.
type scene struct {
	title    string
	intro    string // what to look at
	message  string // name of the message
	sender   string
	nexthop  string
	encoding string
	again    bool // a further attempt for a message of an earlier scene
	fates    []fate
}

// A fate is how it must end for a recipient.
type fate struct {
	to   string
	word string // the status word in the log
	code string // the enhanced status code
}

// scenes is the story that the demo tells.
func scenes() []scene {
	mailbox := "unix:public/" + mailboxSocket
	return []scene{{
		title:   "A letter",
		intro:   "One message, one recipient, and a server that takes it.",
		message: "letter", sender: "ben@example.org", nexthop: mailbox,
		fates: []fate{{"anna@example.net", "sent", "2.0.0"}},
	}, {
		title: "One message, five recipients, five answers",
		intro: "In LMTP the server answers for each recipient: some at RCPT, the rest after the\n" +
			"message. Nobody has to wait for, or suffer from, somebody else's answer.",
		message: "invitation", sender: "office@example.org", nexthop: mailbox, encoding: "8bit",
		fates: []fate{
			{"anna@example.net", "sent", "2.0.0"},
			{"nobody@example.net", "bounced", "5.1.1"},
			{"carla@example.net", "deferred", "4.2.2"},
			{"dora@example.net", "bounced", "5.2.2"},
			{"ben@example.net", "sent", "2.0.0"},
		},
	}, {
		title: "The server hangs up before it answers",
		intro: "It has the whole message, and then it is gone. Did it keep the message? Nobody can\n" +
			"tell, so the mail is tried again: better twice than never.",
		message: "report", sender: "root@cron.example.com", nexthop: mailbox,
		fates: []fate{{"ops@example.net", "deferred", "4.4.2"}},
	}, {
		title:   "The same message, a while later",
		intro:   "The queue manager tries again what waits in its queue.",
		message: "report", sender: "root@cron.example.com", nexthop: mailbox, again: true,
		fates: []fate{{"ops@example.net", "sent", "2.0.0"}},
	}, {
		title: "No server at all",
		intro: "Nobody listens at this destination. The queue manager learns of it as well, and\n" +
			"leaves the destination alone for a while.",
		message: "receipt", sender: "orders@shop.example.org", nexthop: "unix:public/elsewhere",
		fates: []fate{{"anna@example.net", "deferred", "4.4.1"}},
	}}
}

// An end is what became of a recipient.
type end struct {
	to      string
	word    string // the status word in the log, "" if the log has none
	code    string
	why     string // in plain words
	problem string // what is not as it should be, or ""
}

// meaning says in plain words what a status code is about.
func meaning(code string) string {
	words := map[string]string{
		"2.0.0": "it is in the mailbox",
		"5.1.1": "the server knows no such user; the sender is told",
		"5.2.2": "the mailbox is full for good; the sender is told",
		"4.2.2": "the mailbox is full for now; tried again later",
		"4.4.1": "nobody listens there; tried again later",
		"4.4.2": "the server hung up, no answer; tried again later",
	}
	return words[code]
}

var deliveryLine = regexp.MustCompile(`: to=<([^>]*)>,.* dsn=([0-9.]+), status=(\S+) \(`)

// judge finds out what became of each recipient of a scene: from the log, and
// then whether the services and the queue file tell the same.
func judge(s scene, log []lab.LogLine, told []lab.Record, file lab.FileState) []end {
	ends := make([]end, len(s.fates))
	for i, f := range s.fates {
		e := end{to: f.to}
		for _, line := range log {
			if m := deliveryLine.FindStringSubmatch(line.Text); m != nil && m[1] == f.to {
				e.code, e.word = m[2], m[3]
			}
		}
		e.why = meaning(e.code)
		mark := byte('?')
		if i < len(file.Marks) {
			mark = file.Marks[i]
		}
		e.problem = problem(f, e, told, mark)
		ends[i] = e
	}
	return ends
}

// problem compares an end with the fate that was to be.
func problem(f fate, e end, told []lab.Record, mark byte) string {
	wantMark, wantService := byte('D'), ""
	switch f.word {
	case "bounced":
		wantService = "bounce"
	case "deferred":
		wantMark, wantService = 'R', "defer"
	}
	services := servicesTold(f.to, f.code, told)
	switch {
	case e.word == "":
		return "the log does not mention it"
	case e.word != f.word || e.code != f.code:
		return fmt.Sprintf("it should be %s with %s", f.word, f.code)
	case services != wantService:
		return fmt.Sprintf("it should be known to the service %q, not %q", wantService, services)
	case mark != wantMark:
		return fmt.Sprintf("its mark in the queue file should be %c, not %c", wantMark, mark)
	}
	return ""
}

// servicesTold lists the services that were told about a recipient.
func servicesTold(to, code string, told []lab.Record) string {
	var names []string
	for _, r := range told {
		if r.Get("recipient") == to && r.Get("status") == code {
			names = append(names, r.Service)
		}
	}
	return strings.Join(names, " ")
}
