package lmtp

import "strings"

// maxServerID bounds what is taken for an identifier.
const maxServerID = 255

// ServerID is the name that the server has given to the session or to its copy
// of the message, under which it is found in the server's log; "" if the reply
// has none that is known to be one:
//
//	250 2.0.0 <user@example.com> 8KZ1NmMB2mVnAAAAcw Saved    Dovecot
//	250 2.1.5 Ok SESSIONID=<cyrus-1-2-3>                     Cyrus
//	250 2.0.0 Ok: queued as 4XyZ1234                         Postfix, amavis, and others
//	250 OK id=1abcde-0001AB-2c                               Exim
func (r Reply) ServerID() string {
	for i := len(r.Lines) - 1; i >= 0; i-- {
		if id := serverID(r.Lines[i]); isServerID(id) {
			return id
		}
	}
	return ""
}

func serverID(line string) string {
	if _, rest, ok := strings.Cut(line, "SESSIONID=<"); ok {
		id, _, _ := strings.Cut(rest, ">")
		return id
	}
	if rest, ok := strings.CutSuffix(line, " Saved"); ok {
		// An address may have a space in it, but ends in ">".
		if at := strings.LastIndex(rest, "> "); at >= 0 {
			return rest[at+2:]
		}
	}
	for _, before := range []string{" queued as ", " id="} {
		if _, rest, ok := strings.Cut(line, before); ok {
			if end := strings.IndexAny(rest, " ,;()"); end >= 0 {
				rest = rest[:end]
			}
			return rest
		}
	}
	return ""
}

// isServerID tells whether a text can be an identifier: one word that is
// printable, and has nothing that a log line uses to separate words.
func isServerID(id string) bool {
	if id == "" || len(id) > maxServerID {
		return false
	}
	for i := range len(id) {
		if c := id[i]; c <= ' ' || c >= 0x7f || c == '<' || c == '>' || c == ',' {
			return false
		}
	}
	return true
}
