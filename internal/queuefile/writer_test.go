package queuefile

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestWriterLikeCleanup takes files apart that cleanup(8) wrote, and puts them
// together again.
func TestWriterLikeCleanup(t *testing.T) {
	for name, room := range map[string]bool{"testdata/cleanup/plain.qf": false, "testdata/milter/none.qf": true} {
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		e, text := takeApart(t, want)
		e.EditRoom = room
		got, layout, err := Build(e, strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			i := 0
			for i < min(len(got), len(want)) && got[i] == want[i] {
				i++
			}
			t.Errorf("%s: differs from byte %d: %.60q, want %.60q", name, i, got[i:], want[i:])
		}
		for i, offset := range layout.Recipients {
			if want := rec(TypeRecipient, e.Recipients[i].Address); !bytes.HasPrefix(got[offset:], []byte(want)) {
				t.Errorf("%s: recipient %d is not at offset %d", name, i, offset)
			}
		}
		if layout.Size != int64(len(got)) {
			t.Errorf("%s: size %d of %d", name, layout.Size, len(got))
		}
	}
}

func takeApart(t *testing.T, file []byte) (e Envelope, text string) {
	t.Helper()
	var r Recipient
	var options int
	inContent := false
	for it := NewRecords(bytes.NewReader(file), 0); ; {
		x, err := it.Next()
		if err != nil {
			t.Fatal(err)
		}
		data := string(x.Data)
		name, value, _ := strings.Cut(data, "=")
		switch {
		case x.Type == TypeEnd:
			return e, text
		case x.Type == TypeSize:
			var skip int
			fmt.Sscan(data, &skip, &skip, &skip, &options, &skip, &e.SendOpts)
		case x.Type == TypeTime:
			var sec, usec int64
			fmt.Sscan(data, &sec, &usec)
			e.Arrival = time.Unix(sec, usec*1000)
		case inContent && x.Type == TypePart:
			text += data
		case inContent && x.Type == TypeLine:
			text += data + "\n"
		case x.Type == TypeSender:
			e.Sender = data
		case x.Type == TypeOriginal:
			r.Original = data
		case x.Type == TypeRecipient:
			r.Address = data
			e.Recipients = append(e.Recipients, r)
			r = Recipient{}
		case x.Type == TypeMessage:
			inContent = true
		case x.Type == TypeExtracted:
			inContent = false
		case name == attrCreateTime:
		case name == attrLogIdent:
			e.QueueID = value
		case name == attrContext:
			e.Context = value
		case name == attrEnvelopeID:
			e.EnvelopeID = value
		case name == attrRet:
			fmt.Sscan(value, &e.Ret)
		case name == attrNotify:
			fmt.Sscan(value, &r.Notify)
		case name == attrORcpt:
			r.ORcpt = value
		case name == attrEncoding && text != "":
			e.Encoding = value
		default:
			e.Attributes = append(e.Attributes, Attribute{name, value})
		}
	}
}

func content(t *testing.T, e Envelope, text string) string {
	t.Helper()
	file, layout, err := Build(e, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	r := NewRecords(bytes.NewReader(file), layout.DataOffset)
	r.raw = true
	var b strings.Builder
	for {
		x, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%c%d", x.Type, len(x.Data))
		if x.Type == TypeExtracted {
			return b.String()
		}
		b.WriteByte(' ')
	}
}

func TestWriterContent(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	for _, tt := range []struct{ text, plain, room string }{
		{"", "X0", "p15 p15 X0"},
		{"A: b\n", "N4 X0", "N4 w9 p15 p15 X0"},
		{"A: b\n\n", "N4 N0 X0", "N4 w9 p15 N0 p15 X0"},
		{"A: b\n\nlast", "N4 N0 L4 N0 X0", "N4 w9 p15 N0 L4 N0 p15 X0"},
		{"A: b\r\n\r\nx\ry\r\n\r", "N4 N0 N3 L1 N0 X0", "N4 w9 p15 N0 N3 L1 N0 p15 X0"},
		{"A: b\n c\nD: e", "N4 N2 N4 X0", "N4 w9 N2 N4 w9 p15 p15 X0"},
		{"A: twelve bytes\n\n", "N15 N0 X0", "N15 p15 N0 p15 X0"},
		{"A: fourteen b.\n\n", "N14 N0 X0", "N14 w1 p15 N0 p15 X0"},
		{"no header\n", "N0 N9 X0", "p15 N0 N9 p15 X0"},
		{"\n" + x(2047) + "\n", "N0 N2047 X0", "p15 N0 N2047 p15 X0"},
		{"\n" + x(2048) + "\n", "N0 L2048 N0 X0", "p15 N0 L2048 N0 p15 X0"},
		{"\n" + x(5000) + "\n", "N0 L2048 L2048 N904 X0", "p15 N0 L2048 L2048 N904 p15 X0"},
		{"\n" + x(2048), "N0 L2048 N0 X0", "p15 N0 L2048 N0 p15 X0"},
		{"A: " + x(2045) + "\n", "N2048 X0", "N2048 p15 p15 X0"},
		{"A: " + x(2046) + "\n", "L2048 N1 X0", "L2048 N1 p15 p15 X0"},
	} {
		if got := content(t, Envelope{}, tt.text); got != tt.plain {
			t.Errorf("%.20q: %s, want %s", tt.text, got, tt.plain)
		}
		if got := content(t, Envelope{EditRoom: true}, tt.text); got != tt.room {
			t.Errorf("%.20q with room: %s, want %s", tt.text, got, tt.room)
		}
	}
}

func TestCreate(t *testing.T) {
	path, layout := create(t, Envelope{Sender: "a@b", Recipients: []Recipient{{Address: "c@d", Notify: 1}}, Encoding: "7bit"})
	st, err := os.Stat(path)
	if err != nil || st.Mode() != readyMode || st.Size() != layout.Size {
		t.Errorf("%v, %v, want size %d", st, err, layout.Size)
	}
	b, _ := os.ReadFile(path)
	if !bytes.Contains(b, []byte("log_ident=ABCDE1")) || !bytes.Contains(b, []byte("encoding=7bit")) {
		t.Errorf("attributes are missing in %q", b)
	}
	if _, err := Create(path, Envelope{}, strings.NewReader("")); err == nil {
		t.Error("overwrote a file")
	}
	gone := filepath.Join(t.TempDir(), "X")
	if _, err := Create(gone, Envelope{}, iotestErr{}); err == nil {
		t.Error("no error from the message")
	}
	if _, err := os.Stat(gone); !os.IsNotExist(err) {
		t.Errorf("a failed file remains: %v", err)
	}
}

type iotestErr struct{}

func (iotestErr) Read([]byte) (int, error) { return 0, fs.ErrClosed }

func TestRawRecord(t *testing.T) {
	var m memory
	w, err := NewWriter(&m, Envelope{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Record(TypePart, []byte("unfinished")); err != nil {
		t.Fatal(err)
	}
	layout, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	got, _ := collect(NewRecords(bytes.NewReader(m.b), layout.DataOffset))
	if got != "L:unfinished X: E: " {
		t.Errorf("content %q", got)
	}
}
