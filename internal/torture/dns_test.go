package torture

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"postlmtp/internal/lab"
	"postlmtp/internal/lab/lacking"
)

// liar is a name server that knows one address and tells it as long as it is at
// peace.
type liar struct {
	conn  net.PacketConn
	done  sync.WaitGroup
	tally *tally

	mu    sync.Mutex
	rnd   *rand.Rand
	peace bool
}

// lies are what it says instead. That a name does not exist is not among them: by
// the rules mail bounces for it, and no client can know better.
func lies() []string {
	return []string{"truth", "SERVFAIL", "REFUSED", "nothing", "noise", "another ID", "another question",
		"truncated, and no TCP", "no answer section", "an alias of itself", "a dead address"}
}

func newLiar(t *testing.T, address string, sum *tally) *liar {
	t.Helper()
	conn, err := net.ListenPacket("udp", address+":53")
	if err != nil {
		t.Fatal(err)
	}
	l := &liar{conn: conn, rnd: rand.New(rand.NewPCG(1, 5)), tally: sum}
	l.done.Go(l.serve)
	t.Cleanup(func() {
		conn.Close()
		l.done.Wait()
	})
	return l
}

func (l *liar) serve() {
	buf := make([]byte, 1500)
	for {
		n, from, err := l.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		var query dnsmessage.Message
		if query.Unpack(buf[:n]) != nil || len(query.Questions) != 1 {
			continue
		}
		l.mu.Lock()
		lie := lies()[l.rnd.IntN(len(lies()))]
		if l.peace {
			lie = "truth"
		}
		l.mu.Unlock()
		l.tally.met("DNS: "+lie, 1)
		if answer := l.answer(query, lie); answer != nil {
			_, _ = l.conn.WriteTo(answer, from)
		}
	}
}

func (l *liar) answer(query dnsmessage.Message, lie string) []byte {
	q := query.Questions[0]
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: query.ID, Response: true, RecursionAvailable: true, RecursionDesired: true},
		Questions: query.Questions,
	}
	header := dnsmessage.ResourceHeader{Name: q.Name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET, TTL: 1}
	address := [4]byte{127, 0, 0, 1}
	switch lie {
	case "nothing":
		return nil
	case "noise":
		return []byte(strings.Repeat("\xc0\x0c\xff", 100))
	case "SERVFAIL":
		m.RCode = dnsmessage.RCodeServerFailure
		return pack(m)
	case "REFUSED":
		m.RCode = dnsmessage.RCodeRefused
		return pack(m)
	case "another ID":
		m.ID++
	case "another question":
		m.Questions = []dnsmessage.Question{{Name: dnsmessage.MustNewName("other.test."), Type: q.Type, Class: q.Class}}
	case "truncated, and no TCP":
		m.Truncated = true
		return pack(m)
	case "no answer section":
		if q.Type == dnsmessage.TypeA {
			packed := pack(m)
			packed[7] = 9 // nine answers are announced
			return packed
		}
	case "an alias of itself":
		header.Type = dnsmessage.TypeCNAME
		m.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.CNAMEResource{CNAME: q.Name}}}
		return pack(m)
	case "a dead address":
		address[3] = 99
	}
	if q.Type == dnsmessage.TypeA {
		m.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AResource{A: address}}}
	}
	return pack(m)
}

func pack(m dnsmessage.Message) []byte {
	packed, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return packed
}

// TestLyingDNS delivers by the word of a name server that fails, lies, and says
// nothing: mail waits, and is delivered when there is an answer.
func TestLyingDNS(t *testing.T) {
	lacking.Root(t) // for port 53 and a resolv.conf of the daemon's own
	t.Parallel()
	sum := newTally()
	address := fmt.Sprintf("127.54.%d.%d", os.Getpid()>>8&0xff, os.Getpid()&0xff|1)
	l := newLiar(t, address, sum)
	r := &run{t: t, rnd: rand.New(rand.NewPCG(1, 0)), tally: sum}
	var err error
	r.lab, err = lab.New("", lab.Options{
		Agent: theAgent(t), ProcessLimit: 10,
		ResolvConf: "nameserver " + address + "\noptions timeout:1 attempts:1\n",
		MainCF:     []string{"lmtp_host_lookup = dns"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer r.lab.Close()
	if r.vault, err = newVault("", 1, nil, sum); err != nil {
		t.Fatal(err)
	}
	defer r.vault.close()
	_, port, _ := strings.Cut(r.vault.nexthop(), ":")
	var all sync.WaitGroup
	for range 60 {
		m := r.queue("text\n", "a@x", "b@x")
		m.req.Nexthop = "[server.torture.test]:" + port
		all.Go(func() { r.deliver(t.Context(), m, m.req) })
	}
	all.Wait()
	l.mu.Lock()
	l.peace = true
	l.mu.Unlock()
	if len(r.lab.Grep("status=deferred")) == 0 {
		t.Error("nothing was deferred: the name server did no harm")
	}
	r.calm()
	r.leave()
	r.count()
	t.Logf("\n%s", sum.table("TestLyingDNS"))
}
