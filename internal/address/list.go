package address

import "strings"

// A List is the value of an address header (RFC 5322 section 3.4), cut into
// addresses and what stands around them: display names, comments, groups.
// Nothing of the text is lost, and nothing is refused: what cannot be
// understood stays as it is. Missing commas are added.
type List struct{ items []token }

// An Item is one address of a List.
type Item struct {
	tokens []token
	spaced bool // the tokens were made by Set, and adjacent words are apart
}

// token is a word, an operator, or an address. The kind of an operator is its
// character.
type token struct {
	kind tokenKind
	text string
	item *Item
}

type tokenKind int

const (
	tokenAtom tokenKind = 256 + iota
	tokenQuoted
	tokenComment // with its parentheses and backslashes
	tokenLiteral // a domain literal, without its brackets
	tokenAddress
	tokenGroup // the colon behind the name of a group
)

// isWord is true of everything but operators and the colon of a group.
func (k tokenKind) isWord() bool { return k >= tokenAtom && k != tokenGroup }

// operators stand for themselves. Percent sign, exclamation mark and vertical
// bar are not RFC 5322's, but mean something in addresses that are older.
const operators = "|%!()<>@,;:\\\".[]"

// ParseList parses the value of a header. Line ends count as white space.
func ParseList(text string) *List {
	p := &listParser{words: true}
	tokens := scanTokens(text)
	for i := len(tokens) - 1; i >= 0; {
		i = p.take(tokens, i)
	}
	p.flush(false)
	reverse(p.done)
	return &List{items: p.done}
}

// A listParser goes through the tokens from the right to the left: that is how
// it knows the end of an address from what follows it.
type listParser struct {
	done  []token // the items, the last one first
	open  []token // what belongs to one address, the last token first
	words bool    // a word belongs to the address that is open
	group bool    // a colon ends the name of a group
}

// flush closes the address that is open. With comma there is one in front of
// it, because something follows on the left that is not part of it.
func (p *listParser) flush(comma bool) {
	if len(p.open) == 0 {
		return
	}
	reverse(p.open)
	p.done = append(p.done, token{kind: tokenAddress, item: &Item{tokens: p.open}})
	p.open = nil
	if comma {
		p.done = append(p.done, token{kind: ','})
	}
}

// take handles the token at i, and what belongs to it, and returns the index of
// the next one.
func (p *listParser) take(tokens []token, i int) int {
	t := tokens[i]
	switch {
	case t.kind == tokenComment: // moves behind the address
		p.done = append(p.done, t)
	case t.kind == ';':
		p.flush(true)
		p.done = append(p.done, t)
		p.group, p.words = true, true
	case t.kind == ':' && p.group:
		p.flush(false)
		p.done = append(p.done, token{kind: tokenGroup})
		return p.skip(tokens, i-1, ",")
	case t.kind == '>':
		p.flush(true)
		p.done = append(p.done, t)
		p.words = true
		return p.angle(tokens, i-1)
	case t.kind == tokenAtom, t.kind == tokenQuoted, t.kind == tokenLiteral:
		if !p.words {
			p.flush(true)
		}
		p.open = append(p.open, t)
		p.words = false
	case t.kind == ',':
		p.flush(false)
		p.done = append(p.done, t)
		p.words = true
	default:
		p.open = append(p.open, t)
		p.words = true
	}
	return i - 1
}

// angle handles what is left of a '>': the address up to '<', and the display
// name in front of that.
func (p *listParser) angle(tokens []token, i int) int {
	for ; i >= 0 && tokens[i].kind != '<'; i-- {
		if tokens[i].kind == tokenComment {
			p.done = append(p.done, tokens[i])
		} else {
			p.open = append(p.open, tokens[i])
		}
	}
	p.flush(false)
	i = p.skip(tokens, i, ">;,:")
	if i >= 0 && tokens[i].kind == ':' && !p.group { // of no address
		p.done = append(p.done, tokens[i])
		i--
	}
	return i
}

// skip takes tokens as they are, up to one of the operators.
func (p *listParser) skip(tokens []token, i int, until string) int {
	for ; i >= 0; i-- {
		if k := tokens[i].kind; k < tokenAtom && strings.IndexByte(until, byte(k)) >= 0 {
			break
		}
		p.done = append(p.done, tokens[i])
	}
	return i
}

