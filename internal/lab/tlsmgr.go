package lab

import (
	"bytes"
	"net"

	"postlmtp/internal/attr"
)

// tlsmgrClient serves one client of the stand-in for tlsmgr(8), which Postfix's
// own agent asks for random bytes before it talks TLS. There is no session
// cache. What is asked for is not recorded: our agent does not ask.
func (s *services) tlsmgrClient(c net.Conn) {
	if s.lab.opts.dialect().greets && new(attr.List).String(attr.Protocol, "tlsmgr_protocol").Send(c) != nil {
		return
	}
	in := attr.NewReader(c, attr.Limits{})
	for {
		pairs, err := in.All()
		if err != nil {
			return
		}
		rec := Record{Attrs: pairs}
		reply := new(attr.List)
		switch rec.Get("request") {
		case "seed":
			reply.Int(attr.Status, 0).Data("seed", bytes.Repeat([]byte{0x5a}, 32))
		case "policy":
			reply.Int(attr.Status, 0).Int("cachable", 0).Int("timeout", 0)
		default:
			reply.Int(attr.Status, -1)
		}
		if reply.Send(c) != nil {
			return
		}
	}
}
