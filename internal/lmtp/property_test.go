package lmtp

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// cutConn is a connection that can be ended in two ways.
type cutConn struct {
	*memConn
	clean bool
}

func (c *cutConn) cut() {
	if c.clean {
		c.memConn.Close()
	} else {
		c.memConn.Reset()
	}
}

// runCut runs the fake server behind a connection that is cut after so many bytes
// from the client, and so many from the server; negative is no limit.
func runCut(f *fakeServer, server *memConn, reads, writes int, clean bool) {
	inner, outer := memPair(4096)
	f.start(inner)
	c := &cutConn{memConn: server, clean: clean}
	done := make(chan struct{}, 2)
	go func() { // server to client
		copyN(server, outer, writes)
		if writes >= 0 {
			c.cut()
		}
		done <- struct{}{}
	}()
	go func() { // client to server
		copyN(outer, server, reads)
		if reads >= 0 {
			c.cut()
		}
		done <- struct{}{}
	}()
	go func() {
		<-done
		server.Close()
		outer.Close()
		<-done
	}()
}

// copyN copies n bytes one by one, or all.
func copyN(dst io.Writer, src io.Reader, n int) {
	var buf [1]byte
	for n != 0 {
		if _, err := src.Read(buf[:]); err != nil {
			return
		}
		if _, err := dst.Write(buf[:]); err != nil {
			return
		}
		n--
	}
}

// mixedServer has an outcome of its own for each recipient.
func mixedServer(pipelining bool) *fakeServer {
	f := &fakeServer{keywords: []string{"DSN"}}
	if pipelining {
		f.keywords = append(f.keywords, "PIPELINING")
	}
	f.rcpt = func(i int) string { return []string{"", "550-5.1.1 no\r\n550 5.1.1 r1", "", "", "451 4.2.0 r4"}[i] }
	f.final = func(i int) string { return []string{"", "", "552 5.2.2 r2", "", ""}[i] }
	return f
}

// truth checks outcomes against what the server said: for every recipient its
// own words, and no success that the server did not promise after the dot.
func truth(t *testing.T, f *fakeServer, tr *Transaction, at string) (final func(), outcomes []string) {
	outcomes = make([]string, len(tr.Recipients))
	texts := make([]string, len(tr.Recipients))
	own := []string{"250 2.0.0 <r0> saved", "550-5.1.1 no 550 5.1.1 r1", "552 5.2.2 r2", "250 2.0.0 <r3> saved", "451 4.2.0 r4"}
	note := func(i int, r Reply) {
		if outcomes[i] != "" {
			t.Errorf("%s: recipient %d settled twice", at, i)
		}
		outcomes[i], texts[i] = fmt.Sprint(r.Code), r.Text()
	}
	tr.OnRcpt, tr.OnFinal = note, note
	return func() {
		for i, text := range texts {
			if text == "" {
				continue
			}
			if text != own[i] {
				t.Errorf("%s: recipient %d got %q", at, i, text)
			}
			if _, ok := f.promised[i]; text[0] == '2' && !(ok && f.complete) {
				t.Errorf("%s: recipient %d sent without a promise", at, i)
			}
		}
	}, outcomes
}

// TestCutAnywhere ends the dialog at every byte, in either direction.
func TestCutAnywhere(t *testing.T) {
	for _, pipelining := range []bool{true, false} {
		for _, towards := range []string{"client", "server"} {
			for _, clean := range []bool{true, false} {
				t.Run(fmt.Sprint(pipelining, towards, clean), func(t *testing.T) {
					for n := 0; ; n++ {
						if done := cutAt(t, n, pipelining, towards == "client", clean); done {
							if n < 100 {
								t.Fatalf("dialog of %d bytes", n)
							}
							return
						}
					}
				})
			}
		}
	}
}

