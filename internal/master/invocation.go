package master

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// controlVariable is the environment variable by which P tells W the number of
// the descriptor between them.
const controlVariable = "POSTLMTP_CONTROL"

// releaseVariable and boundVariable are those by which P tells W
// Invocation.Release and Invocation.Bound.
const (
	releaseVariable = "POSTLMTP_RELEASE"
	boundVariable   = "POSTLMTP_BOUND"
)

// maxSockets bounds option -s: far above any machine's number of addresses.
const maxSockets = 10000

// Invocation is what master(8) said when it started the process.
type Invocation struct {
	Argv      []string // all words, the command's name first
	Service   string   // -n, or else the last part of the command's name
	Transport string   // -t: "unix" or "inet"
	Sockets   int      // -s: how many listening sockets, at least 1

	Alone        bool // -l: the process limit is 1
	Unlimited    bool // -z: the process limit is 0, for none
	Unprivileged bool // -u: become mail_owner
	Chroot       bool // -c: chroot to the queue directory
	OneShot      bool // -S: one connection on standard input and output
	NoDetach     bool // -d: master(8) has a terminal; no check for one
	Debug        bool // -D or MAIL_DEBUG
	Stderr       bool // -V: log to standard error as well
	Verbose      int  // number of -v, plus 1 for MAIL_VERBOSE

	Retire    time.Duration // -r, for the record
	Overrides []Override    // -o, -i and -m in their order
	Flags     Flags         // flags=
	FlagsWord string        // the last flags= word as given, or "flags="

	ConfigDirectory string // MAIL_CONFIG, or empty
	Generation      uint32 // GENERATION
	LogTag          string // MAIL_LOGTAG, or empty
	PostlogService  string // POSTLOG_SERVICE: a socket path, or empty
	PostlogHostname string // POSTLOG_HOSTNAME, or empty

	// Control is the descriptor between W and P, 0 in any other process.
	Control int
	// Release is what P knows of the release of Postfix, which W need not find
	// out again; empty if it does not.
	Release string
	// Bound is the bound on parallel requests that P has found, 0 in any other
	// process: the files that say it may have changed since.
	Bound int
}

// Override is one "-o name=value"; -i and -m are such for max_idle and max_use.
type Override struct{ Name, Value string }

// Flags are the letters of the flags= word of master.cf.
type Flags struct {
	DeliveredTo bool // D: prepend Delivered-To:
	OrigRcpt    bool // O: prepend X-Original-To:
	ReturnPath  bool // R: prepend Return-Path:
	Final       bool // X: report "delivered", not "relayed"
}

// ByHandError says that the process was not started by master(8).
type ByHandError struct{ Reason string }

// Error names the reason and where to go instead.
func (e *ByHandError) Error() string {
	return e.Reason + ": do not run this command by hand: Postfix's master(8) starts it, from its line in master.cf;" +
		` to see it deliver mail without Postfix, run "postlmtp demo"`
}

// ParseInvocation reads the words and the environment that master(8) gave to
// the process. The errors are start-up errors in Postfix's words; a missing
// transport or a cry for help is a *[ByHandError].
func ParseInvocation(argv, environ []string) (Invocation, error) {
	inv := Invocation{Argv: argv, Sockets: 1, FlagsWord: "flags="}
	if len(argv) == 0 || argv[0] == "" {
		return inv, errors.New("parse invocation: no command name")
	}
	inv.Service = filepath.Base(argv[0])
	if err := inv.environment(environ); err != nil {
		return inv, err
	}
	words, err := inv.options(argv[1:])
	if err != nil {
		return inv, err
	}
	if err := inv.transport(); err != nil {
		return inv, err
	}
	return inv, inv.attributes(words)
}

// options is getopt(3) over the option letters of a Postfix server.
func (inv *Invocation) options(args []string) (rest []string, err error) {
	set := pflag.NewFlagSet("lmtp", pflag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.Usage = func() {}
	set.SetInterspersed(false)
	for letter, target := range map[string]*bool{
		"c": &inv.Chroot, "d": &inv.NoDetach, "D": &inv.Debug, "l": &inv.Alone,
		"S": &inv.OneShot, "u": &inv.Unprivileged, "V": &inv.Stderr, "z": &inv.Unlimited,
	} {
		addSwitch(set, letter, func() { *target = true })
	}
	addSwitch(set, "v", func() { inv.Verbose++ })
	addValue(set, "i", func(v string) error { return inv.override("max_idle", v) })
	addValue(set, "m", func(v string) error { return inv.override("max_use", v) })
	addValue(set, "n", func(v string) error { inv.Service = v; return nil })
	addValue(set, "o", inv.nameValue)
	addValue(set, "r", inv.retirement)
	addValue(set, "s", inv.sockets)
	addValue(set, "t", func(v string) error { inv.Transport = v; return nil })
	if err := set.Parse(args); err != nil {
		return nil, optionError(err)
	}
	return set.Args(), nil
}

// optionError puts pflag's errors into Postfix's words.
func optionError(err error) error {
	var unknown *pflag.NotExistError
	var missing *pflag.ValueRequiredError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return &ByHandError{Reason: "no help from the daemon"}
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() != "":
		return fmt.Errorf("invalid option: %s", unknown.GetSpecifiedName())
	case errors.As(err, &missing):
		return fmt.Errorf("invalid option: %s", missing.GetSpecifiedName())
	case errors.As(err, &invalid):
		return invalid.Unwrap()
	default:
		return errors.New("invalid option: -") // what getopt(3) says of "--word"
	}
}

