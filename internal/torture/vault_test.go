package torture

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// vault is an LMTP server that keeps a record of what it stored, and treats its
// connections badly.
type vault struct {
	listener net.Listener
	tally    *tally

	mu     sync.Mutex
	before func(reply string) // nil, or called before each reply, by one dialog at a time
	rnd    *rand.Rand
	plan   func(*rand.Rand) faults // of the next connection; nil: none
	wanted map[string]wanted       // what is queued, by Message-ID
	copies map[string][]*stored    // by Message-ID and recipient
	serial int                     // of copies
	sins   []string                // what the client did that it must not do
	open   map[net.Conn]bool
	conns  sync.WaitGroup
}

// newVault starts a server on a UNIX-domain socket, or on TCP with an empty path.
func newVault(path string, seed uint64, plan func(*rand.Rand) faults, sum *tally) (*vault, error) {
	network, address := "unix", path
	if path == "" {
		network, address = "tcp", "127.0.0.1:0"
	}
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	if path != "" {
		if err := os.Chmod(path, 0o666); err != nil {
			return nil, err
		}
	}
	v := &vault{
		listener: l,
		rnd:      rand.New(rand.NewPCG(seed, 1)),
		plan:     plan,
		tally:    sum,
		wanted:   make(map[string]wanted),
		copies:   make(map[string][]*stored),
		open:     make(map[net.Conn]bool),
	}
	v.conns.Go(v.accept)
	return v, nil
}

// nexthop is the server's place as a delivery request names it.
func (v *vault) nexthop() string {
	if tcp, ok := v.listener.Addr().(*net.TCPAddr); ok {
		return fmt.Sprintf("[127.0.0.1]:%d", tcp.Port)
	}
	return "unix:public/vault"
}

// peace ends the faults.
func (v *vault) peace() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.plan = nil
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
		f := noFaults()
		if v.plan != nil {
			f = v.plan(v.rnd)
		}
		seed := v.rnd.Uint64()
		v.mu.Unlock()
		v.conns.Go(func() {
			c := &fragile{Conn: conn, f: f}
			d := &dialog{v: v, conn: c, in: bufio.NewReader(c), rnd: rand.New(rand.NewPCG(seed, 2))}
			d.run()
			d.over()
			if !c.wasCut() {
				c.Close()
			}
			v.mu.Lock()
			delete(v.open, conn)
			v.mu.Unlock()
		})
	}
}

// sin notes what the client must not do.
func (v *vault) sin(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sins = append(v.sins, fmt.Sprintf(format, args...))
}

// dialog is one connection.
type dialog struct {
	v       *vault
	conn    *fragile
	in      *bufio.Reader
	rnd     *rand.Rand
	replies int
	spoke   time.Time // before the last reply
	since   time.Time // the client has sent what is read now after that
	dead    bool
	open    bool // a transaction has begun
	begun   time.Time
	from    string // MAIL FROM
	rcpts   []string
	last    []*stored // of the last transaction; nil once the client has gone on
	lines   int
	stalled bool // and the client does not wait for that
}

const (
	stallTime  = 1500 * time.Millisecond // more than every time limit of the client
	clientTime = time.Second             // its time limits
)

// say sends one reply, and returns false when the connection is to end.
func (d *dialog) say(text string) bool {
	if d.dead {
		return false
	}
	d.spoke = time.Now()
	if d.replies == d.conn.f.stall {
		d.v.tally.met("stall of the server", 1)
		d.stalled = true
		time.Sleep(stallTime)
	}
	d.replies++
	d.v.mu.Lock()
	if d.v.before != nil {
		d.v.before(text)
	}
	d.v.mu.Unlock()
	if _, err := d.conn.Write([]byte(text + "\r\n")); err != nil {
		d.dead = true
	}
	return !d.dead
}

func (d *dialog) line() (string, bool) {
	if d.in.Buffered() == 0 {
		d.since = d.spoke
	}
	text, err := d.in.ReadString('\n')
	if err != nil {
		d.dead = true
		return "", false
	}
	d.last = nil // the client waits for all replies before it goes on
	d.lines++
	return strings.TrimSuffix(text, "\r\n"), true
}

// over looks back when the connection has ended: what a reset swallows on the
// way, or a close that TCP makes a reset, the client may not have.
func (d *dialog) over() {
	_, tcp := d.conn.Conn.(*net.TCPConn)
	cut := d.conn.wasCut()
	if cut {
		d.v.tally.met("cut of the connection, "+d.conn.f.how.String(), 1)
	}
	if d.conn.f.drip > 0 {
		d.v.tally.met("slow drip in both directions", 1)
	}
	if !cut || !tcp && d.conn.f.how != resets {
		return
	}
	d.v.mu.Lock()
	defer d.v.mu.Unlock()
	for _, s := range d.last {
		s.cut = true
	}
}

// moody answers yes, or sometimes something else.
func (d *dialog) moody(yes string) string {
	if d.rnd.Float64() >= d.conn.f.refuse {
		return yes
	}
	d.v.tally.met("refusal for now", 1)
	return []string{"450 4.2.0 not now", "451 try again", "421 4.3.2 going down"}[d.rnd.IntN(3)]
}

