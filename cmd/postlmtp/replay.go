package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"postlmtp/internal/config"
	"postlmtp/internal/probe"
	"postlmtp/internal/queuefile"
)

func replayUsage() usage {
	return usage{name: "replay", text: `Deliver a copy of a queue file to a server, outside the queue, and show the whole
dialog. The queue file is only read: the message stays in the queue as it is, and
the queue manager delivers it another time. Whoever the copy goes to has it twice.

Usage: postlmtp replay [OPTION]... QUEUEFILE --to=DESTINATION

QUEUEFILE is a path or a queue ID. The copy goes to the recipients of the file
that are not finished yet, or to those of --recipient.

Options:
`, after: `
Examples:
  sudo postlmtp replay 4XyZ1234567 --to=unix:private/dovecot-lmtp
  postlmtp replay ./4XyZ1234567 --to=inet:[127.0.0.1]:2424 --recipient=test@example.com

The exit status is 0 if every recipient was delivered to, 1 if not.
`}
}

// replayOptions are the options of replay.
type replayOptions struct {
	probeOptions
	to         string
	recipients []string
}

func replayFlags(o *replayOptions) *pflag.FlagSet {
	flags := newFlags("replay")
	flags.StringVar(&o.to, "to", "", "where the copy goes `DESTINATION`")
	flags.StringArrayVar(&o.recipients, "recipient", nil, "deliver to `ADDRESS` instead of the recipients of the file; may be repeated")
	o.visit(flags, 15*time.Minute)
	return flags
}

// replayCommand is postlmtp replay.
func replayCommand(args []string, stdout, stderr io.Writer) int {
	var o replayOptions
	flags := replayFlags(&o)
	if status, done := replayUsage().parse(flags, args, stdout, stderr); done {
		return status
	}
	switch {
	case flags.NArg() != 1:
		return misused(stderr, "replay", errors.New("one QUEUEFILE is needed"))
	case o.to == "":
		return misused(stderr, "replay", errors.New("--to=DESTINATION is missing"))
	}
	path, err := findQueueFile(absolute(o.dir), flags.Arg(0))
	if err != nil {
		return complain(stderr, "replay", err)
	}
	message, err := probe.Queued(path)
	if err != nil {
		return complain(stderr, "replay", err)
	}
	defer message.Close()
	if len(message.Recipients())+len(o.recipients) == 0 {
		return complain(stderr, "replay", fmt.Errorf("%s: every recipient is finished (%s): name one with --recipient",
			path, strings.Join(message.Done(), ", ")))
	}
	return runProbe("replay", o.probeOptions, probe.Options{Destination: o.to, Recipients: o.recipients, Message: message}, stdout, stderr)
}

// findQueueFile finds a queue file by its path or its queue ID.
func findQueueFile(dir, name string) (string, error) {
	_, err := os.Stat(name)
	if err == nil || strings.Contains(name, "/") {
		return name, err
	}
	c, _, cerr := config.Load(config.Options{Dir: dir})
	if c == nil {
		return "", errors.Join(err, cerr)
	}
	hash := queuefile.Hash{Names: c.HashQueueNames, Depth: c.HashQueueDepth}
	for _, queue := range []string{"active", "deferred", "incoming", "hold", "corrupt"} {
		path, perr := queuefile.Path(queue, name, hash)
		if perr != nil {
			return "", err
		}
		path = filepath.Join(c.QueueDirectory, path)
		if _, serr := os.Stat(path); !errors.Is(serr, fs.ErrNotExist) {
			return path, serr
		}
	}
	return "", fmt.Errorf("no queue has a message %s (in %s)", name, c.QueueDirectory)
}
