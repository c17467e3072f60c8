package lmtp

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
)

// answers is a server that costs nothing: a connection that has the replies of
// a whole transaction ready when they are due.
type answers struct {
	net.Conn
	script [][]byte // one part for each time that the client waits
	next   int
	ready  []byte
	turn   chan struct{} // the client has sent what is to be answered
}

func (a *answers) Read(p []byte) (int, error) {
	if len(a.ready) == 0 {
		<-a.turn
		a.ready = a.script[a.next]
		a.next++
	}
	n := copy(p, a.ready)
	a.ready = a.ready[n:]
	return n, nil
}

func (a *answers) Write(p []byte) (int, error) {
	for _, end := range []string{"LHLO c\r\n", "DATA\r\n", "\n.\r\n"} {
		if bytes.HasSuffix(p, []byte(end)) || string(p) == dotLine {
			a.turn <- struct{}{}
			break
		}
	}
	return len(p), nil
}

func (a *answers) Pending() bool { return len(a.ready) > 0 }

func BenchmarkDeliver(b *testing.B) {
	for _, n := range []int{1, 50} {
		for _, size := range []int{4 << 10, 1 << 20} {
			b.Run(fmt.Sprintf("rcpt=%d/size=%d", n, size), func(b *testing.B) { benchmark(b, n, size) })
		}
	}
}

func benchmark(b *testing.B, n, size int) {
	idle, other := memPair(1)
	defer other.Close()
	conn := &answers{Conn: idle, turn: make(chan struct{}, 1)}
	conn.turn <- struct{}{} // for the greeting
	conn.script = [][]byte{[]byte("220 x\r\n"), []byte("250-x\r\n250-SIZE\r\n250-8BITMIME\r\n250 PIPELINING\r\n")}
	envelope := "250 2.1.0 OK\r\n" + strings.Repeat("250 2.1.5 OK\r\n", n) + "354 OK\r\n"
	final := strings.Repeat("250 2.0.0 <user@example.com> abcdefghijkl Saved\r\n", n)
	for range b.N {
		conn.script = append(conn.script, []byte(envelope), []byte(final))
	}
	s, err := Open(context.Background(), conn, Options{LHLOName: "c"})
	if err != nil {
		b.Fatal(err)
	}
	tr := newTransaction(n)
	chunk := []byte(strings.Repeat(strings.Repeat("x", 62)+"\r\n", 64))
	tr.Body = func(w io.Writer) error {
		for range size / len(chunk) {
			if _, err := w.Write(chunk); err != nil {
				return err
			}
		}
		return nil
	}
	count := 0
	tr.OnFinal = func(int, Reply) { count++ }
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if err := s.Deliver(context.Background(), tr); err != nil {
			b.Fatal(err)
		}
	}
	if count != b.N*n {
		b.Fatalf("%d outcomes", count)
	}
}

func BenchmarkReply(b *testing.B) {
	text := strings.Repeat("250 2.0.0 <user@example.com> abcdefghijkl Saved\r\n", b.N)
	r := newReplyReader(strings.NewReader(text), &Options{UTF8: true})
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if _, err := r.read(); err != nil {
			b.Fatal(err)
		}
	}
}
