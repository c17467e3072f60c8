package lmtp

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"

	"postlmtp/internal/sasl"

	gosasl "github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/xdg-go/scram"
)

// authServer answers each line by a table, and keeps what it got.
type authServer struct {
	answers map[string][]string // by line; the last one stays
	got     []string
	done    chan struct{}
}

func (a *authServer) serve(c net.Conn) {
	defer close(a.done)
	defer c.Close()
	in := bufio.NewReader(c)
	c.Write([]byte("220 fake.example\r\n"))
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSuffix(line, "\r\n")
		a.got = append(a.got, line)
		reply := a.answer(line)
		switch reply {
		case doClose:
			return
		case doHang:
			in.ReadString('\n')
			return
		}
		c.Write([]byte(reply + "\r\n"))
	}
}

func (a *authServer) answer(line string) string {
	all, ok := a.answers[line]
	switch {
	case ok && len(all) > 1:
		a.answers[line] = all[1:]
		return all[0]
	case ok:
		return all[0]
	case strings.HasPrefix(line, "LHLO"):
		return "250-fake.example\r\n250-PIPELINING\r\n250 AUTH PLAIN"
	}
	return "250 2.0.0 ok"
}

// auth runs one login against a server.
func auth(t *testing.T, answers map[string][]string, mechanism string, l sasl.Login) (*Session, *authServer, *recorder, error) {
	t.Helper()
	rec := new(recorder)
	opt := testOptions(rec)
	client, server := memPair(4096)
	a := &authServer{answers: answers, done: make(chan struct{})}
	go a.serve(server)
	s, err := Open(t.Context(), client, opt)
	if err != nil {
		t.Fatal(err)
	}
	c, err := sasl.Choose([]string{mechanism}, sasl.Policy{}, l, sasl.Peer{})
	if err != nil {
		t.Fatal(err)
	}
	rec.trace = nil
	err = s.Auth(t.Context(), c)
	if !s.Closed() {
		s.Quit(t.Context(), true)
	}
	<-a.done
	return s, a, rec, err
}

var secretUser = sasl.Login{Username: "user", Password: "secret"}