func reverse(tokens []token) {
	for a, b := 0, len(tokens)-1; a < b; a, b = a+1, b-1 {
		tokens[a], tokens[b] = tokens[b], tokens[a]
	}
}

// Items returns the addresses in their order.
func (l *List) Items() []*Item {
	var all []*Item
	for _, t := range l.items {
		if t.kind == tokenAddress {
			all = append(all, t.item)
		}
	}
	return all
}

// Internal returns the address in internal form: without quotes.
func (a *Item) Internal() string {
	var b strings.Builder
	for i, t := range a.tokens {
		switch t.kind {
		case tokenAtom, tokenQuoted, tokenComment:
			b.WriteString(t.text)
		case tokenLiteral:
			b.WriteString("[" + t.text + "]")
		default:
			b.WriteByte(byte(t.kind))
		}
		if a.spaced && spaceAfter(a.tokens, i) {
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// External returns the address as it was written, with each word quoted that
// needs to be.
func (a *Item) External() string {
	var b strings.Builder
	for i, t := range a.tokens {
		if t.kind == ',' { // in a source route
			b.WriteString(", ")
			continue
		}
		t.write(&b)
		if a.spaced && spaceAfter(a.tokens, i) {
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// Set replaces the address by one in internal form.
func (a *Item) Set(addr string) {
	a.tokens, a.spaced = scanTokens(quoteAny(addr)), true
}

// quoteAny is QuoteHeader of an address that may be the empty quoted string,
// which is not the same as no address at all.
func quoteAny(addr string) string {
	if addr == "" {
		return `""`
	}
	return QuoteHeader(addr)
}

// write writes a token that is not an address in external form.
func (t *token) write(b *strings.Builder) {
	switch t.kind {
	case tokenAtom, tokenComment:
		b.WriteString(t.text)
	case tokenQuoted:
		b.WriteString(quotedString(t.text, "\"\\\r\n"))
	case tokenLiteral:
		b.WriteByte('[')
		for i := 0; i < len(t.text); i++ {
			if strings.IndexByte("\\\r\n", t.text[i]) >= 0 {
				b.WriteByte('\\')
			}
			b.WriteByte(t.text[i])
		}
		b.WriteByte(']')
	case tokenGroup:
		b.WriteByte(':')
	default:
		b.WriteByte(byte(t.kind))
	}
}

// spaceAfter tells whether white space belongs between a token and the next.
func spaceAfter(tokens []token, i int) bool {
	if i+1 == len(tokens) {
		return false
	}
	this, next := tokens[i].kind, tokens[i+1].kind
	return this == ',' || this == tokenGroup || next == '<' || this.isWord() && next.isWord()
}

// maxDecoration is how much an address may have around it, in bytes: more than
// that has brought down other software (CERT CA-2003-07).
const maxDecoration = 250

// Header returns the list as the value of a header, a line feed after each
// comma. An address with too much text around it is reduced to <address>, and
// stripped, if not nil, is called with that text.
func (l *List) Header(stripped func(text string)) string {
	w := &listWriter{stripped: stripped}
	for i, t := range l.items {
		switch {
		case t.kind == ',':
			w.finish()
			w.done.WriteString(",\n")
			continue
		case t.kind == tokenAddress:
			w.address = quoteAny(t.item.Internal())
			w.length, w.found = len(w.address), true
			w.part.WriteString(w.address)
		case t.kind == '<' && i+1 < len(l.items) && l.items[i+1].kind == '>':
			w.address, w.length, w.found = "", 0, true
			t.write(&w.part)
		default:
			t.write(&w.part)
		}
		if spaceAfter(l.items, i) {
			w.part.WriteByte(' ')
		}
	}
	w.finish()
	return w.done.String()
}

// A listWriter writes what stands between two commas, and the address in it.
type listWriter struct {
	done, part strings.Builder
	address    string // of this part, as in part; empty for "<>"
	length     int    // of the address in part
	found      bool
	stripped   func(string)
}

func (w *listWriter) finish() {
	text := w.part.String()
	if w.found && len(text)-w.length > maxDecoration {
		if w.stripped != nil {
			w.stripped(text)
		}
		text = "<" + w.address + ">"
	}
	w.done.WriteString(text)
	w.part.Reset()
	w.address, w.length, w.found = "", 0, false
}
