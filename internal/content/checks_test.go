package content

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postlmtp/internal/queuefile"
)

// logLines is a log that is read by tests.
type logLines []string

func (l *logLines) Infof(format string, args ...any) { *l = append(*l, fmt.Sprintf(format, args...)) }
func (l *logLines) Warningf(format string, args ...any) {
	*l = append(*l, "warning: "+fmt.Sprintf(format, args...))
}

// rules is a table whose keys are starts of the text.
func rules(pairs ...string) Lookup {
	return func(text string) (string, bool, error) {
		for i := 0; i < len(pairs); i += 2 {
			if strings.HasPrefix(text, pairs[i]) {
				return pairs[i+1], true, nil
			}
		}
		return "", false, nil
	}
}

func lines(texts ...string) []queuefile.Record {
	var records []queuefile.Record
	for _, t := range texts {
		records = append(records, line(t))
	}
	return records
}

func copyLines(t *testing.T, o Options, records ...queuefile.Record) ([]string, []string, error) {
	t.Helper()
	var out bytes.Buffer
	var log logLines
	o.Log, o.QueueID = &log, "Q"
	_, err := Copy(&out, source(t, records...), o)
	return strings.Split(strings.TrimSuffix(out.String(), "\r\n"), "\r\n"), log, err
}

func TestChecks(t *testing.T) {
	o := Options{Checks: Checks{
		LogLength: 12,
		Header: rules("Info", "INFO text", "Warn", "warn", "Rep", "REPLACE New:  x", "Pre", "Prepend Before: y",
			"Ign", "IGNORE", "Strip", "STRIP why", "Ok", "OK", "No1", "REPLACE", "No2", "PREPEND nothing", "No3", "REJECT it",
			"MIME", "STRIP wrong", "Content-T", "STRIP wrong"),
		MIMEHeader:   rules("Content-Type", "INFO mime"),
		NestedHeader: rules("Info", "STRIP nested"),
		Body:         rules("b", "REPLACE .b", "p", "PREPEND before", "i", "IGNORE", "Info", "INFO line"),
	}}
	out, log, err := copyLines(t, o, lines("Info: 12345678", "Warn: 1", " folded", "Rep: l", "Pre: z", "Ign: i", "Strip: s", "Ok: o",
		"No1: 1", "No2: 2", "No3: 3", "MIME-Version: 1.0", "Content-Type: message/rfc822", "", "Info: n", "Rep: n", "", "body", "pre", "ignored", "Info")...)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"Info: 12345678", "Warn: 1", " folded", "New:  x", "Before: y", "Pre: z", "Ok: o",
		"No1: 1", "No2: 2", "No3: 3", "MIME-Version: 1.0", "Content-Type: message/rfc822", "", "Rep: n", "", "..b", "before", "pre", "Info"}, out); diff != "" {
		t.Errorf("content (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{
		"Q: info: header Info: 123456: text", "Q: warning: header Warn: 1\n fol",
		"Q: replace: header Rep: l: New:  x", "Q: prepend: header Pre: z: Before: y", "Q: strip: header Strip: s: why",
		"warning: REPLACE action without text in lmtp_header_checks map",
		"warning: bad PREPEND header text \"nothing\" in lmtp_header_checks map -- need \"headername: headervalue\"",
		"warning: unsupported command in lmtp_header_checks map: REJECT it",
		"Q: info: header Content-Type: mime", "Q: strip: header Info: n: nested",
		"Q: replace: body body: .b", "Q: prepend: body pre: before", "Q: info: body Info: line",
	}, log); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

// TestCheckError: what was written before goes out, nothing after.
func TestCheckError(t *testing.T) {
	failing := func(text string) (string, bool, error) {
		if text == "" { // never found in any table
			return "", false, nil
		}
		return "", false, errors.New("no")
	}
	out, _, err := copyLines(t, Options{Checks: Checks{Body: failing}}, lines("A: b", "", "text")...)
	var check *CheckError
	if !errors.As(err, &check) || err.Error() != "smtp body checks lookup error" || len(out) != 2 {
		t.Errorf("%q, %v", out, err)
	}
}

func TestGenericHeaders(t *testing.T) {
	generic := func(addr string) (string, bool, error) {
		switch {
		case strings.HasSuffix(addr, "@in"):
			return strings.TrimSuffix(addr, "in") + "out", true, nil
		case addr == "bad@":
			return "", false, errors.New("table is gone")
		}
		return "", false, nil
	}
	long := strings.Repeat("x", 50)
	for _, tt := range []struct {
		in   []string
		want []string
	}{
		{[]string{"From:  a@in"}, []string{"From: a@out"}},
		{[]string{"from : b@x , c@y", " d@z"}, []string{"from: b@x , c@y", " d@z"}},
		{[]string{"X-From: a@in", "Received: a@in", "Delivered-To: a@in"}, []string{"X-From: a@in", "Received: a@in", "Delivered-To: a@in"}},
		{[]string{"To: a@in, " + long + "@x, c@y, " + long + "@z"},
			[]string{"To: a@out, " + long + "@x, c@y,", "\t" + long + "@z"}},
		{[]string{"To: a@in (comment", " folded), b@x, " + long + "@x"},
			[]string{"To: a@out (comment  folded), b@x,", "\t" + long + "@x"}},
		{[]string{"Content-Type: message/rfc822", "", "From: a@in"}, []string{"Content-Type: message/rfc822", "", "From: a@in"}},
	} {
		got, _, err := copyLines(t, Options{Generic: generic}, lines(tt.in...)...)
		if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
			t.Errorf("%q: %v (-want +got):\n%s", tt.in, err, diff)
		}
	}
	var mapping *GenericError
	if out, _, err := copyLines(t, Options{Generic: generic}, lines("A: b", "Cc: bad@")...); !errors.As(err, &mapping) || len(out[0]) > 0 {
		t.Errorf("%q, %v", out, err)
	}
	// A header of another name, by a check: addresses are those of the new one.
	o := Options{Generic: generic, Checks: Checks{Header: rules("Cc", "REPLACE Reply-To: a@in", "To", "REPLACE X-To: a@in", "X", "REPLACE To: a@in")}}
	got, _, err := copyLines(t, o, lines("Cc: x", "To: x", "X: x")...)
	if diff := cmp.Diff([]string{"Reply-To: a@out", "X-To: a@in", "To: a@in"}, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// FuzzEdited: whatever a header is, its addresses can be rewritten, and no line
// is added to the message that is not part of that header.
func FuzzEdited(f *testing.F) {
	f.Add("a@b, c@d (e\n f)")
	f.Add("<a@b")
	f.Fuzz(func(t *testing.T, value string) {
		value = strings.ReplaceAll(value, "\n", "\n ") // as the MIME stage has it
		generic := func(addr string) (string, bool, error) { return "new@example.com", true, nil }
		text, err := rewriteHeader([]byte("To: "+value), generic, new(logLines))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(text, []byte("To: ")) {
			t.Fatalf("%q became %q", value, text)
		}
		for i, l := range strings.Split(string(text), "\n")[1:] {
			if l == "" || !isBlank(l[0]) {
				t.Fatalf("line %d of %q", i+2, text)
			}
		}
	})
}
