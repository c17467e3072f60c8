package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"

	"postlmtp/internal/lab"
	"postlmtp/internal/request"
)

// The longest dialog of TestEveryCut, in bytes of each direction, with some room:
// a cut that comes after the end is no cut.
const (
	longestOut = 230
	longestIn  = 230
)

// TestEveryCut holds a short dialog again and again, over each kind of socket,
// and cuts it after each byte of what the server says and of what it hears: by
// closing, by a reset, by ending one direction. However it is cut, the next
// attempt settles everybody once.
func TestEveryCut(t *testing.T) {
	step := int(number(t, "POSTLMTP_TORTURE_CUT_STEP", 1))
	sum := newTally()
	t.Cleanup(func() {
		t.Logf("\n%s", sum.table("TestEveryCut"))
		for how := closes; how <= halfCloses && step == 1; how++ {
			// Each byte of the dialog, which is shorter than what was tried.
			if n := sum.of("cut of the connection, " + how.String()).met; n < 2*300 || n >= 2*(longestOut+longestIn) {
				t.Errorf("%d connections were ended by %v", n, how)
			}
		}
	})
	for _, network := range []string{"unix", "tcp"} {
		for how := closes; how <= halfCloses; how++ {
			t.Run(fmt.Sprint(network, " ", how), func(t *testing.T) {
				t.Parallel()
				everyCut(t, network, how, step, sum)
			})
		}
	}
}

func everyCut(t *testing.T, network string, how ending, step int, sum *tally) {
	r := &run{t: t, rnd: rand.New(rand.NewPCG(1, 0)), tally: sum}
	var err error
	if r.lab, err = lab.New("", lab.Options{Agent: theAgent(t), ProcessLimit: 4}); err != nil {
		t.Fatal(err)
	}
	defer r.lab.Close()
	path := ""
	if network == "unix" {
		path = filepath.Join(r.lab.QueueDirectory(), "public", "vault")
	}
	if r.vault, err = newVault(path, 1, nil, sum); err != nil {
		t.Fatal(err)
	}
	defer r.vault.close()
	for at := 0; at < longestOut; at += step {
		r.cutOnce(faults{cutOut: at, cutIn: -1, stall: -1, how: how})
	}
	for at := 0; at < longestIn; at += step {
		r.cutOnce(faults{cutOut: -1, cutIn: at, stall: -1, how: how})
	}
	r.leave()
	r.count()
}

// cutOnce delivers one message over a connection with these faults, and what is
// left of it over a good one.
func (r *run) cutOnce(f faults) {
	l := &letter{name: fmt.Sprint("m", len(r.mail)), id: fmt.Sprintf("<%d@cut>", len(r.mail))}
	l.content = "Message-ID: " + l.id + "\n\n.dot\nend\n"
	rcpts := []request.Recipient{{Address: "a@x"}, {Address: "nobody@x"}, {Address: "b@x"}}
	req, err := r.lab.Queue(lab.Message{Sender: "s@x", Recipients: rcpts, Content: l.content})
	if err != nil {
		r.t.Fatal(err)
	}
	req.Nexthop = r.vault.nexthop()
	l.req = req
	r.mail = append(r.mail, l)
	r.vault.expect(l, "Message-ID: "+l.id+"\n\n..dot\nend\n")
	var once sync.Once
	r.vault.mu.Lock()
	r.vault.plan = func(*rand.Rand) faults {
		now := noFaults()
		once.Do(func() { now = f })
		return now
	}
	r.vault.mu.Unlock()
	r.tally.count(countRuns, 1)
	r.tally.count(countMessages, 1)
	r.tally.count(countRecipients, len(rcpts))
	for range 3 {
		left := r.left(l, 0)
		if left == nil {
			return
		}
		ctx, cancel := context.WithTimeout(r.t.Context(), deliveryLimit)
		r.deliver(ctx, l, left)
		cancel()
	}
	if r.left(l, 0) != nil {
		r.t.Errorf("not settled: %+v", f)
	}
}
