package delivery

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postlmtp/internal/dns"
	"postlmtp/internal/dsn"
	"postlmtp/internal/nexthop"
	"postlmtp/internal/request"
	"postlmtp/internal/table"
	"postlmtp/internal/tlspolicy"
)

// secureServer is an LMTP server with TLS, on a TCP port of its own.
type secureServer struct {
	t        *testing.T
	listener net.Listener
	cert     tls.Certificate
	sum      string // fingerprint of the certificate

	wrapped  bool     // TLS from the first byte
	offers   []string // LHLO keywords without TLS
	under    []string // and under TLS
	trusting []string // and after XCLIENT, where it is not nil
	starttls string   // the reply to STARTTLS; empty: 220
	broken   bool     // the handshake fails
	endless  bool     // the handshake goes on, a byte at a time
	hangUpAt string   // under TLS, the command at which to hang up
	early    string   // sent behind the reply to LHLO under TLS

	mu     sync.Mutex
	lines  []string // commands; "TLS" for a handshake
	stored []string // recipients, with "plain " in front without TLS
	conns  int
}

func newSecureServer(t *testing.T, change ...func(*secureServer)) *secureServer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"x"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	s := &secureServer{t: t, listener: l, cert: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		sum: hex.EncodeToString(sum[:]), offers: []string{"STARTTLS"}}
	for _, c := range change {
		c(s)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return s
}

// seen returns what happened so far.
func (s *secureServer) seen() (lines, stored []string, conns int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.lines), slices.Clone(s.stored), s.conns
}

func (s *secureServer) kept() []string {
	_, stored, _ := s.seen()
	return stored
}

func (s *secureServer) said() []string {
	lines, _, _ := s.seen()
	return lines
}

func (s *secureServer) count() int {
	_, _, conns := s.seen()
	return conns
}

func (s *secureServer) note(list *[]string, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*list = append(*list, text)
}

// handshake is TLS on a connection, nil if it fails.
func (s *secureServer) handshake(conn net.Conn) net.Conn {
	if s.endless {
		trickle(conn)
		return nil
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{s.cert}}
	if s.broken {
		cfg.Certificates = nil
	}
	c := tls.Server(conn, cfg)
	if c.Handshake() != nil {
		return nil
	}
	s.note(&s.lines, "TLS")
	return c
}

// trickle sends a handshake record that takes very long.
func trickle(conn net.Conn) {
	next := time.NewTicker(10 * time.Millisecond)
	defer next.Stop()
	_, err := conn.Write([]byte{22, 3, 3, 0x3f, 0xff, 2, 0, 0x3f, 0xfb}) // a ServerHello of 16379 bytes
	for err == nil {
		<-next.C
		_, err = conn.Write([]byte{0})
	}
}

