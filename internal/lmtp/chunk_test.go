package lmtp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// deliverChunked runs two transactions on a session with a server that offers
// CHUNKING: a good one, and tr, which finds the session idle.
func deliverChunked(t *testing.T, f *fakeServer, size int, tr *Transaction) *result {
	t.Helper()
	f.keywords = append(f.keywords, "8BITMIME", "CHUNKING")
	res := new(result)
	client, server := memPair(size)
	first := *f
	first.mail, first.rcpt, first.data, first.final, first.chunk, first.nobody = "", nil, "", nil, nil, ""
	first.rset, first.tail, first.early, first.lax, first.bodyMax = "", "", "", false, 0
	first.segment, first.gap, first.slow = 0, 0, 0
	*f, first = first, *f // friendly until the session lies idle
	f.start(server)
	ctx := context.Background()
	var err error
	if res.session, err = Open(ctx, client, testOptions(&res.recorder)); err != nil {
		t.Fatal(err)
	}
	pool := new(ChunkPool)
	opening := newTransaction(1)
	opening.Chunks = pool
	if err := res.session.Deliver(ctx, opening); err != nil || !res.session.Reusable() {
		t.Fatal(err)
	}
	synctest.Wait() // until the server waits for a command
	first.promised, first.done, first.conn, first.lines = map[int]string{}, f.done, f.conn, f.lines
	first.body, first.complete = nil, false
	*f = first
	tr.Chunks, tr.Idle = pool, true
	res.trace, f.lines = nil, nil
	res.watch(t, tr)
	start := time.Now()
	res.err = res.session.Deliver(ctx, tr)
	res.elapsed = time.Since(start)
	res.reusable = res.session.Reusable()
	res.check(t)
	res.session.Quit(ctx, true)
	<-f.done
	return res
}

func chunking() *fakeServer { return &fakeServer{keywords: []string{"PIPELINING"}} }

// large is a message that does not fit into a flight.
func large(n int) *Transaction {
	tr := newTransaction(n)
	tr.Size = 300_000
	tr.Body = content(12_000) // about 300 KB
	return tr
}

func TestFlight(t *testing.T) {
	for _, size := range []int{1, 64, 4096} {
		bubble(t, fmt.Sprint(size), func(t *testing.T) {
			f := chunking()
			f.rcpt = func(i int) string { return []string{"", "550 5.1.1 no", "", ""}[i] }
			f.final = func(i int) string { return []string{"", "", "452 4.2.2 full", ""}[i] }
			tr := newTransaction(4)
			tr.Body = func(w io.Writer) error {
				_, err := io.WriteString(w, "Subject: dots\r\n\r\n.\r\n..\r\nend")
				return err
			}
			res := deliverChunked(t, f, size, tr)
			res.expect(t, "ok", "final 250, rejected 550, final 452, final 250")
			if !res.reusable {
				t.Error("not reusable")
			}
			if got := string(f.body); got != "Subject: dots\r\n\r\n.\r\n..\r\nend\r\n" {
				t.Errorf("content %q", got)
			}
			want := []string{"RSET", "MAIL FROM:<sender@example.com> BODY=7BIT", "RCPT TO:<r0@example.org>",
				"RCPT TO:<r1@example.org>", "RCPT TO:<r2@example.org>", "RCPT TO:<r3@example.org>", "BDAT 29 LAST", "QUIT"}
			if got := strings.Join(f.lines, "\n"); got != strings.Join(want, "\n") {
				t.Errorf("commands:\n%s", got)
			}
			trace := strings.Join(res.trace, "\n")
			if !strings.Contains(trace, "> BDAT 29 LAST\n> (29 bytes)\n< 250 2.0.0 reset\n") {
				t.Errorf("trace:\n%s", trace)
			}
		})
	}
}

