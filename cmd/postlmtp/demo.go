package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"postlmtp/internal/lab"
	"postlmtp/internal/request"
	"postlmtp/testdata/messages"

	"github.com/spf13/pflag"
)

const demoHelp = `Deliver a few messages on embedded parts and show what happens: the dialog with
the mail server, the log lines, and what became of each recipient and why.

Usage: postlmtp demo [OPTION]...

It needs neither root nor Postfix. In a temporary directory it starts stand-ins
for Postfix's master, queue manager and bounce services and an LMTP server, and
runs the real daemon among them. The exit status is 0 if every recipient ended
as it should, else 1.

Options:
`

// demoTime bounds the whole demo.
const demoTime = 60 * time.Second

const demoExamples = `
Examples:
  postlmtp demo
  postlmtp demo --color=never | less
`

// demoOptions are the options of the demo.
type demoOptions struct {
	agent string
	color string
}

func demoFlags(opts *demoOptions) *pflag.FlagSet {
	flags := newFlags("demo")
	flags.StringVar(&opts.agent, "agent", "", "the daemon to run `FILE` (default: lmtp in the directory of this program)")
	colorFlag(flags, &opts.color)
	return flags
}

// demoCommand is postlmtp demo.
func demoCommand(args []string, stdout, stderr io.Writer) int {
	var opts demoOptions
	flags := demoFlags(&opts)
	err := flags.Parse(args)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		fmt.Fprint(stdout, demoHelp+flags.FlagUsages()+demoExamples)
		return exitOK
	case err != nil:
		return misused(stderr, "demo", err)
	case flags.NArg() > 0:
		return misused(stderr, "demo", fmt.Errorf("unexpected argument %q", flags.Arg(0)))
	}
	paint, err := newPainter(opts.color, stdout)
	if err != nil {
		return misused(stderr, "demo", err)
	}
	agent, err := findAgent(opts.agent)
	if err != nil {
		fmt.Fprintf(stderr, "postlmtp demo: %v\n", err)
		return exitFail
	}
	ctx, cancel := context.WithTimeout(context.Background(), demoTime)
	defer cancel()
	good, err := runDemo(ctx, agent, &printer{w: stdout, painter: paint})
	if err != nil {
		fmt.Fprintf(stderr, "postlmtp demo: %v\n", err)
	}
	if err != nil || !good {
		return exitFail
	}
	return exitOK
}

// findAgent returns the daemon's file name.
func findAgent(given string) (string, error) {
	if given == "" {
		self, err := os.Executable()
		if err != nil {
			return "", fmt.Errorf("find the daemon: %w", err)
		}
		given = filepath.Join(filepath.Dir(self), "lmtp")
	}
	if _, err := os.Stat(given); err != nil {
		return "", fmt.Errorf("find the daemon: %w (make build makes it; --agent names another)", err)
	}
	return given, nil
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
}

// tally counts what became of recipients.
type tally struct{ delivered, returned, waiting, wrong int }

// runDemo plays all scenes and tells whether every recipient ended as it
// should.
func runDemo(ctx context.Context, agent string, out *printer) (good bool, err error) {
	start := time.Now()
	d := &demo{out: out, queued: make(map[string]*request.Request)}
	d.lab, err = lab.New("", lab.Options{Agent: agent, Stderr: os.Stderr, ProcessLimit: 10})
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, d.lab.Close()) }()
	d.server, err = newMailServer(filepath.Join(d.lab.QueueDirectory(), "public", mailboxSocket))
	if err != nil {
		return false, err
	}
	defer d.server.close()

	out.opening(agent, d.lab.Dir())
	for i, s := range scenes() {
		if err := d.play(ctx, i+1, s); err != nil {
			return false, err
		}
	}
	out.closing(d.tally, time.Since(start))
	return d.tally.wrong == 0, nil
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
