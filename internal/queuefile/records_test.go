package queuefile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// rec is a short way to write a record.
func rec(typ byte, data string) string { return string(appendRecord(nil, typ, []byte(data))) }

func ptr(offset int) string { return rec(TypePointer, fmt.Sprintf(pointerFormat, offset)) }

// collect reads to the end and returns the records as text, and the error.
func collect(r *Records) (string, error) {
	var b strings.Builder
	for {
		x, err := r.Next()
		if err != nil {
			return b.String(), err
		}
		fmt.Fprintf(&b, "%c:%s ", x.Type, x.Data)
	}
}

func TestRecords(t *testing.T) {
	long := strings.Repeat("x", 300)
	for name, tt := range map[string]struct {
		file, want string
		bad        int
		reason     string
	}{
		"empty":             {"", "", TypeEOF, "unexpected end of file"},
		"plain":             {rec('N', "a") + rec('N', "") + rec('X', ""), "N:a N: X: ", TypeEOF, ""},
		"length":            {rec('N', long), "N:" + long + " ", TypeEOF, ""},
		"no length":         {"N", "", TypeError, "unexpected EOF reading length, record type 78"},
		"half a length":     {"N\x80", "", TypeError, "unexpected EOF reading length, record type 78"},
		"padded length":     {"N\x81\x80\x80\x00a", "N:a ", TypeEOF, ""},
		"five length bytes": {"N\x81\x80\x80\x80\x00a", "", TypeError, "too many length bits, record type 78"},
		"no data":           {"N\x05abc", "", TypeError, "unexpected EOF in data, record type 78 length 5"},
		"no data, long":     {"N\xff\xff\xff\x7fabc", "", TypeError, "unexpected EOF in data"},
		"long attribute":    {"A\xff\xff\xff\x7fabc", "", TypeError, "illegal length 268435455, record type 65"},
		"padding":           {rec('N', "a") + rec('w', long) + rec('w', "") + rec('N', "b"), "N:a N:b ", TypeEOF, ""},
		"padding cut off":   {rec('N', "a") + "w\x05abc", "N:a ", TypeError, "unexpected EOF in data, record type 119"},
		"placeholder":       {ptr(0) + rec('p', "0") + rec('p', "") + rec('N', "a"), "N:a ", TypeEOF, ""},
		"forward":           {ptr(20) + "???" + rec('N', "a"), "N:a ", TypeEOF, ""},
		"forward and back":  {ptr(23) + rec('N', "a") + rec('X', "") + "?" + rec('N', "b") + ptr(17), "N:b N:a X: ", TypeError, "unexpected EOF"},
		"after the end":     {ptr(1 << 40), "", TypeEOF, ""},
		"loop":              {ptr(17) + ptr(17), "", TypeError, "too many reverse jump records"},
		"not a number":      {rec('p', "12a"), "", TypeError, "malformed pointer record value"},
		"trailing blank":    {rec('p', "12 "), "", TypeError, "malformed pointer record value"},
		"negative":          {rec('p', "-1"), "", TypeError, "malformed pointer record value"},
		"overflow":          {rec('p', "9223372036854775808"), "", TypeError, "malformed pointer record value"},
		"overflow later":    {rec('p', "9223372036854775807"), "", TypeError, "malformed pointer record value"},
		"end":               {rec('E', "") + rec('N', "heap"), "E: ", TypeEOF, ""},
		"pointer to end":    {ptr(20) + rec('N', "") + "?" + rec('E', ""), "E: ", TypeEOF, ""},
	} {
		got, err := collect(NewRecords(strings.NewReader(tt.file), 0))
		var bad *BadRecordError
		if !errors.As(err, &bad) {
			t.Errorf("%s: error %v", name, err)
			continue
		}
		if got != tt.want || bad.Type != tt.bad || !strings.Contains(bad.Reason, tt.reason) {
			t.Errorf("%s: got %q, type %d, %s", name, got, bad.Type, bad.Reason)
		}
	}
}

// TestRecordsBuffer reads records of all sizes around the size of the buffer.
func TestRecordsBuffer(t *testing.T) {
	var file, want bytes.Buffer
	for n := 0; n < 4*minBufferSize; n += 7 {
		line := bytes.Repeat([]byte{byte('a' + n%26)}, n)
		file.Write(appendRecord(nil, TypeLine, line))
		fmt.Fprintf(&want, "%s\n", line)
	}
	r := newRecords(bytes.NewReader(file.Bytes()), 0, minBufferSize)
	var got bytes.Buffer
	for {
		x, err := r.Next()
		if err != nil {
			break
		}
		if len(x.Data) > minBufferSize {
			t.Fatalf("record of %d bytes", len(x.Data))
		}
		got.Write(x.Data)
		if x.Type == TypeLine {
			got.WriteByte('\n')
		}
	}
	if !bytes.Equal(got.Bytes(), want.Bytes()) {
		t.Errorf("got %d bytes, want %d", got.Len(), want.Len())
	}
}

