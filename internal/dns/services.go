package dns

import (
	"io"
	"strconv"
	"strings"
)

// Services is the content of services(5). The nil *Services is an empty file.
type Services struct {
	ports map[string]uint16 // "name/protocol"
}

// ParseServices reads a services(5) file: a name, port/protocol and further
// names on each line. Lines that it cannot read are skipped, as the C library
// does; of two lines for one name the first counts.
func ParseServices(r io.Reader) (*Services, error) {
	s := &Services{ports: make(map[string]uint16)}
	err := eachLine(r, func(line string) {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		if len(f) < 2 {
			return
		}
		number, protocol, ok := strings.Cut(f[1], "/")
		port, err := strconv.ParseUint(number, 10, 16)
		if !ok || err != nil {
			return
		}
		for i, name := range f {
			if i == 1 {
				continue
			}
			key := name + "/" + protocol
			if _, known := s.ports[key]; !known {
				s.ports[key] = uint16(port)
			}
		}
	})
	return s, err
}

// Port returns the port of a service over a protocol ("tcp"), and whether the
// file has it. Upper and lower case differ, as in getservbyname(3).
func (s *Services) Port(name, protocol string) (uint16, bool) {
	if s == nil {
		return 0, false
	}
	port, ok := s.ports[name+"/"+protocol]
	return port, ok
}
