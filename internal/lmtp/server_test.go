package lmtp

import (
	"bufio"
	"fmt"
	"strings"
	"time"
)

// Replies that are deeds.
const (
	doClose = "\x00close" // closes the connection
	doHang  = "\x00hang"  // says nothing any more
	doSkip  = "\x00skip"  // gives no reply to this one
	doReset = "\x00reset" // resets the connection
	// doEnd closes the server's side of the connection, and goes on to listen.
	doEnd = "\x00end"
	// bodyStop stops reading, in the middle of the content, and stays.
	bodyStop = "\x00stop"
)

// A fakeServer is an LMTP server with a script: a reply for every command. It
// is stricter than real ones, and notes what it promised.
type fakeServer struct {
	greeting string
	keywords []string
	lhlo     string // instead of the reply made of keywords
	xforward string
	mail     string
	lax      bool // RCPT is accepted after a refused MAIL
	rcpt     func(i int) string
	data     string // default 354 or 503
	early    string // said right behind the reply to DATA
	final    func(i int) string
	tail     string // said behind the final replies
	rset     string
	quit     string
	chunk    func(i int) string // reply to the i-th BDAT that is not the last
	nobody   string             // said to BDAT without a recipient; default 503
	bodyMax  int                // closes after so many bytes of content; 0 never
	bodySay  string

	segment int           // replies are written so many bytes at a time, 0 at once
	gap     time.Duration // between segments
	slow    time.Duration // between commands

	chunks int  // BDAT commands of this transaction
	failed bool // one of them was refused

	lines    []string // commands as received
	body     []byte   // content as received, with the dot
	complete bool     // the dot was seen
	promised map[int]string
	conn     *memConn
	done     chan struct{}
}

const dotLine = ".\r\n"

func (f *fakeServer) start(c *memConn) {
	f.conn = c
	f.promised = map[int]string{}
	f.done = make(chan struct{})
	go func() {
		defer close(f.done)
		defer c.Close()
		f.serve()
	}()
}

// say sends a reply or does a deed. It is false at the end.
func (f *fakeServer) say(r, def string) bool {
	if r == "" {
		r = def
	}
	switch r {
	case doSkip:
		return true
	case doClose:
		return false
	case doReset:
		f.conn.Reset()
		return false
	case doEnd:
		f.conn.CloseWrite()
		return true
	case bodyStop:
		time.Sleep(1000 * time.Hour)
		return false
	case doHang:
		buf := make([]byte, 512)
		for {
			if _, err := f.conn.Read(buf); err != nil {
				return false
			}
		}
	}
	then := ""
	if i := strings.IndexByte(r, 0); i >= 0 {
		r, then = r[:i], r[i:] // a reply, then a deed
	} else if !strings.HasSuffix(r, "\n") {
		r += "\r\n"
	}
	for r != "" {
		n := len(r)
		if f.segment > 0 && f.segment < n {
			n = f.segment
		}
		if _, err := f.conn.Write([]byte(r[:n])); err != nil {
			return false
		}
		r = r[n:]
		if f.gap > 0 {
			time.Sleep(f.gap)
		}
	}
	return then == "" || f.say(then, "")
}

func (f *fakeServer) lhloReply() string {
	if f.lhlo != "" {
		return f.lhlo
	}
	lines := append([]string{"fake.example"}, f.keywords...)
	var b strings.Builder
	for i, l := range lines {
		sep := "-"
		if i == len(lines)-1 {
			sep = " "
		}
		b.WriteString("250" + sep + l + "\r\n")
	}
	return b.String()
}