func (s *secureServer) serve(conn net.Conn) {
	defer conn.Close()
	s.mu.Lock()
	s.conns++
	s.mu.Unlock()
	secure := false
	start := func() bool {
		c := s.handshake(conn)
		if c == nil {
			return false
		}
		conn, secure = c, true
		return true
	}
	if s.wrapped && !start() {
		return
	}
	in := bufio.NewReader(conn)
	say := func(text string) { fmt.Fprintf(conn, "%s\r\n", text) }
	say("220 ready")
	under := s.under
	var rcpts []string
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		s.note(&s.lines, line)
		verb, rest, _ := strings.Cut(line, " ")
		switch {
		case secure && verb == s.hangUpAt:
			return
		case verb == "LHLO":
			words := s.offers
			if secure {
				words = under
			}
			text := "250-x\r\n"
			for _, w := range words {
				text += "250-" + w + "\r\n"
			}
			text += "250 8BITMIME"
			if secure {
				text += s.early
			}
			say(text)
		case verb == "STARTTLS":
			reply := either(s.starttls, "220 go")
			say(reply)
			if reply[0] != '2' {
				continue
			}
			if !start() {
				return
			}
			in.Reset(conn)
		case verb == "XCLIENT" && s.trusting != nil:
			under = s.trusting
			say("250 ok")
		case verb == "MAIL":
			rcpts = nil
			say("250 ok")
		case verb == "RCPT":
			rcpts = append(rcpts, rest[strings.IndexByte(rest, '<')+1:strings.IndexByte(rest, '>')])
			say("250 ok")
		case verb == "DATA":
			say("354 go")
			for line != ".\r\n" && err == nil {
				line, err = in.ReadString('\n')
			}
			for _, r := range rcpts {
				if !secure {
					r = "plain " + r
				}
				s.note(&s.stored, r)
				say("250 2.0.0 stored")
			}
		case verb == "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

// secureWorld delivers to secureServers, by the letters of the host's name.
type secureWorld struct {
	*world
	servers map[string]*secureServer
	ends    []string
	texts   []string
	now     request.Stamps
	opts    request.SendOpts
}

// defaults are the values of parameters.
func (w *secureWorld) policy(change func(*tlspolicy.Options)) *tlspolicy.Engine {
	o := tlspolicy.Options{
		EnforcePeername: true, VerifyDepth: 9, VerifyCertMatch: "hostname", SecureCertMatch: "nexthop", FingerprintDigest: "sha256",
		Protocols: ">=TLSv1.2", MandatoryProtocols: ">=TLSv1.2", Ciphers: "medium", MandatoryCiphers: "medium",
		HighCipherList: "HIGH", MediumCipherList: "HIGH", NullCipherList: "eNULL", DANEDigests: "sha512 sha256", LogLevel: "0",
		RequireTLSPolicy: "opportunistic", Tables: table.NewSet(table.Options{}), Log: w,
	}
	change(&o)
	e, err := tlspolicy.New(o)
	if err != nil {
		w.t.Fatal(err)
	}
	return e
}

func newSecureWorld(t *testing.T, change func(*tlspolicy.Options)) *secureWorld {
	w := &secureWorld{world: newWorld(t), servers: map[string]*secureServer{}}
	w.opt.TLS = TLSOptions{Engine: w.policy(change), FeatureStatus: true, RequireTLS: true, NotRequired: true, MinimalBackoff: 5 * time.Minute}
	w.opt.Dial = func(ctx context.Context, ep nexthop.Endpoint) (net.Conn, error) {
		s := w.servers[ep.Host]
		if ep.Network == "unix" {
			s = w.servers["socket"]
		}
		var d net.Dialer
		return d.DialContext(ctx, "tcp", s.listener.Addr().String())
	}
	return w
}

// Report implements Reporter.
func (w *secureWorld) Report(_ *request.Request, rcpt request.Recipient, o Outcome, at request.Attempt, d dsn.Diagnosis) Settlement {
	w.note(&w.ends, "%v %s tls=%s", o, d.Status, at.TLS)
	w.note(&w.texts, "%s", d.Reason)
	return Settlement{Final: o != Deferred, Sent: o == Sent}
}

// send delivers one message to a destination of endpoints and returns how it
// ended, its text, and the result for the queue manager.
func (w *secureWorld) send(d *Deliverer, destination string, flags request.Flags) (string, string, Result) {
	w.t.Helper()
	w.ends, w.texts, w.log = nil, nil, nil
	req, file := w.queue(destination, "user@example.com")
	req.Flags |= flags
	req.Stamps, req.SendOpts = w.now, w.opts
	result := d.Deliver(w.t.Context(), req, file)
	result.Goodbye()
	if len(w.ends) != 1 {
		w.t.Fatalf("ends %v", w.ends)
	}
	return w.ends[0], w.texts[0], result
}

func level(l string) func(*tlspolicy.Options) {
	return func(o *tlspolicy.Options) { o.SecurityLevel = l }
}

func TestTLSLevels(t *testing.T) {
	for _, tc := range []struct {
		name   string
		level  string
		server func(*secureServer)
		end    string
		text   string // of a failure
		hop    bool
	}{
		{"none", "none", func(*secureServer) {}, "sent 2.0.0 tls=none", "", false},
		{"may", "may", func(*secureServer) {}, "sent 2.0.0 tls=may", "", false},
		{"may, not offered", "may", func(s *secureServer) { s.offers = nil }, "sent 2.0.0 tls=may:none", "", false},
		{"may, refused", "may", func(s *secureServer) { s.starttls = "454 no" }, "sent 2.0.0 tls=may:none", "", false},
		{"may, broken", "may", func(s *secureServer) { s.broken = true }, "deferred 4.7.5 tls=may?", "Cannot start TLS: handshake failure", false},
		{"may, lost", "may", func(s *secureServer) { s.hangUpAt = "MAIL" }, "deferred 4.4.2 tls=may", "lost connection with x[192.0.2.120] while sending MAIL FROM", true},
		{"encrypt", "encrypt", func(*secureServer) {}, "sent 2.0.0 tls=encrypt", "", false},
		{"encrypt, stripped", "encrypt", func(s *secureServer) { s.offers = nil }, "deferred 4.7.4 tls=!encrypt", "TLS is required, but was not offered by host x[192.0.2.120]", true},
		{"encrypt, refused", "encrypt", func(s *secureServer) { s.starttls = "454 4.7.1 no" }, "deferred 4.7.1 tls=!encrypt", "TLS is required, but host x[192.0.2.120] refused to start TLS: 454 4.7.1 no", true},
		{"encrypt, refused for good", "encrypt", func(s *secureServer) { s.starttls = "554 5.7.1 no" }, "bounced 5.7.1 tls=!encrypt", "TLS is required, but host x[192.0.2.120] refused to start TLS: 554 5.7.1 no", false},
		{"encrypt, broken", "encrypt", func(s *secureServer) { s.broken = true }, "deferred 4.7.5 tls=encrypt?", "Cannot start TLS: handshake failure", true},
		{"verify, untrusted", "verify", func(*secureServer) {}, "deferred 4.7.5 tls=!verify", "Server certificate not verified", true},
		{"fingerprint, none", "fingerprint", func(*secureServer) {}, "deferred 4.7.5 tls=unknown?", "client TLS configuration problem", true},
		{"dane without DNSSEC", "dane", func(*secureServer) {}, "sent 2.0.0 tls=may", "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newSecureWorld(t, level(tc.level))
			s := newSecureServer(t, tc.server)
			w.servers["x"] = s
			d := New(w.opt, w)
			defer d.Close()
			end, text, result := w.send(d, "x", 0)
			if end != tc.end || tc.text != "" && text != tc.text || (result.Hop.Status != "") != tc.hop {
				t.Errorf("%s (%s) %+v\nlog %v", end, text, result.Hop, w.log)
			}
			wantStored := strings.HasPrefix(tc.end, "sent")
			if got := len(s.kept()) > 0; got != wantStored {
				t.Errorf("stored %v", s.kept())
			}
			if tc.level != "none" && tc.level != "may" && len(s.kept()) > 0 && strings.HasPrefix(s.kept()[0], "plain") {
				t.Error("sent in plain text")
			}
		})
	}
}

// A server that is not who it has to be gets no LHLO under TLS, but a QUIT.
func TestTLSNotVerified(t *testing.T) {
	w := newSecureWorld(t, level("verify"))
	w.servers["x"] = newSecureServer(t)
	d := New(w.opt, w)
	defer d.Close()
	w.send(d, "x", 0)
	if got := strings.Join(w.servers["x"].said(), ", "); got != "LHLO mail.example.com, STARTTLS, TLS, QUIT" {
		t.Error(got)
	}
}

func TestTLSFallback(t *testing.T) {
	old := time.Now().Add(-time.Hour)
	waited := request.Stamps{IncomingArrival: old, ActiveArrival: old.Add(5 * time.Minute)}
	fresh := request.Stamps{IncomingArrival: old, ActiveArrival: old.Add(4 * time.Minute)}
	for _, tc := range []struct {
		name   string
		level  string
		stamps request.Stamps
		flags  request.Flags
		server func(*secureServer)
		end    string
	}{
		{"waited, broken", "may", waited, 0, func(s *secureServer) { s.broken = true }, "sent 2.0.0 tls=may:none"},
		{"waited, lost", "may", waited, 0, func(s *secureServer) { s.hangUpAt = "RCPT" }, "sent 2.0.0 tls=may:none"},
		{"waited, lost in LHLO", "may", waited, 0, func(s *secureServer) { s.hangUpAt = "LHLO" }, "sent 2.0.0 tls=may:none"},
		{"fresh, broken", "may", fresh, 0, func(s *secureServer) { s.broken = true }, "deferred 4.7.5 tls=may?"},
		{"probe, broken", "may", fresh, request.MTAVerify, func(s *secureServer) { s.broken = true }, "sent 2.0.0 tls=may:none"},
		{"encrypt", "encrypt", waited, 0, func(s *secureServer) { s.broken = true }, "deferred 4.7.5 tls=encrypt?"},
		{"encrypt, lost", "encrypt", waited, 0, func(s *secureServer) { s.hangUpAt = "MAIL" }, "deferred 4.4.2 tls=encrypt"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newSecureWorld(t, level(tc.level))
			s := newSecureServer(t, tc.server)
			w.servers["x"], w.now = s, tc.stamps
			d := New(w.opt, w)
			defer d.Close()
			end, text, _ := w.send(d, "x", tc.flags|request.ConnStore)
			if end != tc.end {
				t.Errorf("%s (%s)\nlog %v\nlines %v", end, text, w.log, s.said())
			}
			want := 1
			if strings.HasSuffix(tc.end, ":none") {
				want = 2
			}
			if s.count() != want {
				t.Errorf("%d connections", s.count())
			}
			if d.pool.Stats().Idle != 0 {
				t.Error("a session in plain text, after TLS failed, is kept")
			}
		})
	}
}

