package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"

	"golang.org/x/net/dns/dnsmessage"
)

// maxAliases bounds the names that are asked for one after another because
// each is an alias of the next.
const maxAliases = 10

// Logger takes what a lookup has to tell the operator.
type Logger interface {
	Infof(format string, args ...any)
	Warningf(format string, args ...any)
}

// Source holds the settings of the moment; *[System] is one.
type Source interface{ Current() *Snapshot }

// Current makes a Snapshot a Source that never changes.
func (s *Snapshot) Current() *Snapshot { return s }

// Filter decides about one record of an answer, given as [Record.String]. The
// action is the result of the look-up of that text in lmtp_dns_reply_filter;
// found is false if there is none.
type Filter func(record string) (action string, found bool, err error)

// Options says how a Resolver works. The zero value works with the network.
type Options struct {
	Filter Filter // lmtp_dns_reply_filter; nil takes every record
	// FilterName is the parameter's name for warnings, "lmtp_dns_reply_filter".
	FilterName string
	Probe      string // dnssec_probe, TYPE:NAME; empty: none
	Log        Logger // nil: nobody is told
	// Dial replaces the network, for tests.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// A Resolver answers lookups. It may be used by many goroutines.
type Resolver struct {
	source  Source
	options Options
	dnssec  *validation
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
}

// New returns a Resolver with the settings of source.
func New(source Source, o Options) *Resolver {
	r := &Resolver{source: source, options: o, dnssec: new(validation), dial: o.Dial}
	if r.dial == nil {
		r.dial = new(net.Dialer).DialContext
	}
	if o.Log == nil {
		r.options.Log = silent{}
	}
	return r
}

type silent struct{}

func (silent) Infof(string, ...any)    {}
func (silent) Warningf(string, ...any) {}

// LookupOptions says how one lookup is made.
type LookupOptions struct {
	DNSSEC bool // ask for DNSSEC, and fill in Record.Secure
	// DefNames (RES_DEFNAMES) completes a name without dots with the first
	// search domain; Search (RES_DNSRCH) completes other names too, with
	// each search domain in turn. They are the words res_defnames and
	// res_dnsrch of lmtp_dns_resolver_options.
	DefNames, Search bool
}

// Lookup returns the records of one type, never none. The error is an *[Error].
func (r *Resolver) Lookup(ctx context.Context, name string, t Type, o LookupOptions) ([]Record, error) {
	records, failure := r.lookup(ctx, name, t, o)
	if failure != nil {
		return nil, failure
	}
	return records, nil
}

func (r *Resolver) lookup(ctx context.Context, name string, t Type, o LookupOptions) ([]Record, *Error) {
	if !ValidName(name) {
		return nil, &Error{Outcome: NotFound, Name: name, Type: t,
			Text: fmt.Sprintf("Name service error for %s: invalid host or domain name", name)}
	}
	config := r.source.Current().Config
	asked, secure := name, true
	for range maxAliases {
		rep, failure := r.query(ctx, config, asked, t, o)
		if failure != nil {
			return nil, failure
		}
		secure = secure && rep.ad && o.DNSSEC
		switch {
		case len(rep.records) > 0:
			for i := range rep.records {
				rep.records[i].Secure = secure
			}
			if rep.excess {
				r.warnExcess(name, t)
			}
			return r.filter(asked, t, rep.records)
		case rep.alias == "":
			return nil, answerError(asked, t, rep.problem)
		}
		// What follows an alias that nobody vouched for is not secure,
		// and need not be asked for as such.
		o.DNSSEC = secure
		o.DefNames, o.Search = false, false
		asked = rep.alias
	}
	text := "Name server loop for " + asked
	r.options.Log.Warningf("dns lookup: %s", text)
	return nil, &Error{Outcome: NotFound, Name: asked, Type: t, Text: text}
}

func answerError(name string, t Type, problem Outcome) *Error {
	if problem == Null {
		return &Error{Outcome: Null, Name: name, Type: t,
			Text: fmt.Sprintf("Domain %s does not support SRV requests", name)}
	}
	return malformedError(name, t, problem, nil)
}

func (r *Resolver) warnExcess(name string, t Type) {
	r.options.Log.Warningf("DNS record count limit (%d) exceeded -- dropping excess record(s) after qname=%s qtype=%s",
		maxRecords, name, t)
}

// query asks for a name in its full forms, one after another, until one
// exists.
func (r *Resolver) query(ctx context.Context, c Config, name string, t Type, o LookupOptions) (reply, *Error) {
	var worst *Error
	for _, full := range candidates(c, name, o) {
		rep, failure := r.queryOne(ctx, c, full, t, o)
		if failure == nil {
			return rep, nil
		}
		failure.Name, failure.Text = name, strings.ReplaceAll(failure.Text, "name="+full+" ", "name="+name+" ")
		// A name that could not be asked for might have been there: of
		// several failures the temporary one counts, then "no data".
		if worst == nil || failure.Outcome > worst.Outcome {
			worst = failure
		}
		if failure.Outcome == Fail || ctx.Err() != nil {
			break
		}
	}
	return reply{}, worst
}

// candidates returns the names to ask for, as res_search(3) does: a name with
// enough dots first as it is and then completed, others the other way round.
// A completed name that is too long is left out.
func candidates(c Config, name string, o LookupOptions) []string {
	domains := c.Search
	dots := strings.Count(name, ".")
	switch {
	case dots == 0 && o.DefNames && !o.Search:
		domains = domains[:min(1, len(domains))]
	case dots == 0 && !o.DefNames, dots > 0 && !o.Search:
		domains = nil
	}
	var completed []string
	for _, d := range domains {
		if full := name + "." + d; ValidName(full) {
			completed = append(completed, full)
		}
	}
	if dots >= c.NDots {
		return append([]string{name}, completed...)
	}
	return append(completed, name)
}

// queryOne asks for one full name.
func (r *Resolver) queryOne(ctx context.Context, c Config, name string, t Type, o LookupOptions) (reply, *Error) {
	if t == AAAA && c.NoAAAA {
		return reply{}, statusError(name, t, NoData, nil)
	}
	q := question{name: name, t: t, edns: c.EDNS0, dnssec: o.DNSSEC, ad: c.TrustAD}
	rep, err := r.exchange(ctx, c, q)
	if o.DNSSEC {
		r.validated(ctx, c, rep, err)
	}
	switch {
	case errors.Is(err, errReply):
		return reply{}, malformedError(name, t, Retry, err)
	case err != nil:
		return reply{}, statusError(name, t, Retry, err)
	case rep.rcode == dnsmessage.RCodeNameError:
		return reply{}, statusError(name, t, NotFound, nil)
	case rep.rcode != dnsmessage.RCodeSuccess:
		return reply{}, statusError(name, t, Fail, fmt.Errorf("reply code %v", rep.rcode))
	case rep.empty:
		return reply{}, statusError(name, t, NoData, nil)
	}
	return rep, nil
}

// filter applies lmtp_dns_reply_filter.
func (r *Resolver) filter(name string, t Type, records []Record) ([]Record, *Error) {
	if r.options.Filter == nil {
		return records, nil
	}
	kept := records[:0]
	for _, rr := range records {
		text := rr.String()
		action, found, err := r.options.Filter(text)
		if err == nil && found && !isIgnore(action) {
			r.options.Log.Warningf("%s: unknown DNS filter action: \"%s\"", r.options.FilterName, action)
			err = fmt.Errorf("unknown action %q", action)
		}
		switch {
		case err != nil:
			return nil, &Error{Outcome: Retry, Name: name, Type: t, Err: err,
				Text: fmt.Sprintf("Error looking up name=%s type=%s: Invalid DNS reply filter syntax", name, t)}
		case found:
			r.options.Log.Infof("ignoring DNS RR: %s", text)
		default:
			kept = append(kept, rr)
		}
	}
	if len(kept) == 0 {
		return nil, &Error{Outcome: Policy, Name: name, Type: t,
			Text: fmt.Sprintf("Error looking up name=%s type=%s: DNS reply filter drops all results", name, t)}
	}
	return kept, nil
}

// isIgnore says whether a filter action is IGNORE, the only one there is. A
// text after it does not matter.
func isIgnore(action string) bool {
	word, _, _ := strings.Cut(strings.ReplaceAll(action, "\t", " "), " ")
	return strings.EqualFold(word, "IGNORE")
}

// LookupTypes looks up several types of record at the same time and returns
// what there is, in the order of types, never none. If no lookup has a
// result, the error is the *[Error] with the greatest outcome, of equal ones
// the last.
func (r *Resolver) LookupTypes(ctx context.Context, name string, types []Type, o LookupOptions) ([]Record, error) {
	records := make([][]Record, len(types))
	failures := make([]*Error, len(types))
	var wg sync.WaitGroup
	for i, t := range types {
		wg.Go(func() { records[i], failures[i] = r.lookup(ctx, name, t, o) })
	}
	wg.Wait()
	var all []Record
	worst := &Error{Outcome: NotFound, Name: name, Text: name + ": host not found"}
	for i := range types {
		all = append(all, records[i]...)
		if f := failures[i]; f != nil && f.Outcome.rank() >= worst.Outcome.rank() {
			worst = f
		}
	}
	if len(all) == 0 {
		return nil, worst
	}
	if len(all) > maxRecords {
		r.warnExcess(name, types[0])
		all = all[:maxRecords]
	}
	return all, nil
}
