package dns

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// A response is what the name server of a test says.
type response struct {
	rcode   dnsmessage.RCode
	answers []dnsmessage.Resource
	ad, tc  bool
	raw     func(query []byte) [][]byte // in place of all the above
	silent  bool
}

// A server is a name server on loopback for one test: UDP and TCP.
type server struct {
	t      *testing.T
	answer func(name string, typ Type, network string) response
	udp    net.PacketConn
	tcp    net.Listener
	wg     sync.WaitGroup

	mu      sync.Mutex
	queries []dnsmessage.Message
}

func startServer(t *testing.T, answer func(name string, typ Type, network string) response) *server {
	t.Helper()
	s := &server{t: t, answer: answer}
	var err error
	if s.udp, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	if s.tcp, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s.wg.Go(s.serveUDP)
	s.wg.Go(s.serveTCP)
	t.Cleanup(func() {
		s.udp.Close()
		s.tcp.Close()
		s.wg.Wait()
	})
	return s
}

// dial leads every connection to the server, whatever address was meant.
func (s *server) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	addr := s.tcp.Addr().String()
	if network == "udp" {
		addr = s.udp.LocalAddr().String()
	}
	return new(net.Dialer).DialContext(ctx, network, addr)
}

func (s *server) resolver(t *testing.T, resolvConf string, o Options) *Resolver {
	t.Helper()
	c, err := ParseConfig(strings.NewReader(resolvConf), "")
	if err != nil {
		t.Fatal(err)
	}
	o.Dial = s.dial
	return New(&Snapshot{Config: c}, o)
}

func (s *server) asked() []dnsmessage.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]dnsmessage.Message(nil), s.queries...)
}

func (s *server) serveUDP() {
	buf := make([]byte, 4096)
	for {
		n, from, err := s.udp.ReadFrom(buf)
		if err != nil {
			return
		}
		for _, m := range s.reply(buf[:n], "udp") {
			_, _ = s.udp.WriteTo(m, from)
		}
	}
}

func (s *server) serveTCP() {
	for {
		c, err := s.tcp.Accept()
		if err != nil {
			return
		}
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err == nil {
			query := make([]byte, binary.BigEndian.Uint16(size[:]))
			if _, err := io.ReadFull(c, query); err == nil {
				for _, m := range s.reply(query, "tcp") {
					_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(m))), m...))
				}
			}
		}
		c.Close()
	}
}

func (s *server) reply(query []byte, network string) [][]byte {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil || len(m.Questions) != 1 {
		s.t.Errorf("query %x: %v", query, err)
		return nil
	}
	s.mu.Lock()
	s.queries = append(s.queries, m)
	s.mu.Unlock()
	q := m.Questions[0]
	r := s.answer(fold(q.Name.String()), Type(q.Type), network)
	if r.silent {
		return nil
	}
	if r.raw != nil {
		return r.raw(query)
	}
	out := dnsmessage.Message{
		Header: dnsmessage.Header{ID: m.ID, Response: true, RecursionDesired: true, RecursionAvailable: true,
			RCode: r.rcode, AuthenticData: r.ad, Truncated: r.tc},
		Questions: m.Questions,
		Answers:   r.answers,
	}
	packed, err := out.Pack()
	if err != nil {
		s.t.Errorf("pack reply: %v", err)
		return nil
	}
	return [][]byte{packed}
}

func resource(name string, body dnsmessage.ResourceBody) dnsmessage.Resource {
	var typ dnsmessage.Type
	switch b := body.(type) {
	case *dnsmessage.AResource:
		typ = dnsmessage.TypeA
	case *dnsmessage.AAAAResource:
		typ = dnsmessage.TypeAAAA
	case *dnsmessage.CNAMEResource:
		typ = dnsmessage.TypeCNAME
	case *dnsmessage.SRVResource:
		typ = dnsmessage.TypeSRV
	case *dnsmessage.UnknownResource:
		typ = b.Type
	}
	return dnsmessage.Resource{
		Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name + "."), Type: typ,
			Class: dnsmessage.ClassINET, TTL: 300},
		Body: body,
	}
}

func a(name string, last byte) dnsmessage.Resource {
	return resource(name, &dnsmessage.AResource{A: [4]byte{192, 0, 2, last}})
}

func aaaa(name string, last byte) dnsmessage.Resource {
	return resource(name, &dnsmessage.AAAAResource{AAAA: [16]byte{0x20, 0x01, 0x0d, 0xb8, 15: last}})
}

func alias(name, target string) dnsmessage.Resource {
	return resource(name, &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(target + ".")})
}

func service(name, target string, priority, weight, port uint16) dnsmessage.Resource {
	return resource(name, &dnsmessage.SRVResource{Priority: priority, Weight: weight, Port: port,
		Target: dnsmessage.MustNewName(strings.TrimSuffix(target, ".") + ".")})
}

func raw(name string, typ Type, data ...byte) dnsmessage.Resource {
	return resource(name, &dnsmessage.UnknownResource{Type: dnsmessage.Type(typ), Data: data})
}
