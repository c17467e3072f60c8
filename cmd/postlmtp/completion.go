package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"
)

func completionUsage() usage {
	return usage{name: "completion", text: `Print a script that lets a shell complete commands and options.

Usage: postlmtp completion bash|zsh|fish
`, after: `
Examples:
  postlmtp completion bash > /etc/bash_completion.d/postlmtp
  postlmtp completion zsh > /usr/local/share/zsh/site-functions/_postlmtp
  postlmtp completion fish > ~/.config/fish/completions/postlmtp.fish

The exit status is 0.
`}
}

func completionFlags() *pflag.FlagSet { return newFlags("completion") }

// shellNames are the shells that there is a script for.
func shellNames() []string { return []string{"bash", "zsh", "fish"} }

// completionCommand is postlmtp completion.
func completionCommand(args []string, stdout, stderr io.Writer) int {
	flags := completionFlags()
	if status, done := completionUsage().parse(flags, args, stdout, stderr); done {
		return status
	}
	shells := map[string]func(io.Writer){"bash": completeBash, "zsh": completeZsh, "fish": completeFish}
	if flags.NArg() != 1 || shells[flags.Arg(0)] == nil {
		return misused(stderr, "completion", errors.New("name one shell: bash, zsh or fish"))
	}
	shells[flags.Arg(0)](stdout)
	return exitOK
}

// option is one option of a command.
type option struct {
	long, short string
	value       string // what it takes, empty for a switch
	usage       string
}

// options lists the options of a command.
func (c command) options() []option {
	list := []option{{long: "help", usage: "say what the command can do"}}
	c.flags().VisitAll(func(f *pflag.Flag) {
		value, text := pflag.UnquoteUsage(f)
		if f.NoOptDefVal != "" {
			value = ""
		}
		text, _, _ = strings.Cut(text, "; ")
		text, _, _ = strings.Cut(text, " (default")
		list = append(list, option{f.Name, f.Shorthand, value, text})
	})
	return list
}

// takesFile tells whether the value is the name of a file or a directory.
func (o option) takesFile() bool { return o.value == "FILE" || o.value == "DIR" }

func completeBash(w io.Writer) {
	fmt.Fprintf(w, `# bash completion of postlmtp
_postlmtp() {
    local word=${COMP_WORDS[COMP_CWORD]} last=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]} options=
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W '%s --help --version' -- "$word"))
        return
    fi
    case "$command $last" in
`, strings.Join(commandNames(), " "))
	for _, c := range commands() {
		for _, o := range c.options() {
			if o.takesFile() {
				patterns := fmt.Sprintf("'%s --%s'", c.name, o.long)
				if o.short != "" {
					patterns += fmt.Sprintf("|'%s -%s'", c.name, o.short)
				}
				fmt.Fprintf(w, "    %s) COMPREPLY=($(compgen -f -- \"$word\")); return ;;\n", patterns)
			}
		}
		if c.words != nil {
			fmt.Fprintf(w, "    '%s %[1]s') COMPREPLY=($(compgen -W '%[2]s' -- \"$word\")); return ;;\n", c.name, strings.Join(c.words(), " "))
		}
	}
	fmt.Fprint(w, "    esac\n    case $command in\n")
	for _, c := range commands() {
		var words []string
		for _, o := range c.options() {
			words = append(words, "--"+o.long)
		}
		fmt.Fprintf(w, "    %s) options='%s' ;;\n", c.name, strings.Join(words, " "))
	}
	fmt.Fprint(w, `    esac
    case $word in
    -*) COMPREPLY=($(compgen -W "$options" -- "$word")) ;;
    *) COMPREPLY=($(compgen -f -- "$word")) ;;
    esac
}
complete -o filenames -F _postlmtp postlmtp
`)
}

// zshText makes a text fit for a description in brackets and single quotes.
func zshText(text string) string {
	return strings.NewReplacer("'", "'\\''", "[", "(", "]", ")", ":", "\\:").Replace(text)
}

func completeZsh(w io.Writer) {
	fmt.Fprint(w, "#compdef postlmtp\n_postlmtp() {\n  local -a commands\n  commands=(\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "    '%s:%s'\n", c.name, zshText(c.summary))
	}
	fmt.Fprint(w, "  )\n  if (( CURRENT == 2 )); then\n    _describe command commands\n    return\n  fi\n  local command=$words[2]\n  shift words; (( CURRENT-- ))\n  case $command in\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %s)\n    _arguments", c.name)
		for _, o := range c.options() {
			tail := fmt.Sprintf("[%s]", zshText(o.usage))
			form := "--" + o.long
			if o.value != "" {
				form += "="
				tail += ":" + o.value + ":"
				if o.takesFile() {
					tail += "_files"
				}
			}
			fmt.Fprintf(w, " \\\n      '%s%s'", form, tail)
			if o.short != "" {
				fmt.Fprintf(w, " \\\n      '-%s%s'", o.short, tail)
			}
		}
		argument := "*:argument:_files"
		if c.words != nil {
			argument = fmt.Sprintf("1:argument:(%s)", strings.Join(c.words(), " "))
		}
		fmt.Fprintf(w, " \\\n      '%s'\n    ;;\n", argument)
	}
	fmt.Fprint(w, "  esac\n}\n_postlmtp \"$@\"\n")
}

func completeFish(w io.Writer) {
	fishText := func(text string) string { return strings.NewReplacer("\\", "\\\\", "'", "\\'").Replace(text) }
	fmt.Fprint(w, "# fish completion of postlmtp\ncomplete -c postlmtp -n __fish_use_subcommand -f\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "complete -c postlmtp -n __fish_use_subcommand -a %s -d '%s'\n", c.name, fishText(c.summary))
		for _, o := range c.options() {
			fmt.Fprintf(w, "complete -c postlmtp -n '__fish_seen_subcommand_from %s' -l %s", c.name, o.long)
			if o.short != "" {
				fmt.Fprintf(w, " -s %s", o.short)
			}
			if o.value != "" {
				fmt.Fprint(w, " -r")
				if !o.takesFile() {
					fmt.Fprint(w, " -f")
				}
			}
			fmt.Fprintf(w, " -d '%s'\n", fishText(o.usage))
		}
		if c.words != nil {
			fmt.Fprintf(w, "complete -c postlmtp -n '__fish_seen_subcommand_from %s' -f -a '%s'\n", c.name, strings.Join(c.words(), " "))
		}
	}
}
