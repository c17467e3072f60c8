package status_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"postlmtp/internal/lab"
	"postlmtp/internal/lab/program"
	"postlmtp/internal/request"
)

// daemon builds the daemon.
func daemon(t *testing.T) string {
	t.Helper()
	path, err := program.Build(t.TempDir(), "lmtp")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// unprivileged is the user for the daemon, which cannot be looked into as root.
func unprivileged() string {
	if os.Geteuid() != 0 {
		return ""
	}
	for _, name := range []string{"postfix", "nobody"} {
		if _, err := user.Lookup(name); err == nil {
			return name
		}
	}
	return ""
}

// A world is a daemon, a server, and somebody who asks for the metrics.
type world struct {
	t       *testing.T
	lab     *lab.Lab
	address string
	last    float64 // the sum at the last look
}

func newWorld(t *testing.T, options lab.Options) *world {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	options.Agent, options.User, options.Stderr = daemon(t), unprivileged(), os.Stderr
	options.MainCF = append(options.MainCF, "postlmtp_metrics_listen = "+address)
	w := &world{t: t, address: address}
	if w.lab, err = lab.New("", options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.lab.Close() })
	return w
}

// serve makes the server of a name, and by a script.
func (w *world) serve(name, script string) *lab.Server {
	w.t.Helper()
	s, err := lab.ParseScript(script)
	if err != nil {
		w.t.Fatal(err)
	}
	server, err := w.lab.Serve(name, s)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { server.Close() })
	return server
}

// deliver delivers one message to a server.
func (w *world) deliver(server *lab.Server) {
	w.t.Helper()
	req, err := w.lab.Queue(lab.Message{
		Sender:     "s@example.com",
		Recipients: []request.Recipient{{Address: "r@example.net"}},
		Content:    "Subject: x\n\nx\n",
	})
	if err != nil {
		w.t.Fatal(err)
	}
	req.Nexthop = server.Destination()
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	if _, err := w.lab.Deliver(ctx, req); err != nil {
		w.t.Error(err)
	}
}

