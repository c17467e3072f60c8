package content

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"postlmtp/internal/queuefile"
)

const goldenDir = "../../testdata/content"

var update = flag.Bool("update", false, "rewrite the expectations of the golden files with what Postfix's own client sends")

// golden is one file in testdata/content: options, the content records, and
// what Postfix's own client sends for them.
type golden struct {
	about   []string // comment lines
	options Options
	records []queuefile.Record
	wire    []string // lines, without CRLF
	failure string   // instead of the wire: the error
}

// parseGolden reads the format that testdata/content/README describes.
func parseGolden(text string) (g golden, err error) {
	sc := bufio.NewScanner(strings.NewReader(text))
	sc.Buffer(nil, 1<<20)
	for n := 1; sc.Scan(); n++ {
		key, rest, _ := strings.Cut(sc.Text(), " ")
		value := rest
		if key == "prepend" || key == "N" || key == "L" || key == "wire" {
			if value, err = strconv.Unquote(rest); err != nil {
				return g, fmt.Errorf("line %d: %w", n, err)
			}
		}
		switch key {
		case "":
		case "#":
			g.about = append(g.about, rest)
		case "limit":
			g.options.LineLimit, err = strconv.Atoi(rest)
		case "nesting":
			g.options.MIME.Nesting, err = strconv.Atoi(rest)
		case "boundary":
			g.options.MIME.Boundary, err = strconv.Atoi(rest)
		case "header":
			g.options.MIME.Header, err = strconv.Atoi(rest)
		case "downgrade":
			g.options.Downgrade = true
		case "prepend":
			name, v, _ := strings.Cut(value, ": ")
			g.options.Prepend = append(g.options.Prepend, Header{name, v})
		case "N", "L":
			g.records = append(g.records, queuefile.Record{Type: key[0], Data: []byte(value)})
		case "wire":
			g.wire = append(g.wire, value)
		case "failure":
			g.failure = rest
		default:
			err = errors.New("unknown word " + key)
		}
		if err != nil {
			return g, fmt.Errorf("line %d: %w", n, err)
		}
	}
	return g, sc.Err()
}

func (g golden) format() string {
	var b strings.Builder
	for _, line := range g.about {
		fmt.Fprintf(&b, "# %s\n", line)
	}
	for _, o := range []struct {
		name  string
		value int
	}{
		{"limit", g.options.LineLimit}, {"nesting", g.options.MIME.Nesting},
		{"boundary", g.options.MIME.Boundary}, {"header", g.options.MIME.Header},
	} {
		if o.value != 0 {
			fmt.Fprintf(&b, "%s %d\n", o.name, o.value)
		}
	}
	if g.options.Downgrade {
		b.WriteString("downgrade\n")
	}
	for _, h := range g.options.Prepend {
		fmt.Fprintf(&b, "prepend %q\n", h.Name+": "+h.Value)
	}
	b.WriteByte('\n')
	for _, r := range g.records {
		fmt.Fprintf(&b, "%c %s\n", r.Type, quoteBytes(r.Data))
	}
	b.WriteByte('\n')
	for _, line := range g.wire {
		fmt.Fprintf(&b, "wire %s\n", quoteBytes([]byte(line)))
	}
	if g.failure != "" {
		fmt.Fprintf(&b, "failure %s\n", g.failure)
	}
	return b.String()
}

// quoteBytes is strconv.Quote with all 8-bit bytes as escapes, so that the
// files say exactly which bytes are meant.
func quoteBytes(data []byte) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range data {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c == '\t':
			b.WriteString(`\t`)
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// file returns the queue file for the records, with one recipient.
func (g golden) file(t testing.TB) ([]byte, queuefile.Layout) {
	t.Helper()
	file, layout, err := buildFile(g.records)
	if err != nil {
		t.Fatal(err)
	}
	return file, layout
}

func buildFile(records []queuefile.Record) ([]byte, queuefile.Layout, error) {
	var m memory
	w, err := queuefile.NewWriter(&m, queuefile.Envelope{
		QueueID: testQueueID, Sender: testSender,
		Recipients: []queuefile.Recipient{{Address: testRecipient}},
	})
	for i := 0; err == nil && i < len(records); i++ {
		err = w.Record(records[i].Type, records[i].Data)
	}
	if err != nil {
		return nil, queuefile.Layout{}, err
	}
	layout, err := w.Finish()
	return m.b, layout, err
}

const (
	testQueueID   = "1234567890AB"
	testSender    = "sender@example.com"
	testRecipient = "rcpt@example.com"
)

type memory struct{ b []byte }

func (m *memory) Write(p []byte) (int, error) { m.b = append(m.b, p...); return len(p), nil }

func (m *memory) WriteAt(p []byte, off int64) (int, error) { return copy(m.b[off:], p), nil }

// run sends the records through Copy.
func (g golden) run(t testing.TB) (string, error) {
	t.Helper()
	file, layout := g.file(t)
	var out bytes.Buffer
	stats, err := Copy(&out, queuefile.NewRecords(bytes.NewReader(file), layout.DataOffset), g.options)
	if err == nil && stats.Bytes != int64(out.Len()) {
		t.Errorf("stats say %d bytes of %d", stats.Bytes, out.Len())
	}
	return out.String(), err
}

// TestGolden compares with what Postfix sent for the same records.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob(goldenDir + "/*.txt")
	if err != nil || len(files) < 15 {
		t.Fatalf("%d golden files, %v", len(files), err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			g, err := parseGolden(string(text))
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				refresh(t, name, &g)
			}
			got, err := g.run(t)
			if g.failure != "" {
				if err == nil || err.Error() != g.failure {
					t.Errorf("error %v, want %s", err, g.failure)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.SplitAfter(got, "\r\n")
			if lines[len(lines)-1] != "" {
				t.Errorf("the last line is not complete: %q", lines[len(lines)-1])
			}
			lines = lines[:len(lines)-1]
			for i := range lines {
				lines[i] = strings.TrimSuffix(lines[i], "\r\n")
			}
			if i := differAt(lines, g.wire); i >= 0 {
				t.Errorf("wire line %d differs:\n got %q\nwant %q", i, lines[min(i, len(lines)):], g.wire[min(i, len(g.wire)):])
			}
		})
	}
}

func differAt(a, b []string) int {
	if slices.Equal(a, b) {
		return -1
	}
	i := 0
	for i < min(len(a), len(b)) && a[i] == b[i] {
		i++
	}
	return i
}

// refresh rewrites a golden file.
func refresh(t *testing.T, name string, g *golden) {
	t.Helper()
	file, layout := g.file(t)
	wire, reason := newPostfix(t).send(t, file, layout, g.options)
	g.wire, g.failure = nil, ""
	body, complete := strings.CutSuffix(wire, ".\r\n")
	if complete {
		for line := range strings.SplitAfterSeq(body, "\r\n") {
			if line != "" {
				g.wire = append(g.wire, strings.TrimSuffix(line, "\r\n"))
			}
		}
	} else {
		g.failure = reason
	}
	if err := os.WriteFile(name, []byte(g.format()), 0o644); err != nil {
		t.Fatal(err)
	}
}