// TestFlightIsOneWrite counts the round trips: nothing is read between the first
// byte of a flight and its last.
func TestFlightIsOneWrite(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		f := chunking()
		f.gap = time.Second // each reply takes so long
		res := deliverChunked(t, f, 1<<20, newTransaction(1))
		res.expect(t, "ok", "final 250")
		var last, reply int
		for i, line := range res.trace {
			if strings.HasPrefix(line, "> BDAT") {
				last = i
			}
			if reply == 0 && strings.HasPrefix(line, "< ") {
				reply = i
			}
		}
		if last == 0 || reply < last {
			t.Errorf("a reply was awaited before the content was sent:\n%s", strings.Join(res.trace, "\n"))
		}
	})
}

// The first message on a connection goes in two steps.
func TestFirstIsNoFlight(t *testing.T) {
	for _, pipelining := range []bool{true, false} {
		bubble(t, fmt.Sprint(pipelining), func(t *testing.T) {
			f := &fakeServer{keywords: []string{"CHUNKING"}}
			if pipelining {
				f.keywords = append(f.keywords, "PIPELINING")
			}
			f.rcpt = func(int) string { return "550 5.1.1 no" }
			tr := newTransaction(2)
			tr.Chunks = new(ChunkPool)
			res := deliver(t, f, 64, tr, nil)
			res.expect(t, "ok", "rejected 550, rejected 550")
			if got := strings.Join(f.lines, " "); strings.Contains(got, "BDAT") || !strings.Contains(got, "RSET QUIT") {
				t.Errorf("commands %s", got)
			}
		})
	}
}

// TestFlightForNobody has all kinds of servers that do not take the content:
// with a reply to BDAT or, as RFC 2033 has it, without.
func TestFlightForNobody(t *testing.T) {
	refuse := func(int) string { return "550 5.1.1 no" }
	for _, tc := range []struct {
		name          string
		f             fakeServer
		err, outcomes string
		reusable      bool
		took          time.Duration
	}{
		{"refused with 503", fakeServer{rcpt: refuse}, "ok", "rejected 550, rejected 550", true, 0},
		{"refused with 554", fakeServer{rcpt: refuse, nobody: "554-5.5.1 no\r\n554 5.5.1 recipients"}, "ok", "rejected 550, rejected 550", true, 0},
		{"no reply", fakeServer{rcpt: refuse, nobody: doSkip}, "ok", "rejected 550, rejected 550", false, 0},
		{"temporarily refused", fakeServer{rcpt: refuse, nobody: "451 4.3.0 later"}, "desync final unconfirmed", ", ", false, 0},
		{"two replies", fakeServer{rcpt: refuse, nobody: "503 5.5.0 no\r\n503 5.5.0 no"}, "desync final unconfirmed", ", ", false, 0},
		{"going down", fakeServer{rcpt: refuse, nobody: "421 4.3.2 bye\r\n" + doClose}, "ok", "rejected 550, rejected 550", false, 0},
		{"hangs up", fakeServer{rcpt: refuse, nobody: doClose}, "ok", "rejected 550, rejected 550", false, 0},
		{"hangs", fakeServer{rcpt: refuse, nobody: doHang}, "ok", "rejected 550, rejected 550", false, 20 * time.Second},
		{"MAIL refused", fakeServer{mail: "452 4.3.1 full"}, "reply mail 452", ", ", true, 0},
		{"MAIL refused, no reply to BDAT", fakeServer{mail: "452 4.3.1 full", nobody: doSkip}, "reply mail 452", ", ", false, 0},
		{"MAIL refused, RCPT and BDAT accepted", fakeServer{mail: "452 4.3.1 full", lax: true}, "desync final unconfirmed", ", ", false, 0},
		{"MAIL refused, then the end", fakeServer{mail: "452 4.3.1 full\r\n" + doClose}, "reply mail 452", ", ", false, 0},
		{"RSET refused", fakeServer{rset: "421 4.3.2 bye\r\n" + doClose}, "reply probe 421", ", ", false, 0},
		{"RSET and all recipients refused", fakeServer{rset: "500 5.5.1 what", rcpt: refuse}, "reply probe 500", ", ", false, 0},
	} {
		for _, size := range []int{64, 1 << 20} {
			bubble(t, fmt.Sprint(tc.name, "/", size), func(t *testing.T) {
				f := tc.f
				f.keywords = []string{"PIPELINING"}
				res := deliverChunked(t, &f, size, newTransaction(2))
				res.expect(t, tc.err, tc.outcomes)
				if res.reusable != tc.reusable {
					t.Errorf("reusable %v", res.reusable)
				}
				if res.elapsed != tc.took {
					t.Errorf("took %v, want %v", res.elapsed, tc.took)
				}
			})
		}
	}
}

