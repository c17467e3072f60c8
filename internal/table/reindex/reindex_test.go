package reindex_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postlmtp/internal/attr"
	"postlmtp/internal/table/reindex"
)

// serve answers each connection with a status and a reason, and passes on what
// it was asked.
func serve(t *testing.T, hello string, status int, reason string) (queue string, asked chan string) {
	queue = t.TempDir()
	if err := os.Mkdir(filepath.Join(queue, "private"), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(queue, "private", "reindexer"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	asked = make(chan string, 2)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			new(attr.List).String(attr.Protocol, hello).Send(conn)
			r := attr.NewReader(conn, attr.DefaultLimits())
			request := r.String("nbdb_type") + ":" + r.String("nbdb_path")
			if r.End() == nil {
				asked <- request
				new(attr.List).Int(attr.Status, status).String("reason", reason).Send(conn)
			}
			conn.Close()
		}
	}()
	return queue, asked
}

func TestDo(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, hello, reason, want string
		status                    int
	}{
		{"done", reindex.Protocol, "", "", 0},
		{"refused", reindex.Protocol, "not allowed", "not allowed", 1},
		{"another protocol", "other", "", "initial response", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			queue, asked := serve(t, tt.hello, tt.status, tt.reason)
			err := (&reindex.Client{QueueDirectory: queue, Service: "reindexer"}).Do(t.Context(), "hash", "/some/file")
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
			if tt.hello == reindex.Protocol {
				if got := <-asked; got != "hash:/some/file" {
					t.Errorf("asked for %q", got)
				}
			}
		})
	}
	if err := (&reindex.Client{QueueDirectory: "/nonexistent", Service: "x"}).Do(t.Context(), "hash", "/f"); err == nil ||
		!strings.HasPrefix(err.Error(), "connection to /nonexistent/private/x service: ") {
		t.Error(err)
	}
}
