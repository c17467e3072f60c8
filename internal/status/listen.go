package status

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"postlmtp/internal/metrics"
)

// A Listen is where Prometheus asks: postlmtp_metrics_listen. The zero value is
// nowhere.
type Listen struct {
	// Socket is the name of a socket in the status directory.
	Socket string
	// Address is a loopback address and a port.
	Address netip.AddrPort
}

// ParseListen parses the value of postlmtp_metrics_listen: nothing, unix:NAME
// or inet:ADDRESS:PORT, in which inet: may be left out.
func ParseListen(text string) (Listen, error) {
	if text == "" {
		return Listen{}, nil
	}
	if name, ok := strings.CutPrefix(text, "unix:"); ok {
		if name == "" || name[0] == '.' || len(name) > 60 || name == stateFile || name == listenerLock ||
			strings.HasSuffix(name, socketSuffix) || strings.ContainsAny(name, "/\x00") {
			return Listen{}, fmt.Errorf("%q is not a name for a socket in postlmtp_status_directory", name)
		}
		return Listen{Socket: name}, nil
	}
	address, err := netip.ParseAddrPort(strings.TrimPrefix(text, "inet:"))
	switch {
	case err != nil:
		return Listen{}, fmt.Errorf("%q is neither unix:NAME nor ADDRESS:PORT", text)
	case !address.Addr().IsLoopback():
		return Listen{}, fmt.Errorf("%s is not an address of the loopback interface: what is told is not for others", address.Addr())
	case address.Port() == 0:
		return Listen{}, errors.New("the port must not be 0")
	}
	return Listen{Address: address}, nil
}

func (l Listen) wanted() bool { return l.Socket != "" || l.Address.IsValid() }

// A listener is the socket that Prometheus connects to, of one process out of
// several: that which has the lock. The others are bound to the same address,
// which is possible as long as only one of them listens, so that each can take
// over at once and where no new socket can be made any more.
type listener struct {
	where Listen
	tcp   int // bound socket, -1 for none
	unix  net.Listener
	first string // the name that the socket was made under
	lock  *os.File

	mu     sync.Mutex
	live   net.Listener // nil before we have the lock
	closed bool
}

// prepare binds the address; low ports need privileges.
func (l Listen) prepare() (*listener, error) {
	n := &listener{where: l, tcp: -1}
	if l.Socket != "" {
		return n, nil
	}
	fail := func(err error) (*listener, error) {
		return nil, fmt.Errorf("bind postlmtp_metrics_listen = %s: %w", l.Address, err)
	}
	host, port := l.Address.Addr().Unmap(), int(l.Address.Port())
	family, address := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: port, Addr: host.As16()})
	if host.Is4() {
		family, address = unix.AF_INET, &unix.SockaddrInet4{Port: port, Addr: host.As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fail(err)
	}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
	if err == nil {
		err = unix.Bind(fd, address)
	}
	if err != nil {
		_ = unix.Close(fd)
		return fail(err)
	}
	n.tcp = fd
	return n, nil
}

// open opens the lock, and makes the socket in the directory if it is to be one.
func (n *listener) open(dir *Directory, id string) (err error) {
	if n.lock, err = dir.openFile(listenerLock); err != nil || n.where.Socket == "" {
		return err
	}
	n.first = spare(id)
	n.unix, err = listenAs(dir, "new."+n.first, n.first)
	return err
}

// spare is the name of a socket that waits for its turn.
func spare(id string) string { return "metrics." + id }

// serve waits for the lock and then answers. It returns at once.
func (n *listener) serve(dir *Directory) {
	go func() {
		for {
			err := unix.Flock(int(n.lock.Fd()), unix.LOCK_EX)
			if err == nil {
				break
			}
			if err != unix.EINTR {
				return
			}
		}
		l, err := n.take(dir)
		if err != nil || !n.keep(l) {
			return
		}
		serve(l, map[string]page{metricsPath: dir.page()})
	}()
}

// take makes a socket of ours the one that Prometheus gets to.
func (n *listener) take(dir *Directory) (net.Listener, error) {
	if n.unix != nil {
		return n.unix, os.Rename(dir.file(n.first), dir.file(n.where.Socket))
	}
	if err := unix.Listen(n.tcp, 64); err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(n.tcp), "metrics")
	defer file.Close()
	return net.FileListener(file)
}

// keep notes the socket, unless the process has come to its end meanwhile.
func (n *listener) keep(l net.Listener) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		_ = l.Close()
		return false
	}
	n.live = l
	return true
}

// close lets another process take over. The lock goes with the process.
func (n *listener) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	if n.live != nil {
		_ = n.live.Close()
		n.live = nil
		_ = unix.Flock(int(n.lock.Fd()), unix.LOCK_UN)
	}
}

// Metrics writes the metrics of all processes.
func (d *Directory) Metrics(w io.Writer) error {
	c, err := d.Collect(context.Background())
	if len(c.Services) == 0 && err != nil {
		return err
	}
	return metrics.Write(w, c.Services)
}

// freshTime is how long the same answer is given again. An answer takes some 10 ms
// of processor time, and every account of the machine may ask at a loopback
// address: it must not take that from the deliveries.
const freshTime = 500 * time.Millisecond

// page is Metrics, not made anew all the time.
func (d *Directory) page() page {
	var mu sync.Mutex
	var text bytes.Buffer
	var made time.Time
	return page{metrics.ContentType, func(w io.Writer) error {
		mu.Lock()
		defer mu.Unlock()
		if made.IsZero() || time.Since(made) >= freshTime {
			made = time.Time{}
			text.Reset()
			if err := d.Metrics(&text); err != nil {
				return err
			}
			made = time.Now()
		}
		_, err := w.Write(text.Bytes())
		return err
	}}
}

// ServeMetrics answers Prometheus at an address until ctx ends. It is for a
// process that stays, such as the tool.
func (d *Directory) ServeMetrics(ctx context.Context, l net.Listener) {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	serve(l, map[string]page{metricsPath: d.page(), "/": {"text/plain", func(w io.Writer) error {
		_, err := bytes.NewBufferString("postlmtp: metrics are at " + metricsPath + "\n").WriteTo(w)
		return err
	}}})
}