// TestFlightAcceptedForNobody has a server that takes a message for nobody: its
// reply cannot be told from that to RSET, so the session is over.
func TestFlightAcceptedForNobody(t *testing.T) {
	for _, size := range []int{64, 1 << 20} {
		bubble(t, fmt.Sprint(size), func(t *testing.T) {
			f := chunking()
			f.rcpt = func(int) string { return "550 5.1.1 no" }
			f.nobody = "250 2.0.0 fine"
			res := deliverChunked(t, f, size, newTransaction(2))
			if res.reusable || strings.Contains(res.outcomes(), "final") {
				t.Errorf("%v, outcomes %s, reusable %v", res.err, res.outcomes(), res.reusable)
			}
		})
	}
}

// TestFlightBroken has servers that end a flight at any place.
func TestFlightBroken(t *testing.T) {
	rcpt := func(replies ...string) func(int) string {
		return func(i int) string { return replies[i] }
	}
	const limit = 600 * time.Second
	for _, tc := range []struct {
		name          string
		f             fakeServer
		err, outcomes string
		took          time.Duration
	}{
		// Nothing was said: the session was dead before.
		{"at once", fakeServer{rset: doClose}, "lost probe unconfirmed", ", , ", 0},
		{"silence", fakeServer{rset: doHang}, "timeout final unconfirmed", ", , ", limit},
		{"after RSET", fakeServer{mail: doClose}, "lost final unconfirmed", ", , ", 0},
		{"after RSET, silence", fakeServer{mail: doHang}, "timeout final unconfirmed", ", , ", limit},
		{"in RCPT", fakeServer{rcpt: rcpt("", "550 5.1.1 no", doClose)}, "lost final unconfirmed", ", rejected 550, ", 0},
		{"after RCPT", fakeServer{final: rcpt(doClose)}, "lost final unconfirmed", ", , ", 0},
		{"in final replies", fakeServer{final: rcpt("", doReset, "")}, "lost final unconfirmed", "final 250, , ", 0},
		{"final replies missing", fakeServer{final: rcpt("", "", doSkip)}, "timeout final unconfirmed", "final 250, final 250, ", limit},
		{"one reply too many", fakeServer{tail: "250 2.0.0 <r3> saved"}, "ok", "final 250, final 250, final 250", 0},
		{"RSET refused and the message taken", fakeServer{rset: "500 5.5.1 what"}, "ok", "final 250, final 250, final 250", 0},
		{"3xx to RCPT and one reply missing", fakeServer{rcpt: rcpt("", "354 what", doClose)}, "desync final unconfirmed", ", , ", 0},
	} {
		bubble(t, tc.name, func(t *testing.T) {
			f := tc.f
			f.keywords = []string{"PIPELINING"}
			res := deliverChunked(t, &f, 1<<20, newTransaction(3))
			res.expect(t, tc.err, tc.outcomes)
			if res.reusable {
				t.Error("reusable")
			}
			if res.elapsed != tc.took {
				t.Errorf("took %v, want %v", res.elapsed, tc.took)
			}
		})
	}
}

