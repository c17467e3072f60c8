package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"postlmtp/internal/maincf"
)

// fail records a mistake in the value of a parameter.
func (l *loader) fail(name, format string, args ...any) {
	e := &Error{Param: name, Text: fmt.Sprintf(format, args...)}
	if entry, ok := l.config.values.Get(name); ok {
		e.File, e.Line = entry.File, entry.Line
	}
	l.errs = append(l.errs, e)
}

// failExpand is fail for a value that cannot be expanded.
func (l *loader) failExpand(name string, err error) {
	l.fail(name, "dictionary mail_dict: macro processing error")
	var reason *maincf.ExpandError
	if errors.As(err, &reason) {
		l.errs[len(l.errs)-1].Warnings = []string{reason.Reason}
	}
}

// failValue is fail in the form that Postfix uses for values which its
// parameter tables cannot check.
func (l *loader) failValue(name, what string) {
	l.fail(name, "file %s/main.cf: parameter %s: %s: %s", l.options.Dir, name, what, l.config.text[name])
}

func (l *loader) warn(format string, args ...any) {
	l.warnings = append(l.warnings, Warning{Text: fmt.Sprintf(format, args...)})
}

// check looks at values whose grammar is more than their kind. Parameters
// that had a mistake already have their default here.
func (l *loader) check() {
	c := l.config
	if _, ok := facilities()[c.SyslogFacility]; !ok {
		l.failValue("syslog_facility", "unrecognized value")
	}
	l.checkNames()
	l.checkWords("inet_protocols", c.InetProtocols, "all", "ipv4", "ipv6")
	l.checkMaillog()
	if !oneOf(c.InfoLogAddressFormat, "external", "internal") {
		l.fail("info_log_address_format", "invalid parameter setting \"info_log_address_format = %s\"", c.InfoLogAddressFormat)
	}
	_, warnings := ports(c.KnownTCPPorts)
	for _, w := range warnings {
		l.warn("%s", w)
	}
	l.checkLMTP()
	if n := c.Postlmtp.ProcessConcurrency; n < 0 {
		l.fail("postlmtp_process_concurrency", "invalid postlmtp_process_concurrency parameter value %d < 0", n)
	}
	l.checkWords("postlmtp_xclient", c.Postlmtp.XClient, "session", "timeout")
	if !slices.Contains([]string{"dsn", "always"}, c.Postlmtp.ORcpt) {
		l.fail("postlmtp_orcpt", "bad postlmtp_orcpt value: %s", c.Postlmtp.ORcpt)
	}
	if level := c.NonBDBMigrationLevel; !slices.Contains([]string{"disable", "enable-redirect", "enable-reindex"}, level) {
		l.fail("non_bdb_migration_level", "invalid non-Berkeley-DB migration level: '%s'", level)
	}
	l.checkRetired()
	l.readOrigin()
}

func (l *loader) checkNames() {
	c := l.config
	for _, p := range []struct{ name, value string }{{"myhostname", c.MyHostname}, {"mydomain", c.MyDomain}} {
		if reason := badHostname(p.value); reason != "" {
			l.failValue(p.name, "bad parameter value")
			l.errs[len(l.errs)-1].Warnings = []string{"valid_hostname: " + reason}
		}
	}
	if strings.EqualFold(c.MyHostname, c.Relayhost) {
		l.fail("relayhost", "myhostname and relayhost parameter settings must not be identical: %s", c.MyHostname)
	}
	if strings.ContainsAny(c.MyOrigin, ", \t\r\n") {
		l.fail("myorigin", "myorigin parameter setting must not contain multiple values: %s", c.MyOrigin)
	}
}

func (l *loader) checkMaillog() {
	c := l.config
	if c.MaillogFile == "" {
		return
	}
	for _, prefix := range c.MaillogFilePrefixes {
		if strings.HasPrefix(c.MaillogFile, prefix) {
			return
		}
	}
	l.fail("maillog_file", "maillog_file value '%s' does not match any prefix in maillog_file_prefixes", c.MaillogFile)
}

// checkLMTP does what lmtp(8) checks when it initializes.
func (l *loader) checkLMTP() {
	p := &l.config.LMTP
	if level := p.TLSSecurityLevel; level != "" &&
		!oneOf(level, "none", "may", "encrypt", "fingerprint", "dane", "dane-only", "verify", "secure") {
		l.fail("lmtp_tls_security_level", "Invalid TLS level \"%s\"", level)
	}
	if !oneOf(p.AddressPreference, "ipv6", "ipv4", "any") {
		l.fail("lmtp_address_preference", "bad lmtp_address_preference value: %s", p.AddressPreference)
	}
	if p.DNSSupportLevel != "" && !oneOf(p.DNSSupportLevel, "disabled", "enabled", "dnssec") {
		l.fail("lmtp_dns_support_level", "invalid lmtp_dns_support_level: \"%s\"", p.DNSSupportLevel)
	}
	if l.config.DNSSupport() != DNSDisabled {
		l.checkWords("lmtp_host_lookup", p.HostLookup, "dns", "native")
	}
	l.checkWords("lmtp_dns_resolver_options", p.DNSResolverOptions, "res_defnames", "res_dnsrch")
	if !oneOf(p.AddressVerifyTarget, "rcpt", "data") {
		// Postfix has the name of the smtp(8) parameter in this message.
		l.fail("lmtp_address_verify_target", "bad protocol stage: \"smtp_address_verify_target = %s\"", p.AddressVerifyTarget)
	}
}

// checkWords accepts known words only, in lower case.
func (l *loader) checkWords(name string, have []string, known ...string) {
	for _, w := range have {
		if !slices.Contains(known, w) {
			l.fail(name, "unknown %s value \"%s\" in \"%s\"", name, w, l.config.text[name])
			return
		}
	}
}

// oneOf reports whether a value is among some words, in any case.
func oneOf(value string, words ...string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return strings.EqualFold(w, value) })
}

// facilities returns the names of syslog facilities and their numbers.
func facilities() map[string]int {
	return map[string]int{
		"kern": 0, "user": 1, "mail": 2, "daemon": 3, "auth": 4, "syslog": 5, "lpr": 6,
		"news": 7, "uucp": 8, "cron": 9, "authpriv": 10, "ftp": 11,
		"local0": 16, "local1": 17, "local2": 18, "local3": 19,
		"local4": 20, "local5": 21, "local6": 22, "local7": 23,
	}
}

// badHostname says what is wrong with a host name; nothing if it is empty.
// The rules are those of RFC 1123 with the underscore added.
func badHostname(name string) string {
	if name == "" {
		return "empty hostname"
	}
	if i := strings.IndexFunc(name, func(r rune) bool {
		return !(r < 0x80 && (isAlnum(byte(r)) || strings.ContainsRune("_-.", r)))
	}); i >= 0 {
		return fmt.Sprintf("invalid character %d(decimal): %.100s", name[i], name)
	}
	for _, label := range strings.Split(name, ".") {
		switch {
		case label == "":
			return fmt.Sprintf("misplaced delimiter: %.100s", name)
		case label[0] == '-' || label[len(label)-1] == '-':
			return fmt.Sprintf("misplaced hyphen: %.100s", name)
		case len(label) > 63:
			return fmt.Sprintf("hostname label too long: %.100s", name)
		}
	}
	if strings.Trim(name, "0123456789.") == "" {
		return fmt.Sprintf("numeric hostname: %.100s", name)
	}
	if len(name) > 255 {
		return fmt.Sprintf("bad length %d for %.100s...", len(name), name)
	}
	return ""
}

func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
