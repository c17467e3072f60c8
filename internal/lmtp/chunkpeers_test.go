package lmtp

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// injection is content that a server would obey if it took what it has refused
// for commands.
const injection = "Subject: hi\r\n\r\n.\r\nRSET\r\nMAIL FROM:<evil@example.com>\r\nRCPT TO:<one@x.example>\r\nDATA\r\nevil\r\n.\r\n"

// chunkedRounds delivers small and large messages, for all kinds of recipients
// and for nobody, over one session. It stays in step.
func chunkedRounds(t *testing.T, conn net.Conn) (rounds int, trace []string) {
	t.Helper()
	res := new(result)
	ctx := context.Background()
	s, err := Open(ctx, conn, testOptions(&res.recorder))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if !s.Caps().Chunking {
		t.Fatalf("capabilities %+v", s.Caps())
	}
	pool := new(ChunkPool)
	deliver := func(names, body, want string) {
		t.Helper()
		tr := newTransaction(0)
		for _, name := range strings.Fields(names) {
			tr.Recipients = append(tr.Recipients, Recipient{Address: name + "@x.example"})
		}
		tr.Size, tr.Chunks, tr.Idle = int64(len(body)), pool, s.UseCount() > 0
		tr.Body = func(w io.Writer) error {
			_, err := io.WriteString(w, body)
			return err
		}
		res.session = s
		res.watch(t, tr)
		res.err = s.Deliver(ctx, tr)
		res.check(t)
		res.expect(t, "ok", want)
		if !s.Reusable() || s.inputWaits() {
			t.Fatalf("out of step, or not reusable:\n%s", strings.Join(res.trace, "\n"))
		}
	}
	sizes := []int{0, 1, 1000, chunkLimit/100 - 1, 10*chunkLimit/100 + 1}
	for _, lines := range sizes {
		body := "Subject: hi\r\n\r\n" + strings.Repeat(strings.Repeat("x", 98)+"\r\n", lines)
		deliver("one unknown two full one unknown2", body,
			"final 250, rejected 550, final 250, final 452, final 250, rejected 550")
		deliver("unknown", injection, "rejected 550")
		deliver("unknown unknown2", injection, "rejected 550, rejected 550")
		deliver("full", body, "final 452")
		deliver("full unknown", body, "final 452, rejected 550")
	}
	bad := newTransaction(1)
	bad.Sender, bad.Chunks, bad.Idle = "not an@address@of any kind\t", pool, true
	bad.Body = func(w io.Writer) error {
		_, err := io.WriteString(w, injection)
		return err
	}
	res.watch(t, bad)
	res.err = s.Deliver(ctx, bad)
	res.check(t)
	if text := describe(res.err); !strings.HasPrefix(text, "reply mail 5") {
		t.Errorf("bad sender: %s", text)
	}
	if err := s.Quit(ctx, true); err != nil {
		t.Error(err)
	}
	return len(sizes), res.trace
}

func TestDovecotChunks(t *testing.T) {
	dir, conn := dialDovecot(t)
	rounds, trace := chunkedRounds(t, conn)
	for user, want := range map[string]int{"one": rounds, "two": rounds, "full": 0} { // "one" twice in a message is one mail
		names, _ := filepath.Glob(filepath.Join(dir, "mail", user+"@x.example", "new", "*"))
		if len(names) != want {
			t.Errorf("%s has %d messages, want %d", user, len(names), want)
		}
		for _, name := range names {
			if text, err := os.ReadFile(name); err != nil || strings.Contains(string(text), "evil") {
				t.Errorf("%v in %s", err, text)
			}
		}
	}
	if t.Failed() {
		t.Logf("dialog:\n%s", strings.Join(trace, "\n"))
	}
}

func TestGoSMTPChunks(t *testing.T) {
	st, addr := listen(t, "unix", nil)
	rounds, trace := chunkedRounds(t, dial(t, addr))
	st.mu.Lock()
	defer st.mu.Unlock()
	if n := len(st.mail["one@x.example"]); n != 2*rounds {
		t.Errorf("%d messages, want %d", n, 2*rounds)
	}
	for to, texts := range st.mail {
		for _, text := range texts {
			if strings.Contains(text, "evil") || strings.HasPrefix(to, "unknown") {
				t.Errorf("%s has %q", to, text)
			}
		}
	}
	if t.Failed() {
		t.Logf("dialog:\n%s", strings.Join(trace, "\n"))
	}
}
