package nexthop

import "strings"

// defaultPort is that of lmtp_tcp_port (RFC 2033 leaves the port open).
const defaultPort = 24

func allDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
