package sasl

import (
	"crypto/tls"
	"errors"
	"strings"
	"testing"

	gosasl "github.com/emersion/go-sasl"
	"github.com/xdg-go/scram"
)

// choose returns a client of one mechanism.
func choose(t *testing.T, name string, l Login, p Peer) gosasl.Client {
	t.Helper()
	c, err := Choose([]string{name}, Policy{ChannelBinding: true}, l, p)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func finish(c gosasl.Client) error { return c.(interface{ Finish() error }).Finish() }

// TestDialogs: what each client says to what it is asked.
func TestDialogs(t *testing.T) {
	user := Login{Username: "user", Password: "secret"}
	for _, c := range []struct {
		name       string
		login      Login
		challenges []string
		want       string // all that is said, "-" for no initial response, and the error
	}{
		{"PLAIN", user, nil, "\x00user\x00secret"},
		{"PLAIN", Login{"user", "secret", "user"}, nil, "user\x00user\x00secret"},
		{"PLAIN", user, []string{"more?"}, "\x00user\x00secret|PLAIN: generic failure: a challenge after the last step"},
		{"LOGIN", user, []string{"Username:", "Password:"}, "-|user|secret"},
		{"LOGIN", user, []string{"", ""}, "-|user|secret"},
		{"LOGIN", user, []string{"a", "b", "c"}, "-|user|secret|LOGIN: generic failure: a challenge after the last step"},
		// RFC 2195 section 2.
		{"CRAM-MD5", Login{Username: "tim", Password: "tanstaaftanstaaf"}, []string{"<1896.697170952@postoffice.reston.mci.net>"},
			"-|tim b913a602c7eda7a495b4e6e7334d3890"},
		{"CRAM-MD5", user, []string{strings.Repeat("x", 1025)}, "-|CRAM-MD5: bad protocol / cancel: CRAM-MD5 input longer than 1024 bytes"},
		{"CRAM-MD5", user, []string{"a", "b"}, "-|user b0eba8aee3fb9b23a5f8779659d32f23|CRAM-MD5: generic failure: a challenge after the last step"},
		{"XOAUTH2", user, []string{`{"status":"401"}`}, "user=user\x01auth=Bearer secret\x01\x01|"},
		{"OAUTHBEARER", user, []string{`{"status":"invalid_token"}`}, "n,a=user,\x01host=h\x01auth=Bearer secret\x01\x01|\x01"},
		{"OAUTHBEARER", Login{Username: "a=b,c", Password: "secret"}, nil, "n,a=a=3Db=2Cc,\x01host=h\x01auth=Bearer secret\x01\x01"},
		{"ANONYMOUS", user, nil, "anonymous@mail.example.com"},
	} {
		client := choose(t, c.name, c.login, Peer{Host: "h", ClientName: "mail.example.com"})
		name, initial, err := client.Start()
		if err != nil || name != c.name {
			t.Fatalf("%s: %s, %v", c.name, name, err)
		}
		said := []string{string(initial)}
		if initial == nil {
			said[0] = "-"
		}
		for _, challenge := range c.challenges {
			response, err := client.Next([]byte(challenge))
			if err != nil {
				said = append(said, err.Error())
				break
			}
			said = append(said, string(response))
		}
		got := strings.Join(said, "|")
		if got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// scramServer is the server's side, with the password "secret".
func scramServer(t *testing.T, hash scram.HashGeneratorFcn, iterations int) *scram.Server {
	t.Helper()
	client, err := hash.NewClient("user", "secret", "")
	if err != nil {
		t.Fatal(err)
	}
	stored, err := client.WithMinIterations(1).GetStoredCredentialsWithError(scram.KeyFactors{Salt: "salt1234", Iters: iterations})
	if err != nil {
		t.Fatal(err)
	}
	srv, err := hash.NewServer(func(string) (scram.StoredCredentials, error) { return stored, nil })
	if err != nil {
		t.Fatal(err)
	}
	return srv
}

// talk goes through a SCRAM exchange. The server's welcome is in the last
// challenge.
func talk(client gosasl.Client, server *scram.ServerConversation) (serverErr, clientErr error) {
	_, response, err := client.Start()
	for err == nil && !server.Done() {
		challenge, serverErr := server.Step(string(response))
		if serverErr != nil {
			return serverErr, nil
		}
		response, err = client.Next([]byte(challenge))
	}
	if err == nil {
		err = finish(client)
	}
	return nil, err
}

func TestSCRAM(t *testing.T) {
	for _, h := range scramHashes() {
		for password, good := range map[string]bool{"secret": true, "wrong": false} {
			client := choose(t, h.name, Login{Username: "user", Password: password}, Peer{})
			serverErr, clientErr := talk(client, scramServer(t, h.hash, 4096).NewConversation())
			if (serverErr == nil) != good || clientErr != nil {
				t.Errorf("%s with %s: %v, %v", h.name, password, serverErr, clientErr)
			}
		}
	}
}

// TestSCRAMServer: a server must prove itself, and may not ask for any work.
func TestSCRAMServer(t *testing.T) {
	user := Login{Username: "user", Password: "secret"}
	client := choose(t, "SCRAM-SHA-256", user, Peer{})
	if _, _, err := client.Start(); err != nil {
		t.Fatal(err)
	}
	var e *Error
	if err := finish(client); !errors.As(err, &e) || e.Short != badServer {
		t.Errorf("welcomed without a proof: %v", err)
	}

	client = choose(t, "SCRAM-SHA-256", user, Peer{})
	_, first, err := client.Start()
	if err != nil {
		t.Fatal(err)
	}
	conv := scramServer(t, scram.SHA256, 4096).NewConversation()
	challenge, err := conv.Step(string(first))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Next([]byte(challenge)); err != nil {
		t.Fatal(err)
	}
	_, err = client.Next([]byte("v=" + strings.Repeat("A", 43) + "="))
	if !errors.As(err, &e) || e.Short != badServer {
		t.Errorf("another server: %v", err)
	}

	for _, count := range []string{"2000001", "4294967296", "99999999999999999999", "+4096", "1"} {
		client := choose(t, "SCRAM-SHA-1", user, Peer{})
		_, first, err := client.Start()
		if err != nil {
			t.Fatal(err)
		}
		nonce := string(first[strings.Index(string(first), "r=")+2:])
		_, err = client.Next([]byte("r=" + nonce + "x,s=c2FsdA==,i=" + count))
		if !errors.As(err, &e) || e.Short != badProtocol {
			t.Errorf("%s iterations: %v", count, err)
		}
	}
}

// TestSCRAMPlus: the login is bound to the connection.
func TestSCRAMPlus(t *testing.T) {
	state, other := handshake(t), handshake(t)
	user := Login{Username: "user", Password: "secret"}
	for _, c := range []struct {
		server *tls.ConnectionState
		good   bool
	}{{state, true}, {other, false}} {
		client := choose(t, "SCRAM-SHA-256-PLUS", user, Peer{TLS: state})
		binding, err := scram.NewTLSExporterBinding(c.server)
		if err != nil {
			t.Fatal(err)
		}
		conv := scramServer(t, scram.SHA256, 4096).NewConversationWithChannelBinding(binding)
		serverErr, clientErr := talk(client, conv)
		if good := serverErr == nil && clientErr == nil; good != c.good {
			t.Errorf("same connection %t: %v, %v", c.good, serverErr, clientErr)
		}
	}
}

// TestStripped: where the -PLUS mechanisms are wanted, a server that has one finds
// out that somebody has taken it from its offer.
func TestStripped(t *testing.T) {
	state := handshake(t)
	user := Login{Username: "user", Password: "secret"}
	binding, err := scram.NewTLSExporterBinding(state)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		wanted  bool
		state   *tls.ConnectionState
		offered string
		flag    string // of the client
		bound   bool   // the server has channel binding
		good    bool
	}{
		{true, state, "PLAIN SCRAM-SHA-256", "y", true, false},
		{true, state, "PLAIN SCRAM-SHA-256", "y", false, true},
		{true, state, "SCRAM-SHA-1-PLUS SCRAM-SHA-256", "n", true, true}, // by the filter
		{false, state, "PLAIN SCRAM-SHA-256", "n", true, true},
		{true, nil, "PLAIN SCRAM-SHA-256", "n", false, true},
	} {
		client, err := Choose([]string{"SCRAM-SHA-256"}, Policy{ChannelBinding: c.wanted}, user, Peer{TLS: c.state, Offered: strings.Fields(c.offered)})
		if err != nil {
			t.Fatal(err)
		}
		server := scramServer(t, scram.SHA256, 4096).NewConversation()
		if c.bound {
			server = scramServer(t, scram.SHA256, 4096).NewConversationWithChannelBinding(binding)
		}
		flag := ""
		serverErr, clientErr := talk(overheard{client, &flag}, server)
		if good := serverErr == nil && clientErr == nil; good != c.good || flag != c.flag {
			t.Errorf("%+v: flag %s, %v, %v", c, flag, serverErr, clientErr)
		}
	}
}

// overheard keeps the first byte of the initial response.
type overheard struct {
	gosasl.Client
	flag *string
}

func (o overheard) Start() (string, []byte, error) {
	name, response, err := o.Client.Start()
	*o.flag = string(response[:1])
	return name, response, err
}

func (o overheard) Finish() error { return finish(o.Client) }

func TestChallenge(t *testing.T) {
	for _, c := range []struct{ text, want, short string }{
		{"", "", ""},
		{"VXNlcm5hbWU6", "Username:", ""},
		{"!!!", "", badProtocol},
		{"VXNlcm5hbWU", "", cutChallenge},
		{"VXNlcm5h\nbWU6", "", badProtocol},
		{"VXNlcm5hbWU6 ", "", badProtocol},
		{"YQ==YQ==", "", badProtocol},
	} {
		got, err := Challenge("X", c.text)
		short := ""
		if err != nil {
			short = Short(err)
		}
		if string(got) != c.want || short != c.short {
			t.Errorf("%q: got %q, %v", c.text, got, err)
		}
	}
}

// FuzzClients: no challenge makes a client panic, or say its password in an
// error.
func FuzzClients(f *testing.F) {
	f.Add("VXNlcm5hbWU6", "UGFzc3dvcmQ6")
	f.Add("eyJzdGF0dXMiOiI0MDEifQ==", "")
	f.Add("cj1hLHM9YyxpPTE=", "dj1h")
	f.Fuzz(func(t *testing.T, first, second string) {
		for _, m := range mechanisms() {
			if m.bound {
				continue
			}
			l := Login{Username: "user", Password: "S3CR3TPASSWORD"}
			client, err := m.client(l, Peer{ClientName: "h"})
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := client.Start(); err != nil {
				t.Fatal(err)
			}
			for _, text := range []string{first, second} {
				challenge, err := Challenge(m.name, text)
				if err == nil {
					_, err = client.Next(challenge)
				}
				if err != nil && strings.Contains(err.Error(), l.Password) && !strings.Contains(string(challenge), l.Password) {
					t.Errorf("%s: the password is in %q", m.name, err)
				}
			}
		}
	})
}
