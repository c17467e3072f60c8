package lab

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"postlmtp/internal/attr"

	"golang.org/x/sys/unix"
)

// scache is the stand-in for scache(8), the cache of open connections that the
// processes of Postfix's own agent share: descriptors under the label of an
// endpoint, and endpoints under the label of a destination.
type scache struct {
	mu        sync.Mutex
	endpoints []cachedEndpoint
	dests     []cachedDest
	closed    bool
}

// A cachedEndpoint is an open connection. It is handed out once.
type cachedEndpoint struct {
	label, property string
	fd              int
	expires         *time.Timer
}

// A cachedDest says which endpoint serves a destination.
type cachedDest struct {
	label, property, endpoint string
	expires                   time.Time
}

// Status values of scache(8).
const (
	scacheOK      = 0
	scacheBad     = 1
	scacheMissing = 2
)

// maxCacheTTL is the default of connection_cache_ttl_limit.
const maxCacheTTL = 2 * time.Second

// scacheClient serves one client. Descriptors ride on single bytes between the
// lists, so nothing may be read ahead.
func (s *services) scacheClient(c net.Conn, how Behaviour) {
	conn := c.(*net.UnixConn)
	if s.lab.opts.dialect().greets {
		hello := "connection_cache_protocol"
		if how == BadHello {
			hello = "no_such_protocol"
		}
		if new(attr.List).String(attr.Protocol, hello).Send(c) != nil {
			return
		}
	}
	in := attr.NewReader(oneByOne{c}, attr.Limits{})
	for {
		pairs, err := in.All()
		if err != nil || how == HangsUp {
			return
		}
		rec := Record{Service: "scache", Attrs: pairs}
		switch {
		case how == Garbles:
			err = new(attr.List).String("nonsense", "1").Send(c)
		case how == Fails:
			err = new(attr.List).Int(attr.Status, scacheBad).Send(c)
		default:
			err = s.cache.serve(conn, in, &rec)
		}
		if err != nil {
			return
		}
	}
}

// serve answers one request.
func (sc *scache) serve(conn *net.UnixConn, in *attr.Reader, rec *Record) error {
	label := rec.Get("label")
	switch rec.Get("request") {
	case "save_endp":
		if err := dummy().Send(conn); err != nil {
			return err
		}
		fd, err := receiveFD(conn)
		if err != nil {
			return err
		}
		sc.saveEndpoint(cachedEndpoint{label: label, property: rec.Get("property"), fd: fd}, ttl(rec))
		return new(attr.List).Int(attr.Status, scacheOK).Send(conn)
	case "save_dest":
		endpoint := rec.Attrs[len(rec.Attrs)-1].Value
		sc.saveDest(cachedDest{label, rec.Get("property"), endpoint, time.Now().Add(ttl(rec))})
		return new(attr.List).Int(attr.Status, scacheOK).Send(conn)
	case "find_endp":
		e, ok := sc.takeEndpoint(label)
		if !ok {
			return new(attr.List).Int(attr.Status, scacheMissing).String("property", "").Send(conn)
		}
		defer unix.Close(e.fd)
		if err := new(attr.List).Int(attr.Status, scacheOK).String("property", e.property).Send(conn); err != nil {
			return err
		}
		return handOver(conn, in, e.fd)
	case "find_dest":
		dest, e, ok := sc.takeDest(label)
		if !ok {
			return new(attr.List).Int(attr.Status, scacheMissing).
				String("property", "").String("property", "").Send(conn)
		}
		defer unix.Close(e.fd)
		if err := new(attr.List).Int(attr.Status, scacheOK).
			String("property", dest.property).String("property", e.property).Send(conn); err != nil {
			return err
		}
		return handOver(conn, in, e.fd)
	}
	return new(attr.List).Int(attr.Status, scacheBad).Send(conn)
}

// ttl returns how long an entry is to be kept.
func ttl(rec *Record) time.Duration {
	var seconds int
	fmt.Sscan(rec.Get("ttl"), &seconds)
	return min(time.Duration(seconds)*time.Second, maxCacheTTL)
}

func dummy() *attr.List { return new(attr.List).String("dummy", "") }

// handOver passes a descriptor: the client says that it is ready, gets it, and
// says that it has it.
func handOver(conn *net.UnixConn, in *attr.Reader, fd int) error {
	if _, err := in.All(); err != nil {
		return err
	}
	if _, _, err := conn.WriteMsgUnix([]byte{0}, unix.UnixRights(fd), nil); err != nil {
		return err
	}
	_, err := in.All()
	return err
}

// receiveFD takes a descriptor that rides on one byte.
func receiveFD(conn *net.UnixConn) (int, error) {
	var data [1]byte
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := conn.ReadMsgUnix(data[:], oob)
	if err != nil {
		return -1, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil {
		return -1, err
	}
	for _, m := range messages {
		if fds, err := unix.ParseUnixRights(&m); err == nil && len(fds) == 1 {
			unix.CloseOnExec(fds[0])
			return fds[0], nil
		}
	}
	return -1, errors.New("no descriptor came")
}

func (sc *scache) saveEndpoint(e cachedEndpoint, ttl time.Duration) {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	if sc.closed {
		unix.Close(e.fd)
		return
	}
	e.expires = time.AfterFunc(ttl, func() { sc.expire(e.fd) })
	sc.endpoints = append(sc.endpoints, e)
}

// expire closes an idle connection, without a word.
func (sc *scache) expire(fd int) {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	i := slices.IndexFunc(sc.endpoints, func(e cachedEndpoint) bool { return e.fd == fd })
	if i >= 0 {
		unix.Close(fd)
		sc.endpoints = slices.Delete(sc.endpoints, i, i+1)
	}
}

func (sc *scache) saveDest(d cachedDest) {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	sc.dests = append(sc.dests, d)
}

func (sc *scache) takeEndpoint(label string) (cachedEndpoint, bool) {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	return sc.take(label)
}

// take removes the connection of an endpoint. Caller holds mu.
func (sc *scache) take(label string) (cachedEndpoint, bool) {
	i := slices.IndexFunc(sc.endpoints, func(e cachedEndpoint) bool { return e.label == label })
	if i < 0 {
		return cachedEndpoint{}, false
	}
	e := sc.endpoints[i]
	e.expires.Stop()
	sc.endpoints = slices.Delete(sc.endpoints, i, i+1)
	return e, true
}

// takeDest finds a destination with an endpoint that is still there.
func (sc *scache) takeDest(label string) (cachedDest, cachedEndpoint, bool) {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	now := time.Now()
	for _, d := range sc.dests {
		if d.label != label || now.After(d.expires) {
			continue
		}
		if e, ok := sc.take(d.endpoint); ok {
			return d, e, true
		}
	}
	return cachedDest{}, cachedEndpoint{}, false
}

// clear closes all idle connections; with close no others are taken.
func (sc *scache) clear(closing bool) {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	sc.closed = sc.closed || closing
	for _, e := range sc.endpoints {
		e.expires.Stop()
		unix.Close(e.fd)
	}
	sc.endpoints, sc.dests = nil, nil
}

// DropCached closes the connections that wait in the stand-in for scache(8), as
// its end would.
func (l *Lab) DropCached() { l.services.cache.clear(false) }

// oneByOne reads single bytes.
type oneByOne struct{ r io.Reader }

func (o oneByOne) Read(p []byte) (int, error) { return o.r.Read(p[:min(len(p), 1)]) }
