package lab

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A session runs one connection of a Server by its script.
type session struct {
	server *Server
	conn   net.Conn
	in     *bufio.Reader
	dialog *Dialog

	used     map[int]int
	mail     bool   // MAIL FROM had a 2xx reply
	content  int    // bytes of it that came by BDAT
	accepted int    // recipients of the transaction with a 2xx reply
	lastCode byte   // first digit of the last reply sent
	goAhead  bool   // a 3xx reply was sent in the current block
	partial  string // of a reply that comes in pieces
	ended    bool
	lost     error // what made a reply not reach the client
}

func newSession(s *Server, c net.Conn, d *Dialog) *session {
	return &session{server: s, conn: c, in: bufio.NewReaderSize(c, 64<<10), dialog: d, used: make(map[int]int)}
}

// run serves the connection to its end.
func (s *session) run() {
	s.event(onConnect)
	for !s.ended {
		line, err := s.in.ReadBytes('\n')
		if len(line) > 0 {
			s.server.note(s.dialog, Got, line)
		}
		if err != nil {
			s.end(err)
			return
		}
		command := strings.TrimRight(string(line), "\r\n")
		s.goAhead = false
		if isVerb(command, "BDAT") {
			s.chunk(command)
			continue
		}
		s.event(command)
		s.keepBooks(command)
		if isVerb(command, "DATA") && s.goAhead && !s.ended {
			s.body()
		}
	}
	if s.lost != nil {
		s.drain()
		s.server.note(s.dialog, End, []byte(reason(s.lost)))
	}
}

// drain reads what a client sent before it went away without waiting for a
// reply. Whether the reply or the end of the client comes first is a matter of
// chance, and the dialog is to be the same.
func (s *session) drain() {
	for {
		line, err := s.in.ReadSlice('\n')
		if len(line) > 0 && !s.server.script.Forget {
			s.server.note(s.dialog, Got, line)
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

// isVerb tells whether a command line has that verb.
func isVerb(command, verb string) bool {
	got, _, _ := strings.Cut(command, " ")
	return strings.EqualFold(got, verb)
}

// keepBooks counts accepted recipients.
func (s *session) keepBooks(command string) {
	switch {
	case isVerb(command, "RCPT") && s.lastCode == '2':
		s.accepted++
	case isVerb(command, "MAIL"):
		s.mail, s.accepted, s.content = s.lastCode == '2', 0, 0
	case isVerb(command, "RSET"), isVerb(command, "LHLO"):
		s.mail, s.accepted = false, 0
	}
}

// chunk reads the content that comes with a BDAT command (RFC 3030), and answers
// the command after that. The last chunk is the event ".", too, if no rule is
// about it as a command.
func (s *session) chunk(command string) {
	words := strings.Fields(command)
	size, err := strconv.ParseUint(strings.Join(words[1:min(2, len(words))], ""), 10, 31)
	if err != nil {
		s.event(command)
		return
	}
	marks := s.server.script.bodyMarks(s.dialog.Number)
	for left := int(size); left > 0; {
		piece, err := s.in.Peek(min(left, 1))
		if err == nil {
			piece, err = s.in.Peek(min(left, s.in.Buffered()))
		}
		if err != nil {
			s.end(err)
			return
		}
		n := len(piece)
		if i := bytes.IndexByte(piece, '\n'); i >= 0 {
			n = i + 1
		}
		if len(marks) > 0 && s.content+n >= marks[0] {
			n = marks[0] - s.content
		}
		if !s.server.script.Forget && n > 0 {
			s.server.note(s.dialog, Got, piece[:n])
		}
		_, _ = s.in.Discard(n)
		left -= n
		s.content += n
		if len(marks) > 0 && s.content == marks[0] {
			s.event(onBody + strconv.Itoa(marks[0]))
			marks = marks[1:]
		}
		if s.ended {
			return
		}
	}
	last := len(words) > 2 && strings.EqualFold(words[2], "LAST")
	if last && s.accepted > 0 && s.server.script.find(command, s.dialog.Number, s.used) < 0 {
		command = onDot
	}
	s.event(command)
	if last {
		s.mail, s.accepted = false, 0
	}
}

// body reads the content up to the final dot and answers it.
func (s *session) body() {
	total := 0
	marks := s.server.script.bodyMarks(s.dialog.Number)
	lineStart := true
	for !s.ended {
		piece, err := s.in.ReadSlice('\n')
		if len(marks) > 0 && total+len(piece) >= marks[0] {
			cut := marks[0] - total
			s.server.note(s.dialog, Got, piece[:cut])
			s.event(onBody + strconv.Itoa(marks[0]))
			marks = marks[1:]
			if s.ended && s.lost == nil {
				return
			}
			s.server.note(s.dialog, Got, piece[cut:])
		} else if len(piece) > 0 && !s.server.script.Forget {
			s.server.note(s.dialog, Got, piece)
		}
		total += len(piece)
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			s.end(err)
			return
		}
		if lineStart && bytes.Equal(piece, []byte(".\r\n")) {
			s.event(onDot)
			s.mail, s.accepted = false, 0
			return
		}
		lineStart = err == nil
	}
}

// event runs the block of an event, or the friendly default.
func (s *session) event(name string) {
	i := s.server.script.find(name, s.dialog.Number, s.used)
	if i < 0 {
		for _, line := range s.friendly(name) {
			s.reply(line)
		}
		return
	}
	s.used[i]++
	for _, step := range s.server.script.Rules[i].Steps {
		if s.ended {
			return
		}
		s.do(step)
	}
}

// friendly returns the replies of a server that likes everything.
func (s *session) friendly(event string) []string {
	verb, _, _ := strings.Cut(event, " ")
	switch strings.ToUpper(verb) {
	case "CONNECT":
		return []string{"220 lmtp.example.com LMTP ready"}
	case "BODY":
		return nil
	case ".":
		if s.accepted == 0 {
			return []string{"554 5.5.1 No valid recipients"}
		}
		lines := make([]string, s.accepted)
		for i := range lines {
			lines[i] = fmt.Sprintf("250 2.0.0 Ok: stored %d", i+1)
		}
		return lines
	case "LHLO":
		return []string{"250-lmtp.example.com", "250-PIPELINING", "250-8BITMIME", "250 ENHANCEDSTATUSCODES"}
	case "MAIL":
		return []string{"250 2.1.0 Ok"}
	case "RCPT":
		if !s.mail {
			return []string{"503 5.5.1 No MAIL"}
		}
		return []string{"250 2.1.5 Ok"}
	case "DATA":
		if s.accepted == 0 {
			return []string{"503 5.5.1 No valid recipients"}
		}
		return []string{"354 Go ahead"}
	case "BDAT":
		if s.accepted == 0 {
			return []string{"503 5.5.1 No valid recipients"}
		}
		return []string{"250 2.0.0 Chunk taken"}
	case "RSET", "NOOP", "XFORWARD":
		return []string{"250 2.0.0 Ok"}
	case "QUIT":
		return []string{"221 2.0.0 Bye"}
	}
	return []string{"502 5.5.2 What?"}
}

// do performs one step.
func (s *session) do(step Step) {
	switch step.Do {
	case "reply":
		s.reply(step.Text)
	case "send":
		s.sendText(step.Text)
	case "wait":
		s.pause(step.Delay)
	case "close":
		s.takeWaiting()
		s.stop("closed by server")
	case "reset":
		s.resetConn()
		s.stop("reset by server")
	case "half-close":
		if c, ok := s.conn.(interface{ CloseWrite() error }); ok {
			_ = c.CloseWrite()
		}
		s.server.note(s.dialog, End, []byte("half-closed by server"))
		_, _ = io.Copy(io.Discard, s.in)
		s.stop("")
	case "hang":
		s.hang()
	case "stall":
		s.stall()
	case "tls":
		s.startTLS(step.Text)
	}
}

// reply sends one line and remembers its class.
func (s *session) reply(line string) {
	s.lastCode = line[0]
	if line[0] == '3' {
		s.goAhead = true
	}
	s.send([]byte(line + "\r\n"))
}

// sendText sends bytes as they are, and remembers the class of the last reply
// among them, whose pieces may come in several steps.
func (s *session) sendText(text string) {
	s.partial += text
	all := strings.Split(s.partial, "\n")
	s.partial = all[len(all)-1]
	for _, line := range all[:len(all)-1] {
		if line != "" {
			s.lastCode = line[0]
			s.goAhead = s.goAhead || line[0] == '3'
		}
	}
	s.send([]byte(text))
}

// send writes bytes as they are. If the client is gone, run ends the session.
func (s *session) send(data []byte) {
	s.server.note(s.dialog, Sent, data)
	if _, err := s.conn.Write(data); err != nil && !s.ended {
		s.ended, s.lost = true, err
	}
}

// pause waits for a time, less if the server is closed meanwhile.
func (s *session) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-s.server.closing:
		s.stop("closed by lab")
	}
}