// TestRecordsReverseJumps: a file may have as many jumps back as a Milter can
// insert headers, and no more.
func TestRecordsReverseJumps(t *testing.T) {
	const size = 2 + pointerWidth
	read := func(pointers int) (string, error) {
		var b strings.Builder
		b.WriteString("?" + rec(TypeLine, "goal") + strings.Repeat("?", size-7))
		for i := range pointers {
			b.WriteString(ptr(max(1, i*size))) // each to the one before it
		}
		return collect(NewRecords(strings.NewReader(b.String()), int64(pointers*size)))
	}
	for pointers, want := range map[int]bool{maxReverseJumps + 1: true, maxReverseJumps + 2: false} {
		got, err := read(pointers)
		if strings.HasPrefix(got, "N:goal") != want {
			t.Errorf("%d pointers: %.20q, %v", pointers, got, err)
		}
	}
}

type failing struct{ after int64 }

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	if off >= f.after {
		return 0, os.ErrPermission
	}
	for i := range p {
		p[i] = 0 // type 0, length 0
	}
	return int(min(int64(len(p)), f.after-off)), nil
}

func TestReadError(t *testing.T) {
	_, err := collect(NewRecords(failing{after: 10}, 0))
	var re *ReadError
	if !errors.As(err, &re) || !errors.Is(err, os.ErrPermission) {
		t.Errorf("error %v", err)
	}
}

func TestReset(t *testing.T) {
	file := rec('M', "") + rec('N', "a") + rec('X', "")
	r := NewRecords(strings.NewReader(file), 2)
	first, _ := collect(r)
	r.Reset(2)
	second, _ := collect(r)
	if first != "N:a X: " || second != first {
		t.Errorf("first %q, second %q", first, second)
	}
}

// TestMilterEdits reads files that Postfix wrote, and compares with what
// postcat(1) made of them.
func TestMilterEdits(t *testing.T) {
	files, _ := filepath.Glob("testdata/milter/*.qf")
	if len(files) < 9 {
		t.Fatalf("only %d files", len(files))
	}
	for _, name := range files {
		file, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text, addresses := flatten(t, name, file)
		base := strings.TrimSuffix(name, ".qf")
		if want, _ := os.ReadFile(base + ".text"); text != string(want) {
			t.Errorf("%s: content is\n%s\nwant\n%s", name, text, want)
		}
		if want, _ := os.ReadFile(base + ".addresses"); addresses != string(want) {
			t.Errorf("%s: addresses are\n%s\nwant\n%s", name, addresses, want)
		}
	}
}

// flatten returns the content of a queue file, and its addresses one a line.
func flatten(t *testing.T, name string, file []byte) (text, addresses string) {
	t.Helper()
	r := NewRecords(bytes.NewReader(file), 0)
	inContent := false
	for {
		x, err := r.Next()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		switch {
		case x.Type == TypeMessage:
			inContent = true
		case x.Type == TypeExtracted:
			inContent = false
		case x.Type == TypeEnd:
			return text, addresses
		case inContent && x.Type == TypeLine:
			text += string(x.Data) + "\n"
		case inContent && x.Type == TypePart:
			text += string(x.Data)
		case inContent:
			t.Fatalf("%s: record type %c in the content", name, x.Type)
		case x.Type == TypeRecipient:
			if file[x.Offset] != TypeRecipient {
				t.Errorf("%s: no recipient at offset %d", name, x.Offset)
			}
			addresses += string(x.Data) + "\n"
		case x.Type == TypeSender:
			addresses += string(x.Data) + "\n"
		}
	}
}

// FuzzRecords: any bytes come to an end without panic, in bounded pieces.
func FuzzRecords(f *testing.F) {
	for _, glob := range []string{"testdata/milter/*.qf", "testdata/cleanup/*.qf"} {
		files, _ := filepath.Glob(glob)
		for _, name := range files {
			b, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b[:min(len(b), 4096)], uint16(0))
		}
	}
	f.Add([]byte(ptr(17)+ptr(17)), uint16(0))
	f.Fuzz(func(t *testing.T, file []byte, offset uint16) {
		r := newRecords(bytes.NewReader(file), int64(offset), minBufferSize)
		for {
			x, err := r.Next()
			if err != nil {
				var bad *BadRecordError
				if !errors.As(err, &bad) || (bad.Type != TypeEOF && bad.Type != TypeError) {
					t.Fatalf("error %v", err)
				}
				if _, again := r.Next(); again != err {
					t.Fatalf("after %v came %v", err, again)
				}
				return
			}
			if len(x.Data) > minBufferSize || x.Offset < 0 {
				t.Fatalf("record of %d bytes at %d", len(x.Data), x.Offset)
			}
		}
	})
}

var _ io.ReaderAt = failing{}
