package nexthop

import (
	"fmt"
	"strconv"
	"strings"
)

// defaultPort is that of lmtp_tcp_port (RFC 2033 leaves the port open).
const defaultPort = 24

// ParseKnownPorts reads known_tcp_ports: "name = port, other = name = port".
// A part that makes no sense is left out, and said in errs with Postfix's
// words.
func ParseKnownPorts(value string) (ports map[string]uint16, errs []error) {
	ports = make(map[string]uint16)
	for _, part := range strings.Split(value, ",") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		if err := addKnownPort(ports, part); err != nil {
			errs = append(errs, err)
		}
	}
	return ports, errs
}

func addKnownPort(ports map[string]uint16, part string) error {
	words := strings.Split(part, "=")
	if len(words) < 2 {
		return fmt.Errorf("known_tcp_ports: in \"%s\" is not in \"name = value\" form", part)
	}
	bad := func(why string) error { return fmt.Errorf("known_tcp_ports: in \"%s\": %s", part, why) }
	fields := strings.Fields(words[len(words)-1])
	switch {
	case len(fields) == 0:
		return bad("missing port value after \"=\"")
	case len(fields) > 1:
		return bad("whitespace in port number")
	case !allDigits(fields[0]):
		return bad("non-numeric service port")
	}
	port, err := strconv.ParseUint(fields[0], 10, 16)
	if err != nil {
		return bad("port number out of range")
	}
	var first error
	for _, word := range words[:len(words)-1] {
		why := ""
		name := strings.Fields(word)
		switch {
		case len(name) == 0:
			why = "missing service name before \"=\""
		case len(name) > 1:
			why = "whitespace in service name"
		case allDigits(name[0]):
			why = "numerical service name"
		default:
			if _, known := ports[name[0]]; known {
				why = "duplicate service name"
			} else {
				ports[name[0]] = uint16(port)
			}
		}
		if why != "" && first == nil {
			first = bad(why)
		}
	}
	return first
}

func allDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
