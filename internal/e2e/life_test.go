package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestUpgradeByRename: the daemon's file is replaced by rename(2) in the middle
// of a load, as a package upgrade does, several times, with and without a
// reload after it: no message is lost, none is doubled, nothing is complained of.
func TestUpgradeByRename(t *testing.T) {
	const messages = 1500
	// By syslog: see TestReloadStopUnderLoad.
	p := startPostfix(t, options{syslog: true, main: []string{"max_use = 50"}})
	if p.agent.path == "" {
		t.Skip("Postfix's own program is that of the machine")
	}
	s := unixSink(t, p, "sink").run()
	l := p.inject(messages, 4, "sink.lmtp.sock.test")
	data, err := os.ReadFile(p.agent.path)
	p.must(err)
	for i, n := range []int{200, 500, 800, 1100} {
		eventually(t, later, fmt.Sprintf("%d deliveries", n), func() bool { return s.count() >= n })
		next := filepath.Join(p.dir, "daemon", "next")
		p.must(os.WriteFile(next, data, 0o755))
		p.must(os.Rename(next, filepath.Join(p.dir, "daemon", p.agent.file)))
		if i%2 == 1 {
			p.reload()
		}
	}
	<-l.done
	p.drain()
	for _, id := range l.ids {
		if n := s.times(id, "load@sink.lmtp.sock.test"); n != 1 {
			t.Errorf("%s is delivered %d times", id, n)
		}
	}
	p.log.noAlarm(t, 0, movedByReload,
		`/postsuper\[\d+\]: warning: bogus file name: incoming/`, // a message that arrives while a reload looks at the queue
	)
}

// TestTwoServices: two services of one daemon with settings of their own work
// side by side, and -o stress= is what the conditions of main.cf see.
func TestTwoServices(t *testing.T) {
	t.Parallel()
	p := startPostfix(t, options{
		services: map[string]string{
			"one":    "y - -o lmtp_lhlo_name=one.e2e.test -o lmtp_line_length_limit=100",
			"two":    "n - -o lmtp_lhlo_name=two.e2e.test",
			"strain": "y - -o stress=yes",
			"calm":   "y - -o stress=",
		},
		main: []string{"lmtp_lhlo_name = ${stress?{strained}:{calm}}.e2e.test"},
	})
	s := unixSink(t, p, "sink").run()
	want := map[string]string{"one": "one", "two": "two", "strain": "strained", "calm": "calm", "lmtp": "calm"}
	ids := map[string]string{}
	for range 3 {
		for service, name := range want {
			id, _ := p.sendSmall(t, "", "rcpt@sink."+service+".sock.test")
			ids[id] = name + ".e2e.test"
		}
	}
	p.empty()
	for id, name := range ids {
		if got := s.received(id); len(got) != 1 || got[0].lhlo != name {
			t.Errorf("%s: received %d times, LHLO %v, want %s", id, len(got), got, name)
		}
	}
	p.log.noAlarm(t, 0)
}

// TestProcessLimits: mail flows under every limit, and never more deliveries at
// once than it allows.
func TestProcessLimits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, maxproc, limit string
		most                 int
	}{
		{"default_process_limit = 1", "-", "1", 1},
		{"default_process_limit = 2", "-", "2", 2},
		{"default_process_limit = 100", "-", "100", 20}, // as many as the queue manager asks for
		{"maxproc 1", "1", "100", 1},
		{"maxproc 0", "0", "100", 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := startPostfix(t, options{maxproc: c.maxproc, main: []string{"default_process_limit = " + c.limit}})
			s := unixSink(t, p, "sink").run()
			const messages = 40
			l := p.inject(messages, 1, "sink.lmtp.sock.test")
			<-l.done
			p.empty()
			if n := s.count(); n != messages {
				t.Errorf("%d of %d delivered", n, messages)
			}
			if _, busy := s.peaks(); busy > c.most {
				t.Errorf("%d transactions at one time", busy)
			}
			p.log.noAlarm(t, 0)
		})
	}
}

// TestQueueNames: long queue IDs, a deep queue and other hashed directories.
func TestQueueNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		main []string
		id   string
	}{
		{"long", []string{"enable_long_queue_ids = yes"}, `^[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{10,}z[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-y]+$`},
		{"deep", []string{"hash_queue_depth = 2", "hash_queue_names = active, deferred, defer, incoming"}, `^[0-9A-F]+$`},
		{"long, deep", []string{"enable_long_queue_ids = yes", "hash_queue_depth = 2",
			"hash_queue_names = active deferred defer"}, `z`},
		{"flat", []string{"hash_queue_names = hold"}, `^[0-9A-F]+$`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := startPostfix(t, options{main: c.main})
			s := unixSink(t, p, "sink")
			refuse := make(chan struct{})
			s.onRcpt = func(*transaction, string) string {
				select {
				case <-refuse:
					return ""
				default:
					return "450 4.2.0 not now"
				}
			}
			s.run()
			to := "rcpt@sink.lmtp.sock.test"
			id, queueID := p.sendSmall(t, "", to)
			if !regexp.MustCompile(c.id).MatchString(queueID) {
				t.Errorf("queue ID %s", queueID)
			}
			p.log.delivered(t, 0, queueID, to, "deferred")
			close(refuse)
			p.drain()
			p.log.delivered(t, 0, queueID, to, "sent")
			if n := s.times(id, to); n != 1 {
				t.Errorf("delivered %d times", n)
			}
			p.log.noAlarm(t, 0)
		})
	}
}

// TestMasterFileMissing: master.cf is read by the daemon for one number. Mail
// does not wait for somebody who edits the file at that moment.
func TestMasterFileMissing(t *testing.T) {
	t.Parallel()
	p := startPostfix(t, options{maxproc: "2", main: []string{"max_idle = 1s"}})
	s := unixSink(t, p, "sink").run()
	file := filepath.Join(p.conf(), "master.cf")
	p.must(os.Rename(file, file+".old"))
	const messages = 20
	l := p.inject(messages, 1, "sink.lmtp.sock.test")
	<-l.done
	p.empty()
	p.must(os.Rename(file+".old", file))
	if n := s.count(); n != messages {
		t.Errorf("%d of %d delivered", n, messages)
	}
	if _, busy := s.peaks(); busy > 2 {
		t.Errorf("%d transactions at one time", busy)
	}
	p.log.wait(t, 0, `/lmtp\[\d+\]: warning: .*master.cf: no such file or directory`)
	p.log.noAlarm(t, 0, `/lmtp\[\d+\]: warning: .*master.cf: no such file or directory`)
}