// A handshake without end ends with lmtp_starttls_timeout, and the mail waits.
func TestTLSEndlessHandshake(t *testing.T) {
	for _, lv := range []string{"may", "encrypt"} {
		for _, wrapped := range []bool{false, true} {
			if wrapped && lv == "may" {
				continue // not allowed
			}
			w := newSecureWorld(t, func(o *tlspolicy.Options) { o.SecurityLevel, o.WrapperMode = lv, wrapped })
			w.opt.TLS.WrapperMode = wrapped
			w.opt.Session.Timeouts.StartTLS = 200 * time.Millisecond
			w.servers["x"] = newSecureServer(t, func(s *secureServer) { s.endless, s.wrapped = true, wrapped })
			d := New(w.opt, w)
			end, text, _ := w.send(d, "x", 0)
			if !strings.HasPrefix(end, "deferred 4.7.5 ") || text != "Cannot start TLS: handshake failure" {
				t.Errorf("%s, wrapped %t: %s (%s)", lv, wrapped, end, text)
			}
			if kept, said := w.servers["x"].kept(), w.servers["x"].said(); len(kept) > 0 || slices.ContainsFunc(said, func(l string) bool { return strings.HasPrefix(l, "MAIL") }) {
				t.Errorf("%s, wrapped %t: the server got %q, %q", lv, wrapped, said, kept)
			}
			d.Close()
		}
	}
}

