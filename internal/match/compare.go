package match

import (
	"context"
	"fmt"
	"strings"

	"postlmtp/internal/table"
	"postlmtp/internal/table/cidr"
)

// has reports whether the pattern's table has a key.
func (p *pattern) has(ctx context.Context, key string) (bool, error) {
	_, found, err := p.table.Lookup(ctx, key)
	if err != nil {
		return false, &TableError{Table: p.table.String(), Err: err}
	}
	return found, nil
}

// A TableError says which table of a list could not tell.
type TableError struct {
	Table string // type:name
	Err   error  // the cause, which is not in the text: Postfix does not log it here
}

// Error implements error.
func (e *TableError) Error() string { return e.Table + ": table lookup problem" }

// Unwrap returns the cause.
func (e *TableError) Unwrap() error { return e.Err }

func (p *pattern) matchString(ctx context.Context, s string) (bool, error) {
	if p.table != nil {
		return p.has(ctx, s)
	}
	return s == p.text, nil
}

// matchName compares the pattern with a host name and its parent domains. With
// parents the parent of a.example.com is example.com, without it is
// .example.com.
func (p *pattern) matchName(ctx context.Context, name string, parents bool) (bool, error) {
	if p.table != nil {
		return p.hasName(ctx, name, parents)
	}
	if name == p.text {
		return true, nil
	}
	parent, ok := strings.CutSuffix(name, p.text)
	if !ok || parent == "" {
		return false, nil
	}
	if parents {
		return strings.HasSuffix(parent, "."), nil
	}
	return p.text[0] == '.', nil
}

func (p *pattern) hasName(ctx context.Context, name string, parents bool) (bool, error) {
	for entry := name; entry != ""; {
		if entry == name || p.table.Fixed() {
			if found, err := p.has(ctx, entry); found || err != nil {
				return found, err
			}
		}
		dot := strings.IndexByte(entry[1:], '.')
		if dot < 0 {
			return false, nil
		}
		entry = entry[1+dot:]
		if parents {
			entry = entry[1:]
		}
	}
	return false, nil
}

const (
	v4Chars = "0123456789."
	v6Chars = v4Chars + "abcdefABCDEF:"
)

// matchAddress compares the pattern with an IP address. A list may mix names
// and addresses, so what does not look like a pattern of addresses does not
// match, without an error.
func (p *pattern) matchAddress(ctx context.Context, address string) (bool, error) {
	if strings.Trim(address, v6Chars) != "" {
		return false, nil
	}
	if p.table != nil {
		return p.has(ctx, address)
	}
	if address == p.text || "["+address+"]" == p.text {
		return true, nil
	}
	switch {
	case strings.Contains(address, ":") != strings.Contains(p.text, ":"),
		!strings.ContainsAny(p.text, ":/"),
		strings.Trim(p.text, v4Chars) == "",
		strings.Trim(p.text, v6Chars+"[]/") != "":
		return false, nil
	}
	network, err := cidr.Parse(p.text)
	if err != nil {
		return false, err
	}
	a, ok := cidr.ParseAddr(address)
	return ok && network.Contains(a), nil
}

// ParentStyle reports whether a parameter is in the list
// parent_domain_matches_subdomains: then "name" in its own list also matches
// names below that domain.
func ParentStyle(ctx context.Context, list, param string, tables *table.Set) (bool, error) {
	l, err := ParseStrings(list, Options{Param: "parent_domain_matches_subdomains", Tables: tables})
	if err != nil {
		return false, err
	}
	found, err := l.Match(ctx, param)
	if err != nil {
		return false, fmt.Errorf("match %s: %w", param, err)
	}
	return found, nil
}
