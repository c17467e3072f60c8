// Package match implements Postfix's match lists: the value of parameters such
// as debug_peer_list, lmtp_connection_cache_destinations or mynetworks.
//
// # Lists
//
// A list consists of patterns that are separated by commas or white space. The
// first pattern that matches decides. A pattern is
//
//	name         the name itself; of hosts, see Options.Parents
//	.name        any name below that domain
//	address      an IP address, also as [address]
//	net/bits     a network, also as [net/bits] or [net]/bits
//	type:table   a name or an address that the table has, whatever its value
//	/file/name   the patterns in that file
//	!pattern     if the pattern matches, the list does not
//
// An IPv6 address or network must be in brackets, else it is a table. Names are
// compared without regard to case. An address is looked up in a table as it is,
// a host name with its parent domains too if the table's keys are fixed.
//
// # Failure policy
//
// A list that makes no sense, or that names a file or a table that cannot be
// opened, is not an error at once (see table.Set): the patterns in front of the
// bad one work, and a match that comes to it is an error. Only a negation of
// nothing is an error when the list is parsed.
//
// An error of a match says that the list cannot tell: its text is what Postfix
// logs, and the caller decides what to do, and does not take it for "no".
//
// # Known limits
//
// Files that include each other may be nested 16 deep.
package match

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"postlmtp/internal/table"
)

// Options say how a list is read.
type Options struct {
	Param   string     // the parameter's name, for the log and for errors
	Tables  *table.Set // opens the tables of the list
	Parents bool       // "name" matches names below that domain, ".name" has no meaning of its own
}

// A List is a parsed list. It can be used by several goroutines at once.
type List struct {
	opt      Options
	what     kind
	patterns []pattern
}

// kind says what the patterns of a list are compared with.
type kind int

const (
	strs    kind = iota // strings
	domains             // host or domain names
	hosts               // host names with their addresses
)

// A pattern is one of the three: a table, a network, or a text.
type pattern struct {
	text    string // folded
	table   table.Table
	negated bool
}

// ParseStrings parses a list of strings, which match as a whole.
func ParseStrings(list string, opt Options) (*List, error) { return parse(list, opt, strs) }

// ParseDomains parses a list of host or domain names.
func ParseDomains(list string, opt Options) (*List, error) { return parse(list, opt, domains) }

// ParseHosts parses a list of host names and addresses.
func ParseHosts(list string, opt Options) (*List, error) { return parse(list, opt, hosts) }

// Empty reports whether the list has no patterns. A nil List is empty.
func (l *List) Empty() bool { return l == nil || len(l.patterns) == 0 }

// Match reports whether the list has a string or a domain, as the kind of list
// is. For a list of hosts it is a host name without an address.
func (l *List) Match(ctx context.Context, name string) (bool, error) {
	if l == nil {
		return false, nil
	}
	return l.match(ctx, name, "")
}

// MatchHost reports whether a list of hosts has a host, by its name or by its
// address. Either may be empty.
func (l *List) MatchHost(ctx context.Context, name, address string) (bool, error) {
	if l == nil {
		return false, nil
	}
	return l.match(ctx, name, address)
}

// match goes through the patterns; what is empty is not compared.
func (l *List) match(ctx context.Context, name, address string) (bool, error) {
	name, address = l.fold(name), l.fold(address)
	for i := range l.patterns {
		p := &l.patterns[i]
		found, err := l.matchOne(ctx, p, name, address)
		if err != nil {
			return false, fmt.Errorf("%s: %w", l.opt.Param, err)
		}
		if found {
			return !p.negated, nil
		}
	}
	return false, nil
}

func (l *List) matchOne(ctx context.Context, p *pattern, name, address string) (bool, error) {
	if name != "" {
		compare := p.matchString
		if l.what != strs {
			compare = func(ctx context.Context, name string) (bool, error) { return p.matchName(ctx, name, l.opt.Parents) }
		}
		if found, err := compare(ctx, name); found || err != nil {
			return found, err
		}
	}
	if address == "" {
		return false, nil
	}
	return p.matchAddress(ctx, address)
}

func (l *List) fold(s string) string { return table.Fold(s, l.opt.Tables.Options().UTF8) }

// maxInclude bounds how deep files may include each other.
const maxInclude = 16

func parse(list string, opt Options, what kind) (*List, error) {
	if opt.Tables == nil {
		opt.Tables = table.NewSet(table.Options{})
	}
	l := &List{opt: opt, what: what}
	if err := l.add(list, false, 0); err != nil {
		return nil, err
	}
	return l, nil
}

// add parses a list, or a line of an included file, and appends its patterns.
func (l *List) add(list string, negated bool, depth int) error {
	elements := table.Split(list)
	for i, element := range elements {
		if element[0] == '#' {
			l.warnComment(element, elements[i+1:])
			return nil
		}
		item := strings.TrimLeft(element, "!")
		not := negated != ((len(element)-len(item))%2 == 1)
		var err error
		switch {
		case item == "":
			err = fmt.Errorf("%s: no pattern after '!'", l.opt.Param)
		case item[0] == '/':
			err = l.include(item, not, depth)
		case isTable(item):
			var t table.Table
			if t, err = l.opt.Tables.Open(item, table.Lock|table.UTF8); err == nil {
				l.patterns = append(l.patterns, pattern{table: t, negated: not})
			}
		default:
			l.patterns = append(l.patterns, pattern{text: l.fold(item), negated: not})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// isTable tells type:table from an address in brackets.
func isTable(item string) bool { return item[0] != '[' && strings.Contains(item, ":") }

// include adds the patterns of a file. One that cannot be read is replaced by a
// table that fails.
func (l *List) include(path string, negated bool, depth int) error {
	var lines []string
	err := errors.New("open file " + path + ": included too deep")
	if depth < maxInclude {
		lines, err = l.opt.Tables.ReadList(path)
	}
	if err != nil {
		t, err := l.opt.Tables.Unavailable("non-existent", path, err)
		if err != nil {
			return err
		}
		l.patterns = append(l.patterns, pattern{table: t})
		return nil
	}
	for _, line := range lines {
		if err := l.add(line, negated, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// warnComment says that a comment in the middle of a line ends the line.
func (l *List) warnComment(comment string, rest []string) {
	after := strings.Join(rest, " ")
	if l.opt.Tables.Options().PlainLists {
		l.opt.Tables.Options().Log.Warningf("%s: comment at end of line is not supported: %s %s", l.opt.Param, comment, after)
		return
	}
	if len(after) > 20 {
		after = after[:20]
	}
	l.opt.Tables.Options().Log.Warningf("%s: #comment after other text is not allowed: %s %s...", l.opt.Param, comment, after)
}
