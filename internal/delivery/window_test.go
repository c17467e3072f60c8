package delivery

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postlmtp/internal/lmtp"
	"postlmtp/internal/queuefile"
	"postlmtp/internal/request"
)

// These tests are about the time between the final dot and the final replies: who
// is not answered then may have the mail, and gets it again.

// marked tells for each recipient whether the queue file says that it is done.
func marked(t *testing.T, req *request.Request, file *queuefile.File) string {
	t.Helper()
	data, err := os.ReadFile(file.Path())
	if err != nil {
		t.Fatal(err)
	}
	var marks strings.Builder
	for _, r := range req.Recipients {
		marks.WriteByte(data[r.Offset])
	}
	return marks.String()
}

// Each recipient is reported and marked in the queue file as its own reply comes,
// before there is any sign of the next one.
func TestEachReplyIsCommittedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		req, file := w.queue("[a]", "1@x", "2@x", "3@x", "4@x")
		w.servers["a"] = &server{caps: []string{"PIPELINING"},
			final: map[string]string{"2@x": "452 4.2.2 full", "3@x": "550 5.7.1 no"},
			pause: func(n int) {
				synctest.Wait() // until the agent waits for this reply
				want := []string{"RRRR", "DRRR", "DRRR", "DRDR"}[n]
				if got := marked(t, req, file); got != want {
					t.Errorf("before reply %d the file has %s, want %s", n+1, got, want)
				}
				w.mu.Lock()
				defer w.mu.Unlock()
				if len(w.events) != n {
					t.Errorf("before reply %d: %q", n+1, w.events)
				}
			}}
		result := New(w.opt, w).Deliver(t.Context(), req, file)
		result.Goodbye()
		if got := marked(t, req, file); got != "DRDD" || !result.Unfinished {
			t.Errorf("at the end the file has %s, unfinished: %v", got, result.Unfinished)
		}
	})
}

// Every final reply may take the whole lmtp_data_done_timeout. If one does not
// come, its recipient alone is tried again, and the log says so.
func TestFinalReplyMayTakeItsTime(t *testing.T) {
	const limit = 600 * time.Second
	for _, late := range []int{-1, 2} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.opt.Session.Timeouts.DataDone = limit
			req, file := w.queue("[a]", "1@x", "2@x", "3@x")
			w.servers["a"] = &server{caps: []string{"PIPELINING"}, pause: func(n int) {
				if n == late {
					time.Sleep(limit + time.Second)
					return
				}
				time.Sleep(limit - time.Second)
			}}
			start := time.Now()
			result := New(w.opt, w).Deliver(t.Context(), req, file)
			took := time.Since(start)
			result.Goodbye()
			got := marked(t, req, file)
			unconfirmed := strings.Count(strings.Join(w.log, "\n"), "1ABC: unconfirmed: a[192.0.2.97]:24 did not answer the end of the message for 1 of 3 recipients")
			switch {
			case late < 0 && (got != "DDD" || took != 3*(limit-time.Second) || unconfirmed != 0):
				t.Errorf("%s after %v, log %q", got, took, w.log)
			case late == 2 && (got != "DDR" || took != 3*limit-2*time.Second || unconfirmed != 1):
				t.Errorf("%s after %v, log %q", got, took, w.log)
			}
			if late < 0 {
				return
			}
			// The next attempt is about that one only.
			again := *req
			again.Recipients = req.Recipients[2:]
			w.servers["a"] = &server{}
			New(w.opt, w).Deliver(t.Context(), &again, file).Goodbye()
			time.Sleep(time.Minute) // the first server wakes up, and finds that nobody is there
			if stored := w.servers["a"].stored; len(stored) != 1 || stored[0] != "3@x" {
				t.Errorf("again to %q", stored)
			}
		})
	}
}

// A delivery that goes on, however slowly, is not taken for one that is stuck.
func TestProgress(t *testing.T) {
	const limit = time.Hour
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.opt.Session.Timeouts = lmtp.Timeouts{Mail: limit, DataDone: limit, DataXfer: limit}
		last, longest := time.Now(), time.Duration(0)
		w.opt.Progress = func(context.Context) {
			longest = max(longest, time.Since(last))
			last = time.Now()
		}
		req, file := w.queue("[a]", "1@x", "2@x", "3@x", "4@x")
		w.servers["a"] = &server{pause: func(int) { time.Sleep(limit - time.Minute) }}
		start := time.Now()
		New(w.opt, w).Deliver(t.Context(), req, file).Goodbye()
		if got := marked(t, req, file); got != "DDDD" {
			t.Errorf("the file has %s", got)
		}
		if took := time.Since(start); took < 3*limit || longest >= limit {
			t.Errorf("%v without progress in %v", longest, took)
		}
	})
}

// A reply that the reply filter cannot judge leaves open what became of its
// recipient, and of those behind it.
func TestFilterFailsAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.opt.Session.ReplyFilter = func(line string) (string, bool, error) {
			if strings.Contains(line, "second") {
				return "", false, errors.New("look up line: table is gone")
			}
			return "", false, nil
		}
		w.servers["a"] = &server{final: map[string]string{"2@x": "250 2.0.0 second"}}
		w.deliver(New(w.opt, w), "[a]", 0, "1@x", "2@x", "3@x")
		if want := "sent 1@x 2.0.0 deferred 2@x 4.3.0 deferred 3@x 4.3.0"; len(w.events) != 3 || want != outcomes(w.events) {
			t.Errorf("%q", w.events)
		}
		if log := strings.Join(w.log, "\n"); !strings.Contains(log, "unconfirmed: a[192.0.2.97]:24 answered the end of the message, which lmtp_reply_filter kept us from reading, for 2 of 3 recipients") {
			t.Errorf("log %s", log)
		}
	})
}

// outcomes are the first three words of each event.
func outcomes(events []string) string {
	var words []string
	for _, e := range events {
		words = append(words, strings.Fields(e)[:3]...)
	}
	return strings.Join(words, " ")
}