// A message that is larger than its size says goes in two steps after all.
func TestFlightTooLarge(t *testing.T) {
	for _, refuse := range []string{"", "550 5.1.1 no"} {
		bubble(t, refuse, func(t *testing.T) {
			f := chunking()
			f.rcpt = func(int) string { return refuse }
			tr := newTransaction(1)
			tr.Body = content(12_000)
			res := deliverChunked(t, f, 4096, tr)
			if refuse != "" {
				res.expect(t, "ok", "rejected 550")
				if f.body != nil {
					t.Errorf("%d bytes sent to nobody", len(f.body))
				}
				return
			}
			res.expect(t, "ok", "final 250")
			var want strings.Builder
			content(12_000)(&want)
			if string(f.body) != want.String() || f.lines[3] != "BDAT 65536" {
				t.Errorf("%d bytes of %d, %q", len(f.body), want.Len(), f.lines)
			}
		})
	}
}

// So does one whose envelope is long.
func TestFlightManyRecipients(t *testing.T) {
	for _, n := range []int{50, 1000} {
		bubble(t, fmt.Sprint(n), func(t *testing.T) {
			f := chunking()
			f.rcpt = func(i int) string { return []string{"", "451 4.2.0 busy", ""}[i%3] }
			f.final = func(i int) string { return []string{"", "", "552 5.2.2 full"}[i%3] }
			var want []string
			for i := range n {
				want = append(want, []string{"final 250", "rejected 451", "final 552"}[i%3])
			}
			res := deliverChunked(t, f, 64, newTransaction(n))
			res.expect(t, "ok", strings.Join(want, ", "))
			if !res.reusable {
				t.Error("not reusable")
			}
		})
	}
}

func TestChunks(t *testing.T) {
	for _, pipelining := range []bool{true, false} {
		for _, size := range []int{7, 4096, 1 << 20} {
			bubble(t, fmt.Sprint(pipelining, size), func(t *testing.T) {
				f := chunking()
				if !pipelining {
					f.keywords = nil
				}
				f.rcpt = func(i int) string { return []string{"", "550 5.1.1 no", ""}[i] }
				f.final = func(i int) string { return []string{"", "", "452 4.2.2 full"}[i] }
				tr := large(3)
				res := deliverChunked(t, f, size, tr)
				res.expect(t, "ok", "final 250, rejected 550, final 452")
				var want strings.Builder
				tr.Body(&want)
				if string(f.body) != want.String() {
					t.Errorf("%d bytes of %d", len(f.body), want.Len())
				}
				if !res.reusable {
					t.Error("not reusable")
				}
			})
		}
	}
}

// TestChunksAhead has a server that answers chunks late: no more than the bound
// are sent, and the last one never before all others were answered.
func TestChunksAhead(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		f := chunking()
		f.gap = 10 * time.Second
		res := deliverChunked(t, f, 1<<20, large(1))
		res.expect(t, "ok", "final 250")
		open := 0
		for _, line := range res.trace {
			switch {
			case strings.HasPrefix(line, "> BDAT") && strings.HasSuffix(line, "LAST"):
				if open > 0 {
					t.Errorf("LAST with %d chunks unanswered", open)
				}
			case strings.HasPrefix(line, "> BDAT"):
				if open++; open > 2 {
					t.Errorf("%d chunks unanswered", open)
				}
			case line == "< 250 2.0.0 taken":
				open--
			}
		}
	})
}

