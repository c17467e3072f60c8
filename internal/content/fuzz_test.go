package content

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postlmtp/internal/queuefile"
)

// cutRecords makes records of text: lines, some of them in parts, some with
// their line feed in the middle of a record, as the bits of how say.
func cutRecords(text []byte, how uint64) []queuefile.Record {
	bit := func() bool {
		how = how<<1 | how>>63
		return how&1 == 1
	}
	var records []queuefile.Record
	for l := range bytes.Lines(text) {
		l, complete := bytes.CutSuffix(l, []byte("\n"))
		if bit() && len(l) > 0 {
			n := len(l) / 2
			records = append(records, queuefile.Record{Type: queuefile.TypePart, Data: l[:n]})
			l = l[n:]
		}
		switch {
		case !complete:
			records = append(records, queuefile.Record{Type: queuefile.TypePart, Data: l})
		case bit(): // a line end within a record
			records = append(records, queuefile.Record{Type: queuefile.TypePart, Data: append(bytes.Clone(l), '\n')})
		default:
			records = append(records, queuefile.Record{Type: queuefile.TypeLine, Data: l})
		}
	}
	return records
}

func addGolden(f *testing.F) {
	files, _ := filepath.Glob(goldenDir + "/*.txt")
	for i, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		g, err := parseGolden(string(text))
		if err != nil {
			f.Fatal(err)
		}
		var message []byte
		for _, r := range g.records {
			message = append(message, r.Data...)
			if r.Type == queuefile.TypeLine {
				message = append(message, '\n')
			}
		}
		f.Add(message, g.options.LineLimit, uint64(i))
	}
}

// checkWire holds output to what a server must be able to rely on, and returns
// its lines without the added dots.
func checkWire(t *testing.T, out string) []string {
	t.Helper()
	if out == "" {
		return nil
	}
	body, complete := strings.CutSuffix(out, "\r\n")
	if !complete {
		t.Fatalf("the last line is not complete: %q", out)
	}
	lines := strings.Split(body, "\r\n")
	for i, l := range lines {
		if strings.Contains(l, "\n") {
			t.Fatalf("bare line feed in %q", l)
		}
		if strings.HasPrefix(l, ".") {
			if !strings.HasPrefix(l, "..") {
				t.Fatalf("line %q begins with one dot", l)
			}
			lines[i] = l[1:]
		}
	}
	return lines
}

// FuzzCopy: nothing on the wire looks like the end of data, or like a line end
// that is none; and without a limit the text comes back.
func FuzzCopy(f *testing.F) {
	addGolden(f)
	f.Fuzz(func(t *testing.T, text []byte, limit int, how uint64) {
		records := cutRecords(text, how)
		for _, limit := range []int{0, limit} {
			var out bytes.Buffer
			if _, err := Copy(&out, source(t, records...), Options{LineLimit: limit}); err != nil {
				t.Fatal(err)
			}
			lines := checkWire(t, out.String())
			if limit <= 0 {
				want := strings.Split(strings.TrimSuffix(string(text)+"\n", "\n"), "\n")
				if n := len(records); n == 0 || records[n-1].Type == queuefile.TypeLine {
					want = want[:len(want)-1] // the last newline is there already
				}
				if got := strings.Join(lines, "\n"); got != strings.Join(want, "\n") {
					t.Fatalf("got %q, want %q", got, want)
				}
				continue
			}
			for _, l := range lines {
				if len(l) > max(limit, 2) {
					t.Fatalf("line of %d bytes, limit %d", len(l), limit)
				}
			}
		}
	})
}

// FuzzMIME: any message goes through the MIME stage, or exceeds a limit.
func FuzzMIME(f *testing.F) {
	addGolden(f)
	f.Fuzz(func(t *testing.T, text []byte, limit int, how uint64) {
		o := Options{LineLimit: limit, Downgrade: true, MIME: MIMELimits{
			Nesting: int(how % 5), Boundary: int(how >> 8 % 20), Header: int(how >> 16 % 200),
		}}
		var out bytes.Buffer
		_, err := Copy(&out, source(t, cutRecords(text, how)...), o)
		var mime *MIMEError
		if err != nil && !errors.As(err, &mime) {
			t.Fatal(err)
		}
		if err == nil {
			checkWire(t, out.String())
		}
	})
}