func TestAuth(t *testing.T) {
	const plain = "AHVzZXIAc2VjcmV0"
	long := sasl.Login{Username: "user", Password: strings.Repeat("p", 366)} // 496 bytes: fits with PLAIN
	longer := sasl.Login{Username: "user", Password: strings.Repeat("p", 367)}
	for _, c := range []struct {
		name, mechanism string
		login           sasl.Login
		answers         map[string][]string
		want            string // what the server got, without LHLO and QUIT
		err             string
	}{
		{name: "plain", mechanism: "PLAIN", login: secretUser,
			answers: map[string][]string{"AUTH PLAIN " + plain: {"235 2.7.0 ok"}},
			want:    "AUTH PLAIN " + plain},
		{name: "login", mechanism: "LOGIN", login: secretUser,
			answers: map[string][]string{"AUTH LOGIN": {"334 VXNlcm5hbWU6"}, "dXNlcg==": {"334 UGFzc3dvcmQ6"}, "c2VjcmV0": {"235 ok"}},
			want:    "AUTH LOGIN|dXNlcg==|c2VjcmV0"},
		{name: "empty password", mechanism: "LOGIN", login: sasl.Login{Username: "user"},
			answers: map[string][]string{"AUTH LOGIN": {"334 VXNlcm5hbWU6"}, "dXNlcg==": {"334 UGFzc3dvcmQ6"}, "": {"235 ok"}},
			want:    "AUTH LOGIN|dXNlcg==|"},
		{name: "refused", mechanism: "PLAIN", login: secretUser,
			answers: map[string][]string{"AUTH PLAIN " + plain: {"535 5.7.8 no"}},
			want:    "AUTH PLAIN " + plain, err: "reply auth 535"},
		{name: "odd code", mechanism: "PLAIN", login: secretUser,
			answers: map[string][]string{"AUTH PLAIN " + plain: {"135 no"}},
			want:    "AUTH PLAIN " + plain, err: "reply auth 135"},
		{name: "fits", mechanism: "PLAIN", login: long, want: "AUTH PLAIN+496"},
		{name: "does not fit", mechanism: "PLAIN", login: longer,
			answers: map[string][]string{"AUTH PLAIN": {"334 "}},
			want:    "AUTH PLAIN|500"},
		{name: "server first, too", mechanism: "PLAIN", login: longer,
			answers: map[string][]string{"AUTH PLAIN": {"334 YQ=="}},
			want:    "AUTH PLAIN|*", err: "auth PLAIN: non-empty initial challenge: YQ=="},
		{name: "not base64", mechanism: "CRAM-MD5", login: secretUser,
			answers: map[string][]string{"AUTH CRAM-MD5": {"334 ???"}, "*": {"501 cancelled"}},
			want:    "AUTH CRAM-MD5|*", err: "auth CRAM-MD5: bad protocol / cancel: the challenge is not base64: ???"},
		{name: "several lines", mechanism: "CRAM-MD5", login: secretUser,
			answers: map[string][]string{"AUTH CRAM-MD5": {"334-YQ==\r\n334 YQ=="}},
			want:    "AUTH CRAM-MD5|*", err: "auth CRAM-MD5: bad protocol / cancel: the challenge is not base64: YQ==?334 YQ=="},
		{name: "asked too often", mechanism: "PLAIN", login: secretUser,
			answers: map[string][]string{"AUTH PLAIN " + plain: {"334 YQ=="}},
			want:    "AUTH PLAIN " + plain + "|*", err: "auth PLAIN: generic failure: a challenge after the last step"},
		{name: "lost", mechanism: "CRAM-MD5", login: secretUser,
			answers: map[string][]string{"AUTH CRAM-MD5": {doClose}}, want: "AUTH CRAM-MD5", err: "lost auth"},
		{name: "silence", mechanism: "CRAM-MD5", login: secretUser,
			answers: map[string][]string{"AUTH CRAM-MD5": {doHang}}, want: "AUTH CRAM-MD5", err: "timeout auth"},
		{name: "no proof", mechanism: "SCRAM-SHA-256", login: secretUser, want: "AUTH SCRAM-SHA-256+60",
			err: "auth SCRAM-SHA-256: server failed mutual authentication step: the server welcomed us without a proof that it knows the password"},
		{name: "refused and cancelled by us, and nobody there", mechanism: "CRAM-MD5", login: secretUser,
			answers: map[string][]string{"AUTH CRAM-MD5": {"334 ?"}, "*": {doClose}},
			want:    "AUTH CRAM-MD5|*", err: "auth CRAM-MD5: bad protocol / cancel: the challenge is not base64: ?"},
	} {
		bubble(t, c.name, func(t *testing.T) {
			s, a, rec, err := auth(t, c.answers, c.mechanism, c.login)
			if got := exchanged(a.got); got != c.want {
				t.Errorf("the server got %q, want %q", got, c.want)
			}
			got := ""
			var gaveUp *AuthError
			switch {
			case errors.As(err, &gaveUp):
				got = "auth " + gaveUp.Error()
			case err != nil:
				got = describe(err)
			}
			if got != c.err {
				t.Errorf("got %q, want %q", got, c.err)
			}
			if s.Reusable() {
				t.Error("reusable after QUIT")
			}
			noSecrets(t, rec, plain, "c2VjcmV0", strings.Repeat("HBwc", 50))
		})
	}
}

// exchanged joins what a server got between LHLO and QUIT, long responses by
// their length.
func exchanged(lines []string) string {
	var all []string
	for _, line := range lines {
		if strings.HasPrefix(line, "LHLO") || line == "QUIT" {
			continue
		}
		command, initial, ok := strings.Cut(line, " ")
		if mech, response, more := strings.Cut(initial, " "); ok && more && len(response) > 40 {
			line = fmt.Sprintf("%s %s+%d", command, mech, len(response))
		} else if len(line) > 200 {
			line = strconv.Itoa(len(line))
		}
		all = append(all, line)
	}
	return strings.Join(all, "|")
}

// noSecrets holds traces and logs to their promise.
func noSecrets(t *testing.T, rec *recorder, secrets ...string) {
	t.Helper()
	for _, line := range append(rec.trace, rec.log...) {
		for _, secret := range secrets {
			if strings.Contains(line, secret) {
				t.Errorf("%q is in %q", secret, line)
			}
		}
	}
}

