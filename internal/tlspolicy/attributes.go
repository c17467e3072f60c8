package tlspolicy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"postlmtp/internal/dns"
	"postlmtp/internal/table"
)

// attributes are what stands behind the level in a policy.
type attributes struct {
	seen       []string // names of attributes that may be given once
	grade      string
	protocols  string
	sni        string
	exclude    string
	match      []string
	anchors    *anchors
	policyType string // MTA-STS plug-ins: policy_type, …

	policyDomain string
	mxPatterns   []string
	failure      string
	external     bool // any attribute that wants policy_type
}

func (a *attributes) has(name string) bool { return slices.Contains(a.seen, name) }

// parse reads a policy, "LEVEL name=value ...", into p. A mistake is a warning,
// and no mail goes: an attribute that is overlooked may be one that protects.
func (e *Engine) parse(p *Policy, text string, w *where) (Level, error) {
	words := table.Split(text)
	if len(words) == 0 {
		w.warn(": invalid empty policy")
		return unset, misconfigured()
	}
	level, ok := ParseLevel(words[0])
	if !ok {
		w.warn(": invalid security level \"%s\"", words[0])
		return unset, misconfigured()
	}
	for _, word := range words[1:] {
		if level == None {
			w.warn(": ignoring attribute \"%s\" with TLS disabled", word)
			continue
		}
		name, value, text, err := splitAttribute(word)
		if err != nil {
			w.warn(": malformed attribute/value pair \"%s\": %v", text, err)
			return unset, misconfigured()
		}
		if complaint := e.attribute(p, level, name, value); complaint != "" {
			if complaint != logged {
				w.warn(": %s", complaint)
			}
			return unset, misconfigured()
		}
	}
	a := &p.attr
	if a.policyType == "" && a.external {
		w.warn(": built-in policy has unexpected attribute " +
			"policy_ttl, policy_domain, policy_string, mx_host_pattern or policy_failure")
		return unset, misconfigured()
	}
	if e.stsPatterns(a, a.match) {
		a.match = []string{"hostname"}
	}
	return level, nil
}

// splitAttribute reads "name=value" or "{ name = value }". With an error, text
// is what it is about.
func splitAttribute(word string) (name, value, text string, err error) {
	text = word
	if strings.HasPrefix(word, "{") {
		end := closing(word)
		switch {
		case end < 0:
			return "", "", word[1:], fmt.Errorf("missing '}' in \"%s\"", word)
		case end < len(word)-1:
			text = strings.Join(strings.Fields(word[1:end]), " ")
			return "", "", text, fmt.Errorf("syntax error after '}' in \"%s\"", word)
		}
		text = strings.Join(strings.Fields(word[1:end]), " ")
	}
	name, value, found := strings.Cut(text, "=")
	name = strings.TrimSpace(name)
	switch {
	case name == "":
		return "", "", text, fmt.Errorf("missing attribute name")
	case !found || strings.ContainsAny(name, " \t"):
		return "", "", text, fmt.Errorf("missing '=' after attribute name")
	}
	return name, strings.TrimSpace(value), text, nil
}

// closing is the index of the brace that closes the one that s starts with, -1
// without.
func closing(s string) int {
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// logged stands for a complaint that has been logged.
const logged = "logged"

// attribute applies one attribute and returns what is wrong with it.
func (e *Engine) attribute(p *Policy, level Level, name, value string) string {
	a := &p.attr
	word := strings.ToLower(name)
	empty := fmt.Sprintf("attribute \"%s\" has empty value", name)
	if slices.Contains([]string{"ciphers", "match"}, word) && value == "" {
		return empty
	}
	once := []string{"ciphers", "protocols", "servername", "exclude", "policy_ttl", "policy_type", "policy_domain", "policy_failure"}
	if slices.Contains(once, word) {
		if a.has(word) {
			return fmt.Sprintf("attribute \"%s\" is specified multiple times", name)
		}
		a.seen = append(a.seen, word)
	}
	switch word {
	case "ciphers":
		a.grade = value
	case "protocols":
		a.protocols = value
	case "exclude":
		a.exclude = value
	case "servername":
		if !dns.ValidName(value) {
			return fmt.Sprintf("\"%s=%s\" specifies an invalid hostname", name, value)
		}
		a.sni = value
	case "match":
		separator := map[Level]string{Fingerprint: "|", Verify: ":", Secure: ":"}[level]
		if separator == "" {
			return invalidAt(name, level)
		}
		a.match = append(a.match, splitWords(value, separator)...)
		if a.match == nil {
			a.match = []string{}
		}
	case "tafile":
		return e.tafile(a, level, name, value)
	case "connection_reuse", "enable_rpk":
		return a.flag(p, word, name, value)
	default:
		return a.externalAttribute(word, name, value)
	}
	return ""
}

func invalidAt(name string, level Level) string {
	return fmt.Sprintf("attribute \"%s\" invalid at security level \"%v\"", name, level)
}

func (e *Engine) tafile(a *attributes, level Level, name, value string) string {
	switch {
	case !level.pkix():
		return invalidAt(name, level)
	case value == "":
		return fmt.Sprintf("attribute \"%s\" has empty value", name)
	}
	more, err := readAnchors(value)
	if err != nil {
		e.opt.Log.Warningf("%v", err)
		return logged
	}
	a.anchors = a.anchors.join(more)
	return ""
}

// flag applies an attribute that is yes or no. Raw public keys (RFC 7250) are
// not there: the certificate that a server has besides is as good.
func (a *attributes) flag(p *Policy, word, name, value string) string {
	yes := strings.EqualFold(value, "yes")
	if !yes && !strings.EqualFold(value, "no") {
		return fmt.Sprintf("attribute \"%s\" has bad value: \"%s\"", name, value)
	}
	if word == "connection_reuse" {
		p.Reuse = yes
	}
	return ""
}

// externalAttribute applies the attributes of policies that a plug-in makes
// from MTA-STS.
func (a *attributes) externalAttribute(word, name, value string) string {
	unexpected := fmt.Sprintf("attribute \"%s\" has an unexpected value: \"%s\"", name, value)
	malformed := fmt.Sprintf("attribute \"%s\" has a malformed value: \"%s\"", name, value)
	switch word {
	case "policy_ttl":
		if _, err := strconv.ParseInt(value, 10, 32); err != nil || strings.Trim(value, "0123456789") != "" {
			return malformed
		}
	case "policy_type":
		if !foldedIn(value, "sts", "no-policy-found") {
			return unexpected
		}
		a.policyType = value
		return ""
	case "policy_domain":
		if !dns.ValidName(value) {
			return malformed
		}
		a.policyDomain = value
	case "policy_string":
	case "mx_host_pattern":
		a.mxPatterns = append(a.mxPatterns, value)
	case "policy_failure":
		if !foldedIn(value, "sts-policy-fetch-error", "sts-policy-invalid", "sts-webpki-invalid", "validation-failure") {
			return unexpected
		}
		a.failure = value
	default:
		return fmt.Sprintf("invalid attribute name: \"%s\"", name)
	}
	a.external = true
	return ""
}

func foldedIn(value string, words ...string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return strings.EqualFold(w, value) })
}
