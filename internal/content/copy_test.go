package content

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"postlmtp/internal/queuefile"
)

func line(s string) queuefile.Record {
	return queuefile.Record{Type: queuefile.TypeLine, Data: []byte(s)}
}
func part(s string) queuefile.Record {
	return queuefile.Record{Type: queuefile.TypePart, Data: []byte(s)}
}

func source(t testing.TB, records ...queuefile.Record) *queuefile.Records {
	t.Helper()
	file, layout, err := buildFile(records)
	if err != nil {
		t.Fatal(err)
	}
	return queuefile.NewRecords(bytes.NewReader(file), layout.DataOffset)
}

// TestLineFeedInRecord: what Postfix would send bare is a line end.
func TestLineFeedInRecord(t *testing.T) {
	for name, tt := range map[string]struct {
		records []queuefile.Record
		options Options
		want    string
	}{
		"in a line":  {[]queuefile.Record{line("a\nb\n.\nc")}, Options{}, "a\r\nb\r\n..\r\nc\r\n"},
		"in a part":  {[]queuefile.Record{part("a\n"), line(".")}, Options{}, "a\r\n..\r\n"},
		"smuggling":  {[]queuefile.Record{line("a\n.\n"), line("MAIL FROM:<>")}, Options{}, "a\r\n..\r\n\r\nMAIL FROM:<>\r\n"},
		"last part":  {[]queuefile.Record{part("a\n")}, Options{}, "a\r\n\r\n"},
		"folded":     {[]queuefile.Record{line("abcd\n.efg")}, Options{LineLimit: 3}, "abc\r\n d\r\n..ef\r\n g\r\n"},
		"in a value": {nil, Options{Prepend: []Header{{"X", "a\nb: c"}}}, "X: a b: c\r\n"},
	} {
		var out bytes.Buffer
		stats, err := Copy(&out, source(t, tt.records...), tt.options)
		if err != nil || out.String() != tt.want || stats.Bytes != int64(len(tt.want)) {
			t.Errorf("%s: %q, %+v, %v, want %q", name, out.String(), stats, err, tt.want)
		}
	}
}

func TestStats(t *testing.T) {
	records := []queuefile.Record{line(strings.Repeat("x", 10)), line(strings.Repeat("y", 100)), line(strings.Repeat("z", 11)), part("0123456789"), line("")}
	for limit, want := range map[int]int{0: 0, -5: 0, 10: 3, 11: 1, 99: 1, 100: 0, 1: 4, 2: 4} {
		var out bytes.Buffer
		stats, err := Copy(&out, source(t, records...), Options{LineLimit: limit})
		if err != nil || stats.FoldedLines != want || stats.Bytes != int64(out.Len()) {
			t.Errorf("limit %d: %+v, %v, want %d lines", limit, stats, err, want)
		}
	}
}

func TestBadRecords(t *testing.T) {
	build := func(more string) *queuefile.Records {
		return queuefile.NewRecords(strings.NewReader("N\x05hello"+more), 0)
	}
	for _, downgrade := range []bool{false, true} {
		for more, want := range map[string]int{
			"":          queuefile.TypeEOF,
			"N\x05hi":   queuefile.TypeError,
			"E\x00":     'E',
			"A\x03a=b":  'A',
			"\x00\x00":  0,
			"p\x02-1":   queuefile.TypeError,
			"\xff\x00X": 255,
		} {
			var out bytes.Buffer
			_, err := Copy(&out, build(more), Options{Downgrade: downgrade})
			var bad *BadRecordError
			if !errors.As(err, &bad) || bad.Type != want || out.Len() != 0 {
				t.Errorf("%q: %v after %q, want type %d", more, err, out.String(), want)
			}
		}
	}
	_, err := Copy(io.Discard, build(""), Options{})
	if got, want := err.Error(), "bad record type: -1 in message content"; got != want {
		t.Errorf("error %q, want %q", got, want)
	}
}

type failingReader struct{}

func (failingReader) ReadAt([]byte, int64) (int, error) { return 0, io.ErrNoProgress }

type failingWriter struct{ after, calls int }

func (f *failingWriter) Write(p []byte) (int, error) {
	f.calls++
	if f.calls > f.after {
		return 3, io.ErrClosedPipe
	}
	return len(p), nil
}

func TestWhoseFault(t *testing.T) {
	var read *queuefile.ReadError
	if _, err := Copy(io.Discard, queuefile.NewRecords(failingReader{}, 0), Options{}); !errors.As(err, &read) {
		t.Errorf("read error: %v", err)
	}
	big := make([]queuefile.Record, 100)
	for i := range big {
		big[i] = line(strings.Repeat("x", 2000))
	}
	for after := range 3 {
		w := &failingWriter{after: after}
		stats, err := Copy(w, source(t, big...), Options{})
		var write *WriteError
		if !errors.As(err, &write) || !errors.Is(err, io.ErrClosedPipe) || w.calls != after+1 {
			t.Errorf("write error: %v after %d calls", err, w.calls)
		}
		if want := int64(after*largeBuffer + 3); stats.Bytes != want {
			t.Errorf("%d bytes written, want %d", stats.Bytes, want)
		}
	}
	var mime *MIMEError
	_, err := Copy(io.Discard, source(t, line("Content-Type: multipart/x; boundary=a; boundary=b; boundary=c; boundary=d")),
		Options{Downgrade: true, MIME: MIMELimits{Nesting: 1}})
	if !errors.As(err, &mime) || mime.Status != "5.6.0" || mime.Error() != "MIME nesting exceeds safety limit" {
		t.Errorf("MIME error: %v", err)
	}
}