func (inv *Invocation) override(name, value string) error {
	inv.Overrides = append(inv.Overrides, Override{name, value})
	return nil
}

// nameValue splits "name = value"; blanks around either do not count.
func (inv *Invocation) nameValue(word string) error {
	const blanks = " \t\n\v\f\r"
	name, value, found := strings.Cut(strings.TrimLeft(word, blanks), "=")
	name = strings.TrimRight(name, blanks)
	why := ""
	switch {
	case name == "":
		why = "missing attribute name"
	case !found || strings.ContainsAny(name, blanks):
		why = "missing '=' after attribute name"
	default:
		return inv.override(name, strings.Trim(value, blanks))
	}
	return fmt.Errorf("invalid \"-o %s\" option value: %s", word, why)
}

func (inv *Invocation) retirement(word string) error {
	n, err := strconv.ParseInt(word, 10, 32)
	if err != nil || n <= 0 {
		return fmt.Errorf("invalid retirement time: %s", word)
	}
	inv.Retire = time.Duration(n) * time.Second
	return nil
}

func (inv *Invocation) sockets(word string) error {
	n, err := strconv.Atoi(word)
	if err != nil || n <= 0 || n > maxSockets {
		return fmt.Errorf("invalid socket_count: %s", word)
	}
	inv.Sockets = n
	return nil
}

func (inv *Invocation) transport() error {
	if inv.OneShot {
		return nil
	}
	switch lower := strings.ToLower(inv.Transport); lower {
	case "unix", "inet":
		inv.Transport = lower
		return nil
	case "":
		return &ByHandError{Reason: "no transport type specified"}
	default:
		return fmt.Errorf("unsupported transport type: %s", inv.Transport)
	}
}

// attributes reads the words after the options. Postfix 3.5 knows flags=, in
// any case, with letters in upper case; the last one wins.
func (inv *Invocation) attributes(words []string) error {
	const name = "flags="
	for _, word := range words {
		if len(word) < len(name) || !strings.EqualFold(word[:len(name)], name) {
			return fmt.Errorf("unknown attribute name: %s", word)
		}
		flags := Flags{}
		letters := word[len(name):]
		for i := range len(letters) {
			switch letters[i] {
			case 'D':
				flags.DeliveredTo = true
			case 'O':
				flags.OrigRcpt = true
			case 'R':
				flags.ReturnPath = true
			case 'X':
				flags.Final = true
			default:
				return fmt.Errorf("unknown %s value \"%s\" in \"%s\"", word, letters[i:i+1], letters)
			}
		}
		inv.Flags, inv.FlagsWord = flags, word
	}
	return nil
}

// environment reads what master(8) exports to its children.
func (inv *Invocation) environment(environ []string) error {
	get := func(name string) string {
		for _, entry := range environ {
			if value, ok := strings.CutPrefix(entry, name+"="); ok {
				return value
			}
		}
		return ""
	}
	has := func(name string) bool {
		for _, entry := range environ {
			if strings.HasPrefix(entry, name+"=") {
				return true
			}
		}
		return false
	}
	inv.ConfigDirectory = get("MAIL_CONFIG")
	inv.LogTag = get("MAIL_LOGTAG")
	inv.PostlogService = get("POSTLOG_SERVICE")
	inv.PostlogHostname = get("POSTLOG_HOSTNAME")
	inv.Debug = has("MAIL_DEBUG")
	if has("MAIL_VERBOSE") {
		inv.Verbose++
	}
	if text := get("GENERATION"); text != "" {
		n, err := strconv.ParseUint(text, 8, 32) // octal, by master_proto
		if err != nil {
			return fmt.Errorf("bad generation: %s", text)
		}
		inv.Generation = uint32(n)
	}
	if text := get(controlVariable); text != "" {
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil || n < firstListener {
			return fmt.Errorf("bad %s: %s", controlVariable, text)
		}
		inv.Control = int(n)
		inv.Release = get(releaseVariable)
		if inv.Bound, err = strconv.Atoi(get(boundVariable)); err != nil || inv.Bound < 0 {
			return fmt.Errorf("bad %s: %s", boundVariable, get(boundVariable))
		}
	}
	return nil
}

// optionValue makes a function a pflag.Value.
type optionValue struct{ set func(string) error }

func (v *optionValue) Set(s string) error { return v.set(s) }
func (v *optionValue) String() string     { return "" }
func (v *optionValue) Type() string       { return "value" }

// addValue adds an option with a value. The long name starts with a dash, which
// pflag refuses in a word: there are no long options.
func addValue(set *pflag.FlagSet, letter string, fn func(string) error) {
	set.VarP(&optionValue{fn}, "-"+letter, letter, "")
}

// addSwitch adds an option without a value: pflag would take one after '='.
func addSwitch(set *pflag.FlagSet, letter string, fn func()) {
	const given = "\x00"
	flag := set.VarPF(&optionValue{func(s string) error {
		if s != given {
			return errors.New("invalid option: =")
		}
		fn()
		return nil
	}}, "-"+letter, letter, "")
	flag.NoOptDefVal = given
}
