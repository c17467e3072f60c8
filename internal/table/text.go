package table

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// dictionary answers from a map of strings.
func dictionary(entries map[string]string) func(context.Context, string) (string, bool, error) {
	return func(_ context.Context, key string) (string, bool, error) {
		value, found := entries[key]
		return value, found, nil
	}
}

// strict reports whether keys and values have to be UTF-8.
func (o *opening) strict() bool { return o.set.opt.UTF8 && o.flags&UTF8 != 0 }

// strictEntries is strict for the entries that openTexthash and openInline
// read: since Postfix 3.11 they have to be nothing, and only their ASCII letters
// are folded. A key with a capital "É" is then found by no lookup.
func (o *opening) strictEntries() bool { return o.strict() && !o.set.opt.ASCIIEntries }

// fold returns the key of an entry as lookups will have it.
func (o *opening) fold(key string) string {
	if o.flags&FoldFixed == 0 {
		return key
	}
	return Fold(key, o.strictEntries())
}

// openTexthash opens texthash:/file/name, a file in the input format of
// postmap(1). Its path must not have rules in braces.
func openTexthash(o *opening) (*backend, error) {
	t, err := o.set.readFile(o.name)
	if err != nil {
		return nil, fmt.Errorf("open database %s: %s", o.name, cause(err))
	}
	entries := make(map[string]string, len(t.lines))
	for _, l := range t.lines {
		key, value, ok := o.parseEntry(l)
		if !ok {
			continue
		}
		key = o.fold(key)
		if _, dup := entries[key]; dup {
			t.file.Close()
			return nil, fmt.Errorf("%s, line %d: duplicate entry: \"%s\"", o.name, l.number, key)
		}
		entries[key] = value
	}
	return &backend{lookup: dictionary(entries), file: t.file, stat: t.stat, byHand: true}, nil
}

// parseEntry takes a line "key whitespace value" apart. What is wrong with it
// is logged.
func (o *opening) parseEntry(l line) (key, value string, ok bool) {
	if o.strictEntries() && !utf8.ValidString(l.text) {
		o.warnf("%s, line %d: non-UTF-8 input \"%s\" -- ignoring this line", o.name, l.number, l.text)
		return "", "", false
	}
	n := keyEnd(l.text, 0)
	if n < 0 {
		o.warnf("%s, line %d: unbalanced '\"' in '%s' -- ignoring this line", o.name, l.number, l.text)
		return "", "", false
	}
	key, value = l.text[:n], trim(l.text[n:])
	if key == "" || value == "" {
		o.warnf("%s, line %d: expected format: key whitespace value -- ignoring this line", o.name, l.number)
		return "", "", false
	}
	if strings.HasSuffix(key, ":") {
		o.warnf("%s, line %d: record is in \"key: value\" format; is this an alias file?", o.name, l.number)
	}
	return key, value, true
}

// openInline opens inline:{key=value, { key = value with spaces }}. The last of
// several entries for a key counts.
func openInline(o *opening) (*backend, error) {
	spec := o.kind + ":" + o.name
	need := fmt.Sprintf("need \"%s:{name=value...}\"", o.kind)
	if o.strict() && !utf8.ValidString(o.name) {
		return nil, fmt.Errorf("bad UTF-8 syntax: \"%s\"; %s", spec, need)
	}
	if n := balanced(o.name); n <= 2 || n < len(o.name) {
		return nil, fmt.Errorf("bad syntax: \"%s\"; %s", spec, need)
	}
	entries := make(map[string]string)
	for _, element := range members(o.name) {
		key, value, err := nameValue(element)
		if err != nil {
			return nil, fmt.Errorf("%v: \"%s\"; %s", err, spec, need)
		}
		entries[o.fold(key)] = value
	}
	if len(entries) == 0 {
		return nil, fmt.Errorf("empty table: \"%s\"; %s", spec, need)
	}
	return &backend{lookup: dictionary(entries)}, nil
}

// nameValue takes "name = value" apart, which may be in braces; the name may be
// in quotes, which stay.
func nameValue(element string) (name, value string, err error) {
	if element[0] == '{' {
		if element, err = unbrace(element); err != nil {
			return "", "", err
		}
		element = trim(element)
	}
	element = trimLeft(element)
	if element == "" {
		return "", "", errors.New("no key found; expected format: key = value")
	}
	n := keyEnd(element, '=')
	if n < 0 {
		return "", "", errors.New("unbalanced '\"'")
	}
	name = element[:n]
	value, ok := strings.CutPrefix(trimLeft(element[n:]), "=")
	if !ok {
		return "", "", errors.New("missing '=' after attribute name")
	}
	return name, trim(value), nil
}
