package lmtp

import (
	"math"
	"strconv"
	"strings"
)

// XForwardSet is a set of XFORWARD attributes that the server takes.
type XForwardSet uint8

// The bits of XForwardSet.
const (
	XForwardName XForwardSet = 1 << iota
	XForwardAddr
	XForwardPort
	XForwardProto
	XForwardHelo
	XForwardIdent
	XForwardSource
)

// Capabilities are what the server offered in its last reply to LHLO, without
// what was discarded.
type Capabilities struct {
	ServerName   string // the first word of the reply
	EightBitMIME bool
	Pipelining   bool
	SizeOffered  bool
	SizeLimit    int64 // 0 is none or unknown
	StartTLS     bool
	RequireTLS   bool     // noticed under TLS only
	Auth         string   // the mechanisms, in the server's words
	AuthLists    []string // the same, as they were offered; there may be several, or an empty one
	DSN          bool
	SMTPUTF8     bool
	Chunking     bool // RFC 3030: BDAT
	XForward     XForwardSet
	XClient      XClientSet
	Trace        bool // Cyrus: a name for each message, see Transaction.TraceID
	// Keywords are all lines of the offer but the first, without codes, as they
	// came and whether discarded or not: for people.
	Keywords []string
}

// keyword is a bit for each word that lmtp_discard_lhlo_keywords may hold.
type keyword uint32

const (
	kw8BITMIME keyword = 1 << iota
	kwAUTH
	kwETRN
	kwPIPELINING
	kwSIZE
	kwVERP
	kwVRFY
	kwXCLIENT
	kwXFORWARD
	kwSTARTTLS
	kwENHANCEDSTATUSCODES
	kwDSN
	kwSMTPUTF8
	kwCHUNKING
	kwREQUIRETLS
	kwSilent
)

// keywordNames are the names of the bits, from the lowest on.
func keywordNames() []string {
	return []string{"8BITMIME", "AUTH", "ETRN", "PIPELINING", "SIZE", "VERP", "VRFY", "XCLIENT",
		"XFORWARD", "STARTTLS", "ENHANCEDSTATUSCODES", "DSN", "SMTPUTF8", "CHUNKING", "REQUIRETLS",
		"SILENT-DISCARD"}
}

// Discard is a set of LHLO keywords to overlook (lmtp_discard_lhlo_keywords).
// The zero value discards nothing.
type Discard struct{ mask keyword }

// ParseDiscard reads the value of lmtp_discard_lhlo_keywords: words between
// commas and spaces; case does not matter, and unknown words are ignored.
func ParseDiscard(words string) Discard {
	var d Discard
	split := func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) }
	for _, w := range strings.FieldsFunc(words, split) {
		for i, name := range keywordNames() {
			if strings.EqualFold(w, name) {
				d.mask |= 1 << i
			}
		}
	}
	return d
}

// String lists the words as in the log.
func (d Discard) String() string {
	var words []string
	for i, name := range keywordNames() {
		if d.mask&(1<<i) != 0 {
			words = append(words, name)
		}
	}
	return strings.Join(words, " ")
}

func (d Discard) has(k keyword) bool { return d.mask&k != 0 }

// token takes the next word off *s: characters of seps in front are skipped,
// and the one behind the word is taken, too. It is false at the end.
func token(s *string, seps string) (string, bool) {
	rest := strings.TrimLeft(*s, seps)
	if rest == "" {
		*s = ""
		return "", false
	}
	i := strings.IndexAny(rest, seps)
	if i < 0 {
		*s = ""
		return rest, true
	}
	*s = rest[i+1:]
	return rest[:i], true
}

// parseCapabilities reads a successful reply to LHLO. It logs what Postfix
// logs, through opt.
func parseCapabilities(r Reply, underTLS bool, opt *Options) Capabilities {
	var c Capabilities
	if opt.Discard.mask != 0 && !opt.Discard.has(kwSilent) {
		opt.infof("discarding EHLO keywords: %s", opt.Discard)
	}
	named := false
	for _, line := range r.Lines {
		if _, ok := token(&line, "- "); !ok { // the reply code
			continue
		}
		offer := line
		// "=" ends a keyword because of AUTH=PLAIN, from an old draft.
		word, ok := token(&line, " \t=")
		if !ok {
			continue
		}
		if !named {
			c.ServerName, named = word, true
			continue
		}
		c.Keywords = append(c.Keywords, offer)
		c.offer(word, line, underTLS, opt)
	}
	if c.SMTPUTF8 && !c.EightBitMIME {
		opt.infof("host %s offers SMTPUTF8 support, but not 8BITMIME", opt.Peer)
		c.EightBitMIME = true
	}
	return c
}

// offer notes one keyword with its arguments.
func (c *Capabilities) offer(word, args string, underTLS bool, opt *Options) {
	set := func(p *bool, k keyword) {
		*p = *p || !opt.Discard.has(k)
	}
	switch strings.ToUpper(word) {
	case "8BITMIME":
		set(&c.EightBitMIME, kw8BITMIME)
	case "PIPELINING":
		set(&c.Pipelining, kwPIPELINING)
	case "STARTTLS":
		set(&c.StartTLS, kwSTARTTLS)
	case "DSN":
		set(&c.DSN, kwDSN)
	case "SMTPUTF8":
		set(&c.SMTPUTF8, kwSMTPUTF8)
	case "CHUNKING":
		set(&c.Chunking, kwCHUNKING)
	case "REQUIRETLS":
		if underTLS {
			set(&c.RequireTLS, kwREQUIRETLS)
		}
	case "SIZE":
		if !opt.Discard.has(kwSIZE) {
			c.offerSize(args, opt)
		}
	case "AUTH":
		if !opt.Discard.has(kwAUTH) {
			c.offerAuth(strings.Trim(args, " \t"))
		}
	case "XFORWARD":
		if !opt.Discard.has(kwXFORWARD) {
			c.offerXForward(args)
		}
	case "XCLIENT":
		if !opt.Discard.has(kwXCLIENT) {
			c.offerXClient(args)
		}
	case "TRACE":
		c.Trace = true
	}
}

// offerSize notes the limit of RFC 1870. A limit too large to be a number of
// bytes is none.
func (c *Capabilities) offerSize(args string, opt *Options) {
	c.SizeOffered = true
	word, ok := token(&args, " \t")
	if !ok {
		return
	}
	if !digits(word) {
		opt.warningf("bad EHLO SIZE limit \"%s\" from %s", word, opt.PeerPort)
		return
	}
	n, err := strconv.ParseUint(word, 10, 64)
	if err != nil || n > math.MaxInt64 {
		n = 0
	}
	c.SizeLimit = int64(n)
}

func (c *Capabilities) offerAuth(mechanisms string) {
	c.AuthLists = append(c.AuthLists, mechanisms)
	switch {
	case c.Auth == "":
		c.Auth = mechanisms
	case mechanisms != "" && !strings.EqualFold(c.Auth, mechanisms):
		c.Auth += " " + mechanisms
	}
}

func (c *Capabilities) offerXForward(args string) {
	for {
		word, ok := token(&args, " \t")
		if !ok {
			return
		}
		switch strings.ToUpper(word) {
		case "NAME":
			c.XForward |= XForwardName
		case "ADDR":
			c.XForward |= XForwardAddr
		case "PORT":
			c.XForward |= XForwardPort
		case "PROTO":
			c.XForward |= XForwardProto
		case "HELO":
			c.XForward |= XForwardHelo
		case "IDENT":
			c.XForward |= XForwardIdent
		case "SOURCE":
			c.XForward |= XForwardSource
		}
	}
}
