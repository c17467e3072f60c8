package sasl

import (
	"fmt"
	"strings"
)

// Properties is a set of security properties of mechanisms: what
// lmtp_sasl_security_options demands.
type Properties uint8

// The properties, named as the words of lmtp_sasl_security_options.
const (
	NoPlaintext    Properties = 1 << iota // the password cannot be read from the wire
	NoActive                              // withstands who changes what is on the wire
	NoDictionary                          // withstands guessing by who listens
	ForwardSecrecy                        // one broken session does not break the next
	NoAnonymous                           // the login is somebody's
	MutualAuth                            // the server proves itself
)

// words are the names of the bits, from the lowest on.
func words() []string {
	return []string{"noplaintext", "noactive", "nodictionary", "forward_secrecy", "noanonymous", "mutual_auth"}
}

// ParseProperties reads the value of lmtp_sasl_security_options: words between
// commas and spaces, in any case. The error is in Postfix's words. An empty
// value demands nothing.
func ParseProperties(value string) (Properties, error) {
	var p Properties
	split := func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) }
next:
	for _, word := range strings.FieldsFunc(value, split) {
		for bit, name := range words() {
			if strings.EqualFold(word, name) {
				p |= 1 << bit
				continue next
			}
		}
		return 0, fmt.Errorf("unknown SASL security options value \"%s\" in \"%s\"", word, value)
	}
	return p, nil
}

// String lists the words, separated by ", ".
func (p Properties) String() string {
	var names []string
	for bit, name := range words() {
		if p&(1<<bit) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}