// takeWaiting reads and forgets what has arrived, so that closing is no reset.
func (s *session) takeWaiting() {
	_ = s.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, _ = io.Copy(io.Discard, s.in)
}

// resetConn arranges that closing resets a TCP connection.
func (s *session) resetConn() {
	if c, ok := s.conn.(*net.TCPConn); ok {
		_ = c.SetLinger(0)
	}
}

// hang reads to the end of the connection, answering nothing.
func (s *session) hang() {
	for {
		line, err := s.in.ReadSlice('\n')
		if len(line) > 0 {
			s.server.note(s.dialog, Got, line)
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			s.end(err)
			return
		}
	}
}

// stall waits for the client to go without reading anything. As long as what it
// sent is not read, its end may not be seen: WaitIdle does not wait for that.
func (s *session) stall() {
	s.server.mu.Lock()
	s.server.conns[s.conn] = false
	close(s.server.changed)
	s.server.changed = make(chan struct{})
	s.server.mu.Unlock()
	for !s.ended {
		gone := false
		if raw, err := rawConn(s.conn); err == nil {
			_ = raw.Control(func(fd uintptr) {
				p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
				n, err := unix.Poll(p, 0)
				gone = err == nil && n > 0
			})
		} else {
			gone = true
		}
		if gone {
			s.end(io.EOF)
			return
		}
		s.pause(20 * time.Millisecond)
	}
}

// end records that the connection is over for a reason of the client's.
func (s *session) end(err error) { s.stop(reason(err)) }

// reason says in words why reading or writing failed.
func reason(err error) string {
	switch {
	case errors.Is(err, net.ErrClosed):
		return "closed by lab"
	case errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE):
		return "broken off by client"
	case !errors.Is(err, io.EOF):
		return "broken: " + err.Error()
	}
	return "closed by client"
}

// stop records the end of the session.
func (s *session) stop(what string) {
	if s.ended {
		return
	}
	s.ended = true
	if what != "" {
		s.server.note(s.dialog, End, []byte(what))
	}
}
