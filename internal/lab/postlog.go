package lab

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A LogLine is one line that the agent logged.
type LogLine struct {
	At   time.Time // when it came in
	Raw  string    // the whole datagram
	Host string    // first label of the host name
	Tag  string    // such as "postfix/lmtp"
	PID  int
	Text string // what follows "tag[pid]: "
}

// String returns the line without time and host.
func (l LogLine) String() string {
	return fmt.Sprintf("%s[%d]: %s", l.Tag, l.PID, l.Text)
}

// postlog is the stand-in for postlogd(8): it receives log lines as datagrams.
type postlog struct {
	conn *net.UnixConn
	path string
	done chan struct{}

	mu      sync.Mutex
	how     Behaviour
	changed *sync.Cond // of how
	lines   []LogLine
	barrier map[string]chan struct{}
	serial  int
}

// barrierMark starts a datagram with which the lab talks to itself.
const barrierMark = "\x00barrier "

// newPostlog makes the socket public/postlog.
func newPostlog(l *Lab) (*postlog, error) {
	path := filepath.Join(l.queue, "public", "postlog")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("listen for postlog: %w", err)
	}
	p := &postlog{conn: conn, path: path, done: make(chan struct{}), barrier: make(map[string]chan struct{})}
	p.changed = sync.NewCond(&p.mu)
	if err := os.Chmod(path, 0o666); err != nil {
		conn.Close()
		return nil, fmt.Errorf("listen for postlog: %w", err)
	}
	go p.receive()
	return p, nil
}

// receive collects datagrams until the socket is closed.
func (p *postlog) receive() {
	defer close(p.done)
	buf := make([]byte, 64<<10)
	for {
		p.mu.Lock()
		for p.how == Silent {
			p.changed.Wait()
		}
		p.mu.Unlock()
		n, _, err := p.conn.ReadFromUnix(buf)
		if err != nil {
			return
		}
		text := string(buf[:n])
		p.mu.Lock()
		if ch := p.barrier[text]; ch != nil {
			delete(p.barrier, text)
			close(ch)
		} else {
			p.lines = append(p.lines, parseLogLine(text))
		}
		p.mu.Unlock()
	}
}

// behave changes how the daemon behaves: see Lab.Behave.
func (p *postlog) behave(how Behaviour) (err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.changed.Broadcast()
	switch was := p.how; {
	case how == Missing && was != Missing:
		err = os.Rename(p.path, p.path+gone)
	case how != Missing && was == Missing:
		err = os.Rename(p.path+gone, p.path)
	}
	if err == nil {
		p.how = how
	}
	return err
}

// parseLogLine takes "Nov 02 15:04:05 host tag[pid]: text" apart. What has
// another form is all Text.
func parseLogLine(raw string) LogLine {
	line := LogLine{At: time.Now(), Raw: raw, Text: raw}
	m := logForm.FindStringSubmatch(raw)
	if m == nil {
		return line
	}
	line.Host, line.Tag, line.Text = m[1], m[2], m[4]
	line.PID, _ = strconv.Atoi(m[3])
	return line
}

var logForm = regexp.MustCompile(`(?s)^[A-Z][a-z]{2} [0-9]{2} [0-9:]{8} (\S+) ([^\s\[]+)\[([0-9]+)\]: (.*)$`)

// sync waits until all datagrams sent before have been received.
func (p *postlog) sync() {
	p.mu.Lock()
	path, silent := p.path, p.how == Silent
	if p.how == Missing {
		path += gone
	}
	p.mu.Unlock()
	if silent {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return // closed: everything was received
	}
	defer conn.Close()
	p.mu.Lock()
	p.serial++
	mark := barrierMark + strconv.Itoa(p.serial)
	passed := make(chan struct{})
	p.barrier[mark] = passed
	p.mu.Unlock()
	if _, err := conn.Write([]byte(mark)); err != nil {
		return
	}
	select {
	case <-passed:
	case <-p.done:
	}
}

// all returns a copy of the lines received so far.
func (p *postlog) all() []LogLine {
	p.sync()
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]LogLine(nil), p.lines...)
}

func (p *postlog) close() {
	_ = p.behave(Works)
	p.sync()
	p.conn.Close()
	<-p.done
}

// grep returns the lines that contain all of the texts.
func grep(lines []LogLine, texts ...string) []LogLine {
	var found []LogLine
next:
	for _, line := range lines {
		for _, text := range texts {
			if !strings.Contains(line.Text, text) {
				continue next
			}
		}
		found = append(found, line)
	}
	return found
}