func TestChunkRefused(t *testing.T) {
	at := func(i int, r string) func(int) string {
		return func(k int) string {
			if k == i {
				return r
			}
			return ""
		}
	}
	for _, tc := range []struct {
		name     string
		f        fakeServer
		err      string
		reusable bool
		took     time.Duration
	}{
		{"first", fakeServer{chunk: at(0, "452 4.3.1 disk full")}, "reply chunk 452", true, 0},
		{"third", fakeServer{chunk: at(2, "552 5.3.4 too large")}, "reply chunk 552", true, 0},
		{"then the end", fakeServer{chunk: at(1, "421 4.3.2 bye\r\n"+doClose)}, "reply chunk 421", false, 0},
		{"the end", fakeServer{chunk: at(1, doClose)}, "lost chunk", false, 0},
		{"silence", fakeServer{chunk: at(1, doHang)}, "timeout chunk", false, 180 * time.Second},
		{"odd", fakeServer{chunk: at(1, "354 go on")}, "desync chunk", false, 0},
		{"RSET refused", fakeServer{chunk: at(0, "452 4.3.1 disk full"), rset: "500 5.5.1 what"}, "reply chunk 452", false, 0},
		{"closed in the middle", fakeServer{bodyMax: 100_000}, "lost chunk", false, 0},
		{"refused and closed in the middle", fakeServer{bodyMax: 100_000, bodySay: "552 5.3.4 too large\r\n" + doClose}, "reply chunk 552", false, 0},
	} {
		bubble(t, tc.name, func(t *testing.T) {
			f := tc.f
			f.keywords = []string{"PIPELINING", "CHUNKING"}
			tr := large(2)
			tr.Chunks = new(ChunkPool)
			res := deliver(t, &f, 4096, tr, nil)
			res.expect(t, tc.err, ", ")
			if res.reusable != tc.reusable {
				t.Errorf("reusable %v", res.reusable)
			}
			if res.elapsed != tc.took {
				t.Errorf("took %v, want %v", res.elapsed, tc.took)
			}
			if f.complete {
				t.Error("the server saw the end")
			}
			var conn *ConnError
			if errors.As(res.err, &conn) && conn.Ambiguous() {
				t.Error("ambiguous")
			}
		})
	}
}

// TestChunkLocalError has content that cannot be read to its end: the server
// never sees the last chunk.
func TestChunkLocalError(t *testing.T) {
	gone := errors.New("read queue file: gone")
	for _, after := range []int{0, 1, 12_000} {
		for _, idle := range []bool{true, false} {
			bubble(t, fmt.Sprint(after, idle), func(t *testing.T) {
				f := chunking()
				tr := newTransaction(1)
				if !idle {
					tr = large(1)
				}
				tr.Body = func(w io.Writer) error {
					if err := content(after)(w); err != nil {
						return err
					}
					return gone
				}
				res := deliverChunked(t, f, 4096, tr)
				res.expect(t, "local body", "")
				if !errors.Is(res.err, gone) || f.complete || !res.session.Closed() {
					t.Errorf("%v, end %v", res.err, f.complete)
				}
			})
		}
	}
}

// The limit of a chunk's reply is not that of the final ones.
func TestChunkCancelled(t *testing.T) {
	for _, tc := range []struct {
		name string
		f    fakeServer
		tr   *Transaction
		err  string
		took time.Duration
	}{
		{"flight", fakeServer{final: func(int) string { return doHang }}, newTransaction(1), "cancelled final unconfirmed", 14 * time.Second},
		{"chunk", fakeServer{chunk: func(int) string { return doHang }}, large(1), "cancelled chunk", 10 * time.Second},
	} {
		bubble(t, tc.name, func(t *testing.T) {
			f := tc.f
			f.keywords = []string{"PIPELINING", "CHUNKING"}
			client, server := memPair(1 << 20)
			f.start(server)
			ctx, cancel := context.WithCancel(context.Background())
			rec := new(recorder)
			s, err := Open(ctx, client, testOptions(rec))
			if err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(10*time.Second, cancel)
			start := time.Now()
			tc.tr.Chunks, tc.tr.Idle, tc.tr.FinalGrace = new(ChunkPool), true, 4*time.Second
			err = s.Deliver(ctx, tc.tr)
			if got := describe(err); got != tc.err || time.Since(start) != tc.took {
				t.Errorf("%s after %v, want %s after %v", got, time.Since(start), tc.err, tc.took)
			}
			<-f.done
		})
	}
}
