package config

import (
	"fmt"
	"io"
	"strings"
)

//go:generate go test -run ^(TestDocument|TestReadme)$ . -update

// Document writes docs/parameters.md: a table of all parameters, made from
// the rows.
func Document(w io.Writer) error {
	var b strings.Builder
	b.WriteString(documentHead)
	all := groups(new(Config))
	for _, g := range all {
		fmt.Fprintf(&b, "\n## %s\n\n| Parameter | Type | Default | Since | Purpose |\n|---|---|---|---|---|\n", g.title)
		for _, p := range g.rows {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", p.Name, p.typeText(), p.defaultText(code), p.sinceText(), p.purposeText())
		}
	}
	b.WriteString(documentRetired)
	for _, r := range retired() {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", r.Name, r.Until, codeWords(r.Now))
	}
	fmt.Fprintf(&b, "\n%s.\n", Counts())
	_, err := io.WriteString(w, b.String())
	return err
}

// Counts says how many parameters there are, in words for the documentation.
func Counts() string {
	missing, noEffect := 0, 0
	all := Params()
	for _, p := range all {
		if p.Missing != "" {
			missing++
		}
		if p.NoEffect {
			noEffect++
		}
	}
	return fmt.Sprintf("%d parameters: %d are acted on, %d have no effect on the delivery by LMTP, %d are about what Go's TLS library does not have",
		len(all), len(all)-missing-noEffect, noEffect, missing)
}

const documentHead = `# Parameters

<!-- Made by "go generate ./internal/config" from the table of parameters. -->

These are the parameters of main.cf that the daemon reads: all that Postfix's
lmtp(8) of the releases 3.5 to 3.12 reads, with the same types, defaults and
bounds, and those that start with ` + "`postlmtp_`" + `. A service in master.cf can have
its own values by ` + "`-o name=value`" + `. postconf(5) has the long description of each.
` + "`postlmtp config`" + ` shows the values of main.cf, and with ` + "`--service`" + ` those of a service.

Types: *time* is a number and a unit of s, m, h, d or w (without one, the unit
of the default counts); *number* is decimal; *yes/no* is one of these words;
*list* is words with commas or blanks between them; *text* is anything. Bounds
of a text are those of its length, bounds of a time are in seconds. All values
may refer to others by ` + "`$name`" + `, ` + "`${name?{a}:{b}}`" + ` and so on.

*Since* is the release of Postfix that introduced the parameter; here it is
known with any release. Where defaults differ between releases, that of the
installed Postfix counts.

**Not here** marks parameters about what Go's TLS library, crypto/tls, does not
have. The daemon says so in the log when it starts and main.cf sets one to
something else than its default; where the name starts with ` + "`tls_`" + `, only if TLS
is used, and not for an empty value, ` + "`default`" + ` and ` + "`none`" + `. See [tls.md](tls.md).
*No effect* marks parameters that do not concern the delivery by LMTP, or parts
of Postfix that this program does not need.
`

const documentRetired = `
## Retired names

Postfix's LMTP client had these once, and passes over them today without a word.
When main.cf sets one, the daemon and ` + "`postlmtp config`" + ` warn and name what to use.
` + "`lmtp_per_record_deadline`" + ` (2.9 to 3.6) still counts, as in Postfix: it is the default
of ` + "`lmtp_per_request_deadline`" + `.

| Name | In Postfix until | Use |
|---|---|---|
`

// codeWords formats the names of parameters in a text.
func codeWords(text string) string {
	words := strings.Fields(text)
	for i, w := range words {
		if strings.HasPrefix(w, "lmtp_") {
			words[i] = code(w)
		}
	}
	return strings.Join(words, " ")
}

func (p *Param) typeText() string {
	text := p.Kind.String()
	switch {
	case p.Min != 0 && p.Max != 0:
		text += fmt.Sprintf(", %d to %d", p.Min, p.Max)
	case p.Min != 0:
		text += fmt.Sprintf(", at least %d", p.Min)
	case p.Max != 0:
		text += fmt.Sprintf(", at most %d", p.Max)
	}
	return text
}

// defaultText is the default as documents have it: that of the newest release
// first. format writes a value.
func (p *Param) defaultText(format func(value string) string) string {
	if p.found != "" {
		return p.found
	}
	text := format(p.newest)
	for i := len(p.older) - 1; i >= 0; i-- {
		o := p.older[i]
		text += fmt.Sprintf("; before %d.%d %s", o.before[0], o.before[1], format(o.text))
	}
	return text
}

func (p *Param) sinceText() string {
	if p.Since == "" {
		return "2.0"
	}
	return p.Since
}

func (p *Param) purposeText() string {
	text := strings.ReplaceAll(p.Doc, "|", `\|`)
	text = strings.ReplaceAll(strings.ReplaceAll(text, "<", "&lt;"), ">", "&gt;")
	switch {
	case p.Missing != "":
		return "**Not here:** " + p.Missing + ". " + text
	case p.NoEffect:
		return "*No effect.* " + text
	}
	return text
}

// code formats a value for a cell of a table.
func code(value string) string {
	if value == "" {
		return "(empty)"
	}
	return "`" + strings.ReplaceAll(value, "|", `\|`) + "`"
}