func (f *fakeServer) serve() {
	br := bufio.NewReaderSize(f.conn, 16)
	if !f.say(f.greeting, "220 fake.example ready") {
		return
	}
	mail := false
	rcpts := 0
	var accepted []int
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			return
		}
		time.Sleep(f.slow)
		line = strings.TrimRight(line, "\r\n")
		f.lines = append(f.lines, line)
		verb, _, _ := strings.Cut(strings.ToUpper(line), " ")
		verb, _, _ = strings.Cut(verb, ":")
		ok := true
		switch verb {
		case "LHLO":
			ok = f.say(f.lhloReply(), "")
		case "XFORWARD":
			ok = f.say(f.xforward, "250 2.0.0 ok")
		case "MAIL":
			last := strings.TrimRight(f.mail, "\r\n")
			last = last[strings.LastIndexByte(last, '\n')+1:]
			mail = f.lax || last == "" || last[0] == '2'
			rcpts, accepted, f.chunks, f.failed = 0, nil, 0, false
			ok = f.say(f.mail, "250 2.1.0 ok")
		case "RCPT":
			r := "503 5.5.1 no sender"
			if mail {
				r = fmt.Sprintf("250 2.1.5 r%d", rcpts)
				if f.rcpt != nil {
					if s := f.rcpt(rcpts); s != "" {
						r = s
					}
				}
				if r[0] == '2' {
					accepted = append(accepted, rcpts)
				}
				rcpts++
			}
			ok = f.say(r, "")
		case "DATA":
			r := "503 5.5.1 no recipients"
			if len(accepted) > 0 {
				r = "354 go"
			}
			if f.data != "" {
				r = f.data
			}
			if ok = f.say(r, ""); !ok {
				return
			}
			if f.early != "" && !f.say(f.early, "") {
				return
			}
			if r[0] == '3' {
				ok = f.content(br, accepted)
			}
			mail = false
		case "BDAT":
			ok = f.bdat(br, line, accepted)
			mail = mail && f.chunks > 0
		case "RSET":
			mail, f.chunks, f.failed = false, 0, false
			rcpts, accepted = 0, nil
			ok = f.say(f.rset, "250 2.0.0 reset")
		case "QUIT":
			f.say(f.quit, "221 2.0.0 bye")
			return
		default:
			ok = f.say("500 5.5.2 what?", "")
		}
		if !ok {
			return
		}
	}
}

func (f *fakeServer) content(br *bufio.Reader, accepted []int) bool {
	for {
		if f.bodyMax > 0 && len(f.body) >= f.bodyMax {
			if f.bodySay != "" {
				return f.say(f.bodySay, "")
			}
			return false
		}
		line, err := br.ReadString('\n')
		f.body = append(f.body, line...)
		if err != nil {
			return false
		}
		if line == dotLine {
			break
		}
	}
	return f.finals(accepted)
}

// bdat takes a chunk (RFC 3030).
func (f *fakeServer) bdat(br *bufio.Reader, line string, accepted []int) bool {
	var size int
	var word string
	fmt.Sscanf(line, "BDAT %d %s", &size, &word)
	for buf := make([]byte, 1000); size > 0; {
		if f.bodyMax > 0 && len(f.body) >= f.bodyMax {
			if f.bodySay != "" {
				return f.say(f.bodySay, "")
			}
			return false
		}
		n, err := br.Read(buf[:min(size, len(buf))])
		if err != nil {
			return false
		}
		f.body = append(f.body, buf[:n]...)
		size -= n
	}
	f.chunks++
	switch {
	case len(accepted) == 0:
		f.failed = true
		return f.say(f.nobody, "503 5.5.0 No valid recipients")
	case f.failed:
		return f.say("503 5.5.0 Previous data chunk failed", "")
	case word == "LAST":
		f.chunks = 0
		return f.finals(accepted)
	case f.chunk != nil:
		r := f.chunk(f.chunks - 1)
		f.failed = r != "" && r[0] != '2'
		return f.say(r, "250 2.0.0 taken")
	}
	return f.say("", "250 2.0.0 taken")
}

// finals answers the end of the content for each recipient.
func (f *fakeServer) finals(accepted []int) bool {
	f.complete = true
	for _, i := range accepted {
		r := fmt.Sprintf("250 2.0.0 <r%d> saved", i)
		if f.final != nil {
			if s := f.final(i); s != "" {
				r = s
			}
		}
		f.promised[i] = r
		if !f.say(r, "") {
			return false
		}
	}
	return f.tail == "" || f.say(f.tail, "")
}
