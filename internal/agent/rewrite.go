package agent

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"postlmtp/internal/address"
	"postlmtp/internal/content"
	"postlmtp/internal/delivery"
	"postlmtp/internal/dns"
	"postlmtp/internal/generic"
	"postlmtp/internal/ipc"
	"postlmtp/internal/maillog"
	"postlmtp/internal/match"
	"postlmtp/internal/nexthop"
	"postlmtp/internal/table"
)

// editing are the tables that change messages on their way out.
type editing struct {
	header, mime, nested, body *table.Maps // lmtp_header_checks and so on
	generic                    *table.Maps // lmtp_generic_maps
	destinations               *match.List // mydestination, if there are generic maps
	pix                        *table.Maps // lmtp_pix_workaround_maps
}

func openEditing(s *settings, set *table.Set) (*editing, error) {
	e := new(editing)
	for _, m := range []struct {
		maps  **table.Maps
		param string
		value string
		flags table.Flags
	}{
		{&e.header, "lmtp_header_checks", s.LMTP.HeaderChecks, table.Lock},
		{&e.mime, "lmtp_mime_header_checks", s.LMTP.MIMEHeaderChecks, table.Lock},
		{&e.nested, "lmtp_nested_header_checks", s.LMTP.NestedHeaderChecks, table.Lock},
		{&e.body, "lmtp_body_checks", s.LMTP.BodyChecks, table.Lock},
		{&e.generic, "lmtp_generic_maps", s.LMTP.GenericMaps, table.Lock | table.FoldFixed | table.UTF8},
		{&e.pix, "lmtp_pix_workaround_maps", s.LMTP.PIXWorkaroundMaps, table.Lock},
	} {
		var err error
		if *m.maps, err = set.OpenMaps(m.param, m.value, m.flags); err != nil {
			return nil, err
		}
	}
	if e.generic.Empty() {
		return e, nil
	}
	var err error
	e.destinations, err = match.ParseStrings(s.MyDestination, match.Options{Param: "mydestination", Tables: set})
	return e, err
}

// checks returns the header and body checks, nil if there are none.
func (e *editing) checks(s *settings) func(context.Context) content.Checks {
	if e.header.Empty() && e.mime.Empty() && e.nested.Empty() && e.body.Empty() {
		return nil
	}
	length := 60 // bytes of a header in the log
	if s.release.AtLeast(3, 8) {
		length = 200
	}
	return func(ctx context.Context) content.Checks {
		find := func(m *table.Maps) content.Lookup {
			if m.Empty() {
				return nil
			}
			return func(text string) (string, bool, error) { return m.Find(ctx, text) }
		}
		return content.Checks{
			Header:       find(e.header),
			MIMEHeader:   find(e.mime),
			NestedHeader: find(e.nested),
			Body:         find(e.body),
			LogLength:    length,
		}
	}
}

// genericMap returns lmtp_generic_maps, nil if there are none.
func (e *editing) genericMap(s *settings, names dns.Source, log *maillog.Logger) (*generic.Map, error) {
	propagate, err := propagates(s.PropagateUnmatchedExtensions)
	if err != nil || e.generic.Empty() {
		return nil, err
	}
	own, err := s.ownAddresses(names)
	if err != nil {
		return nil, err
	}
	rewriter := ipc.NewRewriter(ipc.Service{
		Class: "private", Name: s.RewriteServiceName, Protocol: ipc.TrivialRewrite,
	}, ipc.Settings{Timeout: s.IPCTimeout, Idle: s.IPCIdle, TTL: s.IPCTTL})
	return generic.New(generic.Options{
		Tables: e.generic,
		Local: func(ctx context.Context, domain string) (bool, error) {
			if address.EqualFold(domain, s.MyOrigin, s.SMTPUTF8Enable) {
				return true, nil
			}
			return e.isOurs(ctx, domain, own)
		},
		Complete: rewriter.Complete,
		Extension: generic.Extension{
			Delimiters:   s.RecipientDelimiter,
			DoubleBounce: s.DoubleBounceSender,
			OwnerRequest: s.OwnerRequestSpecial,
		},
		Propagate: propagate,
		Log:       log,
	}), nil
}

// isOurs tells whether a domain is in mydestination, or an address of this
// machine in brackets (inet_interfaces, proxy_interfaces).
func (e *editing) isOurs(ctx context.Context, domain string, own []netip.Addr) (bool, error) {
	domain = strings.TrimSuffix(domain, ".")
	if domain == "" || strings.HasSuffix(domain, ".") {
		return false, nil
	}
	found, err := e.destinations.Match(ctx, domain)
	if found || err != nil {
		return found, err
	}
	if !strings.HasPrefix(domain, "[") || !strings.HasSuffix(domain, "]") {
		return false, nil
	}
	inside := domain[1 : len(domain)-1]
	if len(inside) > len("IPv6:") && strings.EqualFold(inside[:len("IPv6:")], "IPv6:") {
		inside = inside[len("IPv6:"):]
	}
	a, ok := dns.ParseAddr(inside)
	return ok && slices.Contains(own, a), nil
}

// ownAddresses are those of inet_interfaces and proxy_interfaces.
func (s *settings) ownAddresses(names dns.Source) ([]netip.Addr, error) {
	ctx, lookup := context.Background(), nativeLookup(names)
	own, err := nexthop.OwnAddresses(ctx, s.InetInterfaces, lookup)
	if err != nil {
		return nil, err
	}
	proxy, err := nexthop.OwnAddresses(ctx, s.ProxyInterfaces, lookup)
	return append(own, proxy...), err
}

// propagates tells whether propagate_unmatched_extensions lists generic.
func propagates(list string) (bool, error) {
	found := false
	for _, word := range strings.FieldsFunc(list, isListSeparator) {
		switch word {
		case "generic":
			found = true
		case "canonical", "virtual", "alias", "forward", "include":
		default:
			return false, fmt.Errorf("unknown propagate_unmatched_extensions value \"%s\" in \"%s\"", word, list)
		}
	}
	return found, nil
}

func isListSeparator(r rune) bool { return strings.ContainsRune(", \t\r\n", r) }

// pixWorkarounds are lmtp_pix_workaround_maps and lmtp_pix_workarounds.
func (e *editing) pixWorkarounds(s *settings) delivery.PIX {
	return delivery.PIX{
		Words: func(ctx context.Context, address string) string {
			// A table that cannot tell is no reason to do without.
			if words, found, err := e.pix.Find(ctx, address); found && err == nil {
				return words
			}
			return s.LMTP.PIXWorkarounds
		},
		Threshold: s.LMTP.PIXWorkaroundThresholdTime,
		Delay:     s.LMTP.PIXWorkaroundDelayTime,
	}
}