// countingWriter records the sizes of writes.
type countingWriter struct{ sizes []int }

func (c *countingWriter) Write(p []byte) (int, error) {
	c.sizes = append(c.sizes, len(p))
	return len(p), nil
}

func TestWritesAreLarge(t *testing.T) {
	var records []queuefile.Record
	for i := range 5000 {
		records = append(records, line(strings.Repeat("x", i%60)))
	}
	for _, buffer := range [][]byte{nil, make([]byte, 0, 64<<10)} {
		var w countingWriter
		stats, err := Copy(&w, source(t, records...), Options{Buffer: buffer})
		if err != nil {
			t.Fatal(err)
		}
		full := max(cap(buffer), largeBuffer)
		for i, n := range w.sizes {
			if last := i == len(w.sizes)-1; n != full && !last {
				t.Errorf("write %d has %d bytes, want %d", i, n, full)
			}
		}
		if want := int(stats.Bytes)/full + 1; len(w.sizes) != want {
			t.Errorf("%d writes, want %d", len(w.sizes), want)
		}
	}
}

// TestMemory: neither the length of a message nor that of a record makes a
// difference to the memory in use.
func TestMemory(t *testing.T) {
	file := bytes.Repeat([]byte("N\x80\x80\x80\x01"+strings.Repeat("x", 1<<21)), 4)
	file = append(file, "X\x00"...)
	src := queuefile.NewRecords(bytes.NewReader(file), 0)
	buffer := make([]byte, 0, largeBuffer)
	for _, o := range []Options{{LineLimit: 998, Buffer: buffer}, {Downgrade: true, Buffer: buffer}} {
		allocs := testing.AllocsPerRun(1, func() {
			src.Reset(0)
			if _, err := Copy(io.Discard, src, o); err != nil {
				t.Error(err)
			}
		})
		if allocs > 10 {
			t.Errorf("%v allocations", allocs)
		}
	}
}

func TestDeliveredTo(t *testing.T) {
	header := []queuefile.Record{
		line("Received: by x"), line("\tfor y"), line("Delivered-To: one@example.com"),
		part("X-Long: "), line("Delivered-To: notme@example.com"),
		line("DELIVERED-TO:   \"two words\"@Example.Com"), line(" folded@example.com"),
		line("X-Delivered-To: three@example.com"), line("Delivered-To: J\u00dcRGEN@example.com"),
		line("Delivered-To: trailing@example.com "), line(""), line("Delivered-To: body@example.com"),
	}
	for addr, want := range map[string]bool{
		"one@example.com": true, "ONE@EXAMPLE.COM": true, "two words@example.com": true,
		"notme@example.com": false, "folded@example.com": false, "three@example.com": false,
		"j\u00fcrgen@example.com": true, "trailing@example.com": false, "body@example.com": false,
		"": false,
	} {
		got, err := DeliveredTo(source(t, header...), addr, true)
		if err != nil || got != want {
			t.Errorf("%q: %v, %v", addr, got, err)
		}
	}
	if got, _ := DeliveredTo(source(t, header...), "j\u00fcrgen@example.com", false); got {
		t.Error("UTF-8 was folded without smtputf8_enable")
	}
	if got, err := DeliveredTo(queuefile.NewRecords(strings.NewReader("N\x01"), 0), "a", true); got || err != nil {
		t.Errorf("malformed file: %v, %v", got, err)
	}
	if _, err := DeliveredTo(queuefile.NewRecords(failingReader{}, 0), "a", true); err == nil {
		t.Error("no error from an unreadable file")
	}
	var many []queuefile.Record
	for range maxDeliveredTo {
		many = append(many, line("Delivered-To: x"))
	}
	if got, _ := DeliveredTo(source(t, append(many, line("Delivered-To: y"))...), "y", true); got {
		t.Error("looked at too many headers")
	}
}

// TestDots: content for BDAT has the dots that the message has.
func TestDots(t *testing.T) {
	records := []queuefile.Record{line("A: b"), line(""), line("."), line("..a"), part("."), line("b"), line("a\n.\nb"), line("abc.de")}
	for limit, want := range map[int]string{0: "A: b\r\n\r\n.\r\n..a\r\n.b\r\na\r\n.\r\nb\r\nabc.de\r\n", 5: "A: b\r\n\r\n.\r\n..a\r\n.b\r\na\r\n.\r\nb\r\nabc.d\r\n e\r\n"} {
		for _, downgrade := range []bool{false, true} {
			var out bytes.Buffer
			_, err := Copy(&out, source(t, records...), Options{Dots: true, LineLimit: limit, Downgrade: downgrade})
			if err != nil || out.String() != want {
				t.Errorf("limit %d, downgrade %v: %q, %v", limit, downgrade, out.String(), err)
			}
		}
	}
}
