package report

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"postlmtp/internal/attr"
	"postlmtp/internal/ipc"
	"postlmtp/internal/maillog"
)

// events records, in order, what the services are told and what is logged. It
// is the Log of the Reporter under test.
type events struct {
	mu   sync.Mutex
	list []string
}

func (e *events) add(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, fmt.Sprintf(format, args...))
}

func (e *events) take() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.list
	e.list = nil
	return l
}

func (e *events) Delivery(d maillog.DeliveryLine) {
	e.add("log %s %s (%s)", d.DSN, d.Status, d.Text)
}

func (e *events) Warningf(format string, args ...any) { e.add("warning: "+format, args...) }

// behaviour is how a fake service acts.
type behaviour int

const (
	works   behaviour = iota
	refuses           // answers with a status that is not 0
	dies              // closes the connection without an answer
	absent            // does not listen
)

// world is a queue directory with fake services.
type world struct {
	*events
	dir   string
	greet bool // as Postfix 3.6 and later
}

// newWorld starts the five services; those not named in broken work.
func newWorld(t *testing.T, greet bool, broken map[string]behaviour) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "q") // short: the path of a socket has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	w := &world{events: new(events), dir: dir, greet: greet}
	for name, protocol := range map[string]string{
		"bounce": ipc.DeliveryStatus, "defer": ipc.DeliveryStatus, "trace": ipc.DeliveryStatus,
		"verify": ipc.Verification, "flush": ipc.QueueFlush,
	} {
		if broken[name] != absent {
			w.listen(t, name, protocol, broken[name])
		}
	}
	return w
}

func (w *world) listen(t *testing.T, name, protocol string, how behaviour) {
	t.Helper()
	class := "private"
	if name == "flush" {
		class = "public"
	}
	path := filepath.Join(w.dir, class, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go w.serve(c, name, protocol, how)
		}
	}()
}

// serve answers commands until the client closes the connection.
func (w *world) serve(c net.Conn, name, protocol string, how behaviour) {
	defer c.Close()
	if w.greet {
		new(attr.List).String(attr.Protocol, protocol).Send(c)
	}
	in := attr.NewReader(bufio.NewReader(c), attr.Limits{})
	for {
		pairs, err := in.All()
		if err != nil {
			return
		}
		w.add("%s", told(name, pairs))
		switch how {
		case works:
			new(attr.List).Int(attr.Status, 0).Send(c)
		case refuses:
			new(attr.List).Int(attr.Status, -1).Send(c)
		case dies:
			return
		}
	}
}

// told abridges what a service was told to what the tables are about.
func told(name string, pairs []attr.Pair) string {
	value := make(map[string]string)
	for _, p := range pairs {
		value[p.Name] = p.Value
	}
	var keys []string
	switch name {
	case "verify":
		keys = []string{"request", "address", "recipient_status", "reason"}
	case "flush":
		keys = []string{"request", "site", "queue_id"}
	default:
		keys = []string{"flags", "status", "action", "reason"}
	}
	words := []string{name}
	for _, k := range keys {
		words = append(words, value[k])
	}
	return strings.Join(words, " ")
}
