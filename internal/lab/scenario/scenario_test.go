package scenario

import (
	"fmt"
	"strings"
	"testing"

	"postlmtp/internal/lab"
	"postlmtp/internal/request"
)

const sample = `# A title.
# In two lines.

== settings
a = {lmtp.port}

== agent
words: flags=X
release: 3.5

== services
bounce: missing

== server lmtp
listen tcp

== records
N Subject: x
N*2 "ab"*2+"c"
L tail
cut

== request
flags: done user-verify 1024
sender:
ret: hdrs
rcpt: a@example.net
orig:
notify: success delay
rcpts: 2 u%d@example.net

== expect log
old

== expect file
keep
`

func TestParse(t *testing.T) {
	s, err := Parse("sample", sample)
	if err != nil {
		t.Fatal(err)
	}
	p := s.plan
	if s.Title != "A title.\nIn two lines." || p.settings[0] != "a = {lmtp.port}" ||
		p.options.Release != "3.5" || p.options.Behaviour["bounce"] != lab.Missing ||
		len(p.servers) != 1 || p.servers[0].script.Listen != "tcp" || len(p.requests) != 1 {
		t.Fatalf("plan %+v", p)
	}
	r := p.requests[0]
	if r.req.Flags != request.MarkDone|request.UserVerify|request.Record || r.req.Ret != request.RetHeaders {
		t.Errorf("flags %d, ret %d", r.req.Flags, r.req.Ret)
	}
	if r.message.Sender != "" || len(r.message.Recipients) != 3 || r.message.Recipients[2].Address != "u2@example.net" {
		t.Errorf("message %+v", r.message)
	}
	if first := r.message.Recipients[0]; first.Original != "" || first.Notify != request.NotifySuccess|request.NotifyDelay {
		t.Errorf("recipient %+v", first)
	}
	if got := fmt.Sprint(r.message.Records); got != "[{78 Subject: x} {78 ababc} {78 ababc} {76 tail}]" || !r.message.Truncated {
		t.Errorf("records %s", got)
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct{ name, text, problem string }{
		{"text first", "hello\n", "line 1: text before the first section"},
		{"section", "== wishes\n", `section at line 1: unknown section "wishes"`},
		{"agent", "\n== agent\nspeed: 1\n", "section at line 2: speed: unknown key"},
		{"no key", "== request\nhello\n", "is not KEY: VALUE"},
		{"key", "== request\ncolour: red\n", "colour: unknown key"},
		{"orig without rcpt", "== request\norig: a\n", "no rcpt before it"},
		{"flag", "== request\nflags: fast\n", `unknown word "fast"`},
		{"script", "== server s\nexplode\n", "parse script: line 1"},
		{"record", "== records\nhello\n", "is not a record"},
		{"record text", "== records\nN \"a\"x\n", `"x" after a string`},
		{"raw", "== request\nraw: x\n", "raw: invalid syntax"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Parse(tt.name, tt.text); err == nil || !strings.Contains(err.Error(), tt.problem) {
				t.Errorf("error %v, want %q", err, tt.problem)
			}
		})
	}
}

func TestUpdate(t *testing.T) {
	s, err := Parse("sample", sample)
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(sample, "== expect")
	text := s.Update(Observed{"log": "new\n", "file": "keep\n", "status": "0\n"}, false)
	if want := head + "== expect log\nnew\n\n== expect status\n0\n\n== expect file\nkeep\n"; text != want {
		t.Errorf("Postfix's agent: got\n%s\nwant\n%s", text, want)
	}
	s, err = Parse("sample", text+"\n== differs\nbecause\n")
	if err != nil {
		t.Fatal(err)
	}
	text = s.Update(Observed{"log": "mine\n", "file": "keep\n", "status": "0\n", "process": "p\n"}, true)
	if want := "== differs\nbecause\n\n== ours log\nmine\n\n== ours process\np\n"; !strings.HasSuffix(text, want) {
		t.Errorf("our agent: got\n%s\nwant at the end\n%s", text, want)
	}
	s, err = Parse("sample", text)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Expected(true); got["log"] != "mine\n" || got["file"] != "keep\n" {
		t.Errorf("expected of ours %v", got)
	}
	if got := s.Expected(false); got["log"] != "new\n" || got["process"] != "" {
		t.Errorf("expected of Postfix's %v", got)
	}
	same := s.Update(Observed{"log": "new\n", "file": "keep\n", "status": "0\n"}, true)
	if strings.Contains(same, "== ours") {
		t.Errorf("needless expectations stay:\n%s", same)
	}
}

func TestDiff(t *testing.T) {
	tests := []struct{ want, got, diff string }{
		{"", "", ""},
		{"a\n", "a\n", ""},
		{"", "a\n", "+ a\n"},
		{"a\n", "", "- a\n"},
		{"a\nb\nc\n", "a\nx\nc\n", "  a\n- b\n+ x\n  c\n"},
		{"a\nb\n", "b\nc\n", "- a\n  b\n+ c\n"},
	}
	for _, tt := range tests {
		if diff := Diff(tt.want, tt.got); diff != tt.diff {
			t.Errorf("Diff(%q, %q):\n%s", tt.want, tt.got, diff)
		}
	}
}

func TestWireLine(t *testing.T) {
	tests := map[string]string{
		"MAIL\r\n":                        "MAIL",
		"Grüße\r\n":                       "Grüße",
		"\r\n":                            "",
		"bare\n":                          `"bare\n"`,
		"end ":                            `"end "`,
		"end \r\n":                        `"end \r\n"`,
		"\"x\"\r\n":                       `"\"x\"\r\n"`,
		"a\rb\r\n":                        `"a\rb\r\n"`,
		"bad\xff\r\n":                     `"bad\xff\r\n"`,
		strings.Repeat("x", 300) + "\r\n": `"` + strings.Repeat("x", 60) + `" and so on, 302 bytes, sum 45bef695`,
	}
	for line, want := range tests {
		if got := wireLine(line); got != want {
			t.Errorf("wireLine(%q) = %s, want %s", line, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample)
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "rcpts") || strings.Contains(text, "*") {
			return // repetition costs memory, and the files are our own
		}
		s, err := Parse("fuzz", text)
		if err != nil {
			return
		}
		again, err := Parse("fuzz", s.Update(s.Expected(false), false))
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if len(again.plan.requests) != len(s.plan.requests) {
			t.Errorf("%d requests became %d", len(s.plan.requests), len(again.plan.requests))
		}
	})
}
