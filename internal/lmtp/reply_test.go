package lmtp

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"postlmtp/internal/dsn"
)

func readOne(in string, opt Options) (Reply, *recorder, error) {
	rec := new(recorder)
	opt.PeerPort, opt.Addr = "h[a]:24", "a"
	opt.Hooks = Hooks{Log: rec, QueueID: "ABC", Trace: rec.event}
	r, err := newReplyReader(strings.NewReader(in), &opt).read()
	return r, rec, err
}

func TestReply(t *testing.T) {
	long := strings.Repeat("z", 3000)
	for _, tc := range []struct {
		in       string
		code     int
		enhanced string
		text     string
		bad      bool
	}{
		{"250 2.0.0 ok\r\n", 250, "2.0.0", "250 2.0.0 ok", false},
		{"250\r\n", 250, "2.0.0", "250", false},
		{"250 \n", 250, "2.0.0", "250 ", false},
		{"550 text\r\n", 550, "5.0.0", "550 text", false},
		{"550 4.2.1 x\r\n", 550, "5.0.0", "550 4.2.1 x", false},
		{"451 5.1.1 x\r\n", 451, "4.0.0", "451 5.1.1 x", false},
		{"550    5.1.1\r\n", 550, "5.1.1", "550    5.1.1", false},
		{"550 5.1.1x\r\n", 550, "5.0.0", "550 5.1.1x", false},
		{"550 5.1234.1 x\r\n", 550, "5.0.0", "550 5.1234.1 x", false},
		{"550 5.123.456 x\r\n", 550, "5.123.456", "550 5.123.456 x", false},
		{"354 2.0.0 go\r\n", 354, "5.5.0", "354 2.0.0 go", false},
		{"150 x\r\n", 150, "5.5.0", "150 x", false},
		{"650 x\r\n", 650, "5.5.0", "650 x", false},
		{"000\r\n", 0, "5.5.0", "000", false},
		{"999 x\r\n", 999, "5.5.0", "999 x", false},
		{"550-5.1.1 a\r\n550-b\r\n550 5.2.2 c\r\n", 550, "5.2.2", "550-5.1.1 a 550-b 550 5.2.2 c", false},
		{"250-a\r\n451 b\r\n", 451, "4.0.0", "250-a 451 b", false},
		{"hello\r\n550 5.1.1 x\r\n", 550, "5.1.1", "hello 550 5.1.1 x", true},
		{"\r\n\r\n550 5.1.1 x\r\n", 550, "5.1.1", "550 5.1.1 x", true},
		{"2500 x\r\n250x\r\n25\r\n-250 y\r\n250 z\r\n", 250, "2.0.0", "2500 x 250x 25 -250 y 250 z", true},
		{"250 a\x01b\tc\x7fd\re\r\r\n", 250, "2.0.0", "250 a?b?c?d?e", false},
		{"250 caf\xc3\xa9 \xe2\x82\xac \xff\xc3 \xed\xa0\x80\r\n", 250, "2.0.0", "250 café € ?? ???", false},
		{"250 a\x00b\r\n", 250, "2.0.0", "250 a", false},
		{"250\xa0x\r\n250 y\r\n", 250, "2.0.0", "250?x 250 y", true},
		{"250 " + strings.Repeat("y", 2043) + "\n", 250, "2.0.0", "250 " + strings.Repeat("y", 2043), false},
		{"250 " + strings.Repeat("y", 2043) + "\r\n", 250, "2.0.0", "250 " + strings.Repeat("y", 2043), false},
		{"250 " + long + "\r\n", 250, "2.0.0", "250 " + long[:2044], false},
		{"250-" + long + "\r\n250 2.1.0 a\r\n", 250, "2.1.0", "250-" + long[:2044], false},
		{long + "\r\n250 2.1.0 a\r\n", 250, "2.1.0", long[:2048], true},
	} {
		r, _, err := readOne(tc.in, Options{UTF8: true})
		if err != nil {
			t.Errorf("%.40q: %v", tc.in, err)
			continue
		}
		if r.Code != tc.code || r.Enhanced != tc.enhanced || r.Text() != tc.text || r.Malformed != tc.bad {
			t.Errorf("%.40q: %d %s %q %v", tc.in, r.Code, r.Enhanced, r.Text(), r.Malformed)
		}
		slow, err := newReplyReader(iotest.OneByteReader(strings.NewReader(tc.in)), &Options{UTF8: true}).read()
		if err != nil || !reflect.DeepEqual(r, slow) {
			t.Errorf("%.40q: by single bytes %+v %v", tc.in, slow, err)
		}
	}
}

