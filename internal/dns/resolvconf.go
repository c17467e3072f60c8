package dns

import (
	"bufio"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"
)

// The limits of resolv.conf(5) in the GNU C library, which silently lowers
// what is beyond them.
const (
	maxServers  = 3
	maxSearch   = 32 // ours: the library has none since 2.26
	maxNDots    = 15
	maxTimeout  = 30 * time.Second
	maxAttempts = 5

	dnsPort = 53
)

// A Config is what resolv.conf(5) says.
type Config struct {
	Servers  []netip.AddrPort // never empty: 127.0.0.1 if the file has none
	Assumed  bool             // the file has no server
	Search   []string         // domains to complete a short name with, in order
	NDots    int              // a name with so many dots is tried as it is first
	Timeout  time.Duration    // for each question to each server
	Attempts int              // rounds over the servers
	Rotate   bool             // start with a random server
	TCP      bool             // use-vc: ask over TCP at once
	EDNS0    bool             // announce a larger UDP size (RFC 6891)
	TrustAD  bool             // ask for the AD bit in every query
	NoAAAA   bool             // answer questions for AAAA with "no data"
}

// DefaultConfig is the configuration of an empty resolv.conf on a host with
// this name: the domain of the host is searched.
func DefaultConfig(hostname string) Config {
	c := Config{NDots: 1, Timeout: 5 * time.Second, Attempts: 2}
	if _, domain, ok := strings.Cut(hostname, "."); ok && ValidName(domain) {
		c.Search = []string{domain}
	}
	return c
}

// ParseConfig reads a resolv.conf(5). Lines and values that it does not know
// are skipped, as the C library does; only a failure to read is an error.
// Environment variables (LOCALDOMAIN, RES_OPTIONS) do not matter: master(8)
// passes none of them on.
func ParseConfig(r io.Reader, hostname string) (Config, error) {
	c := DefaultConfig(hostname)
	err := eachLine(r, func(line string) {
		// A comment has its mark in the first column; in other places
		// the characters belong to the value.
		if line == "" || line[0] == '#' || line[0] == ';' {
			return
		}
		f := strings.Fields(line)
		if len(f) < 2 {
			return
		}
		switch f[0] {
		case "nameserver":
			c.addServer(f[1])
		case "domain":
			c.setSearch(f[1:2])
		case "search":
			c.setSearch(f[1:])
		case "options":
			for _, o := range f[1:] {
				c.setOption(o)
			}
		}
	})
	if len(c.Servers) == 0 {
		c.Assumed = true
		c.Servers = []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), dnsPort)}
	}
	return c, err
}

func (c *Config) addServer(s string) {
	a, err := netip.ParseAddr(s) // with a zone, for link-local servers
	if err != nil || len(c.Servers) >= maxServers {
		return
	}
	c.Servers = append(c.Servers, netip.AddrPortFrom(a.Unmap(), dnsPort))
}

// setSearch replaces the search list: the last domain or search line counts.
func (c *Config) setSearch(domains []string) {
	c.Search = nil
	for _, d := range domains {
		d = strings.TrimSuffix(d, ".")
		if ValidName(d) && len(c.Search) < maxSearch {
			c.Search = append(c.Search, d)
		}
	}
}

func (c *Config) setOption(o string) {
	name, value, _ := strings.Cut(o, ":")
	n, err := strconv.Atoi(value)
	number := err == nil && n >= 0
	switch {
	case name == "ndots" && number:
		c.NDots = min(n, maxNDots)
	case name == "timeout" && number:
		n = min(max(n, 1), int(maxTimeout/time.Second))
		c.Timeout = time.Duration(n) * time.Second
	case name == "attempts" && number:
		c.Attempts = min(max(n, 1), maxAttempts)
	case o == "rotate":
		c.Rotate = true
	case o == "use-vc":
		c.TCP = true
	case o == "edns0":
		c.EDNS0 = true
	case o == "trust-ad":
		c.TrustAD = true
	case o == "no-aaaa":
		c.NoAAAA = true
	}
}

// maxLine bounds a line of the files of /etc; a longer one ends the reading.
const maxLine = 64 << 10

// eachLine calls f for each line of r.
func eachLine(r io.Reader, f func(line string)) error {
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 0, 4096), maxLine)
	for sc.Scan() {
		f(sc.Text())
	}
	return sc.Err()
}

// localHostname returns the name of this machine, or "" if it has none.
func localHostname() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}
