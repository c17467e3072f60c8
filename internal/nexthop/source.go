package nexthop

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"postlmtp/internal/dns"
)

// ParseBindAddress reads lmtp_bind_address or lmtp_bind_address6, whose name
// is param: a numerical address, with or without brackets. The empty value is
// the zero Addr. The error has the text with which Postfix's agent ends.
func ParseBindAddress(param, value string) (netip.Addr, error) {
	if value == "" {
		return netip.Addr{}, nil
	}
	text := value
	if inside, ok := strings.CutPrefix(value, "["); ok {
		var rest string
		if text, rest, ok = strings.Cut(inside, "]"); !ok || rest != "" {
			return netip.Addr{}, fmt.Errorf("smtp_connect_addr: malformed %s parameter: %s", param, value)
		}
	}
	a, ok := dns.ParseAddr(text)
	if !ok {
		return netip.Addr{}, fmt.Errorf("smtp_connect_addr: bad %s parameter: %s: %v", param, text, dns.GAINoName)
	}
	return a, nil
}

// OwnAddresses returns the addresses of inet_interfaces: "all",
// "loopback-only", or a list of names and addresses, which lookup finds.
// inet_protocols has its say in what DialOptions.Own is used for only: there
// is no connection of a family that is disabled.
func OwnAddresses(ctx context.Context, inetInterfaces string, lookup func(ctx context.Context, host string) ([]netip.Addr, error)) ([]netip.Addr, error) {
	words := strings.FieldsFunc(inetInterfaces, isSeparator)
	if len(words) == 1 {
		all, loopback := strings.EqualFold(words[0], "all"), strings.EqualFold(words[0], "loopback-only")
		if all || loopback {
			own, err := systemAddresses()
			if loopback {
				own = slices.DeleteFunc(own, func(a netip.Addr) bool { return !a.IsLoopback() })
			}
			return own, err
		}
	}
	var own []netip.Addr
	for _, host := range words {
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
		addrs := []netip.Addr{}
		if a, ok := dns.ParseAddr(host); ok {
			addrs = append(addrs, a)
		} else {
			var err error
			if addrs, err = lookup(ctx, host); err != nil {
				return nil, fmt.Errorf("config variable inet_interfaces: host not found: %s: %w", host, err)
			}
		}
		for _, a := range addrs {
			if !slices.Contains(own, a) {
				own = append(own, a)
			}
		}
	}
	return own, nil
}

func systemAddresses() ([]netip.Addr, error) {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list interface addresses: %w", err)
	}
	var own []netip.Addr
	for _, l := range list {
		if p, err := netip.ParsePrefix(l.String()); err == nil {
			own = append(own, p.Addr().Unmap())
		}
	}
	return own, nil
}

// soleAddress returns the address of own that connections to peer come from:
// the only one of the family, if it is not a loopback address. A link-local
// one does not work without its interface, so it does not count.
func soleAddress(own []netip.Addr, peer netip.Addr) netip.Addr {
	var sole netip.Addr
	for _, a := range own {
		if a.Is4() != peer.Is4() {
			continue
		}
		if sole.IsValid() {
			return netip.Addr{}
		}
		sole = a
	}
	if !sole.IsValid() || sole.IsLoopback() || sole.IsLinkLocalUnicast() {
		return netip.Addr{}
	}
	return sole
}

// prepare sets up a socket before it connects: buffers and source address. A
// source address that cannot be had is a warning, and with
// lmtp_bind_address_enforce an error.
func prepare(fd int, peer netip.Addr, o DialOptions) error {
	if o.TCPWindow > 0 {
		for _, option := range []int{unix.SO_SNDBUF, unix.SO_RCVBUF} {
			if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, o.TCPWindow); err != nil {
				o.Log.Warningf("set TCP window size to %d: %s", o.TCPWindow, errorText(err))
			}
		}
	}
	source, enforce := o.BindAddress6, o.Enforce
	if peer.Is4() {
		source = o.BindAddress4
	}
	if !source.IsValid() {
		source, enforce = soleAddress(o.Own, peer), false
	}
	if !source.IsValid() {
		return nil
	}
	if err := bind(fd, source, peer); err != nil {
		o.Log.Warningf("smtp_connect_addr: bind %s: %s", source, errorText(err))
		if enforce {
			return fmt.Errorf("bind %s: %w", source, err)
		}
	}
	return nil
}

// bind binds a socket to an address and leaves the port to the kernel, which
// chooses it when the peer is known, and so does not run out of ports.
func bind(fd int, source, peer netip.Addr) error {
	if source.Is4() != peer.Is4() {
		return unix.EAFNOSUPPORT
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1) // else the port is chosen now
	if source.Is4() {
		return unix.Bind(fd, &unix.SockaddrInet4{Addr: source.As4()})
	}
	return unix.Bind(fd, &unix.SockaddrInet6{Addr: source.As16()})
}
