package e2e

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// refuser is an LMTP server that refuses every login with 535.
type refuser struct {
	port  int
	auths atomic.Int32 // how many it was asked
}

func startRefuser(t *testing.T) *refuser {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	r := &refuser{port: l.Addr().(*net.TCPAddr).Port}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go r.serve(conn)
		}
	}()
	return r
}

func (r *refuser) serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewScanner(conn)
	fmt.Fprintf(conn, "220 refuser.test\r\n")
	for in.Scan() {
		verb, _, _ := strings.Cut(in.Text(), " ")
		reply := "250 2.0.0 ok"
		switch verb {
		case "LHLO":
			reply = "250-refuser.test\r\n250 AUTH PLAIN"
		case "AUTH":
			r.auths.Add(1)
			reply = "535 5.7.8 who are you; and why"
		}
		fmt.Fprintf(conn, "%s\r\n", reply)
	}
}

// TestRefusedLogins: both agents keep refused logins in the same table, by way
// of a real proxymap(8), and each honours what the other has put there.
func TestRefusedLogins(t *testing.T) {
	for _, pair := range [][2]agent{{ourAgent(t), postfixAgent()}, {postfixAgent(), ourAgent(t)}} {
		t.Run(pair[0].name+" then "+pair[1].name, func(t *testing.T) {
			srv := startRefuser(t)
			dir := tempDir(t)
			uid, gid := account(t, "postfix")
			if err := os.Chown(dir, uid, gid); err != nil {
				t.Fatal(err)
			}
			for n, who := range pair {
				p := startPostfix(t, options{agent: who, main: []string{
					"lmtp_sasl_auth_enable = yes",
					"lmtp_sasl_password_maps = static:user:secret",
					"lmtp_sasl_security_options = noanonymous",
					"lmtp_sasl_auth_cache_name = proxy:btree:" + dir + "/refused",
				}})
				testRefused(t, p, srv, n == 0)
				p.stop()
			}
			if n := srv.auths.Load(); n != 1 {
				t.Errorf("%d attempts to log in", n)
			}
		})
	}
}

// testRefused sends a message twice; the first time the login may be tried.
func testRefused(t *testing.T, p *postfix, srv *refuser, asked bool) {
	t.Helper()
	reply := regexp.QuoteMeta("535 5.7.8 who are you; and why")
	cached := `dsn=4\.7\.8, status=deferred \(SASL \[CACHED\] authentication failed; server 127\.0\.0\.1 said: ` + reply + `\)`
	want := cached
	if asked {
		want = `dsn=4\.7\.8, status=deferred \(SASL authentication failed; server 127\.0\.0\.1\[127\.0\.0\.1\] said: ` + reply + `\)`
	}
	mark := p.log.mark()
	to := fmt.Sprintf("user@p%d.lmtp.port.test", srv.port)
	_, queueID := p.sendSmall(t, "sender@none.lmtp.sock.test", to)
	p.log.wait(t, mark, queueID+": .*"+want)
	mark = p.log.mark()
	eventually(t, later, "the second delivery", func() bool {
		p.retry(queueID) // in vain while the queue manager is busy with the first
		return within(2*time.Second, func() bool { return len(p.log.find(mark, queueID+": .*"+cached)) > 0 })
	})
}
