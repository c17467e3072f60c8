package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"postlmtp/internal/install"
	"postlmtp/internal/lab"
	"postlmtp/internal/request"
	"postlmtp/testdata/messages"

	"github.com/spf13/pflag"
)

func demoUsage() usage {
	return usage{name: "demo", text: `Deliver a few messages on embedded parts and show what happens: the dialog with
the mail server, the log lines, and what became of each recipient and why.

Usage: postlmtp demo [OPTION]...

It needs neither root nor Postfix. In a temporary directory it starts stand-ins
for Postfix's master, queue manager and bounce services and an LMTP server, and
runs the real daemon among them.

Options:
`, after: `
Examples:
  postlmtp demo
  postlmtp demo --color=never | less
  postlmtp demo --json

The exit status is 0 if every recipient ended as it should, 1 if not.
`}
}

// demoTime bounds the whole demo.
const demoTime = 60 * time.Second

// demoOptions are the options of the demo.
type demoOptions struct {
	agent string
	color string
	json  bool
}

func demoFlags(opts *demoOptions) *pflag.FlagSet {
	flags := newFlags("demo")
	flags.StringVar(&opts.agent, "agent", "", "the daemon to run `FILE` (default: the one that belongs to this program)")
	flags.BoolVar(&opts.json, "json", false, "print one JSON object: what became of each recipient")
	colorFlag(flags, &opts.color)
	return flags
}

// demoCommand is postlmtp demo.
func demoCommand(args []string, stdout, stderr io.Writer) int {
	var opts demoOptions
	flags := demoFlags(&opts)
	if status, done := demoUsage().parse(flags, args, stdout, stderr); done {
		return status
	}
	if flags.NArg() > 0 {
		return misused(stderr, "demo", fmt.Errorf("unexpected argument %q", flags.Arg(0)))
	}
	paint, err := newPainter(opts.color, stdout)
	if err != nil {
		return misused(stderr, "demo", err)
	}
	agent, err := findAgent(opts.agent)
	if err != nil {
		return complain(stderr, "demo", err)
	}
	out := &printer{w: stdout, painter: paint}
	if opts.json {
		out.w = io.Discard
	}
	ctx, cancel := context.WithTimeout(context.Background(), demoTime)
	defer cancel()
	report, err := runDemo(ctx, agent, out)
	if err == nil && opts.json {
		err = printJSON(stdout, report)
	}
	switch {
	case err != nil:
		return complain(stderr, "demo", err)
	case !report.Good:
		return exitFail
	}
	return exitOK
}

// findAgent is findDaemon for the option --agent.
func findAgent(given string) (string, error) { return findDaemon("--agent", given) }

// findDaemon returns the file name of the daemon: what an option says, or else the
// one that belongs to this program.
func findDaemon(option, given string) (string, error) {
	if given == "" {
		self, err := os.Executable()
		if err != nil {
			return "", fmt.Errorf("find the daemon: %w", err)
		}
		given = agentBeside(filepath.Dir(self))
	}
	if _, err := os.Stat(given); err != nil {
		return "", fmt.Errorf("find the daemon: %w (make build makes it; %s names another)", err, option)
	}
	return given, nil
}

// agentBeside is the daemon that belongs to a tool in a directory: beside it, as
// make build leaves it; where make install puts it; or where packages for Debian
// and Red Hat do.
func agentBeside(dir string) string {
	beside := filepath.Join(dir, "lmtp")
	for _, path := range []string{beside,
		filepath.Join(dir, "../libexec/postlmtp/lmtp"),
		filepath.Join(dir, "../lib/postfix/sbin", daemonFile),
		filepath.Join(dir, "../libexec/postfix", daemonFile),
	} {
		if install.IsOurs(path) {
			return path
		}
	}
	return beside
}

// A demo is a running demo.
type demo struct {
	lab    *lab.Lab
	server *mailServer
	out    *printer
	asked  int // records of the services seen so far
	logged int // log lines seen so far
	queued map[string]*request.Request
	tally  tally
	ends   []demoEnd
}