func TestReplyNoUTF8(t *testing.T) {
	if r, _, _ := readOne("250 caf\xc3\xa9\r\n", Options{}); r.Text() != "250 caf??" {
		t.Errorf("got %q", r.Text())
	}
}

func TestReplyBroken(t *testing.T) {
	for in, want := range map[string]error{
		"":                                 io.EOF,
		"250 ok":                           io.EOF,
		"250-ok\r\n":                       io.EOF,
		"junk\r\n":                         io.EOF,
		strings.Repeat("250-x\r\n", 1<<18): ErrReplyTooLong,
		strings.Repeat("\r\n", 1<<20):      ErrReplyTooLong,
	} {
		if _, _, err := readOne(in, Options{}); !errors.Is(err, want) {
			t.Errorf("%.20q: %v, want %v", in, err, want)
		}
	}
}

// TestEndlessLine has a line without end: it counts as what was read of it,
// and nothing more is read.
func TestEndlessLine(t *testing.T) {
	rec := new(recorder)
	opt := &Options{PeerPort: "h[a]:24", Hooks: Hooks{Log: rec}}
	r := newReplyReader(strings.NewReader("550 "+strings.Repeat("x", 10000)+"\r\n250 ok\r\n"), opt)
	reply, err := r.read()
	if err != nil || reply.Code != 550 || len(reply.Text()) != 2048 {
		t.Errorf("%+v %v", reply, err)
	}
	if _, err := r.read(); !errors.Is(err, io.EOF) {
		t.Errorf("second reply: %v", err)
	}
	want := []string{"warning: disabling input from h[a]:24",
		"warning: h[a]:24: response longer than 2048: 550 " + strings.Repeat("x", 26) + "..."}
	if !reflect.DeepEqual(rec.log, want) {
		t.Errorf("log %q", rec.log)
	}
	// One byte less, and the line end is found.
	r = newReplyReader(strings.NewReader("550 "+strings.Repeat("x", 4096-5)+"\n250 ok\r\n"), opt)
	if _, err := r.read(); err != nil {
		t.Error(err)
	}
	if reply, err := r.read(); err != nil || reply.Code != 250 {
		t.Errorf("%+v %v", reply, err)
	}
}

func TestReplyTotalLimit(t *testing.T) {
	line := "250-" + strings.Repeat("a", 996)
	r, rec, err := readOne(strings.Repeat(line+"\r\n", 50)+"451 4.7.1 end\r\n", Options{})
	if err != nil {
		t.Fatal(err)
	}
	// 1000, 2001, 3002: the third is the first to exceed 2048.
	if len(r.Lines) != 3 || r.Code != 451 || r.Enhanced != "4.7.1" {
		t.Errorf("%d lines, code %d %s", len(r.Lines), r.Code, r.Enhanced)
	}
	want := []string{"warning: h[a]:24: multi-line response longer than 2048 250-" + strings.Repeat("a", 26) + "..."}
	if !reflect.DeepEqual(rec.log, want) {
		t.Errorf("log %q", rec.log)
	}
	if len(rec.trace) != 51 {
		t.Errorf("%d lines traced", len(rec.trace))
	}
}

func TestNonLMTPWarning(t *testing.T) {
	rec := new(recorder)
	opt := &Options{PeerPort: "h[a]:24", Addr: "a", HelpfulWarnings: true, Hooks: Hooks{Log: rec, QueueID: "ABC"}}
	r := newReplyReader(strings.NewReader(strings.Repeat("j", 200)+"\r\n250 ok\r\n"), opt)
	r.pipeline = true
	if _, err := r.read(); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"warning: ABC: non-LMTP response from h[a]:24: " + strings.Repeat("j", 100),
		"warning: to prevent loss of mail, turn off command pipelining for a with the lmtp_discard_lhlo_keyword_address_maps parameter",
	}
	if !reflect.DeepEqual(rec.log, want) {
		t.Errorf("log %q", rec.log)
	}
}

