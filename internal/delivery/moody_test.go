package delivery

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A letterbox knows what servers have stored, by message and recipient.
type letterbox struct {
	mu     sync.Mutex
	stored map[string]int
	bodies map[string]string // by message
	open   int               // connections
}

// moody is an LMTP server that keeps to the protocol, and does anything that a
// server may do: refuses, hangs up, falls silent, at any command.
type moody struct {
	box  *letterbox
	rnd  *rand.Rand
	odds int // one command in so many goes wrong; 0: none
	caps []string

	in    *bufio.Reader
	conn  net.Conn
	mail  bool
	rcpts []string // accepted
	body  strings.Builder
	bad   bool // a chunk of this message was refused
}

func (m *moody) errs(odds int) bool { return m.odds > 0 && m.rnd.IntN(m.odds*odds) == 0 }

// say is false when the connection is over.
func (m *moody) say(format string, args ...any) bool {
	_, err := fmt.Fprintf(m.conn, format+"\r\n", args...)
	return err == nil
}

// fail is some way to refuse a command, which may be the end of the connection.
func (m *moody) fail(where string) bool {
	switch m.rnd.IntN(7) {
	case 0:
		return false
	case 1:
		m.say("421 4.3.2 bye (%s)", where)
		return false
	case 2:
		time.Sleep(time.Hour)
		return false
	case 3:
		return m.say("550 5.3.0 no (%s)", where)
	case 4:
		return m.say("500 5.5.1 what (%s)", where)
	case 5:
		return m.say("one moment\r\n452 4.3.1 full (%s)", where)
	}
	return m.say("451 4.3.0 later (%s)", where)
}

func (m *moody) serve() {
	defer m.conn.Close()
	m.in = bufio.NewReader(m.conn)
	for going := m.say("220 moody"); going; {
		line, err := m.in.ReadString('\n')
		if err != nil {
			return
		}
		verb, args, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		going = m.command(verb, args)
	}
}

func (m *moody) command(verb, args string) bool {
	switch verb {
	case "LHLO":
		return m.say("250-%s\r\n250 HELP", strings.Join(append([]string{"moody"}, m.caps...), "\r\n250-"))
	case "QUIT":
		m.say("221 2.0.0 bye")
		return false
	case "RCPT":
		return m.recipient(args[strings.IndexByte(args, '<')+1 : strings.IndexByte(args, '>')])
	case "BDAT":
		return m.chunk(args)
	case "DATA":
		if len(m.rcpts) == 0 {
			return m.say("503 5.5.1 nobody")
		}
	}
	if m.errs(4) {
		return m.fail(verb)
	}
	switch verb {
	case "RSET", "MAIL":
		m.mail, m.rcpts, m.bad = verb == "MAIL", nil, false
		m.body.Reset()
	case "DATA":
		return m.say("354 go") && m.data()
	}
	return m.say("250 2.0.0 ok")
}

func (m *moody) recipient(addr string) bool {
	switch {
	case !m.mail:
		return m.say("503 5.5.1 no sender")
	case m.errs(2):
		return m.fail("<" + addr + ">")
	}
	m.rcpts = append(m.rcpts, addr)
	return m.say("250 2.1.5 <%s>", addr)
}

func (m *moody) data() bool {
	enough := -1 // so much content is read
	if m.errs(3) {
		enough = m.rnd.IntN(4000)
	}
	for {
		line, err := m.in.ReadString('\n')
		switch {
		case err != nil:
			return false
		case line == ".\r\n":
			return m.finish()
		case enough >= 0 && m.body.Len() > enough:
			if m.rnd.IntN(2) == 0 {
				m.say("552 5.3.4 enough (<%s>)", m.rcpts[0])
			}
			return false
		}
		m.body.WriteString(strings.TrimPrefix(line, "."))
	}
}

// chunk is BDAT (RFC 3030).
func (m *moody) chunk(args string) bool {
	number, last, _ := strings.Cut(args, " ")
	size, _ := strconv.Atoi(number)
	buf := make([]byte, size)
	if m.errs(4) {
		buf = buf[:size/2]
	}
	if _, err := io.ReadFull(m.in, buf); err != nil || len(buf) < size {
		return false
	}
	m.body.Write(buf)
	switch {
	case len(m.rcpts) == 0 || m.bad:
		return m.say("503 5.5.1 nobody")
	case last != "":
		return m.finish()
	case m.errs(4):
		m.bad = true
		return m.fail("BDAT")
	}
	return m.say("250 2.0.0 taken")
}

// finish stores the message, for each recipient or not, and says so or not.
func (m *moody) finish() bool {
	_, subject, _ := strings.Cut(m.body.String(), "Subject: ")
	id, _, _ := strings.Cut(subject, "\r\n")
	m.note(func(b *letterbox) { b.bodies[id] = m.body.String() })
	for _, addr := range m.rcpts {
		stored := func() { m.note(func(b *letterbox) { b.stored[id+" "+addr]++ }) }
		going := true
		switch kind := m.rnd.IntN(6); {
		case !m.errs(1), kind == 5:
			stored()
			going = m.say("250 2.0.0 <%s> %s saved", addr, id)
		case kind == 0:
			stored()
			return false
		case kind == 1:
			stored()
			time.Sleep(time.Hour)
			return false
		case kind == 2:
			m.say("421 4.3.2 bye (<%s>)", addr)
			return false
		case kind == 3:
			going = m.say("552 5.2.2 full (<%s>)", addr)
		default:
			going = m.say("452 4.2.2 full (<%s>)", addr)
		}
		if !going {
			return false
		}
	}
	m.mail, m.rcpts = false, nil
	m.body.Reset()
	return true
}

func (m *moody) note(f func(*letterbox)) {
	m.box.mu.Lock()
	defer m.box.mu.Unlock()
	f(m.box)
}
