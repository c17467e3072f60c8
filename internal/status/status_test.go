package status

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postlmtp/internal/metrics"
)

// newDir returns a status directory that nobody has made yet, whose sockets have
// paths that fit.
func newDir(t *testing.T) string {
	t.Helper()
	base, err := os.MkdirTemp("", "st")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	return filepath.Join(base, "run")
}

// start starts a process, as far as this package is concerned.
func start(t *testing.T, dir string, change func(*Options)) *Process {
	t.Helper()
	o := Options{Directory: dir, UID: os.Geteuid(), GID: os.Getegid(), Service: "lmtp", Version: "test", Slots: 5, Stages: []string{"idle", "data"}}
	if change != nil {
		change(&o)
	}
	p, err := Prepare(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Open(); err != nil {
		t.Fatal(err)
	}
	p.Serve()
	return p
}

// kill ends a process without a word.
func kill(t *testing.T, p *Process) {
	t.Helper()
	p.socket.Close()
	p.dir.Close()
	p.dir = nil
}

func look(t *testing.T, dir string) Collection {
	t.Helper()
	d, err := OpenDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	c, err := d.Collect(t.Context())
	if err != nil {
		t.Error(err)
	}
	return c
}

const sent = `postlmtp_deliveries_total{result="sent",status="2.0"}`

// deliver counts n deliveries.
func deliver(p *Process, n int) {
	for range n {
		p.Counters("somewhere").Settled(metrics.Sent, "2.0.0")
	}
}

// total expects the sum of deliveries of a service.
func total(t *testing.T, c Collection, service string, want float64) {
	t.Helper()
	if got := c.Services[service].Counted.Total(sent); got != want {
		t.Errorf("%s: %v deliveries are counted, want %v", service, got, want)
	}
}

// The life of counters: processes come, work side by side, end and are killed,
// and the sum never goes back.
func TestCountersStay(t *testing.T) {
	dir := newDir(t)
	first := start(t, dir, nil)
	deliver(first, 3)
	total(t, look(t, dir), "lmtp", 3)
	second := start(t, dir, nil) // as after a reload
	other := start(t, dir, func(o *Options) { o.Service = "dovecot"; o.Slots = 7 })
	deliver(second, 4)
	deliver(other, 100)
	c := look(t, dir)
	total(t, c, "lmtp", 7)
	total(t, c, "dovecot", 100)
	if s := c.Services["lmtp"]; s.Processes != 2 || s.Slots != 10 {
		t.Errorf("%d processes with %d slots", s.Processes, s.Slots)
	}
	if len(c.Reports) != 3 || c.Reports[0].Service != "dovecot" || !c.Reports[1].Started.Before(c.Reports[2].Started) {
		t.Errorf("reports %+v", c.Reports)
	}

	deliver(first, 1)
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	c = look(t, dir)
	total(t, c, "lmtp", 8)
	if s := c.Services["lmtp"]; s.Processes != 1 {
		t.Errorf("%d processes", s.Processes)
	}

	deliver(second, 2)
	total(t, look(t, dir), "lmtp", 10)
	deliver(second, 1) // nobody is told of this one
	kill(t, second)
	for range 2 {
		c = look(t, dir)
		total(t, c, "lmtp", 10)
	}
	if _, known := c.Services["lmtp"]; !known || c.Services["lmtp"].Processes != 0 {
		t.Errorf("after the last process: %+v", c.Services["lmtp"])
	}
	third := start(t, dir, nil)
	deliver(third, 1)
	total(t, look(t, dir), "lmtp", 11)
	for _, p := range []*Process{third, other} {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
	c = look(t, dir)
	total(t, c, "lmtp", 11)
	total(t, c, "dovecot", 100)
	if starts := c.Services["lmtp"].Counted.Total("postlmtp_process_starts_total"); starts != 3 {
		t.Errorf("%v starts", starts)
	}
	left, _ := filepath.Glob(dir + "/*")
	if len(left) != 1 {
		t.Errorf("left over: %v", left)
	}
}

// A process that hangs keeps its place in the sum, and holds up nobody for long.
func TestProcessHangs(t *testing.T) {
	dir := newDir(t)
	p := start(t, dir, nil)
	deliver(p, 5)
	total(t, look(t, dir), "lmtp", 5)
	p.socket.Close() // a socket behind which nobody answers takes its place
	l, err := listenAs(p.dir, "new.x", p.id+socketSuffix)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := look(t, dir)
	total(t, c, "lmtp", 5)
	if s := c.Services["lmtp"]; s.Unreachable != 1 || s.Processes != 1 || len(c.Unreachable) != 1 {
		t.Errorf("%d processes, %d unreachable: %v", s.Processes, s.Unreachable, c.Unreachable)
	}
}

// Everything at once: looking, starting, ending. The sum only grows, and in the
// end it is complete.
func TestTogether(t *testing.T) {
	dir := newDir(t)
	start(t, dir, nil).Close()
	const workers, lives, each = 4, 5, 7
	var work, looking sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		looking.Go(func() {
			last := 0.0
			for {
				now := look(t, dir).Services["lmtp"].Counted.Total(sent)
				if now < last {
					t.Errorf("the sum went back from %v to %v", last, now)
				}
				last = now
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for range workers {
		work.Go(func() {
			for range lives {
				p := start(t, dir, nil)
				for range each {
					deliver(p, 1)
				}
				if err := p.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	close(done)
	looking.Wait()
	total(t, look(t, dir), "lmtp", workers*lives*each)
}

// After the machine was started anew the counters are, too: what a crash left
// in the file may be older than what was told.
func TestNewBoot(t *testing.T) {
	dir := newDir(t)
	p := start(t, dir, nil)
	deliver(p, 5)
	p.Close()
	d, err := openDirectory(dir, "another run of the machine")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	c, err := d.Collect(t.Context())
	if err != nil || len(c.Services) != 0 {
		t.Errorf("%v, %+v", err, c.Services)
	}
}

// A state that was not written to its end leaves the one before it.
func TestTornState(t *testing.T) {
	dir := newDir(t)
	p := start(t, dir, nil)
	defer p.Close()
	deliver(p, 5)
	for range 3 {
		look(t, dir)
	}
	path := filepath.Join(dir, stateFile)
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	_, serial := readState(file, bootID())
	if _, err := file.WriteAt([]byte("rubbish"), int64(serial%2)*slotSize+40); err != nil {
		t.Fatal(err)
	}
	s, before := readState(file, bootID())
	if before != serial-1 || len(s.Told) != 1 {
		t.Errorf("serial number %d after %d, %+v", before, serial, s)
	}
	total(t, look(t, dir), "lmtp", 5)
}

// The table of deliveries.
func TestFlights(t *testing.T) {
	dir := newDir(t)
	p := start(t, dir, nil)
	defer p.Close()
	p.ShowPool(func() []Pooled { return []Pooled{{"host[path]", 2}, {"other", 1}} })
	old := p.Begin(Delivery{QueueID: "A", Destination: "x", Recipients: 2, Stage: "idle"})
	young := p.Begin(Delivery{QueueID: "B", Destination: "y", Stage: "idle"})
	old.Server("host[path]")
	old.Stage("data")
	p.Failed("x", strings.Repeat("e", 1000))
	p.Failed("x", "again")
	c := look(t, dir)
	r := c.Reports[0]
	if len(r.Deliveries) != 2 || r.Deliveries[0].QueueID != "A" || r.Deliveries[0].Stage != "data" || r.Deliveries[0].Server != "host[path]" {
		t.Errorf("deliveries %+v", r.Deliveries)
	}
	s := c.Services["lmtp"]
	if s.InFlight["data"] != 1 || s.InFlight["idle"] != 1 || s.Idle != 3 || s.Oldest <= 0 {
		t.Errorf("service %+v", s)
	}
	if len(r.Errors) != 1 || r.Errors[0].Count != 2 || r.Errors[0].Text != "again" {
		t.Errorf("errors %+v", r.Errors)
	}
	old.End()
	young.End()
	if r := p.Report(); len(r.Deliveries) != 0 || r.InFlight["data"] != 0 || r.Oldest() != 0 {
		t.Errorf("after their end: %+v", r)
	}
}

// The table of errors is bounded; the oldest are forgotten.
func TestManyErrors(t *testing.T) {
	dir := newDir(t)
	p := start(t, dir, nil)
	defer p.Close()
	for i := range 3 * maxErrors {
		p.Failed(fmt.Sprintf("host%d", i), "x")
	}
	r := p.Report()
	if len(r.Errors) != maxErrors {
		t.Errorf("%d errors", len(r.Errors))
	}
	for _, e := range r.Errors {
		if e.Destination == "host0" {
			t.Error("the oldest is still there")
		}
	}
}

// freePort returns a port that was free a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// scrape asks as Prometheus does.
func scrape(url string, client *http.Client) (string, error) {
	resp, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if resp.StatusCode != 200 {
		err = fmt.Errorf("%s: %s", resp.Status, text)
	}
	return string(text), err
}

// awaitScrape waits until the answer has a text: another process needs a moment
// to take over.
func awaitScrape(t *testing.T, url string, client *http.Client, want string) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		text, err := scrape(url, client)
		if err == nil && strings.Contains(text, want) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %q: %v, %.2000s", want, err, text)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// One of several processes answers Prometheus, and another one when it ends.
func TestListener(t *testing.T) {
	tcp := freePort(t)
	for _, where := range []string{tcp, "unix:prometheus"} {
		t.Run(strings.TrimRight(where, "0123456789"), func(t *testing.T) {
			dir := newDir(t)
			listen, err := ParseListen(where)
			if err != nil {
				t.Fatal(err)
			}
			with := func(o *Options) { o.Listen = listen }
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
				DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
					if listen.Socket != "" {
						return net.Dial("unix", filepath.Join(dir, listen.Socket))
					}
					return net.Dial("tcp", where)
				}}}
			const url = "http://localhost/metrics"
			line := func(n int) string {
				return fmt.Sprintf(`postlmtp_deliveries_total{service="lmtp",destination="somewhere",result="sent",status="2.0"} %d`+"\n", n)
			}
			first := start(t, dir, with)
			deliver(first, 1)
			awaitScrape(t, url, client, line(1))
			second := start(t, dir, with)
			deliver(second, 1)
			awaitScrape(t, url, client, line(2))
			if err := first.Close(); err != nil {
				t.Error(err)
			}
			awaitScrape(t, url, client, line(2))
			deliver(second, 1)
			awaitScrape(t, url, client, line(3))
			resp, err := client.Get("http://localhost/status")
			if err != nil || resp.StatusCode != 404 {
				t.Errorf("another path: %v %v", resp, err)
			}
			third := start(t, dir, with)
			if err := second.Close(); err != nil {
				t.Error(err)
			}
			awaitScrape(t, url, client, line(3))
			if err := third.Close(); err != nil {
				t.Error(err)
			}
			if text, err := scrape(url, client); err == nil {
				t.Errorf("somebody answers: %s", text)
			}
		})
	}
}

// Who asks all the time does not have the answer made all the time.
func TestFlood(t *testing.T) {
	dir := newDir(t)
	defer start(t, dir, nil).Close()
	d, err := OpenDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go d.ServeMetrics(ctx, l)
	_, before := readState(d.state, d.boot)
	begun := time.Now()
	for range 50 {
		text, err := scrape("http://"+l.Addr().String()+"/metrics", http.DefaultClient)
		if err != nil || !strings.Contains(text, "postlmtp_process_starts_total") {
			t.Fatalf("%v %s", err, text)
		}
	}
	_, after := readState(d.state, d.boot)
	if most := 1 + uint64(time.Since(begun)/freshTime); after-before > most {
		t.Errorf("the answer was made %d times, not %d", after-before, most)
	}
}

func TestParseListen(t *testing.T) {
	for text, want := range map[string]string{
		"":                     "{ invalid AddrPort}",
		"127.0.0.1:9154":       "{ 127.0.0.1:9154}",
		"inet:127.1.2.3:1":     "{ 127.1.2.3:1}",
		"inet:[::1]:9154":      "{ [::1]:9154}",
		"unix:metrics":         "{metrics invalid AddrPort}",
		"unix:":                "error",
		"unix:state":           "error",
		"unix:listener":        "error",
		"unix:a.run":           "error",
		"unix:.hidden":         "error",
		"unix:/tmp/x":          "error",
		"unix:../x":            "error",
		"localhost:9154":       "error",
		"0.0.0.0:9154":         "error",
		"192.0.2.1:9154":       "error",
		"127.0.0.1:0":          "error",
		"127.0.0.1":            "error",
		"[::ffff:127.0.0.1]:9": "{ [::ffff:127.0.0.1]:9}",
	} {
		l, err := ParseListen(text)
		got := fmt.Sprint(l)
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

// A directory that others can get into is not used.
func TestDirectoryOfOthers(t *testing.T) {
	uid, gid := os.Geteuid(), os.Getegid()
	for name, prepare := range map[string]func(path string) error{
		"open to others": func(path string) error { return os.Mkdir(path, 0o755) },
		"a file":         func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"a link": func(path string) error {
			return os.Symlink(filepath.Dir(path), path)
		},
		"no parent": func(path string) error { return os.Remove(filepath.Dir(path)) },
	} {
		dir := newDir(t)
		if err := prepare(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := Prepare(Options{Directory: dir, UID: uid, GID: gid}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	dir := newDir(t)
	if err := MakeDirectory(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	if err := MakeDirectory(dir, uid+1, gid); err == nil {
		t.Error("of another user: no error")
	}
	if err := unix.Mkfifo(filepath.Join(dir, stateFile), 0o600); err != nil {
		t.Fatal(err)
	}
	if d, err := OpenDirectory(dir); err == nil {
		d.Close()
		t.Error("a pipe for the state: no error")
	}
}

// Processes that start at the same moment make one directory, and none sees it
// before it belongs to its owner.
func TestMadeTogether(t *testing.T) {
	uid, gid := os.Geteuid(), os.Getegid()
	if uid == 0 {
		uid = 1 // it is given away
	}
	for range 30 {
		dir := newDir(t)
		var all sync.WaitGroup
		errs := make([]error, 8)
		for i := range errs {
			all.Go(func() { errs[i] = MakeDirectory(dir, uid, gid) })
		}
		all.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		if entries, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(entries) != 1 {
			t.Fatal(entries, err)
		}
	}
}

// A process that lies about its service, or says too much, is not counted.
func TestImpostor(t *testing.T) {
	dir := newDir(t)
	p := start(t, dir, nil)
	defer p.Close()
	for name, body := range map[string]string{
		"lmtp.1.x":    `{"service":"dovecot"}`,
		"lmtp.2.x":    `{"service":"lmtp","counted":` + strings.Repeat("[", 100) + "}",
		"lmtp.3.x":    "HTTP/1.1 500 No\r\n\r\n",
		"dovecot.4.x": strings.Repeat("x", maxReport+10),
	} {
		l, err := listenAs(p.dir, "new.i", name+socketSuffix)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go serve(l, map[string]page{reportPath: {"x", func(w io.Writer) error {
			_, err := io.WriteString(w, body)
			return err
		}}})
	}
	c := look(t, dir)
	if len(c.Reports) != 1 || len(c.Unreachable) != 4 || len(c.Services) != 1 {
		t.Errorf("%d reports, unreachable %v, services %v", len(c.Reports), c.Unreachable, c.Services)
	}
}

func TestAnswer(t *testing.T) {
	pages := map[string]page{
		"/good": {"text/x", func(w io.Writer) error { _, err := io.WriteString(w, "yes\n"); return err }},
		"/bad":  {"text/x", func(io.Writer) error { return io.ErrUnexpectedEOF }},
		"/ugly": {"text/x", func(io.Writer) error { panic("no") }},
	}
	const head = "Connection: close\r\n\r\n"
	for _, c := range []struct{ request, status, body string }{
		{"GET /good HTTP/1.1\r\nHost: x\r\n\r\n", "200 OK", head + "yes\n"},
		{"GET /good?a=b HTTP/1.0\n\n", "200 OK", head + "yes\n"},
		{"HEAD /good HTTP/1.1\r\n\r\n", "200 OK", head},
		{"POST /good HTTP/1.1\r\n\r\n", "405 Method Not Allowed", head + "405 Method Not Allowed\n"},
		{"GET /bad HTTP/1.1\r\n\r\n", "503 Service Unavailable", head + "unexpected EOF\n"},
		{"GET /none HTTP/1.1\r\n\r\n", "404 Not Found", head + "404 Not Found\n"},
		{"GET good HTTP/1.1\r\n\r\n", "400 Bad Request", head + "400 Bad Request\n"},
		{"GET /good\r\n\r\n", "400 Bad Request", head + "400 Bad Request\n"},
		{"GET /" + strings.Repeat("x", maxHead) + " HTTP/1.1\r\n\r\n", "400 Bad Request", head + "400 Bad Request\n"},
		{"GET /ugly HTTP/1.1\r\n\r\n", "", ""},
	} {
		client, server := net.Pipe()
		go answer(server, pages)
		go io.WriteString(client, c.request)
		got, _ := io.ReadAll(client)
		client.Close()
		if c.status != "" && !bytes.HasPrefix(got, []byte("HTTP/1.1 "+c.status+"\r\n")) || !bytes.HasSuffix(got, []byte(c.body)) {
			t.Errorf("%.40q: got %q", c.request, got)
		}
	}
}

// FuzzRequest: no request is taken for something that it is not.
func FuzzRequest(f *testing.F) {
	f.Add([]byte("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"))
	f.Add([]byte("GET /\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		method, path, err := parseRequest(bytes.NewReader(data))
		if err != nil {
			return
		}
		if !strings.HasPrefix(path, "/") || strings.ContainsAny(method+path, " \n") || !bytes.HasPrefix(data, []byte(method+" "+path)) {
			t.Errorf("%q: %q %q", data, method, path)
		}
	})
}

// FuzzState: whatever is in the file, it is a state or nothing, and what is
// written can be read.
func FuzzState(f *testing.F) {
	f.Add(encodeSlot(7, []byte(`{"boot":"b","ended":{"lmtp":{}},"told":{"x":{"service":"lmtp"}}}`)), uint64(3))
	f.Add([]byte("plm1"), uint64(0))
	f.Fuzz(func(t *testing.T, data []byte, serial uint64) {
		s, _ := readState(bytes.NewReader(data), "b")
		s.note("id", "lmtp", metrics.NewSnapshot())
		s.bury("id", "lmtp", nil)
		got, back, err := decodeSlot(bytes.NewReader(encodeSlot(serial, data)))
		if err != nil || got != serial || !bytes.Equal(back, data) {
			t.Errorf("%d, %q, %v", got, back, err)
		}
	})
}

// FuzzFetch: an answer is the body of a good response, or an error.
func FuzzFetch(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\n\r\n{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			buffer := make([]byte, 100)
			server.Read(buffer)
			server.Write(data)
		}()
		body, err := fetch(client, reportPath, 1000)
		client.Close()
		if err == nil && (len(body) > 1000 || !bytes.HasSuffix(data, body)) {
			t.Errorf("%q: %q", data, body)
		}
	})
}

// What a process does for this package when it starts: see docs/monitoring.md.
func BenchmarkStart(b *testing.B) {
	dir, err := os.MkdirTemp("", "st")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(dir)
	for b.Loop() {
		p, err := Prepare(Options{Directory: filepath.Join(dir, "run"), UID: os.Geteuid(), GID: os.Getegid(), Service: "lmtp"})
		if err == nil {
			err = p.Open()
		}
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		p.Serve()
		if err := p.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