// A session with TLS is used again under the same policy, if the settings say
// so, and never under another.
func TestTLSReuse(t *testing.T) {
	const both = request.ConnLoad | request.ConnStore
	w := newSecureWorld(t, func(o *tlspolicy.Options) { o.SecurityLevel, o.ConnectionReuse = "may", true })
	s := newSecureServer(t)
	w.servers["x"] = s
	d := New(w.opt, w)
	defer d.Close()
	if end, _, _ := w.send(d, "x", both); end != "sent 2.0.0 tls=may" {
		t.Fatal(end)
	}
	if end, _, _ := w.send(d, "x", both); end != "sent 2.0.0 tls=" || s.count() != 1 {
		t.Errorf("%s, %d connections", end, s.count())
	}
	// The same server, but the message wants to be sure, and then: does not care.
	d.opt.TLS.Engine = w.policy(func(o *tlspolicy.Options) {
		o.SecurityLevel, o.ConnectionReuse, o.FingerprintMatch = "fingerprint", true, s.sum
	})
	if end, _, _ := w.send(d, "x", both); end != "sent 2.0.0 tls=fingerprint" || s.count() != 2 {
		t.Errorf("%s, %d connections", end, s.count())
	}
	w.opts = request.TLSNotRequired
	if end, _, _ := w.send(d, "x", both); end != "sent 2.0.0 tls=may" || s.count() != 3 {
		t.Errorf("%s, %d connections", end, s.count())
	}
	w.opts = 0
	if w.send(d, "x", both); len(s.kept()) != 5 || s.count() > 4 {
		t.Errorf("%v, %d connections", s.kept(), s.count())
	}
}

