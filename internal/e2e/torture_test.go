package e2e

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// siege is a Postfix with a Dovecot under attack while mail flows.
type siege struct {
	*postfix
	dovecot *dovecot
	rnd     *rand.Rand
	blows   map[string]int
	times   []string    // of the blows
	kills   []siegeSpan // when workers were killed
	stops   []siegeSpan // when Postfix was stopped
	main    []byte      // master.cf
	begin   time.Time

	mu   sync.Mutex
	sent []siegeMail
	stop chan struct{}
}

// siegeMail is one message that smtpd has taken.
type siegeMail struct{ id, queueID, to string }

const siegeUsers = 8

// siegeSpan is a time, from its first moment to its last.
type siegeSpan struct{ from, to time.Time }

// TestTortureDovecot kills, stops and reloads everything around a flow of mail at
// random moments: workers and parents of the agent, Postfix as a whole, Dovecot
// and its processes, the status services. In the end each message is stored, and the
// log says so once, with the name that Dovecot gave to the transaction of that copy.
// Any other copy has an excuse: see excuse.
//
// POSTLMTP_E2E_TORTURE is how long the attack takes (15s), POSTLMTP_TORTURE_SEED
// what it is drawn from.
func TestTortureDovecot(t *testing.T) {
	length, seed := 15*time.Second, uint64(1)
	if text := os.Getenv("POSTLMTP_E2E_TORTURE"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	if text := os.Getenv("POSTLMTP_TORTURE_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	// With maillog_file a busy master(8) can wait for a postlogd(8) that it has yet to start.
	p := startPostfix(t, options{syslog: true, main: []string{
		"lmtp_connect_timeout = 5s", "lmtp_lhlo_timeout = 5s", fmt.Sprintf("lmtp_data_done_timeout = %.0fs", siegeReply.Seconds()),
		"maximal_backoff_time = 2s"}})
	s := &siege{postfix: p, dovecot: newDovecot(t, p), rnd: rand.New(rand.NewPCG(seed, 7)),
		blows: make(map[string]int), begin: time.Now(), stop: make(chan struct{})}
	for i := range siegeUsers {
		s.dovecot.add("", fmt.Sprint("u", i))
	}
	s.dovecot.add("", "sender")
	s.dovecot.start()
	var err error
	s.main, err = os.ReadFile(p.conf() + "/master.cf")
	p.must(err)

	var flow sync.WaitGroup
	for n := range 3 {
		flow.Go(func() { s.feed(n) })
	}
	for end := time.Now().Add(length); time.Now().Before(end); {
		time.Sleep(time.Duration(s.rnd.IntN(600)) * time.Millisecond)
		s.blow()
	}
	close(s.stop)
	flow.Wait()
	s.peace(length)
	s.count()
	eventually(t, soon, "idle agents", func() bool { return len(s.agents()) <= 2 })
	for _, a := range s.agents() {
		if open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", a.pid)); err == nil && len(open) > 50 {
			t.Errorf("process %d has %d descriptors open", a.pid, len(open))
		}
	}
}

// peace has what is left tried again until the queue is empty: a long siege leaves
// much.
func (s *siege) peace(siege time.Duration) {
	for deadline := time.Now().Add(2*later + siege); time.Now().Before(deadline); {
		s.flush()
		if s.emptyWithin(2 * time.Second) {
			return
		}
	}
	s.t.Fatalf("the queue does not become empty:\n%s", s.mailq())
}

// feed submits mail until the end of the siege. Postfix may be away: what it has
// not confirmed is not counted.
func (s *siege) feed(n int) {
	for serial := 0; ; serial++ {
		select {
		case <-s.stop:
			return
		case <-time.After(10 * time.Millisecond):
		}
		user := fmt.Sprint("u", serial%siegeUsers)
		if serial%10 == 9 {
			user = "nobody"
		}
		m := siegeMail{id: newID(fmt.Sprintf("siege-%d-%d", n, serial)), to: user + "@dovecot.lmtp.sock.test"}
		c, err := s.dial("smtp")
		if err != nil {
			continue
		}
		m.queueID, err = c.send(envelope{from: "sender@dovecot.lmtp.sock.test", to: []string{m.to}}, small(m.id))
		c.close()
		if err == nil {
			s.mu.Lock()
			s.sent = append(s.sent, m)
			s.mu.Unlock()
		}
	}
}

// blow does one thing to the system.
func (s *siege) blow() {
	// One look at the processes for both: who is new or has lost its parent since
	// another one would be taken for a parent.
	agents := s.agents()
	workers := workersAmong(agents)
	blows := []struct {
		name string
		do   func()
	}{
		{"kill -9 of a worker", func() {
			begin := time.Now()
			for _, w := range workers {
				w.kill()
			}
			s.kills = append(s.kills, siegeSpan{begin, time.Now()})
		}},
		{"kill -9 of a parent", func() {
			for _, a := range agents {
				if !slices.Contains(workers, a) {
					a.kill()
				}
			}
		}},
		{"kill -9 of Dovecot's lmtp", func() {
			for _, d := range processes(s.dovecot.dir) {
				if filepath.Base(d.program) == "lmtp" {
					d.kill()
				}
			}
		}},
		{"restart of Dovecot", func() { s.dovecot.stop(); s.dovecot.start() }},
		{"postfix reload", s.reload},
		{"postfix stop, start", func() {
			begin := time.Now()
			s.postfix.stop()
			s.stops = append(s.stops, siegeSpan{begin, time.Now()})
			s.start()
		}},
		{"bounce and defer missing", s.withoutServices},
	}
	b := blows[s.rnd.IntN(len(blows))]
	s.times = append(s.times, time.Now().Format("15:04:05.000 ")+b.name)
	b.do()
	s.blows[b.name]++
}

// withoutServices takes bounce and defer out of master.cf for a while.
func (s *siege) withoutServices() {
	var kept []byte
	for line := range bytes.Lines(s.main) {
		if !bytes.HasPrefix(line, []byte("bounce ")) && !bytes.HasPrefix(line, []byte("defer ")) {
			kept = append(kept, line...)
		}
	}
	file := s.conf() + "/master.cf"
	s.must(os.WriteFile(file, kept, 0o644))
	s.reload()
	time.Sleep(time.Second)
	s.must(os.WriteFile(file, s.main, 0o644))
	s.reload()
}