// cutAt is true when the dialog was not cut because it is shorter.
func cutAt(t *testing.T, n int, pipelining, towardsClient, clean bool) (done bool) {
	synctest.Test(t, func(t *testing.T) {
		at := fmt.Sprintf("cut at %d", n)
		f := mixedServer(pipelining)
		client, server := memPair(64)
		if towardsClient {
			runCut(f, server, -1, n, clean)
		} else {
			runCut(f, server, n, -1, clean)
		}
		tr := newTransaction(5)
		verify, outcomes := truth(t, f, tr, at)
		s, err := Open(context.Background(), client, testOptions(new(recorder)))
		if err == nil {
			err = s.Deliver(context.Background(), tr)
			settled := strings.Join(outcomes, "")
			if (err == nil) != (len(settled) == 15) {
				t.Errorf("%s: %v, outcomes %q", at, err, outcomes)
			}
			done = err == nil && s.Quit(context.Background(), true) == nil
			s.Close()
		} else {
			client.Close()
		}
		<-f.done
		verify()
	})
	return done
}

// TestRandomTiming has servers of random speed, buffers of random size and
// replies in random pieces.
func TestRandomTiming(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for n := range 300 {
		f := mixedServer(n%2 == 0)
		f.segment = rng.IntN(20)
		f.gap = time.Duration(rng.IntN(3)) * time.Second
		f.slow = time.Duration(rng.IntN(60)) * time.Second
		size := 1 + rng.IntN(200)
		bubble(t, fmt.Sprint(n), func(t *testing.T) {
			res := deliver(t, f, size, newTransaction(5), nil)
			res.expect(t, "ok", "final 250, rejected 550, final 552, final 250, rejected 451")
		})
	}
}

// TestCutChunksAnywhere does the same with BDAT: a message in two steps, then one
// in a flight.
func TestCutChunksAnywhere(t *testing.T) {
	for _, towards := range []string{"client", "server"} {
		for _, clean := range []bool{true, false} {
			t.Run(fmt.Sprint(towards, clean), func(t *testing.T) {
				for n := 0; ; n++ {
					if done := cutChunksAt(t, n, towards == "client", clean); done {
						if n < 400 {
							t.Fatalf("dialog of %d bytes", n)
						}
						return
					}
				}
			})
		}
	}
}

func cutChunksAt(t *testing.T, n int, towardsClient, clean bool) (done bool) {
	synctest.Test(t, func(t *testing.T) {
		f := mixedServer(true)
		f.keywords = append(f.keywords, "CHUNKING")
		client, server := memPair(64)
		if towardsClient {
			runCut(f, server, -1, n, clean)
		} else {
			runCut(f, server, n, -1, clean)
		}
		s, err := Open(context.Background(), client, testOptions(new(recorder)))
		pool := new(ChunkPool)
		check := func() {}
		for i := 0; i < 2 && err == nil; i++ {
			at := fmt.Sprintf("message %d, cut at %d", i, n)
			tr := newTransaction(5)
			tr.Chunks, tr.Idle = pool, i > 0
			verify, outcomes := truth(t, f, tr, at)
			synctest.Wait() // until the server waits for a command
			clear(f.promised)
			f.complete = false
			err = s.Deliver(context.Background(), tr)
			check = func() {
				verify()
				var conn *ConnError
				settled := strings.Join(outcomes, "")
				if (err == nil) != (len(settled) == 15) {
					t.Errorf("%s: %v, outcomes %q", at, err, outcomes)
				}
				if errors.As(err, &conn) && f.complete && len(settled) < 15 && !conn.DotSent {
					t.Errorf("%s: the server has the message, and %v denies it", at, err)
				}
			}
			if err == nil {
				check()
			}
		}
		if err == nil {
			done = s.Quit(context.Background(), true) == nil
		}
		client.Close()
		<-f.done
		check()
	})
	return done
}

