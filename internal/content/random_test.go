package content

import (
	"flag"
	"math/rand/v2"
	"strings"
	"testing"

	"postlmtp/internal/queuefile"
)

var randomRuns = flag.Int("postfix.runs", 20, "how many random messages each of the tests that compare with Postfix's own client takes")

// vocabulary is what random messages consist of: pieces on which the MIME
// parser takes decisions.
var vocabulary = []string{
	"Content-Type: multipart/mixed; boundary=a", "Content-Type: multipart/digest; boundary=\"ab\"",
	"Content-Type: multipart/mixed; boundary=a; boundary=b", "Content-Type: message/rfc822",
	"Content-Type: message/global", "Content-Type: message/partial", "Content-Type: text/plain; charset=x",
	"Content-Type: image/png", "Content-Type: multipart/mixed;", " boundary=\"b", "\tc\"", "Content-Type:",
	"Content-Type: multipart/mixed; (c \\) \"", "boundary=\"a\\b\"", "CONTENT-TYPE : multipart/x; boundary = b ;",
	"Content-Transfer-Encoding: 8bit", "Content-Transfer-Encoding: 8bit", "Content-Transfer-Encoding: binary",
	"Content-Transfer-Encoding: 7bit", "Content-Transfer-Encoding: base64", "content-transfer-encoding : (x) 8BIT y",
	"Content-Transfer-Encoding: \"8bit\"", "Subject: hello", "X\u00fc: y", "X y: z", "X:", ":", ": x",
	"", "", "", "", "--a", "--a", "--a--", "--b", "--b--", "--ab", "--abc", "--", "---", "--b\"c", " folded", "\tfolded \u00e9",
	"text", "t\u00e9xt", ".", "..", ".x", "trailing ", "trailing\t", "=", "\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9",
	"\x00", "a\x00b", "X: a\x00b", "\r", "a\rb", "\x7f\x01", strings.Repeat("x", 73), strings.Repeat("\xff", 30),
	strings.Repeat("long ", 30),
}

func randomMessage(r *rand.Rand) golden {
	pick := func(values ...int) int { return values[r.IntN(len(values))] }
	g := golden{options: Options{
		LineLimit: pick(0, 2, 3, 10, 40, 80, 998, 998),
		Downgrade: r.IntN(4) > 0,
		MIME:      MIMELimits{Nesting: pick(0, 0, 1, 2), Boundary: pick(0, 0, 1, 2), Header: pick(0, 0, 20, 60)},
	}}
	for range r.IntN(40) {
		line := vocabulary[r.IntN(len(vocabulary))]
		for r.IntN(6) == 0 { // in several records
			n := r.IntN(len(line) + 1)
			g.records = append(g.records, queuefile.Record{Type: queuefile.TypePart, Data: []byte(line[:n])})
			line = line[n:]
		}
		g.records = append(g.records, queuefile.Record{Type: queuefile.TypeLine, Data: []byte(line)})
	}
	if n := len(g.records); n > 0 && r.IntN(8) == 0 {
		g.records[n-1].Type = queuefile.TypePart
	}
	return g
}

// TestRandomLikePostfix compares random messages with Postfix's own client.
func TestRandomLikePostfix(t *testing.T) {
	p := newPostfix(t)
	for range *randomRuns {
		seed := rand.Uint64()
		g := randomMessage(rand.New(rand.NewPCG(seed, 0)))
		file, layout := g.file(t)
		wire, reason := p.send(t, file, layout, g.options)
		want, complete := strings.CutSuffix(wire, ".\r\n")
		got, err := g.run(t)
		switch {
		case complete && err != nil:
			t.Errorf("seed %d: error %v", seed, err)
		case !complete && (err == nil || err.Error() != reason):
			t.Errorf("seed %d: error %v, want %s", seed, err, reason)
		case complete && got != want:
			g.wire = strings.Split(want, "\r\n")
			t.Errorf("seed %d:\n%s\ngot\n%q", seed, g.format(), strings.Split(got, "\r\n"))
		}
		if t.Failed() {
			return
		}
	}
}