// tally counts what became of recipients.
type tally struct{ delivered, returned, waiting, wrong int }

// A demoReport is the demo for programs.
type demoReport struct {
	Good      bool      `json:"ok"` // every recipient ended as it should
	Delivered int       `json:"delivered"`
	Returned  int       `json:"returned"`
	Waiting   int       `json:"waiting"`
	Ends      []demoEnd `json:"recipients"`
}

// A demoEnd is what became of one recipient.
type demoEnd struct {
	Scene   string `json:"scene"`
	To      string `json:"to"`
	Status  string `json:"status"`
	DSN     string `json:"dsn"`
	Problem string `json:"problem,omitempty"`
}

// runDemo plays all scenes and tells how every recipient ended.
func runDemo(ctx context.Context, agent string, out *printer) (report *demoReport, err error) {
	start := time.Now()
	d := &demo{out: out, queued: make(map[string]*request.Request)}
	d.lab, err = lab.New("", lab.Options{Agent: agent, Stderr: os.Stderr, ProcessLimit: 10})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.lab.Close()) }()
	d.server, err = newMailServer(filepath.Join(d.lab.QueueDirectory(), "public", mailboxSocket))
	if err != nil {
		return nil, err
	}
	defer d.server.close()

	out.opening(agent, d.lab.Dir())
	for i, s := range scenes() {
		if err := d.play(ctx, i+1, s); err != nil {
			return nil, err
		}
	}
	out.closing(d.tally, time.Since(start))
	return &demoReport{Good: d.tally.wrong == 0, Delivered: d.tally.delivered, Returned: d.tally.returned,
		Waiting: d.tally.waiting, Ends: d.ends}, nil
}

// play delivers the message of one scene and shows what happened.
func (d *demo) play(ctx context.Context, number int, s scene) error {
	req, size, err := d.queue(s)
	if err != nil {
		return err
	}
	d.out.scene(number, s, size)
	res, err := d.lab.Deliver(ctx, req)
	if err != nil {
		return errors.Join(err, d.explain())
	}
	d.server.settle(ctx)
	d.out.dialog(d.server.takeTapes())

	log := d.lab.Log()
	fresh := log[d.logged:]
	d.logged = len(log)
	d.out.log(fresh)

	records := d.lab.Records()
	told := records[d.asked:]
	d.asked = len(records)
	file, err := d.lab.File(req.QueueID)
	if err != nil {
		return err
	}
	ends := judge(s, fresh, told, file)
	for _, e := range ends {
		d.tally.add(e)
		d.ends = append(d.ends, demoEnd{s.title, e.to, e.word, e.code, e.problem})
	}
	d.out.ends(ends)
	d.out.hop(res)
	return nil
}

// queue puts the message of a scene into the queue, unless it is there already
// from an earlier attempt.
func (d *demo) queue(s scene) (*request.Request, int, error) {
	text, err := messages.Read(s.message)
	if err != nil {
		return nil, 0, err
	}
	if req := d.queued[s.message]; s.again && req != nil {
		return req, len(text), nil
	}
	msg := lab.Message{Sender: s.sender, Content: text}
	for _, f := range s.fates {
		msg.Recipients = append(msg.Recipients, request.Recipient{Address: f.to, Original: f.to})
	}
	req, err := d.lab.Queue(msg)
	if err != nil {
		return nil, 0, err
	}
	req.Nexthop = s.nexthop
	req.Encoding = s.encoding
	d.queued[s.message] = req
	return req, len(text), nil
}

// explain adds what the daemon said to an error.
func (d *demo) explain() error {
	var errs []error
	for _, line := range d.lab.Log()[d.logged:] {
		errs = append(errs, errors.New(line.String()))
	}
	return errors.Join(errs...)
}

// add counts one recipient.
func (t *tally) add(e end) {
	switch e.word {
	case "sent":
		t.delivered++
	case "bounced":
		t.returned++
	default:
		t.waiting++
	}
	if e.problem != "" {
		t.wrong++
	}
}