// TestAuthLoop: a server that never has enough is left after 100 challenges.
func TestAuthLoop(t *testing.T) {
	bubble(t, "loop", func(t *testing.T) {
		client, server := memPair(4096)
		a := &authServer{answers: map[string][]string{"AUTH ENDLESS": {"334 "}, "YQ==": {"334 "}}, done: make(chan struct{})}
		go a.serve(server)
		s, err := Open(t.Context(), client, testOptions(new(recorder)))
		if err != nil {
			t.Fatal(err)
		}
		err = s.Auth(t.Context(), endless{})
		var gaveUp *AuthError
		if !errors.As(err, &gaveUp) || gaveUp.Kind != AuthLoop {
			t.Errorf("got %v", err)
		}
		s.Quit(t.Context(), true)
		<-a.done
		if n := strings.Count(strings.Join(a.got, "|"), "YQ=="); n != maxChallenges {
			t.Errorf("%d responses", n)
		}
	})
}

type endless struct{}

func (endless) Start() (string, []byte, error) { return "ENDLESS", nil, nil }
func (endless) Next([]byte) ([]byte, error)    { return []byte("a"), nil }

// TestAuthConcealed: what we send is not seen, not even where a server repeats
// it, and what came before and after is.
func TestAuthConcealed(t *testing.T) {
	bubble(t, "echo", func(t *testing.T) {
		_, _, rec, err := auth(t, map[string][]string{
			"AUTH PLAIN AHVzZXIAc2VjcmV0": {"500-5.5.2 unknown: AUTH PLAIN AHVzZXIAc2VjcmV0\r\n500 5.5.2 AHVzZXIAc2VjcmV0"},
		}, "PLAIN", secretUser)
		var refused *ReplyError
		if !errors.As(err, &refused) || refused.Reply.Enhanced != "5.5.2" {
			t.Fatalf("got %v", err)
		}
		const want = "> AUTH PLAIN (concealed)\n" +
			"< 500-5.5.2 unknown: AUTH PLAIN (concealed)\n" +
			"< 500 5.5.2 (concealed)\n> QUIT\n< 250 2.0.0 ok"
		if got := strings.Join(rec.trace, "\n"); got != want {
			t.Errorf("got\n%s", got)
		}
		noSecrets(t, rec, "AHVzZXIAc2VjcmV0")
		if strings.Contains(err.Error(), "AHVz") {
			t.Error(err)
		}
	})
	bubble(t, "lines that are no reply", func(t *testing.T) {
		const plain = "AHVzZXIAc2VjcmV0"
		_, _, rec, err := auth(t, map[string][]string{
			"AUTH PLAIN " + plain: {plain + "\r\nAUTH PLAIN " + plain + "\r\n535 5.7.8 no"},
		}, "PLAIN", secretUser)
		var refused *ReplyError
		if !errors.As(err, &refused) || refused.Reply.Text() != "(concealed) AUTH PLAIN (concealed) 535 5.7.8 no" {
			t.Errorf("got %v", err)
		}
		noSecrets(t, rec, plain, plain[4:])
	})
	bubble(t, "steps", func(t *testing.T) {
		_, _, rec, err := auth(t, map[string][]string{
			"AUTH LOGIN": {"334 VXNlcm5hbWU6"}, "dXNlcg==": {"334 UGFzc3dvcmQ6"}, "c2VjcmV0": {"235 2.7.0 ok"},
		}, "LOGIN", secretUser)
		const want = "> AUTH LOGIN\n< 334 VXNlcm5hbWU6\n> (concealed)\n< 334 UGFzc3dvcmQ6\n> (concealed)\n< 235 2.7.0 ok\n> QUIT\n< 250 2.0.0 ok"
		if got := strings.Join(rec.trace, "\n"); err != nil || got != want {
			t.Errorf("%v, got\n%s", err, got)
		}
	})
}

// authStore is a store of another maker that wants a login.
type authStore struct{ store }

func (s *authStore) NewSession(*smtp.Conn) (smtp.Session, error) {
	return &authStoreSession{storeSession: storeSession{store: &s.store}}, nil
}

type authStoreSession struct {
	storeSession
	user string
}

func (s *authStoreSession) AuthMechanisms() []string {
	return []string{"PLAIN", "LOGIN", "ANONYMOUS", "EXTERNAL", "OAUTHBEARER", "SCRAM-SHA-256"}
}

var errBadLogin = &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: "no"}

func (s *authStoreSession) check(user, password string) error {
	if user != "user" || password != "secret" {
		return errBadLogin
	}
	s.user = user
	return nil
}