func TestReplyFilter(t *testing.T) {
	filter := func(line string) (string, bool, error) {
		switch {
		case strings.HasPrefix(line, "451"):
			return "550 5.9.9 never", true, nil
		case strings.HasPrefix(line, "oops"):
			return "", false, errors.New("table is gone")
		}
		return "", false, nil
	}
	r, rec, err := readOne("451-4.1.1 a\r\n451 4.1.1 \x01\r\n", Options{ReplyFilter: filter})
	if err != nil || r.Code != 550 || r.Enhanced != "5.9.9" || r.Text() != "550 5.9.9 never" {
		t.Errorf("%+v %v", r, err)
	}
	if want := []string{`info: h[a]:24: replacing server reply "451-4.1.1 a" with "550 5.9.9 never"`}; !reflect.DeepEqual(rec.log, want) {
		t.Errorf("log %q", rec.log)
	}
	if want := []string{"< 451-4.1.1 a", "= 550 5.9.9 never"}; !reflect.DeepEqual(rec.trace, want) {
		t.Errorf("trace %q", rec.trace)
	}
	bubble(t, "error", func(t *testing.T) {
		s := &fakeServer{rcpt: func(int) string { return "oops" }}
		res := deliver(t, s, 64, newTransaction(1), func(o *Options) { o.ReplyFilter = filter })
		res.expect(t, "local rcpt", "")
	})
}

func TestSuspicious(t *testing.T) {
	for code, want := range map[int]bool{0: true, 150: true, 250: true, 354: true, 399: true, 400: false, 421: false, 451: false,
		499: false, 500: true, 503: true, 509: true, 510: false, 550: false, 554: false, 555: true, 556: false, 599: false, 600: true} {
		if got := (Reply{Code: code}).Suspicious(); got != want {
			t.Errorf("%d: %v", code, got)
		}
	}
}

func TestMasked(t *testing.T) {
	for line, want := range map[string]bool{"220 ****0*2 ***": true, "220 ": true, "220 *** x": false, "220 host": false} {
		if got := (Reply{Lines: []string{line}}).Masked(); got != want {
			t.Errorf("%q: %v", line, got)
		}
	}
}

func FuzzReply(f *testing.F) {
	for _, k := range kinds() {
		f.Add([]byte(k.reply+"\r\n250 ok\r\n"), true)
	}
	f.Add([]byte("250-"+strings.Repeat("x", 5000)), false)
	f.Fuzz(func(t *testing.T, in []byte, utf8ok bool) {
		opt := &Options{UTF8: utf8ok}
		whole := newReplyReader(strings.NewReader(string(in)), opt)
		bytewise := newReplyReader(iotest.OneByteReader(strings.NewReader(string(in))), opt)
		for {
			r, err := whole.read()
			b, berr := bytewise.read()
			if !reflect.DeepEqual(r, b) || fmt.Sprint(err) != fmt.Sprint(berr) {
				t.Fatalf("segments matter: %+v %v, %+v %v", r, err, b, berr)
			}
			if err != nil {
				return
			}
			checkReply(t, r, utf8ok)
		}
	})
}

// checkReply holds what is true of any reply.
func checkReply(t *testing.T, r Reply, utf8ok bool) {
	t.Helper()
	if !dsn.Valid(r.Enhanced) || r.Code < 0 || r.Code > 999 {
		t.Fatalf("codes %d %q", r.Code, r.Enhanced)
	}
	if class := byte('0' + r.Code/100); (class == '2' || class == '4' || class == '5') != (r.Enhanced[0] == class) &&
		r.Enhanced != "5.5.0" {
		t.Fatalf("code %d with %s", r.Code, r.Enhanced)
	}
	text := r.Text()
	if len(r.Lines) == 0 || len(text) > 2*defaultLineLimit+1 {
		t.Fatalf("%d lines, %d bytes", len(r.Lines), len(text))
	}
	for _, c := range text {
		if c < ' ' || c == 0x7f || c >= utf8.RuneSelf && !utf8ok {
			t.Fatalf("not printable: %q", text)
		}
	}
}

// A reply of nothing but lines that are none does not fill the log.
func TestNonLMTPFlood(t *testing.T) {
	rec := new(recorder)
	opt := &Options{PeerPort: "h[a]:24", Addr: "a", HelpfulWarnings: true, Hooks: Hooks{Log: rec}}
	r := newReplyReader(strings.NewReader(strings.Repeat("\n", maxReplyBytes+1)), opt)
	r.pipeline = true
	if _, err := r.read(); !errors.Is(err, ErrReplyTooLong) || len(rec.log) != 2*maxComplaints {
		t.Errorf("%v, %d lines in the log", err, len(rec.log))
	}
}
