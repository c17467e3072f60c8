package lmtp

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// startTLSServer answers STARTTLS with a reply, and then, if the client starts
// a handshake, talks TLS. What comes behind the reply is sent in plain text.
func startTLSServer(c *memConn, cfg *tls.Config, starttls string, after *fakeServer) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer c.Close()
		br := bufio.NewReader(c)
		fmt.Fprint(c, "220 tls.example\r\n")
		br.ReadString('\n')
		fmt.Fprint(c, "250-tls.example\r\n250-PIPELINING\r\n250-DSN\r\n250 STARTTLS\r\n")
		if line, _ := br.ReadString('\n'); line != "STARTTLS\r\n" {
			return
		}
		if starttls == doHang {
			io.Copy(io.Discard, br)
			return
		}
		fmt.Fprint(c, starttls)
		if starttls[0] != '2' {
			for {
				line, err := br.ReadString('\n')
				if err != nil || line == "QUIT\r\n" {
					return
				}
				fmt.Fprint(c, "250 ok\r\n")
			}
		}
		if cfg == nil {
			io.Copy(io.Discard, br)
			return
		}
		inner, outer := memPair(4096)
		after.greeting = doSkip
		after.start(inner)
		conn := tls.Server(c, cfg)
		go func() {
			defer c.Close()
			buf := make([]byte, 4096)
			for {
				n, err := outer.Read(buf)
				if err != nil {
					return
				}
				if _, err := conn.Write(buf[:n]); err != nil {
					return
				}
			}
		}()
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				outer.Close()
				break
			}
			outer.Write(buf[:n])
		}
		<-after.done
	}()
	return done
}

func TestStartTLS(t *testing.T) {
	server, pool := certificate(t)
	bubble(t, "", func(t *testing.T) {
		client, peer := memPair(100)
		f := &fakeServer{keywords: []string{"PIPELINING", "REQUIRETLS"}}
		done := startTLSServer(peer, server, "220 go\r\n250-injected\r\n250 SMTPUTF8\r\n", f)
		res := new(result)
		ctx := context.Background()
		s, err := Open(ctx, client, testOptions(&res.recorder))
		if err != nil {
			t.Fatal(err)
		}
		// Virtual time begins in 2000: judge the certificate by real time.
		if _, err := s.StartTLS(ctx, &tls.Config{InsecureSkipVerify: true, RootCAs: pool}); err != nil {
			// The injected reply was not in our buffer yet, so that it
			// looked like a handshake: that is as good.
			if describe(err) != "lost tls" {
				t.Fatal(err)
			}
			<-done
			return
		}
		if c := s.Caps(); c.SMTPUTF8 || c.DSN || !c.RequireTLS {
			t.Errorf("capabilities %+v", c)
		}
		s.Close()
		<-done
	})
	bubble(t, "mail", func(t *testing.T) {
		client, peer := memPair(100)
		f := &fakeServer{keywords: []string{"PIPELINING", "REQUIRETLS"}}
		f.rcpt = func(i int) string { return []string{"", "550 5.1.1 no"}[i%2] }
		done := startTLSServer(peer, server, "220 go\r\n", f)
		res := new(result)
		ctx := context.Background()
		s, err := Open(ctx, client, testOptions(&res.recorder))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.StartTLS(ctx, &tls.Config{InsecureSkipVerify: true}); err != nil {
			t.Fatal(err)
		}
		tr := newTransaction(400)
		tr.RequireTLS = true
		tr.Body = content(10_000)
		res.session = s
		res.watch(t, tr)
		res.err = s.Deliver(ctx, tr)
		res.check(t)
		if res.err != nil || !s.Reusable() || res.outcome[0] != "final 250" || res.outcome[399] != "rejected 550" {
			t.Errorf("%v %v", res.err, s.Reusable())
		}
		if err := s.Quit(ctx, true); err != nil {
			t.Error(err)
		}
		<-done
		if !strings.Contains(f.lines[1], " REQUIRETLS") {
			t.Errorf("%q", f.lines[1])
		}
	})
}

func TestStartTLSRefused(t *testing.T) {
	for _, tc := range []struct {
		reply, want string
		took        time.Duration
	}{
		{"454 4.7.0 not now\r\n", "reply starttls 454", 0},
		{"501 no\r\n", "reply starttls 501", 0},
		{doHang, "timeout starttls", 300 * time.Second},
		{"220 go\r\n", "timeout tls", 300 * time.Second},
	} {
		bubble(t, tc.want, func(t *testing.T) {
			client, peer := memPair(4096)
			done := startTLSServer(peer, nil, tc.reply, nil)
			ctx := context.Background()
			s, err := Open(ctx, client, testOptions(new(recorder)))
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			_, err = s.StartTLS(ctx, &tls.Config{InsecureSkipVerify: true})
			if describe(err) != tc.want || time.Since(start) != tc.took {
				t.Errorf("%v after %v", err, time.Since(start))
			}
			if _, refused := err.(*ReplyError); refused {
				if !s.Reusable() || s.TLS() != nil {
					t.Error("cannot go on without TLS")
				}
				if err := s.Quit(ctx, false); err != nil {
					t.Error(err)
				}
			}
			<-done
		})
	}
}
