package dns

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	// maxRecords bounds the records of a lookup, as in Postfix 3.9.
	maxRecords = 100
	// udpSize is announced with EDNS0: what passes without fragments.
	udpSize = 1232
)

// A question is one query for one name and type.
type question struct {
	id     uint16
	name   string // without the final dot
	t      Type
	edns   bool // announce EDNS0 (RFC 6891)
	dnssec bool // ask for DNSSEC: the DO bit, which needs edns, and the AD bit
	ad     bool // ask for the AD bit (RFC 6840 section 5.7)
}

// pack returns the query on the wire.
func (q question) pack() ([]byte, error) {
	name, err := dnsmessage.NewName(q.name + ".")
	if err != nil {
		return nil, fmt.Errorf("build query for %q: %w", q.name, err)
	}
	b := dnsmessage.NewBuilder(make([]byte, 0, 512), dnsmessage.Header{
		ID:               q.id,
		RecursionDesired: true,
		AuthenticData:    q.ad || q.dnssec,
	})
	var steps []error
	steps = append(steps, b.StartQuestions(), b.Question(dnsmessage.Question{
		Name: name, Type: dnsmessage.Type(q.t), Class: dnsmessage.ClassINET,
	}))
	if q.edns || q.dnssec {
		var h dnsmessage.ResourceHeader
		steps = append(steps, b.StartAdditionals(), h.SetEDNS0(udpSize, dnsmessage.RCodeSuccess, q.dnssec),
			b.OPTResource(h, dnsmessage.OPTResource{}))
	}
	msg, err := b.Finish()
	if err = errors.Join(append(steps, err)...); err != nil {
		return nil, fmt.Errorf("build query for %q: %w", q.name, err)
	}
	return msg, nil
}

// A reply is what a name server said to a question.
type reply struct {
	rcode     dnsmessage.RCode // with the extension of EDNS0
	truncated bool             // ask again over TCP
	ad        bool             // the server vouches for the answer
	empty     bool             // there was no answer section
	lame      bool             // the server knows nothing at all, and asks nobody
	records   []Record         // of the type that was asked for
	excess    bool             // there were more than maxRecords
	alias     string           // the name to ask for next, if there are no records
	problem   Outcome          // why there are neither: Retry, Invalid or Null
}

var (
	// errNotOurs is a message that answers another question: a late reply,
	// or a forged one. The reader waits for the next message.
	errNotOurs = errors.New("message is not the reply to this question")
	// errReply is a reply that is no DNS message.
	errReply = errors.New("malformed reply")
)

// parseReply takes a message from a name server apart.
func parseReply(msg []byte, q question) (reply, error) {
	var p dnsmessage.Parser
	h, err := p.Start(msg)
	if err != nil || !h.Response || h.ID != q.id || h.OpCode != 0 {
		return reply{}, errNotOurs
	}
	if err := checkQuestion(&p, h, q); err != nil {
		return reply{}, err
	}
	r := reply{rcode: h.RCode, truncated: h.Truncated, ad: h.AuthenticData}
	if h.Truncated || h.RCode != dnsmessage.RCodeSuccess {
		return r, nil
	}
	answers, err := readAnswers(&p, q.t)
	if err != nil {
		return reply{}, fmt.Errorf("%w: %w", errReply, err)
	}
	if r.rcode, err = extendedCode(&p, h.RCode); err != nil {
		return reply{}, fmt.Errorf("%w: %w", errReply, err)
	}
	r.settle(q.name, answers)
	additionals := binary.BigEndian.Uint16(msg[10:12]) // RFC 1035 section 4.1.1
	r.lame = r.empty && !h.Authoritative && !h.RecursionAvailable && additionals == 0
	return r, nil
}

// checkQuestion compares the question section with the question. An error
// reply may leave it out: some servers do so with FORMERR.
func checkQuestion(p *dnsmessage.Parser, h dnsmessage.Header, q question) error {
	got, err := p.Question()
	if errors.Is(err, dnsmessage.ErrSectionDone) && h.RCode != dnsmessage.RCodeSuccess {
		return nil
	}
	if err != nil || got.Class != dnsmessage.ClassINET || Type(got.Type) != q.t ||
		fold(got.Name.String()) != fold(q.name) {
		return errNotOurs
	}
	if _, err = p.Question(); !errors.Is(err, dnsmessage.ErrSectionDone) {
		return errNotOurs
	}
	return nil
}

// extendedCode looks for the upper bits of the reply code in the OPT record.
func extendedCode(p *dnsmessage.Parser, code dnsmessage.RCode) (dnsmessage.RCode, error) {
	if err := p.SkipAllAuthorities(); err != nil {
		return code, err
	}
	for {
		h, err := p.AdditionalHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return code, nil
		}
		if err != nil {
			return code, err
		}
		if h.Type == dnsmessage.TypeOPT {
			return h.ExtendedRCode(code), nil
		}
		if err := p.SkipAdditional(); err != nil {
			return code, err
		}
	}
}

