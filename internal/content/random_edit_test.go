package content

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"postlmtp/internal/generic"
	"postlmtp/internal/queuefile"
	"postlmtp/internal/table"
)

// pieces are what random address headers consist of.
var pieces = []string{
	"a@in.example", "user@in.example", "b@out.example", "c", "Joe", "Doe", "<", ">", "<a@in.example>", "<b@out.example>", "<>",
	",", ",", ",", ", ", " ", " ", ":", ";", "(", ")", "(comment)", "(a (b) c)", "(\\))", "\"", "\"quoted string\"", "\"q\\\"q\"@in.example",
	"\\", "\\ ", "[", "]", "[1.2.3.4]", "@", ".", "..", "%", "!", "|", "\u00fc", "\xff", "\t", "\n ", "\n\t", "group: ", ";", "\"\"", "\r", "\x01",
	"long.local.part.of.an.address@in.example", "another.long.local.part.of.an.address@out.example", strings.Repeat("w ", 60),
}

func randomHeaders(r *rand.Rand) golden {
	g := golden{options: Options{LineLimit: 998}}
	names := []string{"From", "to", "Cc", "Reply-To", "RESENT-TO", "Subject", "X-To", "Bcc", "Errors-To"}
	for range 1 + r.IntN(4) {
		text := names[r.IntN(len(names))] + ":"
		for range r.IntN(14) {
			text += pieces[r.IntN(len(pieces))]
		}
		for _, l := range strings.Split(text, "\n") {
			g.records = append(g.records, queuefile.Record{Type: queuefile.TypeLine, Data: []byte(l)})
		}
	}
	return g
}

// TestRandomEditsLikePostfix compares the rewriting of addresses in headers with
// Postfix's own client.
func TestRandomEditsLikePostfix(t *testing.T) {
	const tables = "regexp:{{/^(.*)@in[.]example$/ %s@out.example}}"
	p := newPostfix(t)
	p.more = "lmtp_generic_maps = " + fmt.Sprintf(strings.ReplaceAll(tables, "$", "$$"), "mapped-$$1") + "\n"
	set := table.NewSet(table.Options{UTF8: true})
	maps, err := set.OpenMaps("lmtp_generic_maps", fmt.Sprintf(tables, "mapped-$1"), table.FoldFixed|table.UTF8)
	if err != nil {
		t.Fatal(err)
	}
	for range *randomRuns {
		seed := rand.Uint64()
		g := randomHeaders(rand.New(rand.NewPCG(seed, 0)))
		g.options.Log = new(logLines)
		g.options.Generic = genericOf(t, maps)
		file, layout := g.file(t)
		wire, _ := p.send(t, file, layout, g.options)
		want, complete := strings.CutSuffix(wire, ".\r\n")
		got, err := g.run(t)
		if !complete || err != nil || got != want {
			t.Fatalf("seed %d: complete %v, error %v\nof   %s\nwant %q\ngot  %q", seed, complete, err, g.format(), strings.Split(want, "\r\n"), strings.Split(got, "\r\n"))
		}
	}
}

// genericOf is a map of addresses that needs nothing but tables.
func genericOf(t *testing.T, maps *table.Maps) Rewrite {
	m := generic.New(generic.Options{
		Tables:   maps,
		Local:    func(context.Context, string) (bool, error) { return false, nil },
		Complete: func(_ context.Context, addr string) (string, error) { return addr, nil },
		Log:      new(logLines),
	})
	return func(addr string) (string, bool, error) { return m.ApplyHeader(t.Context(), addr) }
}

// TestRandomChecksLikePostfix compares what checks make of random messages.
func TestRandomChecksLikePostfix(t *testing.T) {
	const tables = "regexp:{{/boundary/ PREPEND X-%[1]s: seen}, {/encoding: (.*)/ REPLACE Content-Encoding: %[1]s}, " +
		"{/^(subject|content-type:)$/ IGNORE}, {/^x/ PREPEND %[1]s: x}, {/long/ STRIP}, {/t/ REPLACE %[1]s: t}, {/^-/ PREPEND %[1]s: }}"
	params := []string{"lmtp_header_checks", "lmtp_mime_header_checks", "lmtp_nested_header_checks", "lmtp_body_checks"}
	p := newPostfix(t)
	set := table.NewSet(table.Options{})
	lookups := make([]Lookup, len(params))
	for i, param := range params {
		maps, err := set.OpenMaps(param, fmt.Sprintf(tables, param[5:9]), table.Lock)
		if err != nil {
			t.Fatal(err)
		}
		lookups[i] = func(text string) (string, bool, error) { return maps.Find(t.Context(), text) }
	}
	for range *randomRuns {
		seed := rand.Uint64()
		r := rand.New(rand.NewPCG(seed, 0))
		g := randomMessage(r)
		g.options.Log = new(logLines)
		p.more = ""
		for i, check := range []*Lookup{&g.options.Checks.Header, &g.options.Checks.MIMEHeader, &g.options.Checks.NestedHeader, &g.options.Checks.Body} {
			if r.IntN(3) > 0 {
				*check = lookups[i]
				p.more += params[i] + " = " + strings.ReplaceAll(fmt.Sprintf(tables, params[i][5:9]), "$", "$$") + "\n"
			}
		}
		file, layout := g.file(t)
		wire, _ := p.send(t, file, layout, g.options)
		want, complete := strings.CutSuffix(wire, ".\r\n")
		got, err := g.run(t)
		if complete != (err == nil) || got != want {
			t.Fatalf("seed %d: complete %v, error %v\nof %s\nwith %s\nwant %q\ngot  %q", seed, complete, err, g.format(), p.more,
				strings.Split(want, "\r\n"), strings.Split(got, "\r\n"))
		}
	}
}
