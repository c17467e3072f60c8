package table

import (
	"context"
	"fmt"
	"strings"
)

// openUnionmap opens unionmap:{type:name, ...}. A lookup asks all the tables
// and joins the answers with commas; one error is the error of all.
func openUnionmap(o *opening) (*backend, error) {
	tables, err := o.parts()
	if err != nil {
		return nil, err
	}
	lookup := func(ctx context.Context, key string) (string, bool, error) {
		var all []string
		for _, t := range tables {
			value, found, err := t.Lookup(ctx, key)
			if err != nil {
				return "", false, err
			}
			if found {
				all = append(all, value)
			}
		}
		joined := joinNonEmpty(all)
		return joined, joined != "", nil
	}
	return &backend{fixed: tables[0].Fixed, inner: true, lookup: lookup}, nil
}

// joinNonEmpty joins as Postfix does: a comma goes in front of a value only if
// there is some text already.
func joinNonEmpty(all []string) string {
	var b strings.Builder
	for _, value := range all {
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(value)
	}
	return b.String()
}

// openPipemap opens pipemap:{type:name, ...}. The answer of each table is the
// key of the next.
func openPipemap(o *opening) (*backend, error) {
	tables, err := o.parts()
	if err != nil {
		return nil, err
	}
	lookup := func(ctx context.Context, key string) (string, bool, error) {
		for _, t := range tables {
			value, found, err := t.Lookup(ctx, key)
			if err != nil || !found {
				return "", false, err
			}
			key = value
		}
		return key, true, nil
	}
	return &backend{fixed: tables[0].Fixed, inner: true, lookup: lookup}, nil
}

// parts opens the tables inside the braces.
func (o *opening) parts() ([]*instance, error) {
	specs := members(o.name)
	bad := len(specs) == 0
	for _, spec := range specs {
		bad = bad || !strings.Contains(spec, ":")
	}
	if bad {
		return nil, fmt.Errorf("bad syntax: \"%s:%s\"; need \"%s:{type:name...}\"", o.kind, o.name, o.kind)
	}
	var tables []*instance
	for _, spec := range specs {
		t, err := o.set.open(spec, o.flags, o.depth+1)
		if err != nil {
			return nil, err
		}
		tables = append(tables, t)
	}
	return tables, nil
}