// An answer is one record of the answer section: of the type that was asked
// for, or an alias.
type answer struct {
	owner   string // folded
	valid   bool   // the owner is a valid name
	alias   string // the target, if this is a CNAME
	record  Record
	problem Outcome // why the record cannot be used: Retry, Invalid, Null; 0 if it can
}

// readAnswers reads the answer section. Records of other types, such as
// signatures, are skipped.
func readAnswers(p *dnsmessage.Parser, t Type) ([]answer, error) {
	var all []answer
	for {
		h, err := p.AnswerHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		if h.Class != dnsmessage.ClassINET || Type(h.Type) != t && h.Type != dnsmessage.TypeCNAME {
			if err := p.SkipAnswer(); err != nil {
				return nil, err
			}
			all = append(all, answer{})
			continue
		}
		a, err := readAnswer(p, h)
		if err != nil {
			return nil, err
		}
		all = append(all, a)
	}
}

func readAnswer(p *dnsmessage.Parser, h dnsmessage.ResourceHeader) (answer, error) {
	name := strings.TrimSuffix(h.Name.String(), ".")
	_, numeric := ParseAddr(name)
	a := answer{
		owner:  fold(name),
		valid:  numeric || validName(name, true),
		record: Record{Name: name, Type: Type(h.Type), TTL: h.TTL},
	}
	switch Type(h.Type) {
	case A:
		if h.Length != 4 {
			a.problem = Retry
			return a, p.SkipAnswer()
		}
		body, err := p.AResource()
		a.record.Addr = netip.AddrFrom4(body.A)
		return a, err
	case AAAA:
		if h.Length != 16 {
			a.problem = Retry
			return a, p.SkipAnswer()
		}
		body, err := p.AAAAResource()
		a.record.Addr = netip.AddrFrom16(body.AAAA)
		return a, err
	case SRV:
		if h.Length < 7 {
			a.problem = Retry
			return a, p.SkipAnswer()
		}
		body, err := p.SRVResource()
		a.setService(body)
		return a, err
	case TLSA:
		body, err := p.UnknownResource()
		a.record.Data = body.Data
		return a, err
	case cname:
		body, err := p.CNAMEResource()
		a.alias = strings.TrimSuffix(body.CNAME.String(), ".")
		if !validTarget(a.alias) {
			a.problem = Invalid
		}
		return a, err
	}
	return a, p.SkipAnswer()
}

func (a *answer) setService(s dnsmessage.SRVResource) {
	a.record.Priority, a.record.Weight, a.record.Port = s.Priority, s.Weight, s.Port
	a.record.Target = strings.TrimSuffix(s.Target.String(), ".")
	switch {
	case a.record.Target == "":
		a.problem = Null // RFC 2782: decidedly not available
	case !validTarget(a.record.Target):
		a.problem = Invalid
	}
}

// validTarget says whether a name in the data of a record can be used. An
// address in place of a name works with some mailers, so that people use it.
func validTarget(name string) bool {
	_, numeric := ParseAddr(name)
	return numeric || validName(name, true)
}

// settle picks what belongs to name, or to what name is an alias of. Records
// of other names are not for us: Postfix takes them, and so trusts a name
// server that much more.
func (r *reply) settle(name string, answers []answer) {
	r.empty = len(answers) == 0
	r.problem = Retry // an answer without anything of use
	chain := map[string]bool{fold(name): true}
	last := name
	for next, ok := aliasOf(answers, last); ok && !chain[fold(next.alias)]; next, ok = aliasOf(answers, last) {
		if next.problem != 0 || !next.valid {
			r.problem = Invalid
			return
		}
		last = next.alias
		chain[fold(last)] = true
	}
	for _, a := range answers {
		switch {
		case a.record.Type == 0 || a.record.Type == cname || !chain[a.owner]:
		case !a.valid:
			r.records, r.problem = nil, Invalid
			return
		case a.problem == Null:
			r.records, r.problem = nil, Null
			return
		case a.problem != 0:
			r.problem = a.problem
		case len(r.records) >= maxRecords:
			r.excess = true
		default:
			r.records = append(r.records, a.record)
		}
	}
	if len(r.records) == 0 && r.problem == Retry && fold(last) != fold(name) {
		r.alias = last
	}
}

// aliasOf returns the alias record of a name.
func aliasOf(answers []answer, name string) (answer, bool) {
	for _, a := range answers {
		if a.record.Type == cname && a.owner == fold(name) {
			return a, true
		}
	}
	return answer{}, false
}
