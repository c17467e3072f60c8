package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// serveRoutes is the transport table of an instance, as a socketmap_table(5):
// it computes the destination from the recipient's domain (see postfix), which
// Postfix does not let a regexp table do.
func (p *postfix) serveRoutes() {
	p.t.Helper()
	path := p.conf() + "/routes"
	l, err := net.Listen("unix", path)
	p.must(err)
	p.t.Cleanup(func() { l.Close() })
	p.must(os.Chmod(path, 0o666))
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for r := bufio.NewReader(conn); ; {
					request, err := readNetstring(r)
					if err != nil {
						return
					}
					reply := "NOTFOUND "
					if _, key, _ := strings.Cut(request, " "); key != "" {
						if dest := route(key); dest != "" {
							reply = "OK " + dest
						}
					}
					fmt.Fprintf(conn, "%d:%s,", len(reply), reply)
				}
			}()
		}
	}()
}

var (
	sockDomain = regexp.MustCompile(`@([a-z0-9-]+)\.([a-z0-9-]+)\.sock\.test$`)
	hostDomain = regexp.MustCompile(`@p(\d+)\.([a-z0-9-]+)\.host\.test$`)
	sixDomain  = regexp.MustCompile(`@p(\d+)\.([a-z0-9-]+)\.six\.test$`)
	nameDomain = regexp.MustCompile(`@([a-z0-9.-]+)\.p(\d+)\.([a-z0-9-]+)\.name\.test$`)
	portDomain = regexp.MustCompile(`@p(\d+)\.([a-z0-9-]+)\.port\.test$`)
)

// route gives the transport and the next hop of an address, or "".
func route(address string) string {
	if m := sockDomain.FindStringSubmatch(address); m != nil {
		return m[2] + ":unix:private/" + m[1]
	}
	if m := portDomain.FindStringSubmatch(address); m != nil {
		return m[2] + ":inet:[127.0.0.1]:" + m[1]
	}
	if m := nameDomain.FindStringSubmatch(address); m != nil {
		return m[3] + ":inet:[" + m[1] + "]:" + m[2]
	}
	if m := sixDomain.FindStringSubmatch(address); m != nil {
		return m[2] + ":inet:[::1]:" + m[1]
	}
	if m := hostDomain.FindStringSubmatch(address); m != nil {
		return m[2] + ":inet:localhost:" + m[1]
	}
	return ""
}

// readNetstring reads "LENGTH:BYTES,".
func readNetstring(r *bufio.Reader) (string, error) {
	head, err := r.ReadString(':')
	if err != nil {
		return "", err
	}
	n, err := strconv.Atoi(strings.TrimSuffix(head, ":"))
	if err != nil || n < 0 || n > 100000 {
		return "", fmt.Errorf("read netstring: length %q", head)
	}
	buf := make([]byte, n+1)
	_, err = io.ReadFull(r, buf)
	return string(buf[:n]), err
}