// Without lmtp_tls_connection_reuse a session with TLS is for one message.
func TestTLSNoReuse(t *testing.T) {
	w := newSecureWorld(t, level("may"))
	w.servers["x"] = newSecureServer(t)
	d := New(w.opt, w)
	defer d.Close()
	for range 2 {
		w.send(d, "x", request.ConnLoad|request.ConnStore)
	}
	if n := w.servers["x"].count(); n != 2 {
		t.Errorf("%d connections", n)
	}
}

func TestTLSWrapper(t *testing.T) {
	for lv, want := range map[string]string{"encrypt": "sent 2.0.0 tls=encrypt", "may": "deferred 4.3.0 tls=may?"} {
		w := newSecureWorld(t, func(o *tlspolicy.Options) { o.SecurityLevel, o.WrapperMode = lv, true })
		w.opt.TLS.WrapperMode = true
		s := newSecureServer(t, func(s *secureServer) { s.wrapped = true })
		w.servers["x"] = s
		d := New(w.opt, w)
		if end, _, _ := w.send(d, "x", 0); end != want {
			t.Errorf("%s: %s, log %v", lv, end, w.log)
		}
		d.Close()
	}
}

// A server that settings keep us from is no reason to bounce, whatever is wrong
// with those before it.
func TestTLSPassedOver(t *testing.T) {
	for _, list := range []string{"none, f", "none"} {
		w := newSecureWorld(t, func(o *tlspolicy.Options) { o.SecurityLevel, o.WrapperMode = "may", true })
		w.opt.TLS.WrapperMode = true
		if list == "none" {
			fallback("f")(w.world)
		}
		d := New(w.opt, w)
		if end, text, _ := w.send(d, list, 0); end != "deferred 4.3.0 tls=may?" || text != "server unavailable or unable to receive mail" {
			t.Errorf("%s: %s (%s), log %v", list, end, text, w.log)
		}
		d.Close()
	}
}

// Opportunistic TLS over a socket is none.
func TestTLSSocket(t *testing.T) {
	for lv, want := range map[string]string{"may": "sent 2.0.0 tls=may:none", "encrypt": "sent 2.0.0 tls=encrypt", "dane": "deferred 4.7.5 tls=unknown?"} {
		w := newSecureWorld(t, level(lv))
		w.servers["socket"] = newSecureServer(t)
		d := New(w.opt, w)
		if end, _, _ := w.send(d, "unix:/sock", 0); end != want {
			t.Errorf("%s: %s", lv, end)
		}
		warned := strings.Contains(strings.Join(w.log, "\n"), "warning: smtp_connect_local: opportunistic TLS encryption is not appropriate for unix-domain destinations.")
		if warned != (lv == "may") {
			t.Errorf("%s: log %v", lv, w.log)
		}
		d.Close()
	}
}