func (d *dialog) run() {
	d.say(d.moody("220 vault"))
	for !d.dead {
		line, ok := d.line()
		if !ok {
			return
		}
		verb, arg, _ := strings.Cut(line, " ")
		switch strings.ToUpper(verb) {
		case "LHLO":
			d.say("250-vault\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-CHUNKING\r\n250 ENHANCEDSTATUSCODES")
		case "MAIL":
			d.mail(arg)
		case "RCPT":
			d.rcpt(arg)
		case "DATA":
			if len(d.rcpts) == 0 {
				d.say("503 5.5.1 nobody")
			} else if d.say("354 go") {
				d.data()
			}
		case "BDAT":
			d.bdat(arg)
		case "RSET":
			d.open, d.rcpts = false, nil
			d.say("250 2.0.0 ok")
		case "QUIT":
			d.say("221 2.0.0 bye")
			return
		default:
			d.v.sin("line %d of a connection is %.80q", d.lines, line)
			d.say("500 5.5.2 what")
		}
	}
}

func (d *dialog) mail(arg string) {
	d.from = path(arg)
	if d.open {
		d.v.sin("MAIL in the middle of a transaction")
	}
	reply := d.moody("250 2.1.0 ok")
	d.open, d.rcpts, d.begun = reply[0] == '2', nil, time.Now()
	d.say(reply)
}

// path is the address in an argument of MAIL or RCPT.
func path(arg string) string {
	_, rest, _ := strings.Cut(arg, "<")
	addr, _, _ := strings.Cut(rest, ">")
	return addr
}

// rcpt: addresses that start with "no" are unknown, now and for ever.
func (d *dialog) rcpt(arg string) {
	addr := path(arg)
	switch {
	case !d.open:
		d.say("503 5.5.1 no sender")
	case strings.HasPrefix(addr, "no"):
		d.say("550 5.1.1 unknown")
	default:
		reply := d.moody("250 2.1.5 ok")
		if reply[0] == '2' {
			d.rcpts = append(d.rcpts, addr)
		}
		d.say(reply)
	}
}

// data stores the message for one recipient after the other.
func (d *dialog) data() {
	var text strings.Builder
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
		text.WriteString(line + "\n")
	}
	d.arrived(id, text.String())
}

// bdat stores a message that comes in one chunk, as all here do. When there is
// nobody for it, the text is discarded, with a reply or, as RFC 2033 section 4.3
// has it, without.
func (d *dialog) bdat(arg string) {
	var size int
	var last string
	if n, _ := fmt.Sscanf(arg, "%d %s", &size, &last); n != 2 || last != "LAST" || size > 1<<20 {
		d.v.sin("BDAT %.80q", arg)
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(d.in, data); err != nil {
		d.dead = true
		return
	}
	if len(d.rcpts) == 0 {
		d.v.tally.met("BDAT for nobody", 1)
		if d.rnd.IntN(2) == 0 || !d.open {
			d.say("503 5.5.1 nobody")
		}
		return
	}
	text := strings.ReplaceAll(string(data), "\r\n", "\n")
	rest, _ := strings.CutPrefix(text, "Message-ID: ")
	id, _, _ := strings.Cut(rest, "\n")
	if d.begun.Before(d.since) {
		d.since = d.begun // all of a flight was sent when MAIL was
	}
	d.arrived(id, text)
}

// arrived judges a message that is there as a whole, and stores it.
func (d *dialog) arrived(id, text string) {
	d.v.mu.Lock()
	want, known := d.v.wanted[id]
	d.v.mu.Unlock()
	if !known || text != want.content {
		d.v.sin("message %q has arrived with %d bytes instead of %d, or others", id, len(text), len(want.content))
	}
	name, attempt, ok := parseLabel(d.from)
	if !ok || name != want.name {
		d.v.sin("message %q of %q has arrived from <%s>", id, want.name, d.from)
	}
	for _, addr := range d.rcpts {
		if !slices.Contains(want.rcpts, addr) {
			d.v.sin("message %q has arrived for <%s>, who is not among %q", id, addr, want.rcpts)
		}
	}
	d.store(id, attempt)
	d.open, d.rcpts = false, nil
}

// store: the client has waited at most since d.since for the first reply, and since
// the one before for each other.
func (d *dialog) store(id string, attempt int) {
	late, since := d.stalled, d.since
	for _, addr := range d.rcpts {
		reply := d.moody("250 2.0.0 stored")
		s := &stored{attempt: attempt, begun: d.begun, cut: true} // until it is said
		if reply[0] == '2' {
			key := id + " " + addr
			d.v.mu.Lock()
			d.v.serial++
			s.order = d.v.serial
			d.v.copies[key] = append(d.v.copies[key], s)
			d.v.mu.Unlock()
			d.last = append(d.last, s)
		}
		said := d.say(reply)
		// What came late the client did not wait for, nor for anything after
		// it; this machine may have been busy on both sides.
		late = late || time.Since(since) > clientTime/2
		since = d.spoke
		d.v.mu.Lock()
		s.cut = !said || late
		if said {
			s.told = time.Now()
		}
		d.v.mu.Unlock()
	}
}
