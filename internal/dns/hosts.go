package dns

import (
	"io"
	"net/netip"
	"slices"
	"strings"
)

// maxHostNames bounds the names of a hosts file that are kept: blocklists in
// hosts format have millions.
const maxHostNames = 100_000

// Hosts is the content of hosts(5). The nil *Hosts is an empty file.
type Hosts struct {
	addrs map[string][]netip.Addr
}

// ParseHosts reads a hosts(5) file: an address and its names on each line.
// Lines that it cannot read are skipped, as the C library does.
func ParseHosts(r io.Reader) (*Hosts, error) {
	h := &Hosts{addrs: make(map[string][]netip.Addr)}
	err := eachLine(r, func(line string) {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		if len(f) < 2 {
			return
		}
		a, err := netip.ParseAddr(f[0])
		if err != nil {
			return
		}
		for _, name := range f[1:] {
			h.add(fold(name), a)
		}
	})
	return h, err
}

func (h *Hosts) add(name string, a netip.Addr) {
	have, known := h.addrs[name]
	if !known && len(h.addrs) >= maxHostNames || len(have) >= maxRecords || slices.Contains(have, a) {
		return
	}
	h.addrs[name] = append(have, a)
}

// Lookup returns the addresses of a host in the order of the file. Upper and
// lower case are the same. The result must not be changed.
func (h *Hosts) Lookup(name string) []netip.Addr {
	if h == nil {
		return nil
	}
	return h.addrs[fold(name)]
}