func (s *authStoreSession) Auth(mech string) (gosasl.Server, error) {
	switch mech {
	case "PLAIN":
		return gosasl.NewPlainServer(func(_, user, password string) error { return s.check(user, password) }), nil
	case "LOGIN":
		return &loginServer{check: s.check}, nil
	case "ANONYMOUS":
		return gosasl.NewAnonymousServer(func(string) error { return s.check("user", "secret") }), nil
	case "EXTERNAL":
		return gosasl.NewExternalServer(func(string) error { return s.check("user", "secret") }), nil
	case "OAUTHBEARER":
		return gosasl.NewOAuthBearerServer(func(o gosasl.OAuthBearerOptions) *gosasl.OAuthBearerError {
			if s.check(o.Username, o.Token) != nil {
				return &gosasl.OAuthBearerError{Status: "invalid_token"}
			}
			return nil
		}), nil
	case "SCRAM-SHA-256":
		return newSCRAMServer(func() { s.user = "user" })
	}
	return nil, errBadLogin
}

func (s *authStoreSession) Mail(from string, o *smtp.MailOptions) error {
	if s.user == "" {
		return smtp.ErrAuthRequired
	}
	return s.storeSession.Mail(from, o)
}

// loginServer is the server's side of LOGIN.
type loginServer struct {
	step  int
	user  string
	check func(user, password string) error
}

func (l *loginServer) Next(response []byte) ([]byte, bool, error) {
	l.step++
	switch l.step {
	case 1:
		return []byte("Username:"), false, nil
	case 2:
		l.user = string(response)
		return []byte("Password:"), false, nil
	}
	return nil, true, l.check(l.user, string(response))
}

// scramServer is the server's side of SCRAM.
type scramServer struct {
	conv    *scram.ServerConversation
	welcome func()
}

func newSCRAMServer(welcome func()) (gosasl.Server, error) {
	client, err := scram.SHA256.NewClient("user", "secret", "")
	if err != nil {
		return nil, err
	}
	stored, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "salt1234", Iters: 4096})
	if err != nil {
		return nil, err
	}
	srv, err := scram.SHA256.NewServer(func(string) (scram.StoredCredentials, error) { return stored, nil })
	if err != nil {
		return nil, err
	}
	return &scramServer{srv.NewConversation(), welcome}, nil
}

func (s *scramServer) Next(response []byte) ([]byte, bool, error) {
	if s.conv.Valid() {
		s.welcome()
		return nil, true, nil
	}
	challenge, err := s.conv.Step(string(response))
	if err != nil {
		return nil, true, errBadLogin
	}
	return []byte(challenge), false, nil
}

// TestAuthRealServer logs in to go-smtp's LMTP server, and delivers.
func TestAuthRealServer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	st := &authStore{store{mail: map[string][]string{}}}
	srv := smtp.NewServer(st)
	srv.LMTP, srv.AllowInsecureAuth, srv.Domain = true, true, "real.example"
	go srv.Serve(ln)
	defer srv.Close()
	for _, mech := range []string{"PLAIN", "LOGIN", "ANONYMOUS", "EXTERNAL", "OAUTHBEARER", "SCRAM-SHA-256"} {
		for _, password := range []string{"secret", "wrong"} {
			t.Run(mech+" "+password, func(t *testing.T) {
				testRealLogin(t, ln.Addr().String(), mech, password)
			})
		}
	}
}

func testRealLogin(t *testing.T, addr, mech, password string) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	rec := new(recorder)
	s, err := Open(t.Context(), conn, testOptions(rec))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Quit(t.Context(), true)
	if !strings.Contains(s.Caps().Auth, mech) {
		t.Fatalf("offered %q", s.Caps().Auth)
	}
	l, p := sasl.Login{Username: "user", Password: password}, sasl.Peer{ClientName: "mail.example.com"}
	always := mech == "ANONYMOUS" || mech == "EXTERNAL"
	if mech == "EXTERNAL" {
		l.Password, p.Certificate = "", true
	}
	c, err := sasl.Choose([]string{mech}, sasl.Policy{}, l, p)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Auth(t.Context(), c)
	var refused *ReplyError
	if password == "wrong" && !always {
		if !errors.As(err, &refused) || refused.Reply.Code < 400 {
			t.Fatalf("got %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	tr := newTransaction(1)
	settled := ""
	tr.OnRcpt = func(_ int, r Reply) { settled = r.Text() }
	tr.OnFinal = func(_ int, r Reply) { settled = r.Text() }
	if err := s.Deliver(t.Context(), tr); err != nil || !strings.HasPrefix(settled, "250 ") {
		t.Errorf("%v, %q", err, settled)
	}
}
