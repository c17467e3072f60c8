package attr

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// nul makes the notation of the tables, with ␀ for a NUL byte, what goes over
// the wire.
func nul(s string) string { return strings.ReplaceAll(s, "␀", "\x00") }

func TestList(t *testing.T) {
	for _, tt := range []struct {
		name string
		list *List
		want string
	}{
		{"empty", new(List), "␀"},
		{"status", new(List).Int("status", 0), "status␀0␀␀"},
		{"int -1", new(List).Int("status", -1), "status␀4294967295␀␀"},
		{"long", new(List).Long("offset", math.MaxInt64), "offset␀9223372036854775807␀␀"},
		{"long -1", new(List).Long("offset", -1), "offset␀18446744073709551615␀␀"},
		{"string", new(List).String("sender", "").String("sender", "a b"), "sender␀␀sender␀a b␀␀"},
		{"string with NUL", new(List).String("reason", "a\x00b"), "reason␀a?b␀␀"},
		{"data", new(List).Data("time", []byte{0xfb, 0xff, 1, 2}), "time␀+/8BAg==␀␀"},
		{"no data", new(List).Data("time", nil), "time␀␀␀"},
	} {
		var out bytes.Buffer
		if err := tt.list.Send(&out); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(nul(tt.want), out.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// TestListGoesOn: Bytes does not end the list for good.
func TestListGoesOn(t *testing.T) {
	l := new(List).Int("a", 1)
	one := l.Bytes()
	two := l.Int("b", 2).Bytes()
	if string(one) != nul("a␀1␀␀") || string(two) != nul("a␀1␀b␀2␀␀") {
		t.Errorf("%q, %q", one, two)
	}
}

func TestNumbers(t *testing.T) {
	for _, tt := range []struct {
		text string
		i    int
		l    int64
		iOK  bool
		lOK  bool
	}{
		{"0", 0, 0, true, true},
		{"2147483647", math.MaxInt32, math.MaxInt32, true, true},
		{"4294967295", -1, math.MaxUint32, true, true},
		{"-1", -1, -1, true, true},
		{"+7", 7, 7, true, true},
		{"4294967296", 0, 1 << 32, false, true},
		{"-2147483648", math.MinInt32, math.MinInt32, true, true},
		{"-2147483649", 0, math.MinInt32 - 1, false, true},
		{"18446744073709551615", 0, -1, false, true},
		{"18446744073709551616", 0, 0, false, false},
		{"", 0, 0, false, false},
		{"0x10", 0, 0, false, false},
		{"1 ", 0, 0, false, false},
		{"1_000", 0, 0, false, false},
	} {
		r := NewReader(strings.NewReader(nul("n␀"+tt.text+"␀␀")), Limits{})
		i := r.Int("n")
		if err := r.End(); i != tt.i || (err == nil) != tt.iOK {
			t.Errorf("int %q: %d, %v", tt.text, i, err)
		}
		r = NewReader(strings.NewReader(nul("n␀"+tt.text+"␀␀")), Limits{})
		l := r.Long("n")
		if err := r.End(); l != tt.l || (err == nil) != tt.lOK {
			t.Errorf("long %q: %d, %v", tt.text, l, err)
		}
	}
}

func TestData(t *testing.T) {
	for _, tt := range []struct {
		text string
		want []byte
		ok   bool
	}{
		{"+/8BAg==", []byte{0xfb, 0xff, 1, 2}, true},
		{"", []byte{}, true},
		{"AQI", nil, false},
		{"AQ\nI=", nil, false},
		{"AQ-_", nil, false},
	} {
		r := NewReader(strings.NewReader(nul("d␀"+tt.text+"␀␀")), Limits{})
		got := r.Data("d")
		if err := r.End(); (err == nil) != tt.ok || !bytes.Equal(got, tt.want) {
			t.Errorf("%q: %x, %v", tt.text, got, err)
		}
	}
}

// TestEnds: where a list ends tells what that means.
func TestEnds(t *testing.T) {
	const list = "a␀1␀b␀2␀␀"
	full := nul(list)
	for n := range len(full) {
		for _, one := range []bool{false, true} {
			src := io.Reader(strings.NewReader(full[:n]))
			if one {
				src = iotest.OneByteReader(src)
			}
			r := NewReader(src, Limits{})
			r.Int("a")
			r.Int("b")
			want := io.ErrUnexpectedEOF
			if n == 0 {
				want = io.EOF
			}
			if err := r.End(); !errors.Is(err, want) {
				t.Errorf("%q: %v, want %v", full[:n], err, want)
			}
			if n == 0 && r.Err() != io.EOF {
				t.Errorf("io.EOF is wrapped: %v", r.Err())
			}
		}
	}
}

func TestStrictAndSkip(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		strict   string // error; empty: none
		skip     string
	}{
		{"as asked", "a␀1␀b␀2␀␀", "", ""},
		{"extra in front", "x␀␀a␀1␀b␀2␀␀", `read attribute a: unexpected attribute "x" in its place`, ""},
		{"extra between", "a␀1␀x␀y␀x␀z␀b␀2␀␀", `read attribute b: unexpected attribute "x" in its place`, ""},
		{"extra at the end", "a␀1␀b␀2␀x␀y␀␀", `read attributes: unexpected attribute "x" at the end of the list`, ""},
		{"missing", "a␀1␀␀", "read attribute b: missing", "read attribute b: missing"},
		{"order", "b␀2␀a␀1␀␀", `read attribute a: unexpected attribute "b" in its place`, "read attribute b: missing"},
		{"empty list", "␀", "read attribute a: missing", "read attribute a: missing"},
	} {
		for mode, want := range map[Mode]string{Strict: tt.strict, Skip: tt.skip} {
			r := NewReader(strings.NewReader(nul(tt.in)), Limits{})
			r.SetMode(mode)
			r.Int("a")
			r.Int("b")
			got := ""
			if err := r.End(); err != nil {
				got = err.Error()
				if fe := new(FormatError); !errors.As(err, &fe) {
					t.Errorf("%s: error of type %T", tt.name, err)
				}
			}
			if got != want {
				t.Errorf("%s, mode %d: %q, want %q", tt.name, mode, got, want)
			}
		}
	}
}

// TestGreeting: a list that may or may not be there, and lists that follow each
// other on one stream.
func TestGreeting(t *testing.T) {
	for _, in := range []string{"protocol␀p␀␀status␀0␀␀status␀7␀␀", "status␀0␀␀status␀7␀␀"} {
		r := NewReader(strings.NewReader(nul(in)), Limits{})
		if r.Next() == Protocol {
			if p := r.String(Protocol); p != "p" || r.End() != nil {
				t.Errorf("protocol %q, %v", p, r.Err())
			}
		}
		if s := r.Int(Status); s != 0 || r.End() != nil {
			t.Errorf("first status %d, %v", s, r.Err())
		}
		if s := r.Int(Status); s != 7 || r.End() != nil {
			t.Errorf("second status %d, %v", s, r.Err())
		}
		if r.Next() != "" || r.End() != io.EOF {
			t.Errorf("after the last list: %v", r.Err())
		}
	}
}

// TestNothingLost: Readers that share a *bufio.Reader read one stream.
func TestNothingLost(t *testing.T) {
	src := bufio.NewReader(strings.NewReader(nul("a␀1␀␀b␀2␀␀rest")))
	for _, name := range []string{"a", "b"} {
		r := NewReader(src, Limits{})
		r.Int(name)
		if err := r.End(); err != nil {
			t.Fatal(err)
		}
	}
	if rest, _ := io.ReadAll(src); string(rest) != "rest" {
		t.Errorf("rest %q", rest)
	}
}

func TestLimits(t *testing.T) {
	limits := Limits{Name: 4, Value: 10_000, Count: 2}
	for _, tt := range []struct {
		in string
		ok bool
	}{
		{"name␀" + strings.Repeat("v", 10_000) + "␀␀", true},
		{"name␀" + strings.Repeat("v", 10_001) + "␀␀", false},
		{"names␀␀␀", false},
		{"a␀␀b␀␀␀", true},
		{"a␀␀b␀␀c␀␀␀", false},
	} {
		r := NewReader(strings.NewReader(nul(tt.in)), limits)
		r.SetMode(Skip)
		if _, err := r.All(); (err == nil) != tt.ok {
			t.Errorf("%.20q…: %v", tt.in, err)
		}
	}
	// An endless name is given up long before the stream ends.
	r := NewReader(endless{}, Limits{})
	if r.Next(); r.Err() == nil {
		t.Error("endless name accepted")
	}
	r = NewReader(io.MultiReader(strings.NewReader("a\x00"), endless{}), Limits{})
	if r.String("a"); r.Err() == nil {
		t.Error("endless value accepted")
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// TestStreamError: an error of the stream can be told from bad bytes, and it
// sticks.
func TestStreamError(t *testing.T) {
	src := io.MultiReader(strings.NewReader("a\x001\x00b"), iotest.ErrReader(os.ErrDeadlineExceeded))
	r := NewReader(src, Limits{})
	if a := r.Int("a"); a != 1 {
		t.Errorf("a = %d", a)
	}
	r.Int("b")
	if err := r.End(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	if first := r.Err(); r.End() != first || r.String("c") != "" || r.Next() != "" {
		t.Error("the error does not stick")
	}
}

func TestAll(t *testing.T) {
	r := NewReader(strings.NewReader(nul("a␀1␀a␀2␀b␀␀␀c␀3␀␀")), Limits{})
	got, err := r.All()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Pair{{"a", "1"}, {"a", "2"}, {"b", ""}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if c := r.Int("c"); c != 3 || r.End() != nil {
		t.Errorf("next list: %d, %v", c, r.Err())
	}
	if _, err := r.All(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

// FuzzReader: whatever comes, All returns pairs within the limits that make up
// the very list again, or an error.
func FuzzReader(f *testing.F) {
	for _, s := range []string{"", "␀", "status␀0␀␀", "protocol␀p␀␀status␀0␀␀", "a␀1␀b", "a␀", "a␀␀␀x"} {
		f.Add([]byte(nul(s)))
	}
	limits := Limits{Name: 8, Value: 32, Count: 4}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := NewReader(iotest.HalfReader(bytes.NewReader(data)), limits)
		for rest := data; ; {
			pairs, err := r.All()
			if err != nil {
				if errors.Is(err, io.EOF) && len(rest) > 0 {
					t.Fatalf("end of stream with %q unread", rest)
				}
				break
			}
			if len(pairs) > limits.Count {
				t.Fatalf("%d attributes", len(pairs))
			}
			var l List
			for _, p := range pairs {
				if len(p.Name) > limits.Name || len(p.Value) > limits.Value {
					t.Fatalf("limits: %q", p)
				}
				l.String(p.Name, p.Value)
			}
			again := l.Bytes()
			if !bytes.HasPrefix(rest, again) {
				t.Fatalf("%q read as %q", rest, again)
			}
			rest = rest[len(again):]
		}

		// The calls for single attributes must not panic, whatever comes.
		r = NewReader(bytes.NewReader(data), limits)
		r.SetMode(Skip)
		r.Int("a")
		r.Data("b")
		r.Long("status")
		r.End()
	})
}
