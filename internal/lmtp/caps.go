package lmtp

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
	RequireTLS   bool   // noticed under TLS only
	Auth         string // the mechanisms, in the server's words
	DSN          bool
	SMTPUTF8     bool
	XForward     XForwardSet
	// Keywords are all lines of the offer but the first, without codes, as they
	// came: for people.
	Keywords []string
}

// Discard is a set of LHLO keywords to overlook (lmtp_discard_lhlo_keywords).
// The zero value discards nothing.
type Discard struct{ mask uint32 }
