package torture

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

// vault is an LMTP server that keeps a record of what it stored, and treats its
// connections badly.
type vault struct {
	listener net.Listener

	mu     sync.Mutex
	rnd    *rand.Rand
	peace  bool // no more faults
	copies map[string][]*stored
	conns  sync.WaitGroup
	open   map[net.Conn]bool
}

// stored is one copy of a message for one recipient.
type stored struct {
	at  time.Time
	cut bool // the connection did not live to see the end of all final replies
}

// faults are what goes wrong on one connection. Negative numbers are never.
type faults struct {
	cutOut int // close after so many bytes to the client
	cutIn  int // close after so many bytes from the client
	reset  bool
	stall  int     // hold back the reply with this number for a while
	refuse float64 // probability of a 4xx or 5xx reply
}

func newVault(path string, seed uint64) (*vault, error) {
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o666); err != nil {
		return nil, err
	}
	v := &vault{
		listener: l,
		rnd:      rand.New(rand.NewPCG(seed, 1)),
		copies:   make(map[string][]*stored),
		open:     make(map[net.Conn]bool),
	}
	v.conns.Go(v.accept)
	return v, nil
}

func (v *vault) close() {
	v.listener.Close()
	v.mu.Lock()
	for c := range v.open {
		c.Close()
	}
	v.mu.Unlock()
	v.conns.Wait()
}

func (v *vault) accept() {
	for {
		conn, err := v.listener.Accept()
		if err != nil {
			return
		}
		v.mu.Lock()
		v.open[conn] = true
		f := v.plan()
		seed := v.rnd.Uint64()
		v.mu.Unlock()
		v.conns.Go(func() {
			(&dialog{v: v, conn: conn, f: f, rnd: rand.New(rand.NewPCG(seed, 2))}).run()
			conn.Close()
			v.mu.Lock()
			delete(v.open, conn)
			v.mu.Unlock()
		})
	}
}

// plan draws the faults of a connection. The mutex is held.
func (v *vault) plan() faults {
	f := faults{cutOut: -1, cutIn: -1, stall: -1}
	if v.peace {
		return f
	}
	switch v.rnd.IntN(6) {
	case 0:
		f.cutOut = v.rnd.IntN(900)
	case 1:
		f.cutIn = v.rnd.IntN(1500)
	case 2:
		f.stall = v.rnd.IntN(12)
	}
	f.reset = v.rnd.IntN(2) == 0
	if v.rnd.IntN(2) == 0 {
		f.refuse = 0.2
	}
	return f
}

// dialog is one connection.
type dialog struct {
	v       *vault
	conn    net.Conn
	f       faults
	rnd     *rand.Rand
	in      *bufio.Reader
	gotten  int
	sent    int
	replies int
	dead    bool
	stalled bool // the client's time limit has passed
}

const stallTime = 1500 * time.Millisecond

// say sends one reply, and returns false when the connection is to end.
func (d *dialog) say(text string) bool {
	if d.dead {
		return false
	}
	if d.replies == d.f.stall {
		d.stalled = true
		time.Sleep(stallTime)
	}
	d.replies++
	out := []byte(text + "\r\n")
	if d.f.cutOut >= 0 && d.sent+len(out) > d.f.cutOut {
		d.conn.Write(out[:d.f.cutOut-d.sent])
		d.dead = true
		return false
	}
	d.sent += len(out)
	if _, err := d.conn.Write(out); err != nil {
		d.dead = true
	}
	return !d.dead
}

func (d *dialog) line() (string, bool) {
	text, err := d.in.ReadString('\n')
	d.gotten += len(text)
	if err != nil || d.f.cutIn >= 0 && d.gotten > d.f.cutIn {
		d.dead = true
		return "", false
	}
	return strings.TrimRight(text, "\r\n"), true
}

// moody answers yes, or sometimes something else.
func (d *dialog) moody(yes string) string {
	if d.rnd.Float64() >= d.f.refuse {
		return yes
	}
	return []string{"450 4.2.0 not now", "451 try again", "421 4.3.2 going down"}[d.rnd.IntN(3)]
}

func (d *dialog) run() {
	d.in = bufio.NewReader(d.conn)
	d.say(d.moody("220 vault"))
	var rcpts []string
	for !d.dead {
		line, ok := d.line()
		if !ok {
			break
		}
		verb, arg, _ := strings.Cut(line, " ")
		switch strings.ToUpper(verb) {
		case "LHLO":
			d.say("250-vault\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES")
		case "MAIL":
			rcpts = nil
			d.say(d.moody("250 2.1.0 ok"))
		case "RCPT":
			rcpts = d.rcpt(rcpts, arg)
		case "DATA":
			if len(rcpts) == 0 {
				d.say("503 5.5.1 nobody")
			} else if d.say("354 go") {
				d.data(rcpts)
			}
			rcpts = nil
		case "RSET":
			rcpts = nil
			d.say("250 2.0.0 ok")
		case "QUIT":
			d.say("221 2.0.0 bye")
			return
		default:
			d.say("500 5.5.2 what")
		}
	}
	if d.f.reset {
		// Pending input makes this a reset for the client.
		d.conn.(*net.UnixConn).CloseRead()
	}
}

// rcpt: addresses that start with "no" are unknown, now and for ever.
func (d *dialog) rcpt(rcpts []string, arg string) []string {
	addr := arg[strings.IndexByte(arg, '<')+1 : strings.IndexByte(arg, '>')]
	if strings.HasPrefix(addr, "no") {
		d.say("550 5.1.1 unknown")
		return rcpts
	}
	reply := d.moody("250 2.1.5 ok")
	if reply[0] == '2' {
		rcpts = append(rcpts, addr)
	}
	d.say(reply)
	return rcpts
}

// data stores the message for one recipient after the other.
func (d *dialog) data(rcpts []string) {
	id := ""
	for {
		line, ok := d.line()
		if !ok {
			return
		}
		if line == "." {
			break
		}
		if rest, found := strings.CutPrefix(line, "Message-ID: "); found {
			id = rest
		}
	}
	for _, addr := range rcpts {
		reply := d.moody("250 2.0.0 stored")
		if reply[0] == '2' {
			s := &stored{at: time.Now(), cut: true} // until it is said
			key := fmt.Sprint(id, " ", addr)
			d.v.mu.Lock()
			d.v.copies[key] = append(d.v.copies[key], s)
			d.v.mu.Unlock()
			// What was cut off, or came after a stall, may never arrive.
			stalled := d.stalled || d.replies == d.f.stall
			said := d.say(reply)
			d.v.mu.Lock()
			s.cut = !said || stalled
			d.v.mu.Unlock()
			continue
		}
		d.say(reply)
	}
}
