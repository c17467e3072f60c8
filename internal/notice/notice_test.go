package notice

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWrap(t *testing.T) {
	word := strings.Repeat("x", 39)
	for in, want := range map[string][]string{
		"":                          {""},
		"one":                       {"one"},
		"trailing \t":               {"trailing"},
		word + " " + word[1:]:       {word + " " + word[1:]},
		word + " " + word:           {word, "    " + word},
		word + "   " + word + " y":  {word, "    " + word + " y"},
		word + word + word:          {word + word + word},
		"a " + word + word + word:   {"a", "    " + word + word + word},
		word + word + " ":           {word + word, "    "},
		word + " " + word[1:] + " ": {word + " " + word[1:], "    "},
	} {
		if diff := cmp.Diff(want, wrap(in)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", in, diff)
		}
	}
}

func TestFlags(t *testing.T) {
	for in, want := range map[[2]string]int{
		{"", "sendmail, verify"}: 32,
		{"notify", ""}:           98,
		{"bounce,notify", "all"}: 610,
		{"", "verify notify"}:    544,
	} {
		if got := Flags(in[0], in[1]); got != want {
			t.Errorf("%q: %d, want %d", in, got, want)
		}
	}
}

func TestCompose(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 8000, time.UTC)
	p := New(Options{Sender: "double-bounce@h", Recipient: "root", MyHostname: "h", MailName: "Postfix"})
	var got []string
	for _, r := range p.compose("ABC", "s[1]:24", []string{"In:  500 a\x01\xff\u00fc"}, now) {
		got = append(got, string(r.Type)+" "+r.Data)
	}
	want := []string{
		"T 1772600767 8", "A log_message_origin=local", "A trace_flags=0", "S double-bounce@h", "R root", "M ",
		"N Received: by h (Postfix)", "N \tid ABC; Wed,  4 Mar 2026 05:06:07 +0000 (UTC)",
		"N Date: Wed,  4 Mar 2026 05:06:07 +0000 (UTC)", "N From: Mail Delivery System <MAILER-DAEMON@h>",
		"N To: Postmaster <root>", "N Subject: Postfix LMTP client: errors from s[1]:24", "N ",
		"N Unexpected response from s[1]:24.", "N ", "N Transcript of session follows.", "N ",
		"N  In:  500 a????", "N ", "N For other details, see the local mail logfile", "X ", "E ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func FuzzWrap(f *testing.F) {
	f.Add("a b  c")
	f.Fuzz(func(t *testing.T, text string) {
		// Nothing but white space is lost.
		bare := func(s string) string {
			return strings.Map(func(r rune) rune {
				if strings.ContainsRune(spaces, r) {
					return -1
				}
				return r
			}, s)
		}
		if got := bare(strings.Join(wrap(text), "")); got != bare(text) {
			t.Errorf("%q became %q", text, got)
		}
	})
}
