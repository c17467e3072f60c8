package config

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// A Retired is a parameter that Postfix's LMTP client had once, and what to use
// today. Postfix says nothing when main.cf still sets it.
type Retired struct {
	Name  string
	Until string // the last release, or snapshots of the release, that had it
	Now   string // today's parameter, or what became of it
}

// retired lists the names that the manual pages of the releases and snapshots
// had and that no release from 3.5 on acts on. lmtp_per_record_deadline is not
// here: it is honoured, in the default of lmtp_per_request_deadline.
func retired() []Retired {
	return []Retired{
		{"lmtp_cache_connection", "2.2", "lmtp_connection_cache_on_demand or lmtp_connection_cache_destinations"},
		{"lmtp_sasl_auth_enforce", "2.3.1", "lmtp_sasl_auth_enable"},
		{"lmtp_pipeline_dot_quit", "the snapshots of 2.3", "lmtp_skip_quit_response"},
		{"lmtp_dot_quit_workaround_threshold", "the snapshots of 2.3", "lmtp_pix_workaround_threshold_time"},
		{"lmtp_tls_cipherlist", "2.2, for SMTP", "lmtp_tls_mandatory_ciphers or lmtp_tls_ciphers"},
		{"lmtp_tls_fallback_level", "the snapshots of 2.12", "lmtp_tls_security_level"},
		{"lmtp_tls_dane_tlsa_notfound_level", "the snapshots of 2.11", "lmtp_tls_security_level"},
		{"lmtp_tls_dane_tlsa_unusable_level", "the snapshots of 2.11", "lmtp_tls_security_level"},
		{"lmtp_bounce_defer_filter", "the snapshots of 2.12", "lmtp_delivery_status_filter"},
		{"lmtp_use_tlsproxy", "the snapshots of 3.4", "lmtp_tls_connection_reuse"},
		{"lmtp_enforce_requiretls", "the snapshots of 3.11", "lmtp_requiretls_policy"},
	}
}

// checkRetired warns about names that Postfix has given up.
func (l *loader) checkRetired() {
	for _, r := range retired() {
		if l.config.IsSet(r.Name) {
			file, line := l.config.Origin(r.Name)
			l.warnings = append(l.warnings, Warning{File: file, Line: line, Text: fmt.Sprintf(
				"parameter %s is not used any more (Postfix had it until %s): use %s", r.Name, r.Until, r.Now)})
		}
	}
}

// maxOrigin bounds what is read of a file that myorigin names, bytes.
const maxOrigin = 4096

// readOrigin replaces a myorigin that names a file, as Debian's Postfix does
// (myorigin = /etc/mailname), by the first line of the file. The text of the
// parameter, as for $myorigin in other values, stays the name of the file.
func (l *loader) readOrigin() {
	c := l.config
	path := c.MyOrigin
	if !strings.HasPrefix(path, "/") {
		return
	}
	f, err := os.Open(path)
	if err != nil {
		l.fail("myorigin", "%s: cannot open file: %s", path, errnoText(err))
		return
	}
	defer f.Close()
	data := make([]byte, maxOrigin)
	n, _ := f.Read(data)
	line, _, _ := strings.Cut(string(data[:n]), "\n")
	if c.MyOrigin = strings.TrimSpace(line); c.MyOrigin == "" {
		l.fail("myorigin", "myorigin file %s is empty", path)
	}
}

// errnoText words an error as strerror(3) does.
func errnoText(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		text := errno.Error()
		return strings.ToUpper(text[:1]) + text[1:]
	}
	return err.Error()
}