// scrape asks for the metrics, and returns the sum of a family over all series
// that have these labels.
func (w *world) scrape(family string, labels ...string) (float64, error) {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + w.address + "/metrics")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for _, m := range families[family].GetMetric() {
		has := map[string]bool{}
		for _, l := range m.GetLabel() {
			has[l.GetName()+"="+l.GetValue()] = true
		}
		wanted := true
		for _, l := range labels {
			wanted = wanted && has[l]
		}
		if wanted {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum, nil
}

// await waits until the metrics have a value: the one that answers may change at
// this moment. The sum of deliveries must never go back meanwhile.
func (w *world) await(want float64, family string, labels ...string) {
	w.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		now, err := w.scrape("postlmtp_deliveries_total")
		if err == nil {
			if now < w.last {
				w.t.Fatalf("the sum of deliveries went back from %v to %v", w.last, now)
			}
			w.last = now
		}
		got, err := w.scrape(family, labels...)
		if err == nil && got == want {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%s %v is %v, %v; want %v\n%v", family, labels, got, err, want, w.lab.Log())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

const stored = "on .\n250 2.0.0 stored\n"

// workers returns the daemon's processes that serve: the children of those that
// master(8) knows.
func (w *world) workers() []int {
	var pids []int
	for _, e := range w.lab.Processes() {
		if e.What != "start" {
			continue
		}
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", e.PID))
		for _, thread := range threads {
			children, _ := os.ReadFile(thread)
			for pid := range strings.FieldsSeq(string(children)) {
				n, err := strconv.Atoi(pid)
				if err != nil {
					w.t.Fatal(err)
				}
				pids = append(pids, n)
			}
		}
	}
	return pids
}

// A worker is reloaded while it is busy, another one takes over, one is killed:
// the counters never go back, and what is going on can be seen all the time.
func TestDaemonReloadAndKill(t *testing.T) {
	w := newWorld(t, lab.Options{ProcessLimit: 10, MainCF: []string{"max_idle = 1s"}})
	good := w.serve("good", stored)
	slow := w.serve("slow", "on .\nwait 3s\n250 2.0.0 stored\n")
	for range 3 {
		w.deliver(good)
	}
	w.await(3, "postlmtp_deliveries_total", "result=sent", "service=lmtp", "destination="+good.Destination())
	w.await(3, "postlmtp_sessions_opened_total")

	busy := make(chan struct{})
	go func() {
		defer close(busy)
		w.deliver(slow)
	}()
	w.await(1, "postlmtp_deliveries_in_flight", "stage=final")
	if err := w.lab.Reload(); err != nil {
		t.Fatal(err)
	}
	w.deliver(good) // by the next generation, beside the old one
	w.await(4, "postlmtp_deliveries_total", "destination="+good.Destination())
	w.await(2, "postlmtp_processes")
	w.await(1, "postlmtp_deliveries_in_flight", "stage=final")
	<-busy
	w.await(1, "postlmtp_processes")
	w.await(5, "postlmtp_deliveries_total", "result=sent", "status=2.0")
	w.await(2, "postlmtp_process_starts_total")

	workers := w.workers()
	if len(workers) != 1 {
		t.Fatalf("workers %v", workers)
	}
	for _, pid := range workers {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	}
	w.deliver(good)
	w.await(6, "postlmtp_deliveries_total", "result=sent")
	w.await(3, "postlmtp_process_starts_total")
	w.await(1, "postlmtp_processes")
	w.await(0, "postlmtp_processes_unreachable")
}

// Processes that serve one request each, side by side: one of them answers, and
// when they all have left the next one knows what they counted.
func TestDaemonClassic(t *testing.T) {
	w := newWorld(t, lab.Options{ProcessLimit: 5, MainCF: []string{"postlmtp_process_concurrency = 1", "max_idle = 60s", "max_use = 2"}})
	slow, good := w.serve("slow", "on .\nwait 3s\n250 2.0.0 stored\n"), w.serve("good", stored)
	done := make(chan struct{})
	for range 3 {
		go func() {
			w.deliver(slow)
			done <- struct{}{}
		}()
	}
	w.await(3, "postlmtp_deliveries_in_flight", "stage=final")
	w.await(3, "postlmtp_processes")
	for range 3 {
		<-done
	}
	w.await(3, "postlmtp_deliveries_total", "result=sent")
	for range 6 { // max_use makes processes leave, and one is left
		w.deliver(good)
	}
	w.await(9, "postlmtp_deliveries_total", "result=sent")
}

// What can go wrong is counted by its reason, and told once in a while.
func TestDaemonFailures(t *testing.T) {
	w := newWorld(t, lab.Options{ProcessLimit: 10, MainCF: []string{"postlmtp_log_json = yes"}})
	gone := w.serve("gone", stored)
	gone.Close()
	w.deliver(gone)
	w.deliver(w.serve("busy", "on connect\n421 4.3.2 busy\nclose\n"))
	w.deliver(w.serve("full", "on RCPT\n452 4.2.2 mailbox full\n"))
	w.deliver(w.serve("none", "on RCPT\n550 5.1.1 nobody\n"))
	lost := w.serve("lost", "on .\nclose\n")
	w.deliver(lost)
	w.await(1, "postlmtp_session_failures_total", "reason=greeting")
	w.await(1, "postlmtp_session_failures_total", "reason=lost", "destination="+lost.Destination())
	w.await(1, "postlmtp_unconfirmed_total", "destination="+lost.Destination())
	w.await(1, "postlmtp_deliveries_total", "result=deferred", "status=4.2")
	w.await(1, "postlmtp_deliveries_total", "result=bounced", "status=5.1")
	w.await(5, "postlmtp_deliveries_total")
	if lines := w.lab.Grep(`{"event":"delivery"`, `"unconfirmed":true`, `"status":"deferred"`); len(lines) != 1 {
		t.Errorf("%d JSON lines of the unconfirmed delivery in %v", len(lines), w.lab.Log())
	}
	if lines := w.lab.Grep(`{"event":"delivery"`); len(lines) != 5 {
		t.Errorf("%d JSON lines", len(lines))
	}
}
