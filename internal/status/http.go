package status

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// What is spoken over all sockets is the part of HTTP/1 (RFC 9112) that
// Prometheus needs: one GET for each connection. The server of the standard
// library would do, at the price of its memory and start-up time in a process
// that is there to deliver mail.

const (
	maxHead  = 8 << 10          // bytes of a request up to its empty line
	headTime = 5 * time.Second  // to read it
	bodyTime = 10 * time.Second // to write the answer
)

var errRequest = errors.New("not a request that is understood here")

// parseRequest reads the head of a request and returns method and path.
func parseRequest(r io.Reader) (method, path string, err error) {
	in := bufio.NewReader(io.LimitReader(r, maxHead))
	line, err := in.ReadString('\n')
	if err != nil {
		return "", "", errRequest
	}
	words := strings.Split(strings.TrimRight(line, "\r\n"), " ")
	if len(words) != 3 || !strings.HasPrefix(words[2], "HTTP/1.") || !strings.HasPrefix(words[1], "/") {
		return "", "", errRequest
	}
	for {
		header, err := in.ReadString('\n')
		if err != nil {
			return "", "", errRequest
		}
		if strings.TrimRight(header, "\r\n") == "" {
			break
		}
	}
	path, _, _ = strings.Cut(words[1], "?")
	return words[0], path, nil
}

// A page writes what is at a path.
type page struct {
	contentType string
	write       func(w io.Writer) error
}

// answer serves one connection, and closes it. Whatever goes wrong concerns the
// connection alone: a panic, too.
func answer(conn net.Conn, pages map[string]page) {
	defer conn.Close()
	defer func() { _ = recover() }()
	_ = conn.SetReadDeadline(time.Now().Add(headTime))
	method, path, err := parseRequest(conn)
	status, contentType, body := "200 OK", "text/plain; charset=utf-8", new(bytes.Buffer)
	p, found := pages[path]
	switch {
	case err != nil:
		status = "400 Bad Request"
	case method != "GET" && method != "HEAD":
		status = "405 Method Not Allowed"
	case !found:
		status = "404 Not Found"
	default:
		contentType = p.contentType
		if err := p.write(body); err != nil {
			status, contentType = "503 Service Unavailable", "text/plain; charset=utf-8"
			body.Reset()
			fmt.Fprintln(body, err)
		}
	}
	if status[0] == '4' {
		fmt.Fprintln(body, status)
	}
	head := fmt.Sprintf("HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", status, contentType, body.Len())
	_ = conn.SetWriteDeadline(time.Now().Add(bodyTime))
	if _, err := io.WriteString(conn, head); err == nil && method != "HEAD" {
		_, _ = conn.Write(body.Bytes())
	}
}

// maxReaders bounds how many connections a socket serves at once; further ones
// wait in its listen queue.
const maxReaders = 8

// serve answers connections until the socket is closed.
func serve(l net.Listener, pages map[string]page) {
	room := make(chan struct{}, maxReaders)
	for {
		room <- struct{}{}
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(time.Second) // no descriptors left, or the like
			<-room
			continue
		}
		go func() {
			defer func() { <-room }()
			answer(conn, pages)
		}()
	}
}

// fetch asks for a path over a connection, and returns what is there. An answer
// of more than limit bytes is an error.
func fetch(conn net.Conn, path string, limit int64) ([]byte, error) {
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path); err != nil {
		return nil, err
	}
	all, err := io.ReadAll(io.LimitReader(conn, limit+1))
	if err != nil {
		return nil, err
	}
	head, body, ok := bytes.Cut(all, []byte("\r\n\r\n"))
	switch {
	case int64(len(all)) > limit:
		return nil, fmt.Errorf("answer of more than %d bytes", limit)
	case !ok || !bytes.HasPrefix(head, []byte("HTTP/1.1 200 ")):
		line, _, _ := bytes.Cut(head, []byte("\r\n"))
		return nil, fmt.Errorf("answer %.60q", line)
	}
	return body, nil
}
