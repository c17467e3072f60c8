package generic

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"postlmtp/internal/address"
)

// Tables are lmtp_generic_maps. They log their failures themselves.
type Tables interface {
	Find(ctx context.Context, key string) (value string, found bool, err error)
	// FindFixed asks only those tables whose keys are fixed strings.
	FindFixed(ctx context.Context, key string) (value string, found bool, err error)
}

// Logger takes warnings.
type Logger interface {
	Warningf(format string, args ...any)
}

// Options are the settings of a Map.
type Options struct {
	Tables Tables
	// Local tells whether mail for a domain is mail for this machine: it is
	// myorigin, or in mydestination, or an address of this machine in brackets.
	Local func(ctx context.Context, domain string) (bool, error)
	// Complete completes an address in quoted form.
	Complete func(ctx context.Context, addr string) (string, error)
	// Extension finds extensions.
	Extension Extension
	// Propagate adds the extension that was not looked up to the result.
	Propagate bool
	Log       Logger
}

// Map maps addresses.
type Map struct{ opt Options }

// New returns a Map.
func New(opt Options) *Map { return &Map{opt} }

// param is the name of the parameter in log lines.
const param = "lmtp_generic_maps"

// Error reports an address that could not be mapped.
type Error struct {
	Address string
	Err     error
}

// Error implements error, in Postfix's words.
func (e *Error) Error() string {
	return fmt.Sprintf("%s map lookup problem for %s", param, e.Address)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Apply maps an address in internal form, and reports false for one that is in
// no table. The empty address is never mapped. An error is an *Error.
func (m *Map) Apply(ctx context.Context, addr string) (mapped string, changed bool, err error) {
	if m == nil || addr == "" {
		return addr, false, nil
	}
	return m.apply(ctx, addr)
}

// ApplyHeader is Apply for an address of a header, where an empty one in quotes
// counts like any other.
func (m *Map) ApplyHeader(ctx context.Context, addr string) (mapped string, changed bool, err error) {
	return m.apply(ctx, addr)
}

func (m *Map) apply(ctx context.Context, addr string) (string, bool, error) {
	a, err := m.find(ctx, addr)
	if err != nil {
		return addr, false, &Error{addr, err}
	}
	if !a.found {
		return addr, false, nil
	}
	results, err := m.crunch(ctx, addr, a)
	if err != nil {
		return addr, false, &Error{addr, err}
	}
	if len(results) > 1 {
		m.opt.Log.Warningf("multi-valued %s result for %s", param, addr)
	}
	return results[0], true, nil
}

// answer is what the tables have for an address.
type answer struct {
	value     string
	found     bool
	extension string // that was left away for the lookup, with its delimiter
}

// find looks an address up, from the whole of it to its domain.
func (m *Map) find(ctx context.Context, addr string) (answer, error) {
	l := lookup{m: m, ctx: ctx}
	bare, extension, split := m.opt.Extension.Cut(addr)
	l.quoted(m.opt.Tables.Find, address.QuoteHeader, addr, "")
	if split {
		l.quoted(m.opt.Tables.FindFixed, address.QuoteHeader, bare, extension)
	}
	user, domain, ok := address.Split(addr)
	if !ok || l.done() {
		return l.answer, l.err
	}
	local, err := m.opt.Local(ctx, domain)
	if err != nil {
		return answer{}, err
	}
	if local {
		l.quoted(m.opt.Tables.FindFixed, address.QuoteLocal, user, "")
		if split {
			user, _, _ = address.Split(bare)
			l.quoted(m.opt.Tables.FindFixed, address.QuoteLocal, user, extension)
		}
	}
	l.exactly(m.opt.Tables.FindFixed, "@"+domain, "")
	return l.answer, l.err
}

// lookup tries one key after the other until there is an answer or an error.
type lookup struct {
	m   *Map
	ctx context.Context
	answer
	err error
}

func (l *lookup) done() bool { return l.found || l.err != nil }

type finder func(ctx context.Context, key string) (string, bool, error)

func (l *lookup) exactly(find finder, key, extension string) {
	if l.done() {
		return
	}
	if l.value, l.found, l.err = find(l.ctx, key); l.found {
		l.extension = extension
	}
}

// quoted tries a key in quoted form.
func (l *lookup) quoted(find finder, quote func(string) string, key, extension string) {
	external := quote(key)
	if external == "" {
		external = `""`
	}
	l.exactly(find, external, extension)
}

// crunch makes addresses of what the tables have.
func (m *Map) crunch(ctx context.Context, addr string, a answer) ([]string, error) {
	text := a.value
	if strings.HasPrefix(text, "@") {
		user := addr
		if local, _, ok := address.Split(addr); ok {
			user = local
		}
		text = address.QuoteHeader(strings.TrimSuffix(user, a.extension) + text)
	}
	if text == "" || text == "<>" {
		text = `""` // the null address
	}
	var results []string
	for _, item := range address.ParseList(text).Items() {
		complete, err := m.opt.Complete(ctx, item.External())
		if err != nil {
			m.opt.Log.Warningf("%v", err)
			return nil, err
		}
		result := address.UnquoteHeader(complete)
		if m.opt.Propagate && a.extension != "" {
			local, domain, ok := address.Split(result)
			result = local + a.extension
			if ok {
				result += "@" + domain
			}
		}
		results = append(results, result)
	}
	if len(results) == 0 {
		m.opt.Log.Warningf("%s lookup of %s returns non-address result \"%s\"", param, addr, text)
		return nil, errors.New("non-address result")
	}
	return results, nil
}
