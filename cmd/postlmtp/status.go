package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"

	"postlmtp/internal/config"
	"postlmtp/internal/master"
	"postlmtp/internal/status"
)

func statusUsage() usage {
	return usage{name: "status", text: `Show what the running daemons do: deliveries that are going on, with their stage and
age; destinations, with rates and totals; open sessions; the last errors. With
--service, how the daemon is installed: the services of master.cf that deliver by
LMTP, the programs that they run and whose build those are, and whether postlmtp
uninstall knows the way back.

Usage: postlmtp status [OPTION]...

What the daemons do can be seen by root and by mail_owner. Totals are those since
the machine was started.

Options:
`, after: `
Examples:
  sudo postlmtp status
  sudo postlmtp status --watch
  sudo postlmtp status --json | jq '.services[].deliveries[] | select(.stage == "final")'
  postlmtp status --service

The exit status is 0 if all is well, 1 if nothing can be told or a service cannot
run, 3 if a process did not answer or a service runs another build than the one
that belongs to this tool.
`}
}

// statusOptions are the options of status.
type statusOptions struct {
	dir, color           string
	service, json, watch bool
	interval             time.Duration
}

func statusFlags(o *statusOptions) *pflag.FlagSet {
	flags := newFlags("status")
	dirFlag(flags, &o.dir)
	flags.BoolVarP(&o.watch, "watch", "w", false, "show it again and again, in place")
	flags.DurationVarP(&o.interval, "interval", "i", time.Second, "`TIME` that rates are over, and between two looks; 0 for no rates")
	flags.BoolVar(&o.service, "service", false, "how the daemon is installed")
	flags.BoolVar(&o.json, "json", false, "print one JSON object, one in each line with --watch; with --service an array")
	colorFlag(flags, &o.color)
	return flags
}

// statusCommand is postlmtp status.
func statusCommand(args []string, stdout, stderr io.Writer) int {
	var o statusOptions
	flags := statusFlags(&o)
	if status, done := statusUsage().parse(flags, args, stdout, stderr); done {
		return status
	}
	paint, err := newPainter(o.color, stdout)
	switch {
	case err != nil:
		return misused(stderr, "status", err)
	case flags.NArg() > 0:
		return misused(stderr, "status", fmt.Errorf("unexpected argument %q", flags.Arg(0)))
	case o.service && o.watch:
		return misused(stderr, "status", errors.New("--service and --watch exclude each other"))
	case o.interval < 0 || o.watch && o.interval == 0:
		return misused(stderr, "status", errors.New("--interval must be a time"))
	case o.service:
		return showServices(o.dir, o.json, paint, stdout, stderr)
	}
	dir, err := statusDirectory(o.dir, false)
	if err != nil {
		return complain(stderr, "status", err)
	}
	defer dir.Close()
	ctx, stop := bounded(0)
	defer stop()
	s := &statusScreen{out: stdout, paint: paint, options: o, live: o.watch && !o.json && isTerminal(stdout)}
	missing, err := s.run(ctx, dir)
	switch {
	case err != nil:
		return complain(stderr, "status", err)
	case missing:
		return exitWarnings
	}
	return exitOK
}

// statusDirectory opens the directory where the daemons can be asked, as its
// owner: root goes there with mail_owner's rights only. Root makes the directory,
// if that is asked for.
func statusDirectory(configDir string, create bool) (*status.Directory, error) {
	c, _, err := config.Load(config.Options{Dir: absolute(configDir)})
	if c == nil {
		return nil, err
	}
	if c.Postlmtp.StatusDirectory == "" {
		return nil, errors.New("postlmtp_status_directory is empty: the daemons cannot be asked")
	}
	path := filepath.Join(c.QueueDirectory, c.Postlmtp.StatusDirectory)
	if os.Geteuid() == 0 {
		owner, err := master.LookupOwner(c.MailOwner)
		if err == nil && create {
			err = status.MakeDirectory(path, owner.UID, owner.GID)
		}
		if err == nil {
			err = master.EnterJail(master.Jail{Owner: owner})
		}
		if err != nil {
			return nil, err
		}
	}
	dir, err := status.OpenDirectory(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: no process of the daemon has run so far that could be asked", err)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w: run this as root", err)
	}
	return dir, err
}

// statusScreen shows views.
type statusScreen struct {
	out     io.Writer
	paint   painter
	options statusOptions
	live    bool // draw in place
}

// run looks once, or until ctx ends. It reports whether some process did not
// answer at the last look.
func (s *statusScreen) run(ctx context.Context, dir *status.Directory) (missing bool, err error) {
	if s.live {
		// The screen of full-screen programs, without a cursor.
		fmt.Fprint(s.out, "\x1b[?1049h\x1b[?25l")
		defer fmt.Fprint(s.out, "\x1b[?25h\x1b[?1049l")
	}
	var before status.Collection
	var then time.Time
	for first := true; ; first = false {
		now := time.Now()
		c, err := dir.Collect(ctx)
		if ctx.Err() != nil {
			return missing, nil
		}
		if err != nil && len(c.Services) == 0 {
			return false, err
		}
		missing = len(c.Unreachable) > 0
		if !first || s.options.interval == 0 || s.live {
			if err := s.show(status.NewView(c, now, before, then)); err != nil {
				return missing, err
			}
			if !s.options.watch {
				return missing, nil
			}
		}
		before, then = c, now
		select {
		case <-ctx.Done():
			return missing, nil
		case <-time.After(s.options.interval):
		}
	}
}

// show prints one view.
func (s *statusScreen) show(v status.View) error {
	if s.options.json {
		if s.options.watch {
			return json.NewEncoder(s.out).Encode(v)
		}
		return printJSON(s.out, v)
	}
	columns, height := screenSize(s.out)
	page := statusPage{paint: s.paint, width: columns, at: v.At}
	text := page.print(v)
	if !s.live {
		_, err := s.out.Write(text)
		return err
	}
	_, err := s.out.Write(onScreen(text, height))
	return err
}

// onScreen makes a page one that overwrites the screen: each line clears what was
// behind it, and what is below is cleared, so that nothing flickers.
func onScreen(text []byte, height int) []byte {
	lines := bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
	if height > 0 && len(lines) > height {
		lines = append(lines[:height-1], []byte("..."))
	}
	var b bytes.Buffer
	b.WriteString("\x1b[H")
	for i, line := range lines {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.Write(line)
		b.WriteString("\x1b[K")
	}
	b.WriteString("\x1b[J")
	return b.Bytes()
}
