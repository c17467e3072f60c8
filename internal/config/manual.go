package config

import (
	"cmp"
	"fmt"
	"io"
	"strings"
)

// Manual writes docs/man/postlmtp.5: the parameters as a manual page, made from
// the rows.
func Manual(w io.Writer) error {
	var b strings.Builder
	b.WriteString(manualHead)
	for _, g := range groups(new(Config)) {
		fmt.Fprintf(&b, ".SH %s\n", strings.ToUpper(roff(g.title)))
		for _, p := range g.rows {
			fmt.Fprintf(&b, ".TP\n\\fB%s\\fR (default: %s)\n%s.%s\n", roff(p.Name), roff(p.defaultText(plain)), roff(p.Doc), p.manualNote())
		}
	}
	b.WriteString(manualTail)
	_, err := io.WriteString(w, b.String())
	return err
}

// plain formats a value for the manual.
func plain(value string) string { return cmp.Or(value, "empty") }

// manualNote says what the row's marks mean.
func (p *Param) manualNote() string {
	note := ""
	if p.Since != "" && p.Since != "postlmtp" {
		note += " Since Postfix " + roff(p.Since) + "."
	}
	switch {
	case p.Missing != "":
		note += " Not acted on: " + roff(p.Missing) + "."
	case p.NoEffect:
		note += " No effect on the delivery by LMTP."
	}
	return note
}

// roff quotes what the formatter would take for its own.
func roff(text string) string {
	text = strings.ReplaceAll(text, `\`, `\e`)
	text = strings.ReplaceAll(text, "-", `\-`)
	text = strings.ReplaceAll(text, "`", "")
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	return text
}

const manualHead = `.\" Made by "go generate ./internal/config" from the table of parameters.
.TH POSTLMTP 5 "" postlmtp "Postfix delivery agents"
.SH NAME
postlmtp \- parameters of the LMTP delivery agent
.SH DESCRIPTION
These are the parameters of main.cf that
.BR postlmtp\-lmtp (8)
reads: all that
.BR lmtp (8)
of Postfix 3.5 to 3.12 reads, and those that start with
.BR postlmtp_ .
A service in master.cf can have its own values by
.BR "\-o name=value" .
Where defaults differ between releases, that of the installed Postfix counts.
.BR postconf (5)
has the long description of each.
`

const manualTail = `.SH SEE ALSO
.BR postlmtp\-lmtp (8),
.BR postlmtp (1),
.BR postconf (5)
`
