package table_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postlmtp/internal/table"
)

// serve answers on a listener until the test ends.
func serve(t *testing.T, l net.Listener, answer func(net.Conn)) {
	t.Helper()
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				answer(conn)
			}()
		}
	}()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestSocketmap: answers of all kinds, as postmap takes them.
func TestSocketmap(t *testing.T) {
	replies := map[string]string{
		"found": "8:OK value,", "empty": "3:OK ,", "spaces": "10:OK  a  b c,", "none": "9:NOTFOUND ,", "none2": "8:NOTFOUND,",
		"temp": "10:TEMP later,", "timeout": "8:TIMEOUT ,", "perm": "11:PERM   no\x01x,", "unknown": "5:HELLO,", "nothing": "0:,", "lower": "8:ok value,",
		"badlength": "x:OK,", "noend": "4:OK xx", "long": "200000:OK ", "negative": "-1:x,", "close": "", "cut": "20:OK val",
	}
	l := listen(t)
	serve(t, l, func(conn net.Conn) {
		r := bufio.NewReader(conn)
		for {
			var n int
			if _, err := fmt.Fscanf(r, "%d:", &n); err != nil {
				return
			}
			query := make([]byte, n+1)
			if _, err := io.ReadFull(r, query); err != nil {
				return
			}
			name, key, _ := strings.Cut(string(query[:n]), " ")
			reply, known := replies[key]
			if name != "the-name" || !known {
				reply = fmt.Sprintf("%d:OK %x,", 2*len(key)+3, key)
			}
			if io.WriteString(conn, reply); !strings.HasSuffix(reply, ",") {
				return
			}
		}
	})
	spec := "socketmap:inet:" + l.Addr().String() + ":the-name"
	compareReplies(t, spec, replies)
	compare(t, spec, newGenerator(41).queries([]string{"found"}, true)[:500], noUTF8)
}

// compareReplies compares what becomes of the answers of a server.
func compareReplies(t *testing.T, spec string, replies map[string]string) {
	t.Helper()
	wait := make(map[string]func() (map[string]string, []string))
	for key := range replies {
		if key != "empty" { // postmap takes that for a mistake
			wait[key] = startPostmap(t, spec, []string{key}, noUTF8)
		}
	}
	for key, result := range wait {
		want, wantLog := result()
		opened, log := open(t, spec, false)
		value, _, _ := opened.Lookup(context.Background(), key)
		value, _, _ = strings.Cut(value, "\n") // postmap's output ends there
		if value != want[key] {
			t.Errorf("%s: %q, want %q", key, value, want[key])
		}
		if diff := cmp.Diff(dropFatal(wantLog), log.lines); diff != "" {
			t.Errorf("%s: log (-postmap +got):\n%s", key, diff)
		}
	}
}

// dropFatal drops the line with which postmap ends.
func dropFatal(lines []string) (rest []string) {
	for _, line := range lines {
		if !strings.HasPrefix(line, "fatal: ") {
			rest = append(rest, line)
		}
	}
	return rest
}

// TestSocketmapQuery: what is too long to ask.
func TestSocketmapQuery(t *testing.T) {
	log := new(recorder)
	set := table.NewSet(table.Options{Log: log, SocketmapMaxQuery: 10})
	opened, err := set.Open("socketmap:unix:/nowhere:name", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, found, err := opened.Lookup(context.Background(), "01234567890"); found || err != nil {
		t.Errorf("%v, %v", found, err)
	}
	if _, _, err := opened.Lookup(context.Background(), "0123456789"); err == nil {
		t.Error("no error without a server")
	}
	want := []string{
		"warning: table socketmap:unix:/nowhere:name query too large: '01234567890', returning 'not found'",
		"warning: table socketmap:unix:/nowhere:name lookup error: No such file or directory",
	}
	if diff := cmp.Diff(want, log.lines); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
	for _, spec := range []string{"socketmap:x", "socketmap:inet:1", "socketmap:foo:1:x"} {
		if _, err := newSet(nil).Open(spec, 0); err == nil {
			t.Errorf("%s: opened", spec)
		}
		if _, err := newSet(nil).Open(spec, table.NoUnauth); err == nil || !strings.Contains(err.Error(), "is not allowed for security-sensitive data") {
			t.Errorf("%s: %v", spec, err)
		}
	}
}

// TestTCP: answers of all kinds, as postmap takes them.
func TestTCP(t *testing.T) {
	replies := map[string]string{
		"found": "200 value", "quoted": "200 a%20b%0a%c3%A9%25", "none": "500 not found", "soft": "400 later", "bad": "300 what", "short": "200", "nospace": "200x",
		"letters": "abc x", "badquote": "200 a%2", "badquote2": "200 a%zz", "empty": "200 ", "tab": "200\tvalue",
	}
	l := listen(t)
	serve(t, l, func(conn net.Conn) {
		lines := bufio.NewScanner(conn)
		for lines.Scan() {
			query, ok := strings.CutPrefix(lines.Text(), "get ")
			reply, known := replies[query]
			if !ok || !known {
				reply = "200 " + strings.NewReplacer("%", "_", "\t", "_").Replace(query)
			}
			io.WriteString(conn, reply+"\n")
		}
	})
	spec := "tcp:" + l.Addr().String()
	compareReplies(t, spec, replies)
	compare(t, spec, newGenerator(42).queries([]string{"found"}, true)[:500], noUTF8)
}
