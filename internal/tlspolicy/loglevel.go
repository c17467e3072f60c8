package tlspolicy

import (
	"context"
	"net/netip"
	"strings"

	"postlmtp/internal/dns"
)

// logMask says what to log of TLS.
type logMask int

const (
	logSummary logMask = 1 << iota
	logUntrusted
	logPeercert
	logCertmatch
	logVerbose
	logCache
	logDANE
	logDebug // what is beyond this OpenSSL would dump, and crypto/tls cannot

	logLevel1 = logSummary
	logLevel2 = logLevel1 | logVerbose | logCache | logDebug
)

func (m logMask) has(bits logMask) bool { return m&bits != 0 }

// parseLogLevel reads lmtp_tls_loglevel: a number or words.
func parseLogLevel(log Logger, param, text string) logMask {
	words := map[string]logMask{
		"0": 0, "none": 0, "1": logLevel1, "routine": logLevel1, "2": logLevel2, "debug": logLevel2,
		"3": logLevel2, "ssl-expert": logLevel2, "4": logLevel2, "ssl-developer": logLevel2,
		"5": logLevel2, "6": logLevel2, "7": logLevel2, "8": logLevel2, "9": logLevel2,
		"summary": logSummary, "untrusted": logUntrusted, "peercert": logPeercert, "certmatch": logCertmatch,
		"verbose": logVerbose, "cache": logCache, "dane": logDANE, "ssl-debug": logDebug,
		"ssl-handshake-packet-dump": logDebug, "ssl-session-packet-dump": logDebug, "trace": 0,
	}
	var m logMask
	for _, word := range splitWords(text, ", \t\r\n") {
		bits, ok := words[strings.ToLower(word)]
		if !ok {
			log.Warningf("unknown %s value \"%s\" in \"%s\"", param, word, text)
			return 0
		}
		m |= bits
	}
	return m
}

// logFor is what to log of one server: what lmtp_tls_loglevel_maps has for its
// name, its parent domains, its address or the networks of that, or
// lmtp_tls_loglevel.
func (e *Engine) logFor(ctx context.Context, p *Policy) logMask {
	m := e.log
	if !e.opt.LogLevelMaps.Empty() {
		if text, ok := e.peerLogLevel(ctx, &p.target); ok {
			m = parseLogLevel(e.opt.Log, "lmtp_tls_loglevel_maps", text)
		}
	}
	if p.Level.Matches() {
		m |= logUntrusted
	}
	return m
}

func (e *Engine) peerLogLevel(ctx context.Context, t *Target) (string, bool) {
	keys := nameKeys(toASCII(t.Host, e.opt.IDNA), e.opt.LogLevelParents)
	addr, err := netip.ParseAddr(t.Address)
	addressAt := len(keys)
	if err == nil {
		keys = append(keys, addressKeys(addr)...)
	}
	for i, key := range keys {
		find := e.opt.LogLevelMaps.FindFixed
		if i == 0 || i == addressAt {
			find = e.opt.LogLevelMaps.Find
		}
		value, found, err := find(ctx, key)
		if err != nil { // logged; a log is no reason to stop
			return "", false
		}
		if found {
			return value, !strings.EqualFold(value, "DUNNO")
		}
	}
	return "", false
}

// nameKeys are a name and its parent domains, with a dot in front of these
// unless they stand for all below.
func nameKeys(host string, parents bool) []string {
	if isAddress(host) || !dns.ValidName(host) {
		return nil
	}
	keys := []string{host}
	for i, c := range host {
		if c == '.' {
			if parents {
				i++
			}
			keys = append(keys, host[i:])
		}
	}
	return keys
}

// addressKeys are an address and what it begins with.
func addressKeys(a netip.Addr) []string {
	text, separator := a.String(), "."
	if a.Is6() {
		separator = ":"
	}
	keys := []string{text}
	for {
		i := strings.LastIndex(text, separator)
		if i < 0 {
			return keys
		}
		text = text[:i]
		keys = append(keys, text)
	}
}

func isAddress(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}
