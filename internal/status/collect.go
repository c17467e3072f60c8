package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"postlmtp/internal/metrics"
)

// askTime is how long a process may take to answer. It is to be well below the
// scrape_timeout of Prometheus (10 s) and the lockTime of a process that ends.
const askTime = time.Second

// maxReport bounds what a process may tell, in bytes.
const maxReport = 8 << 20

// A Collection is what all processes together tell.
type Collection struct {
	Services map[string]metrics.Service `json:"services"`
	// Reports are those of the living processes, by service and age.
	Reports []Report `json:"reports"`
	// Unreachable are the names of processes that did not answer.
	Unreachable []string `json:"unreachable"`
}

// Collect asks all processes. The error is one of the directory itself; the
// collection then has what could be learnt all the same.
func (d *Directory) Collect(ctx context.Context) (Collection, error) {
	c := Collection{Services: make(map[string]metrics.Service)}
	var listed error
	err := d.change(func(s *state) {
		var ids []string
		if ids, listed = d.sockets(); listed != nil {
			return
		}
		for _, a := range d.askAll(ctx, ids) {
			switch {
			case a.err == nil:
				s.note(a.id, a.report.Service, a.report.Counted)
				c.living(a.report)
			case dead(a.err):
				s.bury(a.id, "", nil)
				_ = os.Remove(d.file(a.id + socketSuffix))
				_ = os.Remove(d.file(spare(a.id)))
			default:
				c.missed(a.id, s.Told[a.id].Service)
			}
		}
		c.count(s)
	})
	slices.SortFunc(c.Reports, func(a, b Report) int {
		if a.Service != b.Service {
			return strings.Compare(a.Service, b.Service)
		}
		return a.Started.Compare(b.Started)
	})
	return c, errors.Join(listed, err)
}

// living adds what a process tells of the moment.
func (c *Collection) living(r Report) {
	c.Reports = append(c.Reports, r)
	s := c.Services[r.Service]
	s.Processes++
	s.Slots += r.Slots
	s.Idle += r.idle()
	s.Oldest = max(s.Oldest, r.Oldest())
	if s.InFlight == nil {
		s.InFlight = make(map[string]int)
	}
	for stage, n := range r.InFlight {
		s.InFlight[stage] += n
	}
	c.Services[r.Service] = s
}

func (c *Collection) missed(id, service string) {
	c.Unreachable = append(c.Unreachable, id)
	if service == "" { // it has never answered
		return
	}
	s := c.Services[service]
	s.Processes++
	s.Unreachable++
	c.Services[service] = s
}

// count adds what was counted.
func (c *Collection) count(st *state) {
	add := func(service string, counted metrics.Snapshot) {
		s := c.Services[service]
		s.Counted = s.Counted.Plus(counted)
		c.Services[service] = s
	}
	for service, counted := range st.Ended {
		add(service, counted)
	}
	for _, t := range st.Told {
		add(t.Service, t.Counted)
	}
}

// dead tells whether nobody is behind a socket any more.
func dead(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT)
}

// An asked is the answer of one process.
type asked struct {
	id     string
	report Report
	err    error
}

// askAll asks processes, a few at a time.
func (d *Directory) askAll(ctx context.Context, ids []string) []asked {
	slices.Sort(ids)
	answers := make([]asked, len(ids))
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	var all sync.WaitGroup
	room := make(chan struct{}, 16)
	for i, id := range ids {
		all.Add(1)
		room <- struct{}{}
		go func() {
			defer all.Done()
			defer func() { <-room }()
			report, err := d.ask(ctx, id)
			answers[i] = asked{id, report, err}
		}()
	}
	all.Wait()
	return answers
}

// ask asks one process.
func (d *Directory) ask(ctx context.Context, id string) (Report, error) {
	var r Report
	conn, err := new(net.Dialer).DialContext(ctx, "unix", d.socketPath(id+socketSuffix))
	if err != nil {
		return r, err
	}
	defer conn.Close()
	if end, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(end)
	}
	body, err := fetch(conn, reportPath, maxReport)
	if err == nil {
		err = json.Unmarshal(body, &r)
	}
	if err == nil && (r.Service == "" || !strings.HasPrefix(id, fileName(r.Service)+".")) {
		err = fmt.Errorf("ask %s: it says it is of service %q", id, r.Service)
	}
	return r, err
}

// maxSocketPath is the room for a path in a socket address, less its NUL.
const maxSocketPath = 107

// socketPath is the path of a socket, short enough for a socket address.
func (d *Directory) socketPath(name string) string {
	path := d.file(name)
	if len(path) > maxSocketPath {
		return "/proc/self/fd/" + strconv.Itoa(int(d.dir.Fd())) + "/" + name
	}
	return path
}

// fileName makes the name of a service fit for the name of a file.
func fileName(service string) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		}
		return '_'
	}, service)
	return clean[:min(len(clean), 40)]
}
