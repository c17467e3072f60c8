package lmtp

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

// store is the backend of a real server: what it accepted, by recipient.
type store struct {
	mu   sync.Mutex
	mail map[string][]string
}

func (s *store) NewSession(*smtp.Conn) (smtp.Session, error) { return &storeSession{store: s}, nil }

type storeSession struct {
	store *store
	to    []string
}

func (s *storeSession) Reset()                               { s.to = nil }
func (s *storeSession) Logout() error                        { return nil }
func (s *storeSession) Mail(string, *smtp.MailOptions) error { return nil }
func (s *storeSession) Data(io.Reader) error                 { return errors.New("not LMTP") }
func (s *storeSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if strings.HasPrefix(to, "unknown") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
	}
	s.to = append(s.to, to)
	return nil
}

func (s *storeSession) LMTPData(r io.Reader, status smtp.StatusCollector) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	for _, to := range s.to {
		if strings.HasPrefix(to, "full") {
			status.SetStatus(to, &smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 2, 2}, Message: "mailbox full"})
			continue
		}
		s.store.mail[to] = append(s.store.mail[to], string(text))
		status.SetStatus(to, nil)
	}
	return nil
}

// listen starts a real LMTP server of another maker.
func listen(t *testing.T, network string, cfg *tls.Config) (*store, net.Addr) {
	t.Helper()
	addr := "127.0.0.1:0"
	if network == "unix" {
		addr = filepath.Join(t.TempDir(), "s")
	}
	ln, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	st := &store{mail: map[string][]string{}}
	srv := smtp.NewServer(st)
	srv.LMTP, srv.Domain, srv.EnableDSN, srv.EnableSMTPUTF8, srv.EnableREQUIRETLS = true, "peer.example", true, true, true
	srv.TLSConfig = cfg
	done := make(chan struct{})
	go func() {
		defer close(done)
		srv.Serve(ln)
	}()
	t.Cleanup(func() {
		srv.Close()
		<-done
	})
	return st, ln.Addr()
}

func dial(t *testing.T, addr net.Addr) net.Conn {
	t.Helper()
	conn, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// mixed is a message for recipients of all fates.
func mixed(domain string) *Transaction {
	tr := newTransaction(0)
	for _, name := range []string{"one", "unknown", "two", "full", "two words"} {
		tr.Recipients = append(tr.Recipients, Recipient{Address: name + "@" + domain, Notify: NotifyNever})
	}
	tr.Body = func(w io.Writer) error {
		_, err := io.WriteString(w, "Subject: hi\r\n\r\n..dot\r\nend\r\n")
		return err
	}
	return tr
}

func TestGoSMTP(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprint(network, secure), func(t *testing.T) {
				server, pool := certificate(t)
				st, addr := listen(t, network, server)
				res := new(result)
				ctx := context.Background()
				s, err := Open(ctx, dial(t, addr), testOptions(&res.recorder))
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				if c := s.Caps(); !c.Pipelining || !c.DSN || !c.StartTLS || c.RequireTLS {
					t.Errorf("capabilities %+v", c)
				}
				if secure {
					state, err := s.StartTLS(ctx, &tls.Config{RootCAs: pool, ServerName: "peer.example"})
					if err != nil || !state.HandshakeComplete || len(state.VerifiedChains) == 0 {
						t.Fatal(state, err)
					}
					if c := s.Caps(); !c.Pipelining || c.StartTLS || !c.RequireTLS {
						t.Errorf("capabilities under TLS %+v", c)
					}
				}
				for n := range 3 {
					tr := mixed("x.example")
					tr.Idle = n > 0
					res.session = s
					res.watch(t, tr)
					res.err = s.Deliver(ctx, tr)
					res.check(t)
					res.expect(t, "ok", "final 250, rejected 550, final 250, final 452, final 250")
					if !s.Reusable() {
						t.Fatal("not reusable")
					}
				}
				if err := s.Quit(ctx, true); err != nil {
					t.Error(err)
				}
				for _, who := range []string{"one", "two", `"two words"`, "full", "unknown"} {
					want := 3
					if who == "full" || who == "unknown" {
						want = 0
					}
					got := st.mail[who+"@x.example"]
					if who == `"two words"` && got == nil {
						got = st.mail["two words@x.example"]
					}
					if len(got) != want || want > 0 && got[0] != "Subject: hi\r\n\r\n.dot\r\nend\r\n" {
						t.Errorf("%s has %q", who, got)
					}
				}
			})
		}
	}
}

// certificate returns a server's configuration and the roots that trust it.
func certificate(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "peer.example"}, DNSNames: []string{"peer.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, pool
}

// TestHandshakeFailure does not trust the server.
func TestHandshakeFailure(t *testing.T) {
	server, _ := certificate(t)
	_, addr := listen(t, "tcp", server)
	s, err := Open(context.Background(), dial(t, addr), testOptions(new(recorder)))
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.StartTLS(context.Background(), &tls.Config{ServerName: "peer.example", RootCAs: x509.NewCertPool()})
	if describe(err) != "lost tls" || !s.Closed() {
		t.Errorf("%v", err)
	}
	var unknown x509.UnknownAuthorityError
	if !errors.As(err, &unknown) {
		t.Errorf("no reason in %v", err)
	}
}

// TestPending asks the kernel about real sockets.
func TestPending(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			addr := "127.0.0.1:0"
			if network == "unix" {
				addr = filepath.Join(t.TempDir(), "s")
			}
			ln, err := net.Listen(network, addr)
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			client := dial(t, ln.Addr())
			defer client.Close()
			server, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			pending := pendingFunc(client)
			if pending() {
				t.Error("pending before anything was sent")
			}
			server.Write([]byte("x"))
			for deadline := time.Now().Add(10 * time.Second); !pending(); {
				if time.Now().After(deadline) {
					t.Fatal("not pending")
				}
			}
			client.Read(make([]byte, 10))
			if pending() {
				t.Error("pending after all was read")
			}
			server.Close()
			if n, _ := client.Read(make([]byte, 1)); n != 0 || !pending() {
				t.Error("the end is not seen")
			}
		})
	}
	one, two := net.Pipe()
	defer one.Close()
	defer two.Close()
	if pendingFunc(one) != nil {
		t.Error("a pipe has no descriptor")
	}
}
