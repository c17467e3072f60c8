package lmtp

// A Stage is a place in the dialog.
type Stage int

// The stages in the order of the dialog.
const (
	StageConnect          Stage = iota // before anything was exchanged
	StageGreeting                      // waiting for the server's first reply
	StageLHLO                          // LHLO
	StageStartTLS                      // STARTTLS
	StageTLS                           // TLS handshake
	StageXClient                       // XCLIENT
	StageAuth                          // AUTH
	StageXForwardNameAddr              // first XFORWARD command
	StageXForwardProto                 // second XFORWARD command
	StageTrace                         // TRACE
	StageMail                          // MAIL FROM
	StageRcpt                          // RCPT TO
	StageData                          // DATA
	StageBody                          // message content, up to and without the final dot
	StageChunk                         // BDAT, all but the last
	StageFinal                         // final dot or BDAT LAST, and the replies to it
	StageReset                         // RSET after an abandoned transaction
	StageResetProbe                    // RSET that asks whether an idle session is alive
	StageQuit                          // QUIT
)

type stageText struct{ doing, command string }

// texts gives Postfix's words for a stage. Log parsers enumerate them.
func (s Stage) texts() stageText {
	switch s {
	case StageConnect:
		return stageText{"connecting", ""}
	case StageGreeting:
		return stageText{"receiving the initial server greeting", ""}
	case StageLHLO, StageAuth: // Postfix keeps the words of LHLO during AUTH
		return stageText{"performing the LHLO handshake", "LHLO"}
	case StageXClient: // words of ours would be strange to log parsers
		return stageText{"performing the LHLO handshake", "XCLIENT"}
	case StageStartTLS:
		return stageText{"receiving the STARTTLS response", "STARTTLS"}
	case StageTLS:
		return stageText{"performing the TLS handshake", ""}
	case StageXForwardNameAddr:
		return stageText{"sending XFORWARD name/address", "XFORWARD name/address"}
	case StageXForwardProto:
		return stageText{"sending XFORWARD protocol/helo_name", "XFORWARD helo/protocol"}
	case StageTrace:
		return stageText{"sending MAIL FROM", "TRACE"}
	case StageMail:
		return stageText{"sending MAIL FROM", "MAIL FROM"}
	case StageRcpt:
		return stageText{"sending RCPT TO", "RCPT TO"}
	case StageData:
		return stageText{"sending DATA command", "DATA"}
	case StageBody:
		return stageText{"sending message body", "end of DATA"}
	case StageChunk:
		return stageText{"sending message body", "BDAT"}
	case StageFinal:
		return stageText{"sending end of data -- message may be sent more than once", "end of DATA"}
	case StageReset:
		return stageText{"sending final RSET", "RSET"}
	case StageResetProbe:
		return stageText{"sending RSET probe", "RSET"}
	case StageQuit:
		return stageText{"sending QUIT", "QUIT"}
	}
	return stageText{"in an unknown state", ""}
}

// String returns what goes after "while" in "lost connection with H while …",
// in Postfix's words.
func (s Stage) String() string { return s.texts().doing }

// Command returns what goes into "(in reply to X command)", in Postfix's
// words: "RCPT TO", "end of DATA". It is empty where no command is answered.
func (s Stage) Command() string { return s.texts().command }