func TestTLSEarlyReply(t *testing.T) {
	w := newSecureWorld(t, level("may"))
	w.opt.TLS.BlockEarlyReply = true
	w.servers["x"] = newSecureServer(t, func(s *secureServer) { s.early = "\r\n250 too early" })
	d := New(w.opt, w)
	defer d.Close()
	end, text, _ := w.send(d, "x", 0)
	if end != "deferred 4.7.0 tls=may" || text != "unexpected server message" ||
		!strings.Contains(strings.Join(w.log, "\n"), "warning: server x[192.0.2.120] violates lmtp_tls_block_early_mail_reply policy") {
		t.Errorf("%s (%s), log %v", end, text, w.log)
	}
}

func TestRequireTLS(t *testing.T) {
	supports := func(s *secureServer) { s.under = []string{"REQUIRETLS", "DSN"} }
	const asked = "Sender requested REQUIRETLS, but "
	for _, tc := range []struct {
		name, policy, level string
		server              func(*secureServer)
		end, text, mail     string
	}{
		{"disabled", "disable", "may", supports, "sent 2.0.0 tls=may", "", " SMTPUTF8"[:0]},
		{"opportunistic, supported", "opportunistic", "may", supports, "sent 2.0.0 tls=may/requiretls:nocertmatch", "", " REQUIRETLS"},
		{"opportunistic, matched", "opportunistic", "fingerprint", supports, "sent 2.0.0 tls=fingerprint/requiretls", "", " REQUIRETLS"},
		{"opportunistic, not supported", "opportunistic", "may", func(s *secureServer) { s.under = []string{"DSN"} }, "sent 2.0.0 tls=may/requiretls:none", "", " RET=HDRS"},
		{"opportunistic, plain", "opportunistic", "may", func(s *secureServer) { s.offers = []string{"DSN"} }, "sent 2.0.0 tls=may:none/requiretls:none", "", " RET=HDRS"},
		{"starttls, plain", "opportunistic+starttls", "may", func(s *secureServer) { s.offers = nil }, "bounced 5.7.30 tls=may?/!requiretls:nostarttls",
			asked + "TLS service was not offered by host x[192.0.2.120]", ""},
		{"starttls, refused", "opportunistic+starttls", "may", func(s *secureServer) { s.starttls = "454 no" }, "bounced 5.7.10 tls=may?/!requiretls:nostarttls",
			asked + "host x[192.0.2.120] refused to start TLS: 454 no", ""},
		{"starttls, level none", "opportunistic+starttls", "none", supports, "bounced 5.7.10 tls=none?/!requiretls:noencryption",
			asked + "my configured TLS security level 'none' disables encryption. The last attempted server was x", ""},
		{"enforce", "enforce", "fingerprint", supports, "sent 2.0.0 tls=fingerprint/requiretls", "", " REQUIRETLS"},
		{"enforce, level may", "enforce", "may", supports, "bounced 5.7.10 tls=may?/!requiretls:nocertmatch",
			asked + "my configured TLS security level 'may' disables certificate matching. The last attempted server was x", ""},
		{"enforce, untrusted", "enforce", "verify", supports, "bounced 5.7.10 tls=!verify/!requiretls:nocertmatch",
			asked + "no trusted server certificate was found. The last attempted server was x[192.0.2.120]", ""},
		{"enforce, not supported", "enforce", "fingerprint", func(*secureServer) {}, "bounced 5.7.30 tls=fingerprint/!requiretls:none",
			asked + "no server was found that supports REQUIRETLS. The last attempted server was x[192.0.2.120]", ""},
		{"error", "error", "may", supports, "deferred 4.7.10 tls=may?/requiretls?", "REQUIRETLS policy configuration error. The last attempted server was x", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSecureServer(t, tc.server)
			w := newSecureWorld(t, func(o *tlspolicy.Options) {
				o.SecurityLevel, o.FingerprintMatch, o.RequireTLSPolicy = tc.level, s.sum, tc.policy
			})
			w.servers["x"], w.opts = s, request.RequireTLS
			d := New(w.opt, w)
			defer d.Close()
			end, text, _ := w.send(d, "x", 0)
			if end != tc.end || tc.text != "" && text != tc.text {
				t.Errorf("%s (%s)", end, text)
			}
			mail := ""
			for _, l := range s.said() {
				if strings.HasPrefix(l, "MAIL ") {
					mail = strings.TrimPrefix(l, "MAIL FROM:<sender@example.com>")
				}
			}
			if mail != tc.mail {
				t.Errorf("MAIL parameters %q", mail)
			}
		})
	}
}

