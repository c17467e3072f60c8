package scenario

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"postlmtp/internal/attr"
	"postlmtp/internal/lab"
)

// observe makes the text of each facet.
func (r *run) observe() (Observed, error) {
	file, err := r.fileFacet()
	if err != nil {
		return nil, err
	}
	return Observed{
		"server":   foldRuns(r.mask(r.serverFacet())),
		"log":      foldRuns(r.mask(r.logFacet())),
		"requests": r.mask(r.requestsFacet()),
		"status":   r.mask(r.status.String()),
		"file":     file,
		"process":  r.processFacet(),
	}, nil
}

// mask replaces what differs from run to run.
func (r *run) mask(text string) string {
	for _, srv := range r.servers {
		if port := srv.Port(); port != 0 {
			old := regexp.MustCompile(`\b` + strconv.Itoa(port) + `\b`)
			text = old.ReplaceAllLiteralString(text, "{"+srv.Name()+".port}")
		}
	}
	text = owners.ReplaceAllString(text, "${1}*")
	text = connections.ReplaceAllString(text, "${1}{pid}${2}")
	// The names of curves are those of the installed OpenSSL.
	text = strings.ReplaceAll(text, "key-exchange x25519 ", "key-exchange X25519 ")
	text = strings.ReplaceAll(text, "ECDSA (P-256)", "ECDSA (prime256v1)")
	return strings.ReplaceAll(text, r.lab.Dir(), "{dir}")
}

// owners finds what depends on who runs the agent.
var owners = regexp.MustCompile(`\b(uid |gid |owner )[0-9:]+`)

// connections finds the name of one of our agent's connections.
var connections = regexp.MustCompile(`(\b(?:SESSION=[0-9A-Za-z]+-|xclient=[0-9A-Za-z]+-|session=[0-9A-Za-z]+-|connection=))[0-9]+(\.[0-9]+)`)

// serverFacet prints what each LMTP server got.
func (r *run) serverFacet() string {
	var b strings.Builder
	for _, srv := range r.servers {
		for _, d := range srv.Dialogs() {
			fmt.Fprintf(&b, "%s, connection %d\n", srv.Name(), d.Number)
			for _, line := range bytes.SplitAfter(d.Received(), []byte("\n")) {
				if len(line) > 0 {
					b.WriteString(strings.TrimRight("C: "+wireLine(string(line)), " ") + "\n")
				}
			}
		}
	}
	return b.String()
}

// longLine is the length from which a line is shown by its start, its length
// and a check sum.
const longLine = 160

// wireLine prints a line that ends with CRLF and is plain text as it is, and
// anything else as a Go string.
func wireLine(line string) string {
	if len(line) > longLine {
		return fmt.Sprintf("%q and so on, %d bytes, sum %.4x", line[:60], len(line), sha256.Sum256([]byte(line)))
	}
	text, ok := strings.CutSuffix(line, "\r\n")
	if ok && isPlain(text) && !strings.HasPrefix(text, `"`) && !strings.HasSuffix(text, " ") {
		return text
	}
	return strconv.Quote(line)
}

// isPlain tells whether a text is UTF-8 that can be printed.
func isPlain(text string) bool {
	return utf8.ValidString(text) && strings.IndexFunc(text, func(r rune) bool {
		return r != ' ' && !unicode.IsPrint(r)
	}) < 0
}

// cutLogLine is the length at which a log line is cut.
const cutLogLine = 1500

var delays = regexp.MustCompile(`delay=[0-9.]+, delays=[0-9.]+/[0-9.]+/[0-9.]+/[0-9.]+, `)

// libraryProblem finds what OpenSSL has to say: it names lines of its source.
var libraryProblem = regexp.MustCompile(`(TLS library problem: ).*`)

// leftOver finds the error of a system call that has nothing to do with the matter,
// or that there was none: it depends on what Postfix's libraries did at the start.
var leftOver = regexp.MustCompile(`(private/[a-z]+ socket: )(?:No such process|Application error)$`)

// logFacet prints the agent's log lines.
func (r *run) logFacet() string {
	var b strings.Builder
	for _, line := range r.lab.Log() {
		text := delays.ReplaceAllString(line.Text, "delay=*, delays=*, ")
		text = libraryProblem.ReplaceAllString(text, "${1}*")
		text = leftOver.ReplaceAllString(text, "${1}*")
		if len(text) > cutLogLine {
			text = text[:cutLogLine] + "..." // where the agent cuts it depends on the delays
		}
		if !utf8.ValidString(text) {
			text = strconv.Quote(text)
		}
		if line.Tag != "postfix/lmtp" {
			text = line.Tag + ": " + text
		}
		b.WriteString(text + "\n")
	}
	return b.String()
}

