package lmtp

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"

	"postlmtp/internal/sasl"

	gosasl "github.com/emersion/go-sasl"
)

const (
	// maxAuthCommand is the longest AUTH command with its line end (RFC 5321
	// section 4.5.3.1.4): an initial response that does not fit is the answer
	// to an empty challenge (RFC 4954 section 4).
	maxAuthCommand = 512
	// maxChallenges is how many challenges of a server are answered.
	maxChallenges = 100
	// concealed stands for what must not be seen in traces.
	concealed = "(concealed)"
)

// An AuthFailure says what kind of an AuthError it is.
type AuthFailure int

// The kinds of AuthError.
const (
	AuthMechanism AuthFailure = iota // the mechanism gave up: AuthError.Err says why
	AuthLoop                         // more challenges than any mechanism has
	AuthInitial                      // a challenge where the initial response was awaited
)

// An AuthError says that we gave up a login. The session is good for Quit only.
type AuthError struct {
	Mechanism string
	Kind      AuthFailure
	Challenge string // the text of the challenge, for AuthInitial
	Err       error
}

func (e *AuthError) Error() string {
	switch e.Kind {
	case AuthLoop:
		return e.Mechanism + ": authentication protocol loop"
	case AuthInitial:
		return fmt.Sprintf("%s: non-empty initial challenge: %s", e.Mechanism, e.Challenge)
	}
	return e.Err.Error()
}

func (e *AuthError) Unwrap() error { return e.Err }

// Auth logs in with a mechanism (RFC 4954). A refusal by the server is a
// *ReplyError with StageAuth; when the client gives up it is an *AuthError, and
// the exchange was cancelled. After either the session is good for Quit and
// Close only.
//
// What is sent is concealed in traces, and so is what of it comes back in
// replies. If the client has a method Finish() error it is asked when the
// server says that all is well, and its error is an *AuthError.
func (s *Session) Auth(ctx context.Context, client gosasl.Client) error {
	defer s.watch(ctx)()
	mech, initial, err := client.Start()
	if err != nil {
		s.spoiled = true
		return &AuthError{Mechanism: mech, Err: err}
	}
	a := &authExchange{s: s, client: client, mechanism: mech}
	defer a.forget()
	err = a.run(initial)
	if err != nil {
		s.spoiled = true
	}
	return err
}

// authExchange is one login.
type authExchange struct {
	s         *Session
	client    gosasl.Client
	mechanism string
	deferred  *string // an initial response that is still to be sent
}

func (a *authExchange) run(initial []byte) error {
	command, shown := "AUTH "+a.mechanism, ""
	if initial != nil {
		response := base64.StdEncoding.EncodeToString(initial)
		if response != "" && len("AUTH  \r\n")+len(a.mechanism)+len(response) <= maxAuthCommand {
			shown = command + " " + concealed
			command += " " + response
			a.hide(response)
		} else {
			// Postfix sends an empty one in this way, too.
			a.deferred = &response
		}
	}
	for challenges := 0; ; challenges++ {
		r, err := a.s.askConcealed(command, shown)
		if err != nil {
			return err
		}
		if r.Code/100 != 3 {
			return a.end(r)
		}
		if challenges == maxChallenges {
			return a.cancel(&AuthError{Mechanism: a.mechanism, Kind: AuthLoop})
		}
		response, err := a.answer(challengeText(r))
		if err != nil {
			return a.cancel(err)
		}
		a.hide(response)
		command, shown = response, concealed
	}
}

// challengeText is what follows the code of a challenge.
func challengeText(r Reply) string {
	text := strings.Join(r.Lines, "\n")
	token(&text, "- \t\n")
	return text
}

// answer returns the response to a challenge, in base64.
func (a *authExchange) answer(challenge string) (string, error) {
	if a.deferred != nil {
		if challenge != "" {
			return "", &AuthError{Mechanism: a.mechanism, Kind: AuthInitial, Challenge: challenge}
		}
		response := *a.deferred
		a.deferred = nil
		return response, nil
	}
	decoded, err := sasl.Challenge(a.mechanism, challenge)
	if err != nil {
		return "", &AuthError{Mechanism: a.mechanism, Err: err}
	}
	response, err := a.client.Next(decoded)
	if err != nil {
		return "", &AuthError{Mechanism: a.mechanism, Err: err}
	}
	return base64.StdEncoding.EncodeToString(response), nil
}

// end judges the reply that ends the exchange.
func (a *authExchange) end(r Reply) error {
	if !r.Success() {
		a.s.refuse(r)
		return &ReplyError{Stage: StageAuth, Reply: r}
	}
	f, ok := a.client.(interface{ Finish() error })
	if !ok {
		return nil
	}
	if err := f.Finish(); err != nil {
		return &AuthError{Mechanism: a.mechanism, Err: err}
	}
	return nil
}

// cancel ends the exchange from our side (RFC 4954 section 4), so that the
// server takes the next line for a command. Its answer does not matter.
func (a *authExchange) cancel(err error) error {
	_, _ = a.s.ask(StageAuth, "*")
	return err
}

// hide conceals a response in the replies to come: some servers repeat what
// they do not understand.
func (a *authExchange) hide(response string) {
	if response != "" {
		a.s.replies.secrets = append(a.s.replies.secrets, response)
	}
}

// forget ends the hiding. The buffer with the last response is overwritten.
func (a *authExchange) forget() {
	a.s.replies.secrets = nil
	clear(a.s.out[:cap(a.s.out)])
}

// askConcealed is ask for a line that is shown as another one in traces.
func (s *Session) askConcealed(line, shown string) (Reply, error) {
	s.group()
	s.add(StageAuth, 0, append(s.out, line...))
	s.cmds[0].shown = shown
	var reply Reply
	err := s.run(func(_ command, r Reply) { reply = r })
	return reply, err
}

// conceal replaces secrets in a line, and leaves the code of a reply alone.
func conceal(line []byte, secrets []string) []byte {
	if len(secrets) == 0 {
		return line
	}
	text, code := string(line), ""
	if _, ok := continues(text); ok {
		n := min(len(text), len("500 "))
		code, text = text[:n], text[n:]
	}
	for _, secret := range secrets {
		text = strings.ReplaceAll(text, secret, concealed)
	}
	return []byte(code + text)
}