// After XCLIENT a server says anew what it offers, and may say less.
func TestRequireTLSAfterXClient(t *testing.T) {
	s := newSecureServer(t, func(s *secureServer) {
		s.under, s.trusting = []string{"REQUIRETLS", "XCLIENT SESSION"}, []string{"DSN"}
	})
	w := newSecureWorld(t, func(o *tlspolicy.Options) {
		o.SecurityLevel, o.FingerprintMatch, o.RequireTLSPolicy = "fingerprint", s.sum, "enforce"
	})
	w.servers["x"], w.opts = s, request.RequireTLS
	w.opt.Tracing.Session = true
	d := New(w.opt, w)
	defer d.Close()
	if end, text, _ := w.send(d, "x", 0); end != "bounced 5.7.30 tls=fingerprint/!requiretls:none" {
		t.Errorf("%s (%s), commands %q", end, text, s.said())
	}
}

// tlsaRecords answers every TLSA lookup.
type tlsaRecords []dns.Record

func (r tlsaRecords) Lookup(context.Context, string, dns.Type, dns.LookupOptions) ([]dns.Record, error) {
	return r, nil
}

// signed is a Resolver whose endpoints DNSSEC vouches for.
type signed struct{ Resolver }

func (r signed) Resolve(ctx context.Context, e nexthop.Element, softBefore bool) ([]nexthop.Endpoint, error) {
	endpoints, err := r.Resolver.Resolve(ctx, e, softBefore)
	for i := range endpoints {
		endpoints[i].Secure, endpoints[i].Canonical = true, endpoints[i].Host
	}
	return endpoints, err
}

// TLSA records without sense leave the level dane with encryption alone, and that
// is not what REQUIRETLS asks for.
func TestRequireTLSWithoutProof(t *testing.T) {
	for policy, want := range map[string]string{
		"opportunistic+starttls": "sent 2.0.0 tls=dane:encrypt/requiretls:nocertmatch",
		"enforce":                "bounced 5.7.10 tls=dane:encrypt/!requiretls:nocertmatch",
	} {
		w := newSecureWorld(t, func(o *tlspolicy.Options) {
			o.SecurityLevel, o.RequireTLSPolicy, o.DNSSEC = "dane", policy, true
			o.Names = tlsaRecords{{Name: "_24._tcp.x", Type: dns.TLSA, Secure: true, Data: []byte("\x03\x01\x01short")}}
		})
		s := newSecureServer(t, func(s *secureServer) { s.under = []string{"REQUIRETLS"} })
		w.opt.Resolver = signed{w.world}
		w.servers["x"], w.opts = s, request.RequireTLS
		d := New(w.opt, w)
		if end, text, _ := w.send(d, "x", 0); end != want || len(s.kept()) > 0 != strings.HasPrefix(want, "sent") {
			t.Errorf("%s: %s (%s), the server has %q", policy, end, text, s.kept())
		}
		d.Close()
	}
}

// A server that fails the policy is left for the next one.
func TestTLSNextServer(t *testing.T) {
	bad, good := newSecureServer(t), newSecureServer(t)
	w := newSecureWorld(t, func(o *tlspolicy.Options) { o.SecurityLevel, o.FingerprintMatch = "fingerprint", good.sum })
	w.servers["a"], w.servers["b"] = bad, good
	d := New(w.opt, w)
	defer d.Close()
	if end, _, _ := w.send(d, "ab", 0); end != "sent 2.0.0 tls=fingerprint" || len(bad.kept()) != 0 || len(good.kept()) != 1 {
		t.Errorf("%s: %v, %v", end, bad.kept(), good.kept())
	}
}