// requestsFacet prints what the services were asked.
func (r *run) requestsFacet() string {
	var b strings.Builder
	for _, rec := range r.lab.Records() {
		b.WriteString(rec.Service + "\n")
		if rec.Mail != nil {
			b.WriteString(postedText(rec.Mail))
			continue
		}
		if problem := oddities(&rec); problem != "" {
			fmt.Fprintf(&b, "  PROBLEM: %s\n", problem)
		}
		for _, p := range rec.Attrs {
			if p.Value != "" && p.Value != "0" {
				fmt.Fprintf(&b, "  %s: %s\n", p.Name, r.attrValue(&rec, p))
			}
		}
	}
	return b.String()
}

// appendNames are the attributes of a request to bounce, defer and trace.
const appendNames = "nrequest flags queue_id original_recipient recipient offset dsn_orig_rcpt notify_flags " +
	"status diag_type diag_text mta_type mta_mname action reason"

// oddities checks the names and the order of the attributes of a request.
func oddities(rec *lab.Record) string {
	want := map[string]string{
		"bounce": appendNames, "defer": appendNames, "trace": appendNames,
		"flush":   "request site queue_id",
		"verify":  "request address recipient_status reason",
		"rewrite": "request rule address",
	}[rec.Service]
	got := attrNames(rec.Attrs)
	if got == want {
		return ""
	}
	return "attributes are " + got
}

func attrNames(attrs []attr.Pair) string {
	names := make([]string, len(attrs))
	for i, p := range attrs {
		names[i] = p.Name
	}
	return strings.Join(names, " ")
}

// attrValue prints the value of an attribute. The offset of a recipient's
// record is told as the number of the recipient.
func (r *run) attrValue(rec *lab.Record, p attr.Pair) string {
	if p.Name == "offset" {
		for i, rcpt := range r.recipients[rec.Get("queue_id")] {
			if strconv.FormatInt(rcpt.Offset, 10) == p.Value {
				return fmt.Sprintf("recipient %d", i+1)
			}
		}
	}
	return printable(p.Value)
}

// printable prints a value as it is if that is readable, else as a Go string.
func printable(value string) string {
	if isPlain(value) {
		return value
	}
	return strconv.Quote(value)
}

var (
	dateText  = regexp.MustCompile(`[A-Z][a-z]{2}, [ 0-9]?[0-9] [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} [-+][0-9]{4}( \([A-Z]+\))?`)
	clockText = regexp.MustCompile(`^[0-9]+ [0-9]+$`)
)

// postedText prints a mail that was posted.
func postedText(mail *lab.Posted) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  flags: %d\n", mail.Flags)
	for _, rec := range mail.Records {
		data := dateText.ReplaceAllString(rec.Data, "{date}")
		if rec.Type == 'T' {
			data = clockText.ReplaceAllString(data, "{time}")
		}
		fmt.Fprintf(&b, "  %s\n", strings.TrimRight(string(rec.Type)+" "+printable(data), " "))
	}
	if mail.Problem != "" {
		fmt.Fprintf(&b, "  PROBLEM: %s\n", mail.Problem)
	}
	return b.String()
}

// fileFacet prints the state of the queue files.
func (r *run) fileFacet() (string, error) {
	var b strings.Builder
	for _, id := range r.ids {
		st, err := r.lab.File(id)
		if err != nil {
			return "", err
		}
		if !st.Exists {
			fmt.Fprintf(&b, "%s: gone\n", id)
			continue
		}
		fmt.Fprintf(&b, "%s: %s", id, squeeze(st.Marks))
		if st.Mode != 0o700 {
			fmt.Fprintf(&b, ", mode %04o", st.Mode)
		}
		if st.Changed {
			b.WriteString(", changed")
		}
		b.WriteString("\n")
	}
	return b.String(), nil
}

// squeeze prints marks, long runs of the same as a count.
func squeeze(marks []byte) string {
	var b strings.Builder
	for i := 0; i < len(marks); {
		j := i
		for j < len(marks) && marks[j] == marks[i] {
			j++
		}
		if j-i > 10 {
			fmt.Fprintf(&b, "%c*%d", marks[i], j-i)
		} else {
			b.Write(marks[i:j])
		}
		i = j
	}
	return b.String()
}

// processFacet prints what master(8) got to know, a line for each process.
func (r *run) processFacet() string {
	lines := make(map[int][]string)
	var order []int
	for _, e := range r.lab.Processes() {
		if _, ok := lines[e.PID]; !ok {
			order = append(order, e.PID)
		}
		lines[e.PID] = append(lines[e.PID], e.What)
	}
	var b strings.Builder
	for _, pid := range order {
		b.WriteString(strings.Join(lines[pid], ", ") + "\n")
	}
	return b.String()
}