// FuzzDialog has a server that says anything: the session ends, and every
// recipient has one outcome at most. The byte 0x01 in the input makes the
// server wait for a line from the client.
func FuzzDialog(f *testing.F) {
	f.Add([]byte("220 hi\r\n\x01250-x\r\n250 PIPELINING\r\n\x01250 ok\r\n\x01250 ok\r\n\x01550 no\r\n\x01250 ok\r\n\x01354 go\r\n\x01\x01\x01\x01250 a\r\n452 b\r\n"), uint16(64))
	f.Add([]byte("220 hi\r\n\x01250 x\r\n\x01250 ok\r\n\x01250 ok\r\n\x01550 no\r\n\x01250 ok\r\n\x01354 go\r\n552 early\r\n250 early\r\n"), uint16(1))
	f.Add([]byte("220 hi\r\n\x01250-x\r\n250 PIPELINING\r\n\x01\x01\x01\x01250 ok\r\n550 no\r\n550 no\r\n550 no\r\n354 go\r\n"), uint16(4096))
	f.Add([]byte("220 hi\r\n\x01250-x\r\n250-PIPELINING\r\n250 CHUNKING\r\n\x01\x01\x01\x01\x01250 a\r\n250 b\r\n250 c\r\n550 d\r\n250 e\r\n\x01\x01\x01\x01250 f\r\n452 g\r\n"), uint16(5000))
	f.Add([]byte("220 hi\r\n\x01250-x\r\n250-PIPELINING\r\n250 CHUNKING\r\n\x01250 a\r\n\x01250 b\r\n\x01550 d\r\n\x01550 d\r\n\x01550 d\r\n\x01\x01\x01\x01503 no\r\n\x01250 ok\r\n"), uint16(5001))
	f.Add([]byte("220 hi\r\n\x01250-x\r\n250 CHUNKING\r\n\x01250 a\r\n\x01250 b\r\n\x01250 c\r\n\x01250 d\r\n\x01250 d\r\n\x01\x01\x01\x01250 e\r\n250 f\r\n250 g\r\n"), uint16(5001))
	f.Fuzz(func(t *testing.T, in []byte, size uint16) {
		synctest.Test(t, func(t *testing.T) { fuzzDialog(t, in, int(size%5000)+1, size >= 5000) })
	})
}

// fuzzDialog has a transaction on a connection with a buffer of size bytes; with
// chunks, if the server offers that, and as on a session that lay idle.
func fuzzDialog(t *testing.T, in []byte, size int, chunks bool) {
	client, server := memPair(size)
	done := make(chan []byte, 1)
	go func() {
		defer server.Close()
		var got bytes.Buffer // all that the client sent
		defer func() { done <- got.Bytes() }()
		br := bufio.NewReader(server)
		for i, part := range bytes.Split(in, []byte{1}) {
			if i > 0 {
				line, err := br.ReadBytes('\n')
				got.Write(line)
				if err != nil {
					return
				}
			}
			if _, err := server.Write(part); err != nil {
				return
			}
		}
		io.Copy(&got, br)
	}()
	res := new(result)
	sent := false
	var err error
	res.session, err = Open(context.Background(), client, testOptions(&res.recorder))
	if err == nil {
		tr := newTransaction(3)
		if chunks && res.session.Caps().Chunking {
			tr.Chunks, tr.Idle = new(ChunkPool), true
		}
		res.watch(t, tr)
		final := tr.OnFinal
		tr.OnFinal = func(i int, r Reply) {
			checkReply(t, r, true)
			sent = sent || r.Success()
			final(i, r)
		}
		res.err = res.session.Deliver(context.Background(), tr)
		res.check(t)
	}
	if res.session != nil {
		res.session.Quit(context.Background(), true)
	}
	client.Close()
	if got := <-done; sent && !hasEnd(got) {
		t.Errorf("sent without an end: %q", got)
	}
}

// hasEnd tells whether all of a message is in what a client sent: a final dot, or
// all of the last chunk.
func hasEnd(sent []byte) bool {
	for {
		line, rest, ok := bytes.Cut(sent, []byte("\r\n"))
		if !ok {
			return false
		}
		var size int
		var last string
		n, _ := fmt.Sscanf(string(line), "BDAT %d %s", &size, &last)
		switch {
		case string(line) == ".":
			return true
		case n == 2:
			return len(rest) >= size
		case n == 1 && len(rest) < size:
			return false
		}
		sent = rest[size:]
	}
}
