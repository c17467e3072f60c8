package table

import (
	"context"
	"iter"
	"strings"

	"postlmtp/internal/table/pcre"
	"postlmtp/internal/table/posix"
	"postlmtp/internal/table/rules"
)

// openRegexp opens regexp:/file/name and regexp:{ {rule}, ... }.
func openRegexp(o *opening) (*backend, error) {
	return o.openPatterns(rules.Dialect{
		Kind: "regexp", Flags: "imx", Two: true, Unclosed: "skipping",
		Compile: func(pattern, flags string) (rules.Matcher, error) {
			return posix.Compile(pattern, posix.Options{
				Exact:    strings.Contains(flags, "i"),
				Newlines: strings.Contains(flags, "m"),
				Basic:    strings.Contains(flags, "x"),
			})
		},
	})
}

// openPCRE opens pcre:/file/name and pcre:{ {rule}, ... }.
func openPCRE(o *opening) (*backend, error) {
	return o.openPatterns(rules.Dialect{
		Kind: "pcre", Flags: pcre.Flags, Obsolete: "X", Unclosed: "ignoring",
		Compile: func(pattern, flags string) (rules.Matcher, error) {
			return pcre.Compile(pattern, flags)
		},
	})
}

func (o *opening) openPatterns(dialect rules.Dialect) (*backend, error) {
	t, err := o.readText()
	if err != nil {
		return nil, err
	}
	patterns := rules.Parse(numbered(t.lines), rules.Options{
		Dialect: dialect,
		Name:    o.name,
		NoSub:   o.flags&NoRegexpSub != 0,
		Warn:    o.warnf,
	})
	lookup := func(_ context.Context, key string) (string, bool, error) { return patterns.Lookup(key) }
	return &backend{pattern: true, lookup: lookup, file: t.file, stat: t.stat, byHand: true}, nil
}

func numbered(lines []line) iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		for _, l := range lines {
			if !yield(l.number, l.text) {
				return
			}
		}
	}
}
