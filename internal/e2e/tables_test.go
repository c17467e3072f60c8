package e2e

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// loginServer is an LMTP server that takes every login and keeps them.
type loginServer struct {
	port int

	mu     sync.Mutex
	logins []string // user:password, in the order of their arrival
}

func startLoginServer(t *testing.T) *loginServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s := &loginServer{port: l.Addr().(*net.TCPAddr).Port}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(conn)
		}
	}()
	return s
}

func (s *loginServer) serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewScanner(conn)
	fmt.Fprintf(conn, "220 login.test\r\n")
	inData := false
	for in.Scan() {
		verb, rest, _ := strings.Cut(in.Text(), " ")
		reply := "250 2.0.0 ok"
		switch {
		case inData && in.Text() != ".":
			continue
		case inData:
			inData = false
		case verb == "LHLO":
			reply = "250-login.test\r\n250 AUTH PLAIN"
		case verb == "AUTH":
			s.login(rest)
			reply = "235 2.7.0 welcome"
		case verb == "DATA":
			reply, inData = "354 go on", true
		}
		fmt.Fprintf(conn, "%s\r\n", reply)
	}
}

// login keeps what AUTH PLAIN says: identity NUL user NUL password.
func (s *loginServer) login(args string) {
	_, response, _ := strings.Cut(args, " ")
	plain, _ := base64.StdEncoding.DecodeString(response)
	fields := strings.Split(string(plain), "\x00")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logins = append(s.logins, strings.Join(fields[1:], ":"))
}

func (s *loginServer) last() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.logins) == 0 {
		return ""
	}
	return s.logins[len(s.logins)-1]
}

// TestPasswordFile: a table of passwords that only root may read is opened
// before the process gives up its privileges, inside the jail or not. After a
// change by postmap(1) the next delivery has the new contents, without any
// reload: the process that has the old ones makes room for another. Types whose
// files Postfix does not watch (texthash) are watched by ours alone.
func TestPasswordFile(t *testing.T) {
	t.Parallel()
	type mode struct {
		name     string
		settings []string
		noChroot bool
	}
	modes := []mode{{"jailed", nil, false}, {"not jailed", nil, true}}
	if underTest(t).ours() {
		modes = append(modes, mode{"one delivery in a process", []string{"postlmtp_process_concurrency = 1"}, false})
	}
	if since(11) {
		// hash: stands for cdb:, whose file postmap(1) makes, or nbdb_reindexd(8).
		modes = append(modes, mode{"redirected", []string{"non_bdb_migration_level = enable-redirect", "default_database_type = cdb"}, false},
			mode{"reindexed", []string{"non_bdb_migration_level = enable-reindex", "default_database_type = cdb",
				"non_bdb_migration_allow_root_prefixes = /var/cache"}, false})
	}
	types := []string{"hash", "cdb", "lmdb"}
	if underTest(t).ours() {
		types = append(types, "texthash")
	}
	for _, m := range modes {
		for _, kind := range types {
			t.Run(m.name+"/"+kind, func(t *testing.T) {
				t.Parallel()
				srv := startLoginServer(t)
				dir := tempDir(t)
				if m.name == "reindexed" {
					dir = rootsDir(t)
				}
				table := kind + ":" + filepath.Join(dir, "sasl_passwd")
				further := ""
				if m.name == "reindexed" {
					further = "nbdb_reindex unix - n n - 1 nbdb_reindexd"
					makeLegacy(t, table, srv)
				}
				p := startPostfix(t, options{noChroot: m.noChroot, further: further, main: append([]string{
					"lmtp_sasl_auth_enable = yes",
					"lmtp_sasl_security_options = noanonymous",
					"lmtp_sasl_password_maps = " + table,
				}, m.settings...)})
				p.testPasswords(table, srv)
				if kind == "hash" && m.name != "jailed" && since(11) && len(m.settings) > 1 {
					p.log.wait(t, 0, `/lmtp\[\d+\]: redirecting `+table+` to cdb:`)
				}
			})
		}
	}
}

// rootsDir makes a directory that only root can change, as nbdb_reindexd(8)
// demands of all the directories above a table.
func rootsDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/cache", "ple")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// makeLegacy makes the file of Berkeley DB that testPasswords begins with.
func makeLegacy(t *testing.T, table string, srv *loginServer) {
	t.Helper()
	kind, file, _ := strings.Cut(table, ":")
	if kind != "hash" {
		return
	}
	if err := os.WriteFile(file, fmt.Appendf(nil, "[127.0.0.1]:%d  user:first\n", srv.port), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("postmap", table).CombinedOutput(); err != nil {
		t.Fatalf("postmap: %v\n%s", err, out)
	}
}

// testPasswords sends a message with each of three passwords.
func (p *postfix) testPasswords(table string, srv *loginServer) {
	t := p.t
	t.Helper()
	kind, file, _ := strings.Cut(table, ":")
	to := fmt.Sprintf("user@p%d.lmtp.port.test", srv.port)
	for n, password := range []string{"first", "second", "the third, longer"} {
		text := fmt.Sprintf("[127.0.0.1]:%d  user:%s\n", srv.port, password)
		if info, err := os.Stat(file); err == nil && !p.agent.ours() {
			// Postfix does not see a second change in the same second.
			eventually(t, soon, "the next second", func() bool { return time.Now().Unix() > info.ModTime().Unix()+1 })
		}
		p.must(os.WriteFile(file, []byte(text), 0o600))
		if kind == "texthash" && n > 0 {
			// Until then somebody may still be writing it.
			eventually(t, soon, "a second without a change", func() bool {
				info, err := os.Stat(file)
				return err == nil && time.Now().Unix() > info.ModTime().Unix()+1
			})
		}
		if _, err := os.Stat(file + ".db"); kind != "texthash" && (n > 0 || err != nil) {
			p.run("postmap", table)
		}
		p.rootOnly(file)
		mark := p.log.mark()
		_, queueID := p.sendSmall(t, "", to)
		p.log.delivered(t, mark, queueID, to, "sent")
		if got, want := srv.last(), "user:"+password; got != want {
			t.Errorf("delivery %d: the login was %q, want %q", n, got, want)
		}
		p.unprivileged()
		// A process that came to its end for another reason has nothing to say.
		restarts := p.log.find(mark, `/lmtp\[\d+\]: table `+regexp.QuoteMeta(table)+`\(0,[^)]*\) has changed -- restarting`)
		if n > 0 && len(restarts) == 0 && kind != "lmdb" {
			t.Errorf("delivery %d: no word of the change in the log", n)
		}
	}
	p.log.noAlarm(t, 0, "hash/btree support is deprecated|NON_BERKELEYDB_README") // Debian's 3.11
}

// rootOnly makes sure that nobody else may read the files of a table.
func (p *postfix) rootOnly(file string) {
	p.t.Helper()
	files, err := filepath.Glob(file + "*")
	p.must(err)
	for _, name := range files {
		info, err := os.Stat(name)
		p.must(err)
		if info.Mode().Perm() != 0o600 {
			p.t.Fatalf("%s has mode %v", name, info.Mode())
		}
	}
}

// unprivileged makes sure that those who deliver are not root.
func (p *postfix) unprivileged() {
	p.t.Helper()
	uid, _ := account(p.t, "postfix")
	for _, proc := range p.workers() {
		info, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", proc.pid))
		if err != nil {
			continue // just gone
		}
		if want := fmt.Sprintf("\nUid:\t%d\t%d\t%d\t%d\n", uid, uid, uid, uid); !strings.Contains(string(info), want) {
			p.t.Errorf("process %d does not run as postfix:\n%s", proc.pid, info)
		}
	}
}
