// Package cidr parses network patterns as Postfix's tables of type cidr: and
// its match lists have them: an address, or address/bits, in brackets or not.
//
// An IPv4 address is of the dotted form of inet_pton(3), without leading zeros
// or missing parts; an IPv6 address has no zone. Bits outside the mask must be
// zero. The two families do not match each other, nor does an IPv4-mapped IPv6
// address match the IPv4 address.
//
// The texts of the errors are Postfix's.
package cidr

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// A Network is a set of addresses of one family.
type Network struct {
	base netip.Addr
	bits int // how many of the first bits count
}

// Contains reports whether an address is of the network.
func (n Network) Contains(a netip.Addr) bool {
	return n.SameFamily(a) && masked(a, n.bits) == n.base
}

// SameFamily reports whether an address is of the family of the network.
func (n Network) SameFamily(a netip.Addr) bool { return a.Is4() == n.base.Is4() }

// ParseAddr parses an address as inet_pton(3) does.
func ParseAddr(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, false
	}
	return a, true
}

// Parse parses a pattern.
func Parse(pattern string) (Network, error) {
	address, bits, hasBits, err := split(pattern)
	if err != nil {
		return Network{}, err
	}
	if !hasBits {
		a, ok := ParseAddr(address)
		if !ok {
			return Network{}, fmt.Errorf("bad address pattern: \"%s\"", address)
		}
		return Network{a, a.BitLen()}, nil
	}
	a, n, err := parseMasked(address, bits)
	if err != nil {
		return Network{}, fmt.Errorf("%v in \"%s/%s\"", err, address, bits)
	}
	if m := masked(a, n); m != a {
		return Network{}, fmt.Errorf("non-null host address bits in \"%s/%s\", perhaps you should use \"%s/%d\" instead",
			address, bits, m, n)
	}
	return Network{a, n}, nil
}

// split takes [address/bits], [address]/bits and the forms without brackets
// apart.
func split(pattern string) (address, bits string, hasBits bool, err error) {
	inner, bracketed := strings.CutPrefix(pattern, "[")
	if !bracketed {
		address, bits, hasBits = strings.Cut(pattern, "/")
		return address, bits, hasBits, nil
	}
	inner, after, closed := strings.Cut(inner, "]")
	switch {
	case !closed:
		return "", "", false, fmt.Errorf("missing ']' character after \"[%s\"", inner)
	case after == "":
		address, bits, hasBits = strings.Cut(inner, "/")
		return address, bits, hasBits, nil
	case after[0] != '/':
		return "", "", false, fmt.Errorf("garbage after \"[%s]\"", inner)
	}
	return inner, after[1:], true, nil
}

func parseMasked(address, bits string) (netip.Addr, int, error) {
	most := 32
	if strings.Contains(address, ":") {
		most = 128
	}
	if bits == "" || strings.Trim(bits, "0123456789") != "" {
		return netip.Addr{}, 0, errors.New("bad mask value")
	}
	n, err := strconv.Atoi(bits)
	if err != nil || n > most {
		return netip.Addr{}, 0, errors.New("bad mask length")
	}
	a, ok := ParseAddr(address)
	if !ok {
		return netip.Addr{}, 0, errors.New("bad network value")
	}
	return a, n, nil
}

// masked returns an address with the bits after the first n cleared. Unlike
// netip.Prefix it also does so for IPv4-mapped addresses.
func masked(a netip.Addr, n int) netip.Addr {
	raw := a.As16()
	if a.Is4() {
		n += 96
	}
	for i := range raw {
		if keep := min(max(n-8*i, 0), 8); keep < 8 {
			raw[i] &= 0xff << (8 - keep)
		}
	}
	if a.Is4() {
		return netip.AddrFrom16(raw).Unmap()
	}
	return netip.AddrFrom16(raw)
}
