package lab_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postlmtp/internal/lab"
	"postlmtp/internal/request"
)

// recorded is one connection of testdata/wire.
type recorded struct {
	service        string
	client, server []byte
}

// stamps is what "TIME" stands for: the stamps of a message, five struct
// timevals and the number of uses, as a 64-bit Postfix sends them.
func stamps() string {
	var data [88]byte
	for _, at := range []int{0, 16} { // arrival, and entry into the active queue
		binary.NativeEndian.PutUint64(data[at:], 1_700_000_000)
	}
	return base64.StdEncoding.EncodeToString(data[:])
}

func readRecorded(t *testing.T, file string) []recorded {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var list []recorded
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(line, "\n")
		if service, ok := strings.CutPrefix(line, "== "); ok {
			list = append(list, recorded{service: service})
			continue
		}
		x := &list[len(list)-1]
		to := &x.client
		if line[0] == 'S' {
			to = &x.server
		}
		if len(line) > 1 {
			name, value, _ := strings.Cut(line[2:], " ")
			if value == "TIME" {
				value = stamps()
			}
			*to = append(*to, name+"\x00"+value...)
		}
		*to = append(*to, 0)
	}
	return list
}

// TestRecorded: what the releases of Postfix said on the wire, those included
// that no Debian release ships. We read their requests and answer them in the
// same bytes, and the stand-ins, which all scenarios run against, speak as the
// recorded services do.
func TestRecorded(t *testing.T) {
	files, err := filepath.Glob("../../testdata/wire/*.txt")
	if err != nil || len(files) != 8 {
		t.Fatalf("%d files, %v; want one for each release from 3.5 to 3.12", len(files), err)
	}
	for _, file := range files {
		release := strings.TrimSuffix(filepath.Base(file), ".txt")
		t.Run(release, func(t *testing.T) {
			t.Parallel()
			world, err := lab.New("", lab.Options{Agent: "/bin/false", Release: release})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { world.Close() })
			for _, x := range readRecorded(t, file) {
				if x.service == "far" {
					sameRequest(t, world.Dialect(), x)
				} else {
					sameService(t, world, x)
				}
			}
		})
	}
}

// sameRequest reads what the queue manager said and says it again, and does the
// same with the agent's greeting and final status.
func sameRequest(t *testing.T, dialect request.Dialect, x recorded) {
	t.Helper()
	req, err := request.Read(bytes.NewReader(x.client), request.Limits{})
	if err != nil {
		t.Fatalf("%v in %q", err, x.client)
	}
	var again bytes.Buffer
	if err := req.Encode(&again, dialect); err != nil || !bytes.Equal(again.Bytes(), x.client) {
		t.Errorf("encoded as %q, %v; want %q", again.Bytes(), err, x.client)
	}
	var said bytes.Buffer
	if err := request.Greet(&said, dialect.Hello()); err != nil {
		t.Fatal(err)
	}
	final, ok := bytes.CutPrefix(x.server, said.Bytes())
	if !ok {
		t.Fatalf("our greeting %q is not that of %q", said.Bytes(), x.server)
	}
	status, hop, err := request.ReadFinish(bytes.NewReader(final))
	if err != nil {
		t.Fatalf("%v in %q", err, final)
	}
	said.Reset()
	if err := request.Finish(&said, status, hop); err != nil || !bytes.Equal(said.Bytes(), final) {
		t.Errorf("we finish with %q, %v; want %q", said.Bytes(), err, final)
	}
}

// sameService asks a stand-in what was asked of the service.
func sameService(t *testing.T, world *lab.Lab, x recorded) {
	t.Helper()
	class := "private"
	if x.service == "flush" {
		class = "public"
	}
	conn, err := net.Dial("unix", filepath.Join(world.QueueDirectory(), class, x.service))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := conn.Write(x.client); err != nil {
		t.Fatal(err)
	}
	conn.(*net.UnixConn).CloseWrite()
	got, err := io.ReadAll(conn)
	if err != nil || !bytes.Equal(got, x.server) {
		t.Errorf("the stand-in for %s says %q, %v; want %q", x.service, got, err, x.server)
	}
}
