package sasl

import (
	"crypto/sha256"
	"fmt"
	"io"
	"strings"
)

// A Login is who we are for a server. It never prints.
type Login struct {
	Username string
	Password string // or an access token
	// Authzid is the identity to act as; empty: that of Username
	// (send_cyrus_sasl_authzid).
	Authzid string
}

// ParseLogin reads a value of lmtp_sasl_password_maps: the user name, up to the
// first delimiter (lmtp_sasl_password_result_delimiter), and the password.
// Without a delimiter the password is empty.
func ParseLogin(value, delimiter string) Login {
	user, password, _ := strings.Cut(value, delimiter)
	return Login{Username: user, Password: password}
}

// Format implements fmt.Formatter, so that no verb prints a password.
func (l Login) Format(f fmt.State, _ rune) {
	io.WriteString(f, "(login)") //nolint:errcheck // for people
}

// An Identity stands for a Login where only equality matters: sessions with
// different identities must not be taken for each other. The zero value is that
// of a session without a login.
type Identity [sha256.Size]byte

// Identity returns the identity of a login. The salt keeps what is in memory
// from being compared with what is elsewhere; it must be the same for
// identities that are compared.
func (l Login) Identity(salt []byte) Identity {
	h := sha256.New()
	h.Write(salt)
	for _, part := range []string{l.Username, l.Password, l.Authzid} {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return Identity(h.Sum(nil))
}
